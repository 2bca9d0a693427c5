//! The store a task file names: `store = "URL"` or `[store] url = "URL"`, and how tasks are claimed
//! there.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::expand::Expanded;
use super::problem::{Place, Problem, Problems};
use super::section::{Section, Text};

/// Which store, and where that is said.
#[derive(Debug, Clone)]
pub(crate) struct StoreEntry {
    /// The URL; relative paths in it are meant relative to the file's folder.
    pub(crate) url: String,
    /// The environment variables it was made with.
    pub(crate) variables: Vec<String>,
    pub(crate) place: Place,
    /// The folder of its file.
    pub(crate) folder: std::path::PathBuf,
    pub(crate) interop: Option<Interop>,
}

/// The origin's wire format in place of tenure's own, for instances of both side by side.
#[derive(Debug, Clone)]
pub(crate) struct Interop {
    /// How long an execution stays claimed.
    pub(crate) expiration: Duration,
    pub(crate) place: Place,
}

/// The origin's own default.
const EXPIRATION_MS: i64 = 100;
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Keys of `[store]` that later versions read.
const LATER: [&str; 4] = ["username", "password", "password_file", "namespace"];

impl StoreEntry {
    /// Reads the key `store` of a file.
    pub(crate) fn read(root: &mut Section<'_, '_, '_>) -> Option<Self> {
        let found = root.any("store")?;
        match found.value {
            DeValue::String(text) => {
                let text = Text {
                    text: text.as_ref(),
                    place: root.reading.place(found.span),
                };
                Self::of_url(root, &text)
            }
            DeValue::Table(table) => Self::of_table(root, table, found.span),
            _ => {
                let expected = "a URL such as \"sqlite:tasks.db\"";
                root.wrong_type("store", &found, expected);
                None
            }
        }
    }

    fn of_table<'i>(
        root: &mut Section<'_, '_, 'i>,
        table: &DeTable<'i>,
        span: std::ops::Range<usize>,
    ) -> Option<Self> {
        let mut section = Section::new(root.reading, &mut *root.problems, table, "[store]");
        let text = section.string("url");
        let has_url = section.key_place("url").is_some();
        let store = text.and_then(|text| Self::of_url(&mut section, &text));
        let interop = Interop::read(&mut section, store.as_ref());
        let said = safety(&mut section);
        let store = store.and_then(|store| store.with_parameters(&mut section, &said));
        section.finish(&LATER);
        if !has_url {
            root.complain(
                Problem::error("[store] has no `url`")
                    .at(root.reading.place(span), "here")
                    .help("write url = \"sqlite:tasks.db\""),
            );
        }
        store.map(|store| Self { interop, ..store })
    }

    fn of_url(section: &mut Section<'_, '_, '_>, text: &Text<'_>) -> Option<Self> {
        let place = text.place.clone();
        let names_secret = text.text.contains('@') && !text.text.contains("${");
        if names_secret && section.reading.source.is_open_to_readers() {
            warn_of_secret(section.problems, place.clone());
        }
        hide_login(section, text);
        let Expanded {
            text: url,
            variables,
        } = section.expand("store", text)?;
        if url.trim().is_empty() {
            let help = "write store = \"sqlite:tasks.db\", or leave it out".to_owned();
            section.refuse("store", place, "the URL is empty", Some(help));
            return None;
        }
        if let Err(error) = tenure::check_url(&url) {
            section.refuse("store", place, &error.to_string(), None);
            return None;
        }
        Some(Self {
            url,
            variables,
            place,
            folder: super::folder_of(section.reading.source.path()),
            interop: None,
        })
    }

    /// The same store with what stands beside its URL as parameters of it.
    fn with_parameters(
        mut self,
        section: &mut Section<'_, '_, '_>,
        said: &[(&'static str, String)],
    ) -> Option<Self> {
        let Some((first, _)) = said.first() else {
            return Some(self);
        };
        let place = section
            .key_place(first)
            .unwrap_or_else(|| self.place.clone());
        if !is_redis(&self.url) {
            let help = "name a Redis or Valkey server, or remove it".to_owned();
            section.refuse(first, place, "is for Redis and Valkey only", Some(help));
            return None;
        }
        for (name, value) in said {
            let mark = if self.url.contains('?') { "&" } else { "?" };
            self.url.extend([mark, name, "=", value]);
        }
        match tenure::check_url(&self.url) {
            Ok(()) => Some(self),
            Err(error) => {
                section.refuse(first, place, &error.to_string(), None);
                None
            }
        }
    }

    /// Whether another file's store is this one, used in the same way.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let expiration = |entry: &Self| entry.interop.as_ref().map(|interop| interop.expiration);
        self.url == other.url && expiration(self) == expiration(other)
    }
}

