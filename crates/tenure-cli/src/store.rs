//! Which store a command uses, and how to open it.

use std::path::{Path, PathBuf};

use tenure::core::{StoreError, StoreErrorKind};
use tenure::{ConnectError, RedisLockManager, Tenure};

use crate::args::StoreArgs;
use crate::exit::{Code, Failure, chain};
use crate::file::{Interop, StoreEntry, is_redis};
use crate::folder::store_here;
use crate::login::{self, holds_password};
use crate::notice::notice;

/// The variable that names the store.
pub(crate) const VARIABLE: &str = "TENURE_STORE";

/// A store's URL and who named it.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    url: String,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Flag,
    Variable,
    File,
    Folder,
    Default,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "--store",
            Self::Variable => VARIABLE,
            Self::File => "the task file",
            Self::Folder => "tasks.toml in this folder",
            Self::Default => "the default",
        }
    }
}

impl Chosen {
    /// The store named by the flag, else by the environment, else by the task file, else this
    /// user's own; with the password that is asked for, if it is to be.
    pub(crate) fn new(args: &StoreArgs, file: Option<&StoreEntry>) -> Result<Self, Failure> {
        let chosen = Self::named(args, file)?;
        if chosen.origin == Origin::Flag && holds_password(&chosen.url) {
            notice(format_args!(
                "a password in --store can be seen by everybody on this machine (ps); put the URL \
                 into {VARIABLE}, or use --ask-password or password_file"
            ));
        }
        if !args.ask_password {
            return Ok(chosen);
        }
        let url = login::asked(&chosen.url, &chosen.shown())?;
        Ok(Self { url, ..chosen })
    }

    /// The same for a command about tasks that takes no task file: `tasks.toml` of this folder
    /// counts as one.
    pub(crate) fn of_tasks(args: &StoreArgs) -> Result<Self, Failure> {
        let chosen = Self::new(args, None)?;
        if chosen.origin != Origin::Default {
            return Ok(chosen);
        }
        let Some(entry) = store_here()? else {
            return Ok(chosen);
        };
        let found = Self::of(relative_to(&entry.folder, &entry.url), Origin::Folder);
        if !args.ask_password {
            return Ok(found);
        }
        let url = login::asked(&found.url, &found.shown())?;
        Ok(Self { url, ..found })
    }

    /// The same for one that changes something there, which says where if nobody named it.
    pub(crate) fn of_tasks_to_change(args: &StoreArgs) -> Result<Self, Failure> {
        let chosen = Self::of_tasks(args)?;
        if chosen.origin == Origin::Folder {
            notice(format_args!("in {}", chosen.told()));
        }
        Ok(chosen)
    }

    /// The store for people, and what named it if that is not plain.
    pub(crate) fn told(&self) -> String {
        match self.origin {
            Origin::Folder => format!("{} (named by {})", self.shown(), self.origin.as_str()),
            _ => self.shown(),
        }
    }

    /// Of the user's own store: what the current folder's task file names instead.
    pub(crate) fn passed_over(&self) -> Option<Self> {
        let entry = store_here().ok().flatten();
        let entry = entry.filter(|_| self.origin == Origin::Default)?;
        let url = relative_to(&entry.folder, &entry.url);
        Some(Self::of(url, Origin::Folder)).filter(|other| other.url != self.url)
    }

