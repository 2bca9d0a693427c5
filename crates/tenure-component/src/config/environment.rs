//! Settings from environment variables, and the variables themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::zeroize::Zeroizing;

use super::flat::put;
use super::{ConfigError, ConfigParams};

impl ConfigParams {
    /// Settings from the environment variables of this process whose names begin with `prefix`.
    ///
    /// Two underscores stand for a dot and upper case for lower case, so that with the prefix
    /// `LOCK__` the variable `LOCK__OPTIONS__RETRY_TIMEOUT` sets `options.retry_timeout`. Variables
    /// with an empty value count as not set.
    ///
    /// # Errors
    /// [`ConfigError`] if such a variable is not UTF-8 or its name makes no key.
    pub fn from_environment(prefix: &str) -> Result<Self, ConfigError> {
        Self::from_variables(prefix, &Variables::Process)
    }

    /// As [`ConfigParams::from_environment`], from variables that are given: for tests, and for
    /// programs that were handed another process's.
    ///
    /// # Errors
    /// As [`ConfigParams::from_environment`].
    pub fn from_variable_list<K: Into<String>, V: Into<String>>(
        prefix: &str,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        Self::from_variables(prefix, &Variables::given(variables))
    }

    fn from_variables(prefix: &str, variables: &Variables) -> Result<Self, ConfigError> {
        let mut config = Self::new();
        for (name, value) in variables.beginning_with(prefix)? {
            let key = name.strip_prefix(prefix).unwrap_or(&name);
            if value.is_empty() {
                continue;
            }
            let key = key.to_lowercase().replace("__", ".");
            put(&mut config, key, &value)?;
        }
        Ok(config)
    }
}

/// Where environment variables are read: in this process, or in a list.
#[derive(Clone)]
pub(crate) enum Variables {
    Process,
    Given(Arc<BTreeMap<String, Zeroizing<String>>>),
}

impl Variables {
    pub(crate) fn given<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        let variables = variables.map(|(name, value)| (name.into(), Zeroizing::new(value.into())));
        Self::Given(Arc::new(variables.collect()))
    }

    /// The value of a variable; an empty one counts as not set.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Zeroizing<String>>, ConfigError> {
        let value = match self {
            Self::Given(variables) => variables.get(name).cloned(),
            Self::Process => match std::env::var_os(name) {
                None => None,
                Some(value) => {
                    let value = value.into_string().map_err(|_| not_text(name))?;
                    Some(Zeroizing::new(value))
                }
            },
        };
        Ok(value.filter(|value| !value.is_empty()))
    }

    fn beginning_with(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, Zeroizing<String>)>, ConfigError> {
        let mut found = Vec::new();
        match self {
            Self::Given(variables) => {
                let matching = variables
                    .iter()
                    .filter(|(name, _)| name.starts_with(prefix));
                found.extend(matching.map(|(name, value)| (name.clone(), value.clone())));
            }
            Self::Process => {
                for (name, value) in std::env::vars_os() {
                    // A name that is not text does not begin with ours.
                    let Ok(name) = name.into_string() else {
                        continue;
                    };
                    if name.starts_with(prefix) {
                        let value = value.into_string().map_err(|_| not_text(&name))?;
                        found.push((name, Zeroizing::new(value)));
                    }
                }
            }
        }
        Ok(found)
    }
}

fn not_text(name: &str) -> ConfigError {
    ConfigError::combination(format!(
        "the environment variable `{}` is not UTF-8",
        crate::error::shown(name)
    ))
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("the process's"),
            Self::Given(variables) => f.debug_set().entries(variables.keys()).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_config_params_variables_become_dotted_keys() {
        let config = ConfigParams::from_variable_list(
            "LOCK__",
            [
                ("LOCK__CONNECTION__HOST", "db1"),
                ("LOCK__CONNECTIONS__0__HOST", "db2"),
                ("LOCK__OPTIONS__RETRY_TIMEOUT", "50"),
                ("LOCK__EMPTY", ""),
                ("LOCKER", "other"),
            ],
        )
        .unwrap();
        assert_eq!(
            config,
            ConfigParams::from_tuples([
                ("connection.host", "db1"),
                ("connections.0.host", "db2"),
                ("options.retry_timeout", "50"),
            ])
        );
        let twice = [("LOCK__A", "1"), ("LOCK__a", "2")];
        let error = ConfigParams::from_variable_list("LOCK__", twice).unwrap_err();
        assert_eq!(error.to_string(), "`a` is set twice; keep one");
    }

    #[test]
    fn b_config_params_the_process_s_own_variables_are_read() {
        // Cargo sets these for every test.
        let config = ConfigParams::from_environment("CARGO_PKG_").unwrap();
        assert_eq!(config.get("name"), Some("tenure-component"));
        assert!(Variables::Process.get("CARGO_PKG_NAME").unwrap().is_some());
        assert!(Variables::Process.get("TENURE_NO_SUCH").unwrap().is_none());
    }
}