impl Interop {
    fn read(section: &mut Section<'_, '_, '_>, store: Option<&StoreEntry>) -> Option<Self> {
        let place = section.key_place("interop");
        let asked = section.word("interop", &[("ktor", ())], &[]);
        let expiration = section.number("lock_expiration_ms", 1, DAY_MS);
        let Some(place) = place else {
            if let Some(place) = section.key_place("lock_expiration_ms") {
                let help = "write interop = \"ktor\" beside it, or remove it";
                let reason = "says nothing without `interop`: what tenure itself claims stays \
                              claimed as long as it could be claimed again";
                section.refuse("lock_expiration_ms", place, reason, Some(help.to_owned()));
            }
            return None;
        };
        asked?;
        if store.is_some_and(|store| !is_redis(&store.url)) {
            let help = "name a Redis or Valkey server, or remove it".to_owned();
            section.refuse(
                "interop",
                place,
                "the origin's instances share ticks on Redis only",
                Some(help),
            );
            return None;
        }
        let expiration_ms = u64::try_from(expiration.unwrap_or(EXPIRATION_MS)).ok()?;
        Some(Self {
            expiration: Duration::from_millis(expiration_ms),
            place,
        })
    }
}

/// What the table says of safety, as the URL would.
fn safety(section: &mut Section<'_, '_, '_>) -> Vec<(&'static str, String)> {
    let words = [("plain", "plain"), ("strict", "strict")];
    let safety = section.word("safety", &words, &[]);
    let max_ttl = section.string("max_ttl");
    let replicas = section.number("replicas", 0, 20);
    let mut said = Vec::new();
    said.extend(safety.map(|safety| ("safety", safety.to_owned())));
    if let Some(max_ttl) = max_ttl {
        if max_ttl
            .text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric())
        {
            said.push(("max_ttl", max_ttl.text.to_owned()));
        } else {
            let help = "write max_ttl = \"30s\"".to_owned();
            section.refuse("max_ttl", max_ttl.place, "is no duration", Some(help));
        }
    }
    said.extend(replicas.map(|replicas| ("replicas", replicas.to_string())));
    said
}

/// Whether a URL is one of Redis or Valkey.
pub(crate) fn is_redis(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default();
    scheme.to_ascii_lowercase().starts_with("redis")
}

/// Keeps passwords out of the lines that are shown: what stands before the `@`, and without one
/// what stands where a port should and is none.
fn hide_login(section: &mut Section<'_, '_, '_>, text: &Text<'_>) {
    let url = text.text;
    let login = match (url.find(':'), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => scheme + 1..at,
        _ => {
            let Some((before, place)) = url.split_once("//") else {
                return;
            };
            let Some((host, port)) = place.split_once(':') else {
                return;
            };
            let port = port.split(['/', ',', '?']).next().unwrap_or_default();
            if host.starts_with('[') || port.bytes().all(|b| b.is_ascii_digit()) {
                return;
            }
            before.len() + "//".len() + host.len() + 1..url.len()
        }
    };
    section.problems.hide(text.inside(section.reading, login));
}

fn warn_of_secret(problems: &mut Problems, place: Place) {
    problems.add(
        Problem::warning("a password may stand in a file that anybody on this machine can read")
            .at(place, "here")
            .help("chmod o-r the file, or write ${VARIABLE} in place of the password"),
    );
}
