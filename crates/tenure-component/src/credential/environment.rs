//! Credentials from environment variables.

use async_trait::async_trait;

use super::{CredentialParams, CredentialStore};
use crate::config::{ConfigError, ConfigParams, Variables};
use crate::connect::variable_name;
use crate::{ComponentError, Context};

/// A credential store that reads environment variables, each time it is asked.
///
/// The key `orders-redis` is looked for in `ORDERS_REDIS_USERNAME`, `ORDERS_REDIS_PASSWORD` and
/// `ORDERS_REDIS_PASSWORD_FILE`, the last naming a file that holds the password.
#[derive(Debug, Clone)]
pub struct EnvironmentCredentialStore {
    variables: Variables,
}

impl EnvironmentCredentialStore {
    /// A store on the variables of this process.
    #[must_use]
    pub fn new() -> Self {
        Self {
            variables: Variables::Process,
        }
    }

    /// A store on variables that are given, for tests.
    pub fn with_variables<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self {
            variables: Variables::given(variables),
        }
    }

    fn find(&self, key: &str) -> Result<Option<CredentialParams>, ConfigError> {
        let name = variable_name(key);
        let mut config = ConfigParams::new();
        for part in ["username", "password", "password_file"] {
            let variable = format!("{name}_{}", part.to_ascii_uppercase());
            if let Some(value) = self.variables.get(&variable)? {
                config.set(part, value.as_str());
            }
        }
        if config.is_empty() {
            return Ok(None);
        }
        if config.len() > 1
            && config.get("password").is_some()
            && config.get("password_file").is_some()
        {
            return Err(ConfigError::combination(format!(
                "`{name}_PASSWORD` and `{name}_PASSWORD_FILE` are both set; keep one"
            )));
        }
        CredentialParams::from_config(&config).map(Some)
    }
}

impl Default for EnvironmentCredentialStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl CredentialStore for EnvironmentCredentialStore {
    async fn lookup(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<Option<CredentialParams>, ComponentError> {
        self.find(key).map_err(|error| error.in_context(context))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn f8_b_references_a_credential_store_in_the_environment_reads_variables_by_the_key() {
        let store = EnvironmentCredentialStore::with_variables([
            ("MAIN_REDIS_USERNAME", "app"),
            ("MAIN_REDIS_PASSWORD", "s3cret"),
            ("FILED_PASSWORD_FILE", "secrets/redis"),
            ("BOTH_PASSWORD", "s3cret"),
            ("BOTH_PASSWORD_FILE", "secrets/redis"),
        ]);
        let main = store.lookup(None, "main-redis").await.unwrap().unwrap();
        assert_eq!(main.username(), Some("app"));
        assert_eq!(main.password().unwrap().expose_secret(), "s3cret");
        let filed = store.lookup(None, "filed").await.unwrap().unwrap();
        assert_eq!(
            filed.password_file().unwrap().to_str(),
            Some("secrets/redis")
        );
        assert!(store.lookup(None, "none").await.unwrap().is_none());
        let error = store.lookup(None, "both").await.unwrap_err().to_string();
        assert!(
            error.contains("`BOTH_PASSWORD_FILE` are both set"),
            "{error}"
        );
        assert!(!format!("{error} {store:?}").contains("s3cret"));
    }
}
