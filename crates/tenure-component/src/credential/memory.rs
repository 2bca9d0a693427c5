//! Credentials that the program gives itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{CredentialParams, CredentialStore};
use crate::config::{ConfigError, ConfigParams};
use crate::{ComponentError, Context};

/// A credential store in memory.
///
/// ```
/// # use tenure_component::{CredentialParams, MemoryCredentialStore};
/// let store = MemoryCredentialStore::new();
/// store.put("main", CredentialParams::new().with_username("app").with_password("…"));
/// ```
#[derive(Debug, Default)]
pub struct MemoryCredentialStore {
    credentials: Mutex<BTreeMap<String, CredentialParams>>,
}

impl MemoryCredentialStore {
    /// A store without credentials.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A store with a section per key, as [`CredentialParams::from_config`] reads them. The
    /// sections may stand under `credentials`.
    ///
    /// # Errors
    /// As there.
    pub fn from_config(config: &ConfigParams) -> Result<Self, ConfigError> {
        let inner = config.section("credentials");
        let config = if inner.is_empty() { config } else { &inner };
        let store = Self::new();
        for key in config.section_names() {
            let credential = CredentialParams::from_config(&config.section(&key))?;
            store.put(&key, credential);
        }
        Ok(store)
    }

    /// Keeps a credential under `key`, in the place of one that was there.
    pub fn put(&self, key: &str, credential: CredentialParams) {
        self.kept().insert(key.to_owned(), credential);
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, CredentialParams>> {
        // Every change is a single insertion, so a panic elsewhere left it whole.
        self.credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CredentialStore for MemoryCredentialStore {
    async fn lookup(
        &self,
        _context: Option<&Context>,
        key: &str,
    ) -> Result<Option<CredentialParams>, ComponentError> {
        Ok(self.kept().get(key).cloned())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn b_references_a_credential_store_in_memory_knows_what_it_is_given() {
        let text = "main.username=app; main.password=s3cret; other.user=x";
        for config in [
            text,
            &format!("credentials.{}", text.replace("; ", "; credentials.")),
        ] {
            let store = MemoryCredentialStore::from_config(&config.parse().unwrap()).unwrap();
            let main = store.lookup(None, "main").await.unwrap().unwrap();
            assert_eq!(main.username(), Some("app"));
            assert_eq!(main.password().unwrap().expose_secret(), "s3cret");
            assert!(store.lookup(None, "none").await.unwrap().is_none());
            assert!(!format!("{store:?}").contains("s3cret"));
        }
    }
}
