//! From a configuration to a credential, through stores where it asks for that.

use std::sync::Arc;

use super::{CredentialParams, CredentialStore};
use crate::config::{ConfigError, ConfigParams};
use crate::error::shown;
use crate::{Code, ComponentError, Context, Descriptor, References};

/// The credentials that a configuration names, and where to look up those it only names a key of.
#[derive(Debug, Clone, Default)]
pub struct CredentialResolver {
    credentials: Vec<CredentialParams>,
    stores: Vec<Arc<dyn CredentialStore>>,
}

impl CredentialResolver {
    /// A resolver that knows no credential.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the credentials of a configuration, as [`CredentialParams::many_from_config`] reads
    /// them, instead of those it had.
    ///
    /// # Errors
    /// As there.
    pub fn configure(&mut self, config: &ConfigParams) -> Result<(), ConfigError> {
        self.credentials = CredentialParams::many_from_config(config)?;
        Ok(())
    }

    /// Takes every `*:credential-store:*:*:1.0` instead of those it had.
    ///
    /// # Errors
    /// As [`References::all_optional`].
    pub fn set_references(&mut self, references: &References) -> Result<(), ComponentError> {
        let locator = Descriptor::new("*", "credential-store", "*", "*", "1.0");
        self.stores = references.all_optional::<dyn CredentialStore>(&locator)?;
        Ok(())
    }

    /// The first credential of the configuration that is to be had, or `None` if it names none.
    ///
    /// A `username` or `password` beside a `store_key` holds where the store says nothing of it.
    ///
    /// # Errors
    /// [`Code::NoReference`] if a key is to be looked up and there is no store;
    /// [`Code::NoCredential`] if no store knows any of the keys, since logging in as nobody is not
    /// what was configured; and what a store or a password's file met.
    pub async fn lookup(
        &self,
        context: Option<&Context>,
    ) -> Result<Option<CredentialParams>, ComponentError> {
        for credential in &self.credentials {
            let found = match credential.store_key() {
                None => Some(credential.clone()),
                Some(key) => self.look_up(context, key, credential).await?,
            };
            if let Some(found) = found {
                let unsealed = found.unsealed();
                return unsealed
                    .map(Some)
                    .map_err(|error| error.in_context(context));
            }
        }
        let keys = self
            .credentials
            .iter()
            .filter_map(CredentialParams::store_key);
        let keys: Vec<_> = keys.map(shown).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let message = format!(
            "no credential store knows the key `{}`",
            keys.join("` or `")
        );
        Err(ComponentError::new(Code::NoCredential, context, message)
            .with_detail("store_key", keys.join(",")))
    }

    async fn look_up(
        &self,
        context: Option<&Context>,
        key: &str,
        said: &CredentialParams,
    ) -> Result<Option<CredentialParams>, ComponentError> {
        if self.stores.is_empty() {
            let message = format!(
                "credential.store_key `{}` needs a credential store; put one into the references \
                 as *:credential-store:*:*:1.0",
                shown(key)
            );
            return Err(ComponentError::new(Code::NoReference, context, message)
                .with_detail("store_key", key));
        }
        for store in &self.stores {
            if let Some(found) = store.lookup(context, key).await? {
                return Ok(Some(found.or(said)));
            }
        }
        Ok(None)
    }
}

impl CredentialParams {
    /// What a store keeps, with what was said in the configuration where it says nothing.
    fn or(mut self, said: &Self) -> Self {
        self.username = self.username.or_else(|| said.username.clone());
        if self.password.is_none() && self.password_file.is_none() {
            self.password.clone_from(&said.password);
            self.password_file.clone_from(&said.password_file);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::super::MemoryCredentialStore;
    use super::*;

    fn resolver(config: &str, stores: &[&str]) -> CredentialResolver {
        let mut resolver = CredentialResolver::new();
        resolver.configure(&config.parse().unwrap()).unwrap();
        let mut references = References::new();
        for config in stores {
            let store = MemoryCredentialStore::from_config(&config.parse().unwrap()).unwrap();
            let descriptor = "x:credential-store:memory:default:1.0".parse().unwrap();
            references.put::<dyn CredentialStore>(descriptor, Arc::new(store));
        }
        resolver.set_references(&references).unwrap();
        resolver
    }

    #[tokio::test]
    async fn b_references_a_store_key_is_looked_up_in_every_store() {
        for (config, expected) in [
            ("credential.store_key=main", "app:kept"),
            (
                "credential.store_key=bare;credential.username=me",
                "me:bare",
            ),
            (
                "credentials.0.store_key=none;credentials.1.store_key=main",
                "app:kept",
            ),
            ("credential.username=a;credential.password=p", "a:p"),
        ] {
            let resolver = resolver(
                config,
                &[
                    "other.user=x",
                    "main.username=app;main.password=kept;bare.password=bare",
                ],
            );
            let found = resolver.lookup(None).await.unwrap().unwrap();
            let password = found.password().unwrap().expose_secret();
            let found = format!("{}:{password}", found.username().unwrap());
            assert_eq!(found, expected, "{config}");
        }
        assert!(resolver("", &[]).lookup(None).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn b_references_a_store_key_that_nobody_knows_is_an_error_and_not_an_anonymous_login() {
        let context = Context::from_trace_id("t1");
        for (stores, code) in [
            (&[][..], Code::NoReference),
            (&["other.user=x"], Code::NoCredential),
        ] {
            let resolver = resolver("credential.store_key=main", stores);
            let error = resolver.lookup(Some(&context)).await.unwrap_err();
            assert_eq!(error.code(), code);
            assert_eq!(error.detail("store_key"), Some("main"));
            assert_eq!(error.trace_id(), Some("t1"));
        }
    }

    #[tokio::test]
    async fn f8_a_password_file_is_read_when_the_credential_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let mut resolver = CredentialResolver::new();
        let config = ConfigParams::new().with("credential.password_file", path.display());
        resolver.configure(&config).unwrap();
        let error = resolver.lookup(None).await.unwrap_err();
        assert!(error.to_string().contains("cannot read"), "{error}");
        std::fs::write(&path, "s3cret\n").unwrap();
        let found = resolver.lookup(None).await.unwrap().unwrap();
        assert_eq!(found.password().unwrap().expose_secret(), "s3cret");
    }
}
