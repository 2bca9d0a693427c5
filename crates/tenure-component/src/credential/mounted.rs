//! Credentials from a folder in which an orchestrator mounts secrets.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};

use super::secret_file::{self, Strictness};
use super::{CredentialParams, CredentialStore};
use crate::config::ConfigError;
use crate::error::shown;
use crate::{ComponentError, Context};

/// A credential store in a folder of files, as Kubernetes and Docker mount secrets.
///
/// Under the folder, the key `main` is either a folder with the files `username` and `password`, or
/// a single file that holds the password. The files are read each time a credential is looked up,
/// so a swapped secret is found at the next opening.
///
/// Such files are usually open to everybody who sees them, which is this program alone; where that
/// is not so, ask for [`MountedCredentialStore::strict_permissions`].
#[derive(Debug, Clone)]
pub struct MountedCredentialStore {
    folder: PathBuf,
    strictness: Strictness,
}

impl MountedCredentialStore {
    /// A store in `folder`, such as `/run/secrets`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            strictness: Strictness::Accept,
        }
    }

    /// Refuses files that everybody on the machine can read.
    #[must_use]
    pub fn strict_permissions(mut self) -> Self {
        self.strictness = Strictness::Refuse;
        self
    }

    fn find(&self, key: &str) -> Result<Option<CredentialParams>, ConfigError> {
        if !is_file_name(key) {
            return Err(ConfigError::combination(format!(
                "the credential key `{}` is not the name of a file: use letters, digits, `-`, `_` \
                 and `.`, and do not begin with a `.`",
                shown(key)
            )));
        }
        let place = self.folder.join(key);
        if !place.is_dir() {
            let password = self.read(&place)?;
            return Ok(password.map(|it| CredentialParams::new().with_secret(it)));
        }
        let username = self.read(&place.join("username"))?;
        let password = self.read(&place.join("password"))?;
        if username.is_none() && password.is_none() {
            return Ok(None);
        }
        let mut credential = CredentialParams::new();
        if let Some(username) = username {
            credential = credential.with_username(username.expose_secret());
        }
        if let Some(password) = password {
            credential = credential.with_secret(password);
        }
        Ok(Some(credential))
    }

    /// What a file holds. `None` if there is none, or nothing in it.
    fn read(&self, path: &Path) -> Result<Option<SecretString>, ConfigError> {
        match secret_file::read(path, self.strictness) {
            Ok(secret) => Ok(Some(secret).filter(|it| !it.expose_secret().is_empty())),
            Err(ConfigError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl CredentialParams {
    fn with_secret(mut self, password: SecretString) -> Self {
        self.password = Some(password);
        self
    }
}

/// Nothing that leads out of the folder, or to the links by which orchestrators swap secrets.
fn is_file_name(key: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !key.is_empty() && key.len() <= 253 && !key.starts_with('.') && key.chars().all(is_plain)
}

#[async_trait]
impl CredentialStore for MountedCredentialStore {
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
    use super::*;

    #[tokio::test]
    async fn f8_b_references_a_credential_store_of_mounted_secrets_reads_files_by_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = MountedCredentialStore::new(folder.path());
        let main = folder.path().join("main");
        std::fs::create_dir(&main).unwrap();
        assert!(store.lookup(None, "main").await.unwrap().is_none());
        std::fs::write(main.join("username"), "app\n").unwrap();
        std::fs::write(main.join("password"), "s3cret\n").unwrap();
        std::fs::write(folder.path().join("redis_password"), "pw").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        for (key, expected) in [
            ("main", Some((Some("app"), "s3cret"))),
            ("redis_password", Some((None, "pw"))),
            ("empty", None),
            ("none", None),
        ] {
            let found = store.lookup(None, key).await.unwrap();
            let found = found.as_ref().map(|it| {
                let password = it.password().unwrap().expose_secret();
                (it.username(), password)
            });
            assert_eq!(found, expected, "{key}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn f8_mounted_secrets_are_swapped_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("..2026_11_21");
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("password"), "one").unwrap();
        std::os::unix::fs::symlink(&data, folder.path().join("main")).unwrap();
        let store = MountedCredentialStore::new(folder.path());
        let found = store.lookup(None, "main").await.unwrap().unwrap();
        assert_eq!(found.password().unwrap().expose_secret(), "one");
    }

    #[tokio::test]
    async fn f16_a_key_cannot_lead_out_of_the_mounted_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(folder.path().join("outside"), "s3cret").unwrap();
        let store = MountedCredentialStore::new(&inner);
        for key in [
            "../outside",
            "..",
            ".",
            "",
            "a/b",
            "a\0b",
            "/etc/passwd",
            ".hidden",
        ] {
            let error = store.lookup(None, key).await.unwrap_err().to_string();
            assert!(error.contains("is not the name of a file"), "{error}");
        }
    }
}
