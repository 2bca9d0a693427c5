//! Builds a Debian package of the program, in `target/deb`, and tries it there.
//!
//! What goes where is one list, [`FILES`]; the tests hold it against the unit and the image, so
//! that none of them names a path that the others do not make. Needs `dpkg-deb`, `gzip` and
//! `strip`; the unit is looked at if `systemd-analyze` is there, the whole package if `lintian` is.
//! Nothing is installed on this machine: [`trial`] unpacks into a folder.

mod trial;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::{musl, say};

/// Where in the system a file of the repository goes, and its mode.
const FILES: [(&str, &str, u32); 6] = [
    (
        "packaging/tenure.service",
        "lib/systemd/system/tenure.service",
        0o644,
    ),
    (
        "packaging/example.toml",
        "etc/tenure/tasks.d/example.toml",
        0o644,
    ),
    (
        "packaging/copyright",
        "usr/share/doc/tenure/copyright",
        0o644,
    ),
    ("LICENSE-MIT", "usr/share/doc/tenure/LICENSE-MIT", 0o644),
    (
        "LICENSE-APACHE",
        "usr/share/doc/tenure/LICENSE-APACHE",
        0o644,
    ),
    ("CHANGELOG.md", CHANGES, 0o644),
];
/// Where the list of changes goes, before it is packed.
const CHANGES: &str = "usr/share/doc/tenure/NEWS";
/// Who is named in the package; the project has no address.
const MAINTAINER: &str = "the tenure authors <tenure@localhost>";
/// Where the program goes.
const PROGRAM: &str = "usr/bin/tenure";

/// Makes the account that the unit runs as. What is there already stays.
const POSTINST: &str = "#!/bin/sh
set -e
if [ \"$1\" = configure ] && ! getent passwd tenure >/dev/null; then
    useradd --system --user-group --home-dir /var/lib/tenure --shell /usr/sbin/nologin tenure
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
";
/// What the package is built of.
#[derive(Debug, Args)]
pub(crate) struct Deb {
    /// Packs the static program of `cargo xtask musl`, which needs no libc
    #[arg(long)]
    musl: bool,
    /// Packs this program, which is built already
    #[arg(long, value_name = "PATH", conflicts_with = "musl")]
    program: Option<PathBuf>,
}

/// Ends the service before its program goes.
const PRERM: &str = "#!/bin/sh
set -e
if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tenure.service || true
fi
";

/// Builds the program, its pages and its completions, packs them, and tries the package.
pub(crate) fn run(root: &Path, deb: &Deb) -> anyhow::Result<bool> {
    let program = match &deb.program {
        Some(program) => program.clone(),
        None if deb.musl => musl::build(root)?,
        None => built(root)?,
    };
    let out = musl::target_folder(root).join("deb");
    let stage = out.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    stage_files(root, &stage)?;
    stage_manual(&stage, &program)?;
    let packed = stage.join(PROGRAM);
    write(&packed, fs::read(&program)?, 0o755)?;
    told(Command::new("strip").arg("--strip-unneeded").arg(&packed))?;
    let version = version_of(root)?;
    let architecture = told(Command::new("dpkg-deb").args(["--version"]))
        .and_then(|_| told(Command::new("dpkg").arg("--print-architecture")))
        .context("dpkg-deb and dpkg make the package; install dpkg")?;
    let bytes = fs::read(&packed)?;
    let control = control(&version, &architecture, glibc_of(&bytes), size_of(&stage)?);
    write(&stage.join("DEBIAN/control"), &control, 0o644)?;
    write(&stage.join("DEBIAN/conffiles"), conffiles(), 0o644)?;
    write(&stage.join("DEBIAN/postinst"), POSTINST, 0o755)?;
    write(&stage.join("DEBIAN/prerm"), PRERM, 0o755)?;
    write(&stage.join("DEBIAN/md5sums"), sums(&stage)?, 0o644)?;
    let package = out.join(format!("tenure_{version}_{architecture}.deb"));
    told(
        Command::new("dpkg-deb")
            .args(["--build", "--root-owner-group"])
            .args([&stage, &package]),
    )?;
    trial::run(&package, &out.join("root"))?;
    say(format_args!(
        "{}, {} kB; the program alone has {} kB",
        package.display(),
        fs::metadata(&package)?.len() / 1000,
        bytes.len() / 1000
    ));
    Ok(true)
}

/// The program as it is released.
fn built(root: &Path) -> anyhow::Result<PathBuf> {
    say("cargo build --release -p tenure-cli");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "-p", "tenure-cli"])
        .current_dir(root)
        .status()?;
    ensure!(built.success(), "the program was not built");
    Ok(musl::target_folder(root).join("release/tenure"))
}

