//! Gets packages from where this machine can get them.
//!
//! Debian's: installed by root, otherwise unpacked into `.servers`, where it works if the libraries
//! it needs are installed. Wheels: downloaded and unpacked, never installed, so that neither this
//! machine's Python nor anything in the wheel matters. Programs in Python with all that they need:
//! into a virtual environment in `.servers`. Packages of npm: into a folder of their own, and no
//! script of theirs is run.

use std::fmt;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

/// Where a program comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A package of Debian.
    Debian(String),
    /// A wheel, as pip names it.
    Wheel(String),
    /// A program in Python, as pip names it, with all that it needs.
    Python(String),
    /// Packages of npm, as it names them, with blanks between them.
    Npm(String),
}

/// A way to get a package here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `apt-get install`, as root.
    Install,
    /// `apt-get download` and unpack, as anybody.
    Unpack,
    /// `pip download` and unpack.
    Download,
    /// The same, by the pip of a virtual environment.
    DownloadByVenv,
    /// The same, after Debian's package of pip was installed.
    DownloadByDebian,
    /// `pip install` into a virtual environment of its own.
    Venv,
    /// The same, after Debian's package of virtual environments was installed.
    VenvByDebian,
    /// `npm install` into a folder of our own.
    Npm,
    /// The same, after Debian's package of npm was installed.
    NpmByDebian,
}

/// What this machine can do.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) is_root: bool,
    pub(super) folders: Vec<PathBuf>,
    pub(super) named: Vec<(String, PathBuf)>,
}

impl Machine {
    /// This one.
    pub(super) fn here() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let named = std::env::vars_os().filter_map(|(name, value)| {
            let name = name
                .into_string()
                .ok()
                .filter(|name| name.starts_with("TENURE_"))?;
            (!value.is_empty()).then(|| (name, PathBuf::from(value)))
        });
        Self {
            // No call tells more simply whose process this is.
            is_root: fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0),
            folders: std::env::split_paths(&path).collect(),
            named: named.collect(),
        }
    }

    pub(super) fn on_path(&self, command: &str) -> Option<PathBuf> {
        let mut places = self.folders.iter().map(|folder| folder.join(command));
        places.find(|place| place.is_file())
    }

    pub(super) fn named(&self, variable: &str) -> Option<PathBuf> {
        let mut named = self.named.iter();
        named
            .find(|(name, _)| name == variable)
            .map(|(_, path)| path.clone())
    }

    fn has(&self, command: &str) -> bool {
        self.on_path(command).is_some()
    }
}

impl Source {
    /// The ways that fit a machine, best first.
    pub(super) fn ways(&self, machine: &Machine) -> Vec<Way> {
        let is_debian = machine.has("apt-get");
        let (root_installs, has_python) = (is_debian && machine.is_root, machine.has("python3"));
        let ways: &[(Way, bool)] = match self {
            Self::Debian(_) => &[
                (Way::Install, root_installs),
                (
                    Way::Unpack,
                    is_debian && !machine.is_root && machine.has("dpkg-deb"),
                ),
            ],
            Self::Wheel(_) => &[
                (Way::Download, has_python),
                (Way::DownloadByVenv, has_python),
                (Way::DownloadByDebian, root_installs),
            ],
            Self::Python(_) => &[(Way::Venv, has_python), (Way::VenvByDebian, root_installs)],
            Self::Npm(_) => &[
                (Way::Npm, machine.has("npm")),
                (Way::NpmByDebian, root_installs && !machine.has("npm")),
            ],
        };
        let fitting = ways.iter().filter(|(_, fits)| *fits);
        fitting.map(|(way, _)| *way).collect()
    }

    /// Where a file of the package is, once the package is here.
    pub(super) fn place(&self, folder: &Path, inside: &str) -> Option<PathBuf> {
        let unpacked = self.unpacked(folder).join(inside);
        let installed = Path::new("/").join(inside);
        match self {
            Self::Debian(_) => [unpacked, installed]
                .into_iter()
                .find(|path| path.is_file()),
            Self::Wheel(_) | Self::Python(_) | Self::Npm(_) => {
                Some(unpacked).filter(|path| path.is_file())
            }
        }
    }

    /// What a person types on Debian, or with pip.
    pub(super) fn by_hand(&self) -> String {
        match self {
            Self::Debian(package) => format!("Debian, Ubuntu: sudo apt-get install {package}"),
            Self::Wheel(package) => format!(
                "sudo apt-get install python3-pip, for `python3 -m pip download {package}`, which \
                 has it for Linux on x86-64"
            ),
            Self::Python(package) => format!(
                "sudo apt-get install python3-venv, for `pip install {package}` in an environment \
                 of its own"
            ),
            Self::Npm(packages) => {
                format!("sudo apt-get install npm, for `npm install {packages}`")
            }
        }
    }

