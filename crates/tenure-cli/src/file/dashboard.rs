//! The table `[dashboard]` of a task file: where `tenure run` serves the dashboard, and to whom.
//!
//! Tokens are kept in files of their own, so that a task file can be shown to everybody. Nothing
//! here opens a file or a socket.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeValue;

use super::problem::Place;
use super::section::Section;

/// What a file says of the dashboard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DashboardEntry {
    /// Where it is served; `None`: the default.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) is_disabled: bool,
    /// Whether whoever needs no credential may only look.
    pub(crate) is_read_only: bool,
    /// The files of the tokens with which one may look, change something, or also take locks.
    pub(crate) read_token: Option<PathBuf>,
    pub(crate) change_token: Option<PathBuf>,
    pub(crate) force_token: Option<PathBuf>,
    /// A file with a token a line, which is read again when it changes.
    pub(crate) tokens: Option<PathBuf>,
    /// Names and password hashes of those who may look, change something, or also take locks.
    pub(crate) readers: Vec<(String, String)>,
    pub(crate) users: Vec<(String, String)>,
    pub(crate) admins: Vec<(String, String)>,
    /// The header in which a proxy names its user, the proxies that are believed, and what those
    /// users may do: `read`, `change` or `force`.
    pub(crate) proxy_header: Option<String>,
    pub(crate) proxy_peers: Vec<String>,
    pub(crate) proxy_right: Option<String>,
    /// Names under which it is known besides its address.
    pub(crate) hosts: Vec<String>,
    /// The path that a proxy in front of it removes.
    pub(crate) base_path: Option<String>,
}

impl DashboardEntry {
    /// Reads the key `dashboard` of a file.
    pub(super) fn read(root: &mut Section<'_, '_, '_>) -> Option<(Self, Place)> {
        let found = root.any("dashboard")?;
        let place = root.reading.place(found.span.clone());
        let DeValue::Table(table) = found.value else {
            root.wrong_type("dashboard", &found, "a table");
            return None;
        };
        let mut section = Section::new(root.reading, &mut *root.problems, table, "[dashboard]");
        let mut entry = Self {
            is_disabled: section.boolean("enabled") == Some(false),
            is_read_only: section.boolean("read_only") == Some(true),
            read_token: section.path("read_token_file").map(|(path, _)| path),
            change_token: section.path("change_token_file").map(|(path, _)| path),
            force_token: section.path("force_token_file").map(|(path, _)| path),
            tokens: section.path("tokens_file").map(|(path, _)| path),
            readers: pairs(&mut section, "readers"),
            users: pairs(&mut section, "users"),
            admins: pairs(&mut section, "admins"),
            ..Self::default()
        };
        if let Some(text) = section.string("address") {
            entry.address = text.text.parse().ok();
            if entry.address.is_none() {
                let help = "write address = \"127.0.0.1:9180\"".to_owned();
                section.refuse(
                    "address",
                    text.place,
                    "is no address with a port",
                    Some(help),
                );
            }
        }
        entry.proxy_header = section.string("proxy_header").map(|it| it.text.to_owned());
        entry.proxy_peers = texts(
            &mut section,
            "proxy_peers",
            "addresses such as \"10.0.0.7\"",
        );
        if let Some(text) = section.string("proxy_right") {
            entry.proxy_right = Some(text.text.to_owned());
            if !["read", "change", "force"].contains(&text.text) {
                let help = "write proxy_right = \"change\"".to_owned();
                let reason = "is none of read, change and force";
                section.refuse("proxy_right", text.place, reason, Some(help));
            }
        }
        entry.hosts = texts(&mut section, "hosts", "names such as \"tenure.example\"");
        entry.base_path = section.string("base_path").map(|it| it.text.to_owned());
        if let (Some(place), true) = (
            section.key_place("proxy_header"),
            entry.proxy_peers.is_empty(),
        ) {
            let reason = "counts only from the proxies that may set it";
            let help = "write proxy_peers = [\"127.0.0.1\"] beside it".to_owned();
            section.refuse("proxy_header", place, reason, Some(help));
        }
        section.finish(&[]);
        Some((entry, place))
    }
}

fn pairs(section: &mut Section<'_, '_, '_>, key: &'static str) -> Vec<(String, String)> {
    let pairs = section.string_table(key).into_iter();
    pairs
        .map(|(name, hash)| (name.text.to_owned(), hash))
        .collect()
}

fn texts(section: &mut Section<'_, '_, '_>, key: &'static str, expected: &str) -> Vec<String> {
    let texts = section.strings(key, expected).unwrap_or_default();
    texts.into_iter().map(|it| it.text.to_owned()).collect()
}