/// What `debsums` holds the installed files against.
fn sums(stage: &Path) -> anyhow::Result<String> {
    let list = "find . -type f ! -path './DEBIAN/*' -printf '%P\\0' | sort -z | xargs -0 md5sum";
    let sums = told(Command::new("sh").args(["-c", list]).current_dir(stage))?;
    Ok(sums + "\n")
}

fn stage_files(root: &Path, stage: &Path) -> anyhow::Result<()> {
    for (from, to, mode) in FILES {
        let from = root.join(from);
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        write(&stage.join(to), bytes, mode)?;
    }
    compress(&stage.join(CHANGES))?;
    let version = version_of(root)?;
    let date = told(
        Command::new("git")
            .args(["log", "-1", "--format=%aD"])
            .current_dir(root),
    )?;
    let entry = format!(
        "tenure ({version}) unstable; urgency=medium\n\n  * NEWS.gz says what has changed.\n\n \
         -- {MAINTAINER}  {date}\n"
    );
    let log = stage.join("usr/share/doc/tenure/changelog");
    write(&log, entry, 0o644)?;
    compress(&log)
}

/// Packs a file as Debian wants manual pages and lists of changes packed.
fn compress(path: &Path) -> anyhow::Result<()> {
    told(Command::new("gzip").args(["-9", "-n", "-f"]).arg(path)).map(drop)
}

/// The manual pages and completions that the program writes of itself.
fn stage_manual(stage: &Path, program: &Path) -> anyhow::Result<()> {
    let pages = stage.join("usr/share/man/man1");
    fs::create_dir_all(&pages)?;
    told(Command::new(program).arg("man").arg(&pages))?;
    for page in fs::read_dir(&pages)? {
        compress(&page?.path())?;
    }
    for (shell, to) in [
        ("bash", "usr/share/bash-completion/completions/tenure"),
        ("zsh", "usr/share/zsh/vendor-completions/_tenure"),
        ("fish", "usr/share/fish/vendor_completions.d/tenure.fish"),
    ] {
        let text = told(Command::new(program).args(["completions", shell]))?;
        write(&stage.join(to), text + "\n", 0o644)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> anyhow::Result<()> {
    let folder = path.parent().context("a path in the package")?;
    fs::create_dir_all(folder)?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// What a command prints, which must end well.
fn told(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn version_of(root: &Path) -> anyhow::Result<String> {
    let manifest: toml::Table = fs::read_to_string(root.join("Cargo.toml"))?.parse()?;
    let version = ["workspace", "package", "version"]
        .iter()
        .try_fold(&toml::Value::Table(manifest), |value, key| value.get(key))
        .and_then(toml::Value::as_str)
        .map(str::to_owned);
    version.context("Cargo.toml has no version")
}

/// The newest glibc whose symbols the program asks for.
fn glibc_of(program: &[u8]) -> Option<(u32, u32)> {
    const NAME: &[u8] = b"GLIBC_";
    let mut newest = None;
    for (at, _) in program
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, text)| *text == NAME)
    {
        let rest = program.get(at + NAME.len()..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
        let text = rest
            .get(..end)
            .and_then(|text| std::str::from_utf8(text).ok());
        let mut numbers = text.unwrap_or_default().split('.').map(str::parse::<u32>);
        if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) {
            newest = newest.max(Some((major, minor)));
        }
    }
    newest
}

/// In kilobytes, as the package system counts.
fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size_of(&entry.path())? * 1024
        } else {
            metadata.len()
        };
    }
    Ok(bytes.div_ceil(1024))
}

fn control(version: &str, architecture: &str, glibc: Option<(u32, u32)>, size: u64) -> String {
    let depends = glibc.map_or_else(String::new, |(major, minor)| {
        format!("libc6 (>= {major}.{minor}), ")
    });
    format!(
        "Package: tenure\nVersion: {version}\nArchitecture: {architecture}\nSection: admin\n\
         Priority: optional\nMaintainer: {MAINTAINER}\n\
         Depends: {depends}passwd\nInstalled-Size: {size}\n\
         Description: distributed locks and scheduled tasks\n \
         A lease for a name, and a task that runs once: on Redis or Valkey among\n \
         many machines, on an embedded file among the processes of one.\n"
    )
}

