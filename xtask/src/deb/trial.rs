//! Unpacks the package into a folder, as a package manager would, and tries what came out.
//!
//! Nothing of this machine is changed: the package's scripts do not run here (their tests run them
//! with stand-ins), and the service is only read.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::{FILES, PROGRAM, told};
use crate::say;

/// Tries `package` in `root`, which is made anew.
pub(super) fn run(package: &Path, root: &Path) -> anyhow::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    let admin = root.join("var/lib/dpkg");
    fs::create_dir_all(admin.join("updates"))?;
    fs::create_dir_all(admin.join("info"))?;
    fs::write(admin.join("status"), "")?;
    told(
        Command::new("dpkg")
            .arg("--force-not-root")
            .arg(format!("--root={}", root.display()))
            .arg("--unpack")
            .arg(package),
    )
    .context("dpkg does not unpack the package")?;
    files(root)?;
    program(root)?;
    unit(root)?;
    lint(package)
}

/// Every file is where it belongs; what belongs to the administrator waits to be put in place.
fn files(root: &Path) -> anyhow::Result<()> {
    for (_, to, _) in FILES {
        let [plain, packed, new] = ["", ".gz", ".dpkg-new"].map(|end| format!("{to}{end}"));
        let is_there = [plain, packed, new]
            .iter()
            .any(|name| root.join(name).is_file());
        ensure!(is_there, "the package lacks {to}");
    }
    for name in [
        "usr/share/bash-completion/completions/tenure",
        "usr/share/zsh/vendor-completions/_tenure",
        "usr/share/fish/vendor_completions.d/tenure.fish",
    ] {
        let text = fs::read_to_string(root.join(name)).with_context(|| name.to_owned())?;
        ensure!(text.contains("backfill"), "{name} knows no commands");
    }
    let completions = root.join("usr/share/bash-completion/completions/tenure");
    told(Command::new("bash").arg("-n").arg(completions)).map(drop)
}

/// The program starts, likes the example, and has a page for each of its commands.
fn program(root: &Path) -> anyhow::Result<()> {
    let program = root.join(PROGRAM);
    let example = root.join("etc/tenure/tasks.d/example.toml");
    let unpacked = example.with_extension("toml.dpkg-new");
    if unpacked.exists() {
        fs::rename(unpacked, &example)?;
    }
    let check = || Command::new(&program);
    told(check().arg("check").arg(&example))?;
    let help = told(check().arg("--help"))?;
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help");
    let mut count = 0;
    for command in commands {
        count += 1;
        let page = root.join(format!("usr/share/man/man1/tenure-{command}.1.gz"));
        ensure!(page.is_file(), "the command {command} has no manual page");
    }
    ensure!(count > 20, "the help lists only {count} commands");
    say(format_args!(
        "unpacked and started: {count} commands with their pages"
    ));
    Ok(())
}

/// Nothing of the unit is a word that systemd does not know. The program is the unpacked one: the
/// unit's own path is not there on the machine that builds.
fn unit(root: &Path) -> anyhow::Result<()> {
    if told(Command::new("systemd-analyze").arg("--version")).is_err() {
        say("the unit was not looked at: systemd-analyze is not installed");
        return Ok(());
    }
    let unit = fs::read_to_string(root.join("lib/systemd/system/tenure.service"))?;
    let program = root.join(PROGRAM);
    let unit = unit.replace(&format!("/{PROGRAM}"), &program.display().to_string());
    let folder = root.with_extension("unit");
    fs::create_dir_all(&folder)?;
    let path = folder.join("tenure.service");
    fs::write(&path, unit)?;
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .output()?;
    fs::remove_dir_all(&folder)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && said.is_empty(),
        "systemd-analyze verify: {said}"
    );
    say("systemd-analyze verify: nothing to say of the unit");
    Ok(())
}

fn lint(package: &Path) -> anyhow::Result<()> {
    if told(Command::new("lintian").arg("--version")).is_err() {
        say("the package was not linted: lintian is not installed");
        return Ok(());
    }
    // The project has no address to write to, and its service is not a Debian maintainer's.
    let known = "bogus-mail-host,bogus-mail-host-in-debian-changelog,\
                 maintainer-script-calls-systemctl";
    let output = Command::new("lintian")
        .args(["--fail-on", "error", "--suppress-tags", known])
        .arg(package)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "lintian: {said}");
    say(format_args!("lintian: {}", said.trim()));
    Ok(())
}
