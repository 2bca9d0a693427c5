//! Configuration as flat, dotted keys: what every component is given.
//!
//! A value may be a secret wherever it stands, so none is ever shown by `Debug`, and all are wiped
//! from memory when they are dropped. Reading documents and the environment stands in the modules
//! beside this one; which keys mean something is each component's own business.

mod document;
mod environment;
mod error;
mod flat;
mod typed;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secrecy::zeroize::Zeroizing;

pub(crate) use self::environment::Variables;
pub use self::error::ConfigError;

/// Settings under dotted keys, such as `connection.host`.
///
/// ```
/// use tenure_component::ConfigParams;
///
/// # fn main() -> Result<(), tenure_component::ConfigError> {
/// let config = ConfigParams::from_string("connection.host=db1; connection.port=6380")?;
/// let connection = config.section("connection");
/// assert_eq!(connection.get("host"), Some("db1"));
/// assert_eq!(connection.integer_or("port", 6379)?, 6380);
/// assert_eq!(connection.integer_or("retries", 3)?, 3);
/// # Ok(())
/// # }
/// ```
///
/// Keys are compared as they are written, upper and lower case apart. A key without a value is the
/// same as none in documents (`null`), and an empty text elsewhere.
#[derive(Clone, Default)]
pub struct ConfigParams {
    /// Where this section stands in the whole, for messages: empty, or ending with a dot.
    path: String,
    values: BTreeMap<String, Zeroizing<String>>,
}

impl ConfigParams {
    /// No settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Settings from pairs; of two with the same key the later counts.
    ///
    /// ```
    /// # use tenure_component::ConfigParams;
    /// let config = ConfigParams::from_tuples([("host", "db1"), ("port", "6380")]);
    /// assert_eq!(config.get("port"), Some("6380"));
    /// ```
    pub fn from_tuples<K: Into<String>, V: fmt::Display>(
        tuples: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut config = Self::new();
        for (key, value) in tuples {
            config.set(key, value);
        }
        config
    }

    /// With one more setting, or another value for it.
    ///
    /// ```
    /// # use tenure_component::ConfigParams;
    /// let config = ConfigParams::new().with("host", "db1").with("port", 6380);
    /// # assert_eq!(config.len(), 2);
    /// ```
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.set(key, value);
        self
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: impl Into<String>, value: impl fmt::Display) {
        let value = Zeroizing::new(value.to_string());
        self.values.insert(key.into(), value);
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) {
        self.values.remove(key);
    }

    /// These settings, with those of `other` in their place where both have a key.
    #[must_use]
    pub fn overridden_by(mut self, other: &Self) -> Self {
        let values = other.values.iter();
        self.values
            .extend(values.map(|(key, value)| (key.clone(), value.clone())));
        self
    }

    /// These settings, and those of `defaults` where they have none.
    #[must_use]
    pub fn with_defaults(self, defaults: &Self) -> Self {
        let path = self.path.clone();
        let mut merged = defaults.clone().overridden_by(&self);
        merged.path = path;
        merged
    }

    /// The value of a key, as it was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|value| value.as_str())
    }

    /// The value of a key, or `default` if it is not set.
    #[must_use]
    pub fn get_or<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.get(key).unwrap_or(default)
    }

    /// The settings whose keys begin with `name` and a dot, without that beginning.
    #[must_use]
    pub fn section(&self, name: &str) -> Self {
        let mut section = Self {
            path: format!("{}{name}.", self.path),
            values: BTreeMap::new(),
        };
        for (key, value) in &self.values {
            let inner = key.strip_prefix(name).and_then(|key| key.strip_prefix('.'));
            if let Some(inner) = inner {
                section.values.insert(inner.to_owned(), value.clone());
            }
        }
        section
    }

    /// The names of the sections: what stands before the first dot of a key. Numbers come first,
    /// in their own order (`2` before `10`), then names in theirs.
    #[must_use]
    pub fn section_names(&self) -> Vec<String> {
        let names = self.values.keys().filter_map(|key| key.split_once('.'));
        let names: BTreeSet<(u64, &str)> = names
            .map(|(name, _)| (name.parse().unwrap_or(u64::MAX), name))
            .collect();
        names.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    /// Puts the settings of `section` under `name` and a dot.
    pub fn add_section(&mut self, name: &str, section: &Self) {
        for (key, value) in &section.values {
            self.values.insert(format!("{name}.{key}"), value.clone());
        }
    }

    /// All keys, in the order of their bytes.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// How many settings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no setting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// A key as the whole configuration knows it, for messages.
    pub(crate) fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }
}

/// Compares keys and values; where a section was taken from makes no difference.
impl PartialEq for ConfigParams {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for ConfigParams {}

/// Shows the keys. Any value may be a secret.
impl fmt::Debug for ConfigParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigParams ")?;
        f.debug_set().entries(self.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_config_params_sections_are_cut_out_and_put_in_again() {
        let config = ConfigParams::from_tuples([
            ("connections.10.host", "c"),
            ("connections.2.host", "b"),
            ("connections.eu.host", "d"),
            ("connection.host", "a"),
            ("host", "e"),
        ]);
        assert_eq!(config.section_names(), ["connection", "connections"]);
        let many = config.section("connections");
        assert_eq!(many.section_names(), ["2", "10", "eu"]);
        assert_eq!(many.section("2").get("host"), Some("b"));
        assert_eq!(many.section("2").full_key("host"), "connections.2.host");
        assert!(config.section("connect").is_empty(), "whole names only");

        let mut whole = ConfigParams::new();
        whole.add_section("x", &config);
        assert_eq!(whole.section("x"), config);
        whole.remove("x.host");
        assert_eq!(whole.len(), 4);
    }

    #[test]
    fn b_config_params_two_are_merged_with_a_preference() {
        let one = ConfigParams::from_tuples([("a", 1), ("b", 1)]);
        let two = ConfigParams::from_tuples([("b", 2), ("c", 2)]);
        let merged = one.clone().overridden_by(&two);
        assert_eq!(
            merged,
            ConfigParams::from_tuples([("a", 1), ("b", 2), ("c", 2)])
        );
        let merged = one.with_defaults(&two);
        assert_eq!(
            merged,
            ConfigParams::from_tuples([("a", 1), ("b", 1), ("c", 2)])
        );
    }

    #[test]
    fn f7_debug_shows_keys_and_no_values() {
        let config = ConfigParams::from_tuples([("credential.password", "s3cret")]);
        let shown = format!("{config:?} {config:#?}");
        assert!(shown.contains("credential.password"), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
