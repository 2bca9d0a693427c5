//! Reads settings from texts: `a.b=1;c=2`, TOML, JSON, YAML, and files of those.
//!
//! No message shows a line of a document: it may hold a secret.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::flat::{Flat, put};
use super::{ConfigError, ConfigParams, yaml};

/// The longest document.
const MAX_LEN: u64 = 4 * 1024 * 1024;
/// How the TOML reader presents a date: as a table with this key.
const TOML_DATE: &str = "$__toml_private_datetime";

impl ConfigParams {
    /// Settings from a text such as `connection.host=db1;connection.port=6380`. Blanks around keys
    /// and values do not count, nor do empty pieces.
    ///
    /// A value cannot hold a `;` in this form.
    ///
    /// # Errors
    /// [`ConfigError`] for a piece without `=`, and for a key that cannot be one or is set twice.
    pub fn from_string(text: &str) -> Result<Self, ConfigError> {
        within_limit(text)?;
        let mut config = Self::new();
        for (at, piece) in text.split(';').enumerate() {
            if piece.trim().is_empty() {
                continue;
            }
            let (key, value) = piece
                .split_once('=')
                .ok_or(ConfigError::NoValue { number: at + 1 })?;
            put(&mut config, key.trim().to_owned(), value.trim())?;
        }
        Ok(config)
    }

    /// Settings from a TOML document. Tables become parts of keys, arrays numbers from 0 on.
    ///
    /// ```
    /// # use tenure_component::ConfigParams;
    /// # fn main() -> Result<(), tenure_component::ConfigError> {
    /// let config = ConfigParams::from_toml("[connection]\nhost = 'db1'\nport = 6380")?;
    /// assert_eq!(config.get("connection.port"), Some("6380"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] with the place, for what is not TOML or deeper than 64 levels.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        within_limit(text)?;
        let text = without_mark(text);
        let mut reading = Reading::new("TOML");
        let document = match toml::Deserializer::parse(text) {
            Ok(document) => reading.seed().deserialize(document),
            Err(error) => Err(error),
        };
        reading.finish(document, |error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start);
            let (line, column) = place(text, offset);
            (line, column, error.message().to_owned())
        })
    }

    /// Settings from a JSON document. Objects become parts of keys, arrays numbers from 0 on; a
    /// `null` is the same as no setting.
    ///
    /// # Errors
    /// As [`ConfigParams::from_toml`], and for a key that is set twice.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        within_limit(text)?;
        let mut reading = Reading::new("JSON");
        let mut deserializer = serde_json::Deserializer::from_str(without_mark(text));
        let document = reading.seed().deserialize(&mut deserializer);
        let document = document.and_then(|()| deserializer.end());
        reading.finish(document, |error: serde_json::Error| {
            let reason = match error.classify() {
                serde_json::error::Category::Eof => "it ends too early",
                _ => "something else is expected here",
            };
            (error.line(), error.column(), reason.to_owned())
        })
    }

    /// Settings from a YAML document. Mappings become parts of keys, sequences numbers from 0 on;
    /// a value is kept as it is written (`0123` stays `0123`), and a plain `null`, `~` or nothing
    /// is the same as no setting. Aliases are refused.
    ///
    /// # Errors
    /// As [`ConfigParams::from_json`].
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        within_limit(text)?;
        yaml::read(without_mark(text))
    }

    /// Settings from a file: TOML, JSON or YAML, as the ending of its name says.
    ///
    /// # Errors
    /// [`ConfigError`] if it is no regular file, has more than 4 MiB or another ending, cannot be
    /// read, or says what cannot be used.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        Self::parser_of(path)?;
        let text = text_of(path)?;
        Self::from_text_of(path, &text)
    }

    /// What the file at `path` holds, in the format that its name says.
    pub(crate) fn from_text_of(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let parse = Self::parser_of(path)?;
        parse(text).map_err(|source| ConfigError::InFile {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    fn parser_of(path: &Path) -> Result<Parse, ConfigError> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("toml") => Ok(Self::from_toml),
            Some("json") => Ok(Self::from_json),
            Some("yaml" | "yml") => Ok(Self::from_yaml),
            _ => Err(ConfigError::NotUsable {
                path: path.to_owned(),
                reason: "ends with none of .toml, .json, .yaml and .yml".to_owned(),
            }),
        }
    }
}