    /// The folder in `.servers` that the package is unpacked into.
    fn unpacked(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Debian(package) | Self::Wheel(package) | Self::Python(package) => {
                folder.join("packages").join(package)
            }
            Self::Npm(_) => folder.join("packages").join("npm"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian(package) => write!(f, "{package} from Debian"),
            Self::Wheel(package) | Self::Python(package) => {
                write!(f, "{package} from the Python package index")
            }
            Self::Npm(packages) => write!(f, "{packages} from npm"),
        }
    }
}

impl Way {
    /// Gets the package.
    pub(super) fn go(self, source: &Source, folder: &Path) -> anyhow::Result<()> {
        let (Source::Debian(package)
        | Source::Wheel(package)
        | Source::Python(package)
        | Source::Npm(package)) = source;
        let home = source.unpacked(folder);
        match self {
            Self::Install => install(package),
            Self::Unpack => {
                fs::create_dir_all(&home)?;
                run(Command::new("apt-get")
                    .args(["download", package])
                    .current_dir(&home))?;
                let file = fetched(&home, "deb")?;
                run(Command::new("dpkg-deb").arg("-x").arg(file).arg(&home))
            }
            Self::Download => download(Path::new("python3"), package, &home),
            Self::DownloadByVenv => {
                let venv = folder.join("venv");
                run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
                download(&venv.join("bin/python3"), package, &home)
            }
            Self::DownloadByDebian => {
                install("python3-pip")?;
                download(Path::new("python3"), package, &home)
            }
            Self::Venv => install_in_venv(package, &home),
            Self::VenvByDebian => {
                install("python3-venv")?;
                install_in_venv(package, &home)
            }
            Self::Npm => install_from_npm(package, &home),
            Self::NpmByDebian => {
                install("npm")?;
                install_from_npm(package, &home)
            }
        }
    }
}

/// Installs a package of Debian. Fresh machines have no lists, so those are fetched if need be.
fn install(package: &str) -> anyhow::Result<()> {
    let mut install = Command::new("apt-get");
    // Somebody else may be installing something at this moment.
    install.args(["-o", "DPkg::Lock::Timeout=120"]);
    install.args(["install", "--yes", "--no-install-recommends", package]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    if run(&mut install).is_ok() {
        return Ok(());
    }
    run(Command::new("apt-get").arg("update"))?;
    run(&mut install)
}

/// Downloads a wheel and unpacks it.
fn download(python: &Path, package: &str, home: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(home)?;
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    pip.args(["--no-deps", "--only-binary", ":all:", "--dest"])
        .arg(home)
        .arg(package);
    run(&mut pip)?;
    let wheel = fetched(home, "whl")?;
    run(Command::new(python)
        .args(["-m", "zipfile", "-e"])
        .arg(wheel)
        .arg(home))?;
    // The archive knows what may be run; this way of unpacking forgets it.
    make_runnable(home)
}

/// Makes a virtual environment with a program and all that it needs.
fn install_in_venv(package: &str, home: &Path) -> anyhow::Result<()> {
    // One that was left half made is made anew.
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(home))?;
    let mut pip = Command::new(home.join("bin/python3"));
    pip.args(["-m", "pip", "install", "--quiet"]);
    run(pip.args(["--disable-pip-version-check", package]))
}

/// Puts packages of npm into a folder, without running anything of theirs.
fn install_from_npm(packages: &str, home: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(home)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-save", "--no-audit"]);
    npm.args(["--no-fund", "--loglevel=error", "--prefix"]);
    run(npm.arg(home).args(packages.split(' ')))
}

fn make_runnable(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            make_runnable(&path)?;
        } else if path.is_file() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// The file that was just downloaded, by the end of its name.
fn fetched(home: &Path, extension: &str) -> anyhow::Result<PathBuf> {
    let files = fs::read_dir(home)?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut files = files.filter(|path| path.extension().is_some_and(|it| it == extension));
    let file = files.next();
    file.with_context(|| format!("no .{extension} was downloaded to {}", home.display()))
}

/// Runs a command that fetches; what it said is part of the error.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run `{shown}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    anyhow::ensure!(
        output.status.success(),
        "`{shown}`: {}, {last}",
        output.status
    );
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}
