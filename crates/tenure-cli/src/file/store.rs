//! The store a task file names: `store = "URL"` or `[store] url = "URL"`.

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
}

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
        section.finish(&LATER);
        if !has_url {
            root.complain(
                Problem::error("[store] has no `url`")
                    .at(root.reading.place(span), "here")
                    .help("write url = \"sqlite:tasks.db\""),
            );
        }
        store
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
        })
    }
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
