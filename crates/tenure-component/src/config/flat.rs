//! Collects dotted keys while a document is read, whatever its format.

use super::{ConfigError, ConfigParams};

/// The deepest level of tables in tables.
pub(super) const MAX_DEPTH: usize = 64;
const MAX_KEY: usize = 512;

/// The settings read so far, and the key that is being read.
#[derive(Default)]
pub(super) struct Flat {
    config: ConfigParams,
    path: Vec<String>,
}

impl Flat {
    /// Goes one level down, to the value under `name`.
    pub(super) fn enter(&mut self, name: impl Into<String>) -> Result<(), ConfigError> {
        self.path.push(name.into());
        if self.path.len() > MAX_DEPTH {
            let key = self.path.iter().take(5).cloned().collect::<Vec<_>>();
            return Err(ConfigError::TooDeep {
                key: format!("{}…", key.join(".")),
                limit: MAX_DEPTH,
            });
        }
        Ok(())
    }

    /// Goes one level up again.
    pub(super) fn leave(&mut self) {
        self.path.pop();
    }

    /// Whether no key has been entered, so that a value would have none.
    pub(super) fn is_at_root(&self) -> bool {
        self.path.is_empty()
    }

    /// Sets the value of the key that was entered.
    pub(super) fn put(&mut self, value: &str) -> Result<(), ConfigError> {
        put(&mut self.config, self.path.join("."), value)
    }

    pub(super) fn into_config(self) -> ConfigParams {
        self.config
    }
}

/// Sets a key that must be a good one and not be set yet.
pub(super) fn put(config: &mut ConfigParams, key: String, value: &str) -> Result<(), ConfigError> {
    if let Err(reason) = checked(&key) {
        return Err(ConfigError::Key { key, reason });
    }
    if config.get(&key).is_some() {
        return Err(ConfigError::Twice { key });
    }
    config.set(key, value);
    Ok(())
}

fn checked(key: &str) -> Result<(), &'static str> {
    if key.split('.').any(|part| part.trim().is_empty()) {
        return Err("a part between the dots is missing");
    }
    if key.len() > MAX_KEY {
        return Err("it is longer than 512 bytes");
    }
    if key.chars().any(char::is_control) {
        return Err("it holds control characters");
    }
    Ok(())
}
