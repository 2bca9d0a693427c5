//! Builds the program as one static file that needs nothing of the system it runs on, and tries it.
//!
//! SQLite and the ciphers are C and assembler: besides the Rust target, musl's compiler wrapper is
//! needed (`rustup target add …-linux-musl`, package `musl-tools`). What is tried here is that the
//! file is static and that a lock, a task and its history work; the tests run on the usual build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::say;

/// What is tried.
#[derive(Debug, Args)]
pub(crate) struct Musl {
    /// Tries this program, which is built already
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
}

/// Builds it, tries it, and says where it is.
pub(crate) fn run(root: &Path, musl: &Musl) -> anyhow::Result<bool> {
    let program = match &musl.program {
        Some(program) => std::path::absolute(program)?,
        None => build(root)?,
    };
    is_static(&program)?;
    try_out(&program)?;
    say(format_args!(
        "{}, {} kB, static; lock, run and history work",
        program.display(),
        fs::metadata(&program)?.len() / 1000
    ));
    Ok(true)
}

/// The static program, built for this machine's architecture.
pub(crate) fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    say(format_args!(
        "cargo build --release --target {target} -p tenure-cli"
    ));
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "-p", "tenure-cli"])
        .args(["--target", &target])
        .current_dir(root)
        .status()?;
    ensure!(
        built.success(),
        "the program was not built; it needs `rustup target add {target}` and `musl-gcc` (on \
         Debian the package musl-tools)"
    );
    Ok(target_folder(root).join(target).join("release/tenure"))
}

fn is_static(program: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(program).with_context(|| program.display().to_string())?;
    if let Some(loader) = loader_of(&bytes) {
        bail!("{} is not static: it asks for {loader}", program.display());
    }
    Ok(())
}

/// Where cargo builds.
pub(crate) fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// The loader that a program for this kind of machine asks for; a static one asks for none.
///
/// Reads the table of segments of a 64-bit ELF file (`Elf64_Phdr`, System V gABI, chapter 5).
fn loader_of(program: &[u8]) -> Option<String> {
    const INTERPRETER: u32 = 3;
    let word = |at: usize, length: usize| -> Option<usize> {
        let bytes = program.get(at..at + length)?;
        let little = bytes.iter().rev();
        Some(little.fold(0, |value, byte| (value << 8) | usize::from(*byte)))
    };
    let (table, size, count) = (word(32, 8)?, word(54, 2)?, word(56, 2)?);
    let mut segments = (0..count).map(|number| table + number * size);
    let at = segments.find(|at| word(*at, 4) == usize::try_from(INTERPRETER).ok())?;
    let (offset, length) = (word(at + 8, 8)?, word(at + 32, 8)?);
    let name = program.get(offset..offset + length)?;
    Some(
        String::from_utf8_lossy(name)
            .trim_end_matches('\0')
            .to_owned(),
    )
}

/// Takes a lock, runs a task, and reads what became of it, without anything of the environment.
fn try_out(program: &Path) -> anyhow::Result<()> {
    let place = std::env::temp_dir().join(format!("tenure-musl-{}", std::process::id()));
    fs::create_dir_all(&place)?;
    let tried = try_in(program, &place);
    fs::remove_dir_all(&place)?;
    tried
}

fn try_in(program: &Path, place: &Path) -> anyhow::Result<()> {
    let told = |words: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(program)
            .args(words)
            .current_dir(place)
            .env_clear()
            .env("HOME", place)
            .env("TENURE_STORE", "sqlite:store.db")
            .output()?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "tenure {}: {}: {stderr}",
            words.join(" "),
            output.status
        );
        Ok(stdout)
    };
    let fence = told(&["lock", "k", "--", "/bin/sh", "-c", "echo $TENURE_FENCE"])?;
    ensure!(fence.trim().parse::<u64>().is_ok(), "no fence: {fence:?}");
    fs::write(
        place.join("tasks.toml"),
        "[[task]]\nname = \"t\"\nschedule = \"* * * * * *\"\nzone = \"Europe/Berlin\"\n\
         shell = 'echo it ran'\n",
    )?;
    told(&["run", "--no-dashboard", "--for", "3s", "tasks.toml"])?;
    let history = told(&["history", "t", "--json", "--output"])?;
    let is_told = history.contains("\"succeeded\"") && history.contains("it ran");
    ensure!(is_told, "no run is on record: {history}");
    told(&["explain", "0 0 2 L * *"]).context("schedules")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_asks_for_a_loader_is_not_static() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let loader = loader_of(&own);
        assert_eq!(loader.is_some(), cfg!(target_env = "gnu"), "{loader:?}");
        if let Some(loader) = loader {
            assert!(loader.contains("ld-linux"), "{loader}");
        }
        assert_eq!(loader_of(b"\x7fELF, and no more"), None);
    }
}
