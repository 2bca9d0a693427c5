//! What a user can set, and the URL that says the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Clock, SystemClock, parse_duration};

use crate::error::OptionsError;

/// How hard a commit is pushed to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Synchronous {
    /// Commits survive the death of any process, but a power cut may lose the last ones. The
    /// default: a power cut ends the holders as well.
    #[default]
    Normal,
    /// Commits survive a power cut, for about a tenth of the throughput of a single caller.
    Full,
}

/// How to open a store.
///
/// The same names serve the URL: `sqlite:PATH?synchronous=full&namespace=x&patience=5s&poll=5ms`.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) namespace: String,
    pub(crate) patience: Duration,
    pub(crate) poll: Duration,
    pub(crate) existing_only: bool,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether `clock` was given by the caller, and so has nothing to do with this boot.
    pub(crate) injected: bool,
}

const PARAMETERS: [&str; 4] = ["synchronous", "namespace", "patience", "poll"];
const PATIENCE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));
const POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

impl SqliteOptions {
    /// The store in the file at `path`, with the defaults.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::default(),
            namespace: "default".to_owned(),
            patience: Duration::from_secs(5),
            poll: Duration::from_millis(5),
            existing_only: false,
            clock: Arc::new(SystemClock),
            injected: false,
        }
    }

    /// Reads `sqlite:PATH` or `sqlite://PATH`, with parameters after a `?`. As in any URL,
    /// `SQLITE:` is the same.
    ///
    /// `%` and two hexadecimal digits stand for a byte, so `%3F` is a question mark in a path.
    ///
    /// # Errors
    /// [`OptionsError`] with the parameter at fault, what is allowed and, for an unknown one, the
    /// nearest known.
    pub fn from_url(url: &str) -> Result<Self, OptionsError> {
        let rest = match url.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sqlite") => rest,
            _ => return Err(OptionsError::Scheme { url: shown(url) }),
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        if rest.contains('#') {
            return Err(OptionsError::Fragment { url: shown(url) });
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Self::new(decoded("path", path)?);
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if seen.contains(&name) {
                return Err(OptionsError::Repeated { name: shown(name) });
            }
            seen.push(name);
            options = options.set(name, &decoded(name, value)?)?;
        }
        options.checked()
    }

    fn set(self, name: &str, value: &str) -> Result<Self, OptionsError> {
        let invalid = |reason: String| OptionsError::Parameter {
            name: name.to_owned(),
            value: shown(value),
            reason,
        };
        let duration = || parse_duration(value).map_err(|error| invalid(error.to_string()));
        match name {
            "synchronous" => match value {
                "normal" => Ok(self.synchronous(Synchronous::Normal)),
                "full" => Ok(self.synchronous(Synchronous::Full)),
                _ => Err(invalid("must be `normal` or `full`".to_owned())),
            },
            "namespace" => Ok(self.namespace(value)),
            "patience" => duration().map(|patience| self.patience(patience)),
            "poll" => duration().map(|poll| self.poll_every(poll)),
            _ => Err(OptionsError::Unknown {
                name: shown(name),
                nearest: nearest(name),
            }),
        }
    }

    /// How hard a commit is pushed to the disk. Default: [`Synchronous::Normal`].
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Which of the file's namespaces to use. Default: `default`. 1 to 100 characters, no control
    /// characters. Namespaces see nothing of each other.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long a call waits for the file while others use it, before it fails as unavailable.
    /// Default: 5 s; 10 ms to 60 s.
    ///
    /// Shorter tells of a stuck file sooner; longer rides out longer stalls.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How often waiters look for what other processes did. Default: 5 ms; 1 ms to 1 s. Where the
    /// system tells of a hand-off by itself (Linux), five times as long, in case it is missed.
    ///
    /// Shorter costs processor time while somebody waits; longer makes hand-offs slower.
    #[must_use]
    pub fn poll_every(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Whether to open only a store that is there, and to refuse where one would have to be made.
    /// Default: `false`, which makes the store.
    ///
    /// For programs that only look: a mistyped path is then an error and not a new, empty store.
    #[must_use]
    pub fn existing_only(mut self, existing_only: bool) -> Self {
        self.existing_only = existing_only;
        self
    }

    /// Another clock, for tests and simulations. Stores on one file must share it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self.injected = true;
        self
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same options, if they can work.
    pub(crate) fn checked(self) -> Result<Self, OptionsError> {
        let path = self.path.to_string_lossy();
        if path.is_empty() {
            return Err(OptionsError::Path {
                reason: "is missing; write sqlite:tenure.db or sqlite:/var/lib/app/tenure.db",
            });
        }
        if path.contains('\0') {
            return Err(OptionsError::Path {
                reason: "holds a NUL character, which no file name can",
            });
        }
        if path.starts_with(":memory:") {
            return Err(OptionsError::Path {
                reason: "is no file; for a store in memory write `memory:`",
            });
        }
        let name = self.namespace.as_str();
        let chars = name.chars().count();
        if !(1..=100).contains(&chars) || name.chars().any(char::is_control) {
            return Err(OptionsError::Parameter {
                name: "namespace".to_owned(),
                value: shown(name),
                reason: "must have 1 to 100 characters and no control characters".to_owned(),
            });
        }
        for (what, value, (least, most)) in [
            ("patience", self.patience, PATIENCE),
            ("poll", self.poll, POLL),
        ] {
            if value < least || value > most {
                return Err(OptionsError::Parameter {
                    name: what.to_owned(),
                    value: tenure_core::format_duration(value),
                    reason: format!(
                        "must be from {} to {}",
                        tenure_core::format_duration(least),
                        tenure_core::format_duration(most)
                    ),
                });
            }
        }
        Ok(self)
    }
}

/// At most 80 characters, with control characters escaped.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

fn decoded(name: &str, text: &str) -> Result<String, OptionsError> {
    let invalid = |reason: &str| OptionsError::Parameter {
        name: shown(name),
        value: shown(text),
        reason: reason.to_owned(),
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let escape = tail
            .split_at_checked(2)
            .and_then(|(digits, tail)| Some((std::str::from_utf8(digits).ok()?, tail)))
            .filter(|(digits, _)| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|(digits, tail)| Some((u8::from_str_radix(digits, 16).ok()?, tail)));
        let Some((byte, tail)) = escape else {
            return Err(invalid("a `%` must be followed by two hexadecimal digits"));
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| invalid("is not UTF-8"))
}

/// The known parameter that needs the fewest changes, if it is near enough to be meant.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 40 {
        return None;
    }
    PARAMETERS
        .into_iter()
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .map(|(_, known)| known)
}

/// How many letters must be added, removed or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.to_lowercase().chars().enumerate() {
        let mut next = vec![i + 1];
        for ((other, pair), left) in b.iter().zip(row.windows(2)).zip(0..) {
            let &[diagonal, above] = pair else { continue };
            let beside = next.get(left).copied().unwrap_or(usize::MAX - 1);
            let change = diagonal + usize::from(letter != *other);
            next.push(change.min(above + 1).min(beside + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