/// What an administrator may change, and an update keeps.
fn conffiles() -> String {
    let kept = FILES.iter().filter(|(_, to, _)| to.starts_with("etc/"));
    kept.flat_map(|(_, to, _)| ["/", to, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> String {
        fs::read_to_string(crate::root().unwrap().join(path)).unwrap()
    }

    #[test]
    fn the_unit_starts_what_the_package_installs_and_reads_where_its_example_is() {
        let unit = text("packaging/tenure.service");
        let start = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        assert!(start.starts_with(&format!("/{PROGRAM} run ")), "{start}");
        let folder = start.rsplit(' ').next().unwrap();
        let example = FILES
            .iter()
            .find(|(from, ..)| from.ends_with("example.toml"))
            .unwrap()
            .1;
        assert_eq!(
            Path::new(folder),
            Path::new("/").join(example).parent().unwrap()
        );
        let user = unit
            .lines()
            .find_map(|line| line.strip_prefix("User="))
            .unwrap();
        assert!(POSTINST.contains(&format!(" {user}\n")), "{user}");
        assert!(unit.contains("Type=notify\n") && unit.contains("\nWatchdogSec="));
        assert_eq!(conffiles(), format!("/{example}\n"));
    }

    /// Runs a script of the package with stand-ins for what it calls, and says what it called.
    fn called(script: &str, argument: &str, has_account: bool) -> String {
        let folder = std::env::temp_dir().join(format!("tenure-deb-{}", std::process::id()));
        let folder = folder.join(format!("{argument}-{has_account}"));
        fs::create_dir_all(&folder).unwrap();
        for name in ["getent", "useradd", "systemctl"] {
            let status = u8::from(name == "getent" && !has_account);
            let text = format!("#!/bin/sh\necho \"{name} $*\"\nexit {status}\n");
            write(&folder.join(name), text, 0o755).unwrap();
        }
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "script", argument]);
        let said = told(shell.env("PATH", &folder)).unwrap();
        fs::remove_dir_all(folder).unwrap();
        said
    }

    #[test]
    fn the_account_of_the_unit_is_made_once() {
        let first = called(POSTINST, "configure", false);
        assert!(first.contains("useradd --system --user-group"), "{first}");
        let again = called(POSTINST, "configure", true);
        assert!(!again.contains("useradd"), "{again}");
        assert!(!called(POSTINST, "abort-upgrade", false).contains("useradd"));
        assert!(!called(PRERM, "upgrade", true).contains("disable"));
    }

    #[test]
    fn the_image_is_built_of_what_is_here() {
        let root = crate::root().unwrap();
        let lines: Vec<String> = text("packaging/Dockerfile")
            .lines()
            .map(str::to_owned)
            .collect();
        let of = |word: &str| {
            let prefix = format!("{word} ");
            let found = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
            found.map(str::to_owned).collect::<Vec<_>>()
        };
        let stages = of("FROM");
        assert_eq!(stages.len(), 2);
        let manifest = text("Cargo.toml");
        let oldest = manifest
            .lines()
            .find_map(|line| line.strip_prefix("rust-version = "))
            .unwrap();
        let oldest: u32 = oldest
            .trim_matches('"')
            .split('.')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let used = stages[0].strip_prefix("rust:1.").unwrap();
        let used: u32 = used.split('-').next().unwrap().parse().unwrap();
        assert!(
            used >= oldest,
            "the image's Rust is older than what the packages ask for"
        );
        // Both stages are of one release, or the program may miss its libc.
        for stage in &stages {
            assert!(stage.contains("bookworm"), "{stage}");
        }
        assert!(of("RUN")[0].contains("-p tenure-cli"));
        for copy in of("COPY") {
            let from = copy.split(' ').next().unwrap();
            assert!(
                from.starts_with("--from=build") || root.join(from).exists(),
                "{copy}"
            );
        }
        let program = of("ENTRYPOINT")[0].trim_matches(['[', ']', '"']).to_owned();
        assert!(
            of("COPY")
                .iter()
                .any(|copy| copy.ends_with(&format!(" {program}"))),
            "{program}"
        );
        assert_eq!(of("STOPSIGNAL"), ["SIGTERM"]);
        assert!(of("USER")[0] != "root");
    }

    #[test]
    fn the_package_asks_for_the_libc_that_the_program_was_linked_with() {
        let program = b"\x7fELF..GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0";
        assert_eq!(glibc_of(program), Some((2, 34)));
        assert_eq!(glibc_of(b"static"), None);
        let text = control("0.1.0", "amd64", glibc_of(program), 12);
        assert!(
            text.contains("\nDepends: libc6 (>= 2.34), passwd\n"),
            "{text}"
        );
        let alone = control("0.1.0", "amd64", None, 12);
        assert!(alone.contains("\nDepends: passwd\n"), "{alone}");
    }
}
