//! Runs the tests crate by crate.
//!
//! Crate by crate, because building the whole workspace at once unites the features of shared
//! dependencies and would hide a missing one. The runner is `cargo nextest` where it is installed
//! and `cargo test` elsewhere; the tests of the documentation are always `cargo test --doc`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::requirements::{Expected, Requirements, passed};
use crate::servers::{self, Wish};
use crate::suites::Suites;
use crate::tally::Tally;
use crate::tidy::{Package, Workspace};
use crate::{now, say};

/// A program that tests start, and what to do when it is missing.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "cc",
        "it builds SQLite from source: install gcc or clang, or name one in CC",
    ),
    ("git", "tidy asks it for the files of the repository"),
    ("sh", "tests run shell commands: install a POSIX shell"),
    (
        "setsid",
        "tests start processes that leave their group: install util-linux",
    ),
];

/// Sets up what tests need, then runs them all. What goes wrong is in the tally.
pub(crate) fn run(root: &Path) -> Tally {
    let wish = Wish::from_env();
    let mut tally = Tally::without(wish.without().to_vec());
    if let Err(error) = run_all(root, &wish, &mut tally) {
        tally.fail(format!("the tests could not start: {error:#}"));
    }
    tally
}

fn run_all(root: &Path, wish: &Wish, tally: &mut Tally) -> anyhow::Result<()> {
    require_programs()?;
    let _stopped_at_the_end = servers::up(root, wish)?;
    // Tests of the command line start the program itself.
    let build = ["build", "--locked", "--package", "tenure-cli"];
    if !cargo(root, &build, &[])? {
        tally.fail("the program `tenure` does not build".to_owned());
    }
    let has_nextest = is_installed(root, "nextest");
    let expected = Expected::read(root)?;
    let mut told = Told::default();
    let workspace = Workspace::read(root)?;
    for package in workspace.packages() {
        let name = &package.name;
        say(format_args!("\n--- {name}"));
        let begun = now();
        if has_nextest {
            test_with_nextest(root, package, wish, tally, &mut told)?;
        } else {
            let mut test = Command::new("cargo");
            test.args(["test", "--locked", "--no-fail-fast", "--package", name]);
            test.args(profile(name).map(|profile| format!("--profile={profile}")));
            test.args(libtest_filter(wish.without()));
            let before = tally.mark();
            let heard = Heard {
                package: name,
                tally,
                told: &mut told,
            };
            let succeeded = follow(root, test, Output::Standard, heard)?;
            tally.close(name, before, succeeded);
        }
        say(format_args!("--- {name}: {} s", begun.elapsed().as_secs()));
    }
    // What did not run proves nothing; a failed test is told as such already.
    let is_whole = wish.without().is_empty() && tally.is_passed();
    told.suites.report(root)?;
    for fault in told.requirements.report(root, &expected, is_whole)? {
        tally.fail(fault);
    }
    Ok(())
}

fn test_with_nextest(
    root: &Path,
    package: &Package,
    wish: &Wish,
    tally: &mut Tally,
    told: &mut Told,
) -> anyhow::Result<()> {
    let name = &package.name;
    let mut test = Command::new("cargo");
    test.args([
        "nextest",
        "run",
        "--locked",
        "--no-fail-fast",
        "--no-tests=pass",
    ]);
    test.args(["--status-level=pass", "--package", name]);
    test.args(profile(name).map(|profile| format!("--cargo-profile={profile}")));
    test.args(nextest_filter(
        name,
        &test_files(root, package),
        wish.without(),
    ));
    test.env("NEXTEST_TEST_THREADS", at_a_time(name).to_string());
    let before = tally.mark();
    let heard = Heard {
        package: name,
        tally,
        told,
    };
    let succeeded = follow(root, test, Output::Error, heard)?;
    tally.close(name, before, succeeded);
    if package.has_library {
        let mut test = Command::new("cargo");
        test.args(["test", "--locked", "--doc", "--package", name]);
        test.args(profile(name).map(|profile| format!("--profile={profile}")));
        test.args(libtest_filter(wish.without()));
        let before = tally.mark();
        let heard = Heard {
            package: name,
            tally,
            told,
        };
        let succeeded = follow(root, test, Output::Standard, heard)?;
        tally.close(&format!("{name}, documentation"), before, succeeded);
    }
    Ok(())
}

/// How many tests of a package run at a time. Those of the Redis store wait most of the time: for
/// leases to end, and for servers that start, restart and take over from each other.
fn at_a_time(package: &str) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if package == "tenure-redis" {
        2 * cores
    } else {
        cores
    }
}

/// The profile of a package whose tests are too slow in the usual one.
fn profile(package: &str) -> Option<&'static str> {
    (package == "tenure-sim").then_some("sim")
}

