//! Credentials from a file of settings.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::secret_file::{self, Strictness};
use super::{CredentialParams, CredentialStore};
use crate::config::{ConfigError, ConfigParams};
use crate::{ComponentError, Context};

/// A credential store in a TOML, JSON or YAML file with a table per key:
///
/// ```toml
/// [main]
/// username = "app"
/// password = "…"
/// ```
///
/// The file is read each time a credential is looked up, so a changed password is found at the next
/// opening. A file that everybody on the machine can read is used, and a warning logged; with
/// [`FileCredentialStore::strict_permissions`] it is refused.
#[derive(Debug, Clone)]
pub struct FileCredentialStore {
    path: PathBuf,
    strictness: Strictness,
}

impl FileCredentialStore {
    /// A store in the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            strictness: Strictness::Warn,
        }
    }

    /// Refuses the file if everybody on the machine can read it.
    #[must_use]
    pub fn strict_permissions(mut self) -> Self {
        self.strictness = Strictness::Refuse;
        self
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn find(&self, key: &str) -> Result<Option<CredentialParams>, ConfigError> {
        let text = secret_file::text(&self.path, self.strictness)?;
        let config = ConfigParams::from_text_of(&self.path, &text)?;
        let section = config.section(key);
        if section.is_empty() {
            return Ok(None);
        }
        CredentialParams::from_config(&section).map(Some)
    }
}

#[async_trait]
impl CredentialStore for FileCredentialStore {
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
    use crate::Code;

    #[tokio::test]
    async fn f8_b_references_a_credential_store_in_a_file_is_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.toml");
        let store = FileCredentialStore::new(&path);
        let error = store.lookup(None, "main").await.unwrap_err();
        assert_eq!(
            error.code(),
            Code::InvalidConfig,
            "a missing file is no empty one"
        );

        for password in ["s3cret", "changed"] {
            let text = format!("[main]\nusername = 'app'\npassword = '{password}'\n");
            std::fs::write(&path, text).unwrap();
            let main = store.lookup(None, "main").await.unwrap().unwrap();
            assert_eq!(main.username(), Some("app"));
            assert_eq!(main.password().unwrap().expose_secret(), password);
        }
        assert!(store.lookup(None, "none").await.unwrap().is_none());

        std::fs::write(&path, "[main]\npassword = s3cret").unwrap();
        let context = Context::from_trace_id("t1");
        let error = store.lookup(Some(&context), "main").await.unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert_eq!(error.trace_id(), Some("t1"));
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn f8_a_credential_file_open_to_all_is_refused_where_that_is_asked_for() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials.json");
        std::fs::write(&path, r#"{"main": {"password": "s3cret"}}"#).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let store = FileCredentialStore::new(&path);
        assert!(store.lookup(None, "main").await.unwrap().is_some());
        let store = store.strict_permissions();
        let error = store.lookup(None, "main").await.unwrap_err();
        assert!(error.to_string().contains("chmod it to 0600"), "{error}");
    }
}