    fn named(args: &StoreArgs, file: Option<&StoreEntry>) -> Result<Self, Failure> {
        if let Some(url) = &args.store {
            return Ok(Self::of(url.clone(), Origin::Flag));
        }
        match std::env::var(VARIABLE) {
            Ok(url) if !url.is_empty() => return Ok(Self::of(url, Origin::Variable)),
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::new(
                    Code::CONFIG,
                    format!("the environment variable {VARIABLE} is not UTF-8"),
                )
                .help("set it to a URL such as sqlite:/var/lib/tenure/tenure.db"));
            }
            _ => {}
        }
        if let Some(entry) = file {
            return Ok(Self::of(
                relative_to(&entry.folder, &entry.url),
                Origin::File,
            ));
        }
        let path = own_file()?;
        Ok(Self::of(url_of(&path), Origin::Default))
    }

    fn of(url: String, origin: Origin) -> Self {
        Self { url, origin }
    }

    /// Opens it, and makes it if it is a file that is not there.
    pub(crate) async fn open(&self) -> Result<Tenure, Failure> {
        (tenure::connect(self.url()?).await).map_err(|error| self.failure(&error))
    }

    /// Its URL, for those who open it by other means. The default store's folder is made.
    pub(crate) fn url(&self) -> Result<&str, Failure> {
        if self.origin == Origin::Default
            && let Some(folder) = self.path().as_deref().and_then(Path::parent)
        {
            make_private_folder(folder)?;
        }
        Ok(&self.url)
    }

    /// Opens it if it is there, for a command that only looks or administers.
    pub(crate) async fn open_existing(&self) -> Result<Tenure, Failure> {
        (tenure::connect_existing(&self.url).await).map_err(|error| self.failure(&error))
    }

    /// Why it was not opened, as the program's end.
    pub(crate) fn failure(&self, error: &ConnectError) -> Failure {
        let origin = self.origin.as_str();
        let (code, message) = match error {
            ConnectError::Missing { .. } => {
                let message = format!("there is no store at {}", self.shown());
                return Failure::new(
                    Code::NO_INPUT,
                    format!("{message} (store named by {origin})"),
                )
                .help(match self.origin {
                    Origin::Default => {
                        "name the one you mean with --store URL or TENURE_STORE, such as the \
                         `store` of a task file; `tenure run` or `tenure lock` makes one"
                    }
                    _ => "check the path; `tenure run` or `tenure lock` makes a store",
                });
            }
            ConnectError::Store { source, .. }
                if source.kind() == StoreErrorKind::Unavailable && self.redis_url().is_some() =>
            {
                let message = format!("{} (store named by {origin})", chain(error));
                return Failure::new(code_of_store(source), message)
                    .help("check the host and port in the URL, and that a server listens there");
            }
            ConnectError::Store { source, .. } => (code_of_store(source), chain(error)),
            _ if self.origin == Origin::Flag => (Code::USAGE, error.to_string()),
            _ => (Code::CONFIG, error.to_string()),
        };
        Failure::new(code, format!("{message} (store named by {origin})"))
    }

    /// The store for people: its kind and path, never a password.
    pub(crate) fn shown(&self) -> String {
        let plain = self.url.split('?').next().unwrap_or_default();
        let shown = match plain.rsplit_once('@') {
            Some((_, host)) => format!("{}…@{host}", plain.split(':').next().unwrap_or_default()),
            None => plain.to_owned(),
        };
        crate::text::visible(&shown)
    }

    /// The URL, if it is one of Redis or Valkey.
    pub(crate) fn redis_url(&self) -> Option<&str> {
        is_redis(&self.url).then_some(&self.url)
    }

    /// The manager that shares ticks with the origin's instances.
    pub(crate) async fn interop(&self, interop: &Interop) -> Result<RedisLockManager, Failure> {
        let Some(url) = self.redis_url() else {
            let message = format!(
                "interop needs a Redis or Valkey server, and {} names {}",
                self.origin.as_str(),
                self.shown()
            );
            return Err(Failure::new(Code::CONFIG, message)
                .help("name such a server, or remove `interop` from the task file"));
        };
        let manager = RedisLockManager::connect(url).await;
        let manager = manager.map_err(|error| self.failure(&error))?;
        Ok(manager.interop(interop.expiration))
    }

    fn path(&self) -> Option<PathBuf> {
        let rest = self.url.strip_prefix("sqlite:")?;
        Some(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest)))
    }
}

/// The status for what a store met.
pub(crate) fn code_of_store(error: &StoreError) -> Code {
    match error.kind() {
        StoreErrorKind::Denied => Code::DENIED,
        StoreErrorKind::InvalidRequest => Code::DATA,
        _ => Code::UNAVAILABLE,
    }
}

/// What a store met, as the program's end.
pub(crate) fn failure(doing: &str, error: &StoreError) -> Failure {
    Failure::new(code_of_store(error), format!("{doing}: {}", chain(error)))
}

/// A SQLite URL whose relative path begins at `folder`; any other is left as it is.
fn relative_to(folder: &Path, url: &str) -> String {
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return url.to_owned();
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if rest.is_empty() || rest.starts_with(['/', ':', '?']) {
        return url.to_owned();
    }
    let folder = url_of(folder);
    let rest = rest.trim_start_matches("./");
    format!("{}/{rest}", folder.trim_end_matches('/'))
}

/// A path as a SQLite URL.
fn url_of(path: &Path) -> String {
    let mut url = "sqlite:".to_owned();
    for c in path.to_string_lossy().chars() {
        match c {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3F"),
            '#' => url.push_str("%23"),
            c => url.push(c),
        }
    }
    url
}

/// The file that a user's own commands share when nothing else is said.
fn own_file() -> Result<PathBuf, Failure> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    folder("XDG_STATE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("tenure/tenure.db"))
        .ok_or_else(|| {
            Failure::new(
                Code::CONFIG,
                "no store is named, and neither XDG_STATE_HOME nor HOME says where the default is",
            )
            .help("name one with --store sqlite:PATH or TENURE_STORE")
        })
}

fn make_private_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            Failure::new(
                Code::CANNOT_CREATE,
                format!(
                    "cannot create `{}` for the default store: {error}",
                    crate::text::shown_os(folder.as_os_str())
                ),
            )
            .help("name another place with --store sqlite:PATH or TENURE_STORE")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_in_a_file_begins_at_the_file() {
        let folder = Path::new("/etc/t?nure");
        for (url, expected) in [
            ("sqlite:a.db", "sqlite:/etc/t%3Fnure/a.db"),
            (
                "sqlite:a.db?namespace=x",
                "sqlite:/etc/t%3Fnure/a.db?namespace=x",
            ),
            ("sqlite://a.db", "sqlite:/etc/t%3Fnure/a.db"),
            ("sqlite:./a.db", "sqlite:/etc/t%3Fnure/a.db"),
            ("sqlite:/var/a.db", "sqlite:/var/a.db"),
            ("sqlite:///var/a.db", "sqlite:///var/a.db"),
            ("memory:", "memory:"),
        ] {
            assert_eq!(relative_to(folder, url), expected);
        }
    }

    #[test]
    fn e27_a_url_is_shown_without_its_password() {
        let chosen = Chosen::of("redis://u:s3cret@host/0?x=s3cret".to_owned(), Origin::Flag);
        assert_eq!(chosen.shown(), "redis…@host/0");
    }
}