/// Reads a document of one format.
type Parse = fn(&str) -> Result<ConfigParams, ConfigError>;

/// As [`ConfigParams::from_string`].
impl FromStr for ConfigParams {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::from_string(text)
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let cannot_read = |source| ConfigError::File {
        path: path.to_owned(),
        source,
    };
    // Before opening: opening a pipe would wait for somebody to write.
    let meta = std::fs::metadata(path).map_err(cannot_read)?;
    if !meta.is_file() {
        return Err(ConfigError::NotUsable {
            path: path.to_owned(),
            reason: "is not a regular file".to_owned(),
        });
    }
    if meta.len() > MAX_LEN {
        return Err(ConfigError::TooLong {
            len: meta.len(),
            limit: MAX_LEN,
        });
    }
    std::fs::read_to_string(path).map_err(cannot_read)
}

fn within_limit(text: &str) -> Result<(), ConfigError> {
    let len = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if len > MAX_LEN {
        let limit = MAX_LEN;
        return Err(ConfigError::TooLong { len, limit });
    }
    Ok(())
}

/// The text behind the mark with which some editors begin UTF-8.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Line and column of an offset, counted from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    (line, column)
}

/// A document being read by serde.
struct Reading {
    format: &'static str,
    flat: Flat,
    /// Why reading was stopped. The reader's own error says only where, and may quote values.
    problem: Option<ConfigError>,
}

impl Reading {
    fn new(format: &'static str) -> Self {
        Self {
            format,
            flat: Flat::default(),
            problem: None,
        }
    }

    fn seed(&mut self) -> Level<'_> {
        Level(self)
    }

    fn finish<E>(
        self,
        result: Result<(), E>,
        explain: impl FnOnce(E) -> (usize, usize, String),
    ) -> Result<ConfigParams, ConfigError> {
        match (self.problem, result) {
            (Some(problem), _) => Err(problem),
            (None, Ok(())) => Ok(self.flat.into_config()),
            (None, Err(error)) => {
                let (line, column, reason) = explain(error);
                let format = self.format;
                Err(ConfigError::Syntax {
                    format,
                    line,
                    column,
                    reason,
                })
            }
        }
    }
}

/// The value under the key that was entered.
struct Level<'r>(&'r mut Reading);

impl Level<'_> {
    fn put<E: Error>(self, value: &str) -> Result<(), E> {
        let result = if self.0.flat.is_at_root() {
            let format = self.0.format;
            Err(ConfigError::NotATable { format })
        } else {
            self.0.flat.put(value)
        };
        self.checked(result)
    }

    fn inside<E: Error>(
        &mut self,
        name: String,
        read: impl FnOnce(Level<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let entered = self.0.flat.enter(name);
        Level(self.0).checked(entered)?;
        read(Level(self.0))?;
        self.0.flat.leave();
        Ok(())
    }

    fn checked<E: Error>(self, result: Result<(), ConfigError>) -> Result<(), E> {
        result.map_err(|problem| {
            self.0.problem = Some(problem);
            E::custom("stopped")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put(if value { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put(&value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.put(&value.to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.put(value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        if self.0.flat.is_at_root() {
            let format = self.0.format;
            return self.checked(Err(ConfigError::NotATable { format }));
        }
        let mut at = 0_usize;
        loop {
            let mut is_over = false;
            self.inside(at.to_string(), |item| {
                is_over = items.next_element_seed(item)?.is_none();
                Ok(())
            })?;
            if is_over {
                return Ok(());
            }
            at += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<Name>()? {
            if name.0 == TOML_DATE {
                return entries.next_value_seed(self);
            }
            self.inside(name.0, |value| entries.next_value_seed(value))?;
        }
        Ok(())
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests;