/// Leaves out the tests that have one of these words in their own, their file's or their package's
/// name. One that starts a server and says so nowhere fails, because the bed starts nothing that
/// was left out.
fn nextest_filter(package: &str, files: &[String], without: &[String]) -> Vec<String> {
    if without.is_empty() {
        return Vec::new();
    }
    // Looks at each test: what is left out by the binary alone, nextest does not count.
    let any = "test(/./)";
    let clause = |name: &String| {
        if package.contains(name) {
            any.to_owned()
        } else if files.iter().any(|file| file.contains(name)) {
            // A clause that fits no file at all would be an error.
            format!("test({name}) | (binary(/{name}/) & {any})")
        } else {
            format!("test({name})")
        }
    };
    let clauses: Vec<_> = without.iter().map(clause).collect();
    vec![format!("--filterset=not ({})", clauses.join(" | "))]
}

/// The names of a package's files of tests, without their endings.
fn test_files(root: &Path, package: &Package) -> Vec<String> {
    let folder = root.join(&package.folder).join("tests");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let stems = paths.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    stems.collect()
}

/// The same, as libtest takes it, which knows a test by no more than its own name.
fn libtest_filter(without: &[String]) -> Vec<String> {
    let words = without.iter().map(|name| format!("--skip={name}"));
    let mark = (!without.is_empty()).then(|| "--".to_owned());
    mark.into_iter().chain(words).collect()
}

/// Where a runner writes its closing lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Standard,
    Error,
}

/// Who reads along what a runner of a package's tests writes.
struct Heard<'a> {
    package: &'a str,
    tally: &'a mut Tally,
    told: &'a mut Told,
}

/// What is written down of the tests that passed.
#[derive(Debug, Default)]
struct Told {
    requirements: Requirements,
    suites: Suites,
}

/// Runs a test command, reads its numbers and shows all of its output but the tests that passed.
fn follow(
    root: &Path,
    mut command: Command,
    output: Output,
    heard: Heard<'_>,
) -> anyhow::Result<bool> {
    let Heard {
        package,
        tally,
        told,
    } = heard;
    command.current_dir(root);
    match output {
        Output::Standard => command.stdout(Stdio::piped()),
        Output::Error => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().context("cannot start cargo")?;
    let lines: Box<dyn Read> = match output {
        Output::Standard => Box::new(child.stdout.take().context("cargo has no output")?),
        Output::Error => Box::new(child.stderr.take().context("cargo has no output")?),
    };
    // What a failing test printed need not be text.
    for line in BufReader::new(lines).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        tally.read(&line);
        told.requirements.read(package, &line);
        told.suites.read(&line);
        if passed(&line).is_none() {
            say(&line);
        }
    }
    Ok(child.wait()?.success())
}

/// Fails with the name of each program that is missing, and what to do about it.
fn require_programs() -> anyhow::Result<()> {
    let compiler = std::env::var("CC").unwrap_or_default();
    let mut missing = Vec::new();
    for (program, hint) in PROGRAMS {
        let named_otherwise = program == "cc" && !compiler.trim().is_empty();
        if !named_otherwise && !is_on_path(program) {
            missing.push(format!("`{program}` is missing: {hint}"));
        }
    }
    anyhow::ensure!(missing.is_empty(), "{}", missing.join("; "));
    Ok(())
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether `cargo TOOL` works here.
pub(crate) fn is_installed(root: &Path, tool: &str) -> bool {
    let asked = Command::new("cargo")
        .args([tool, "--version"])
        .current_dir(root)
        .output();
    asked.is_ok_and(|output| output.status.success())
}

/// Runs cargo in the repository; true if it succeeded.
pub(crate) fn cargo(
    root: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> anyhow::Result<bool> {
    let status = Command::new("cargo")
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_left_out_by_the_names_of_tests() {
        let without = ["redis".to_owned(), "valkey".to_owned()];
        let files = ["lock".to_owned(), "on_redis".to_owned()];
        for (package, files, expected) in [
            ("a", &[][..], "not (test(redis) | test(valkey))"),
            (
                "a",
                &files,
                "not (test(redis) | (binary(/redis/) & test(/./)) | test(valkey))",
            ),
            ("a-redis", &files, "not (test(/./) | test(valkey))"),
        ] {
            let filter = nextest_filter(package, files, &without);
            assert_eq!(filter, [format!("--filterset={expected}")]);
            assert!(nextest_filter(package, files, &[]).is_empty());
        }
        assert_eq!(
            libtest_filter(&without),
            ["--", "--skip=redis", "--skip=valkey"]
        );
        assert!(libtest_filter(&[]).is_empty());
    }
}
