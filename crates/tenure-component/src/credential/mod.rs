//! Who logs in: parameters of a credential, and stores that keep them.

mod environment;
mod file;
mod memory;
mod mounted;
mod resolver;
mod secret_file;

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::SecretString;

pub use self::environment::EnvironmentCredentialStore;
pub use self::file::FileCredentialStore;
pub use self::memory::MemoryCredentialStore;
pub use self::mounted::MountedCredentialStore;
pub use self::resolver::CredentialResolver;
use crate::config::{ConfigError, ConfigParams};
use crate::connect::sections_of;
use crate::{ComponentError, Context};

/// Keeps credentials under keys.
#[async_trait]
pub trait CredentialStore: fmt::Debug + Send + Sync + 'static {
    /// The credential under `key`; `None` if the key is not known here.
    ///
    /// # Errors
    /// [`ComponentError`] if it could not be found out, which is something else than none.
    async fn lookup(
        &self,
        context: Option<&Context>,
        key: &str,
    ) -> Result<Option<CredentialParams>, ComponentError>;
}

/// Who logs in, and with what.
///
/// The password is kept in memory that is wiped, and `Debug` does not show it.
#[derive(Clone, Default)]
pub struct CredentialParams {
    store_key: Option<String>,
    username: Option<String>,
    password: Option<SecretString>,
    password_file: Option<PathBuf>,
}

impl CredentialParams {
    /// The keys that [`CredentialParams::from_config`] reads; `user` and `pass` are the origin's
    /// other names for `username` and `password`.
    pub(crate) const KEYS: [&'static str; 6] = [
        "store_key",
        "username",
        "user",
        "password",
        "pass",
        "password_file",
    ];

    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Kept by a [`CredentialStore`] under this key.
    #[must_use]
    pub fn with_store_key(mut self, key: impl Into<String>) -> Self {
        self.store_key = Some(key.into());
        self
    }

    /// The user's name.
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(SecretString::from(password.into()));
        self
    }

    /// The file that holds the password, read each time it is needed. A line end behind the
    /// password does not count.
    #[must_use]
    pub fn with_password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password_file = Some(path.into());
        self
    }

    /// Reads `store_key`, `username`, `password` and `password_file`; empty values count as not
    /// set.
    ///
    /// # Errors
    /// [`ConfigError`] if there are a password and a file for it.
    pub fn from_config(config: &ConfigParams) -> Result<Self, ConfigError> {
        let text = |key| config.text(key).map(str::to_owned);
        let credential = Self {
            store_key: text("store_key"),
            username: text("username").or_else(|| text("user")),
            password: text("password")
                .or_else(|| text("pass"))
                .map(SecretString::from),
            password_file: text("password_file").map(PathBuf::from),
        };
        if credential.password.is_some() && credential.password_file.is_some() {
            let key = config.full_key("password");
            return Err(ConfigError::combination(format!(
                "`{key}` and `{key}_file` are both set; keep one"
            )));
        }
        Ok(credential)
    }

    /// Reads every credential of a configuration: `credentials.N.*` for several or `credentials.*`
    /// for one, then `credential.*`, and where there is neither the same keys without a section.
    ///
    /// # Errors
    /// As [`CredentialParams::from_config`].
    pub fn many_from_config(config: &ConfigParams) -> Result<Vec<Self>, ConfigError> {
        let sections = sections_of(config, ["credentials", "credential"], &Self::KEYS);
        sections.iter().map(Self::from_config).collect()
    }

    /// Under which key a store keeps it.
    #[must_use]
    pub fn store_key(&self) -> Option<&str> {
        self.store_key.as_deref()
    }

    /// The user's name.
    #[must_use]
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// The file that holds the password.
    #[must_use]
    pub fn password_file(&self) -> Option<&Path> {
        self.password_file.as_deref()
    }

    /// The same credential with the password that its file holds.
    pub(crate) fn unsealed(mut self) -> Result<Self, ConfigError> {
        if let Some(path) = self.password_file.take() {
            self.password = Some(secret_file::read(&path, secret_file::Strictness::Warn)?);
        }
        Ok(self)
    }
}

/// Shows everything but the password.
impl fmt::Debug for CredentialParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialParams")
            .field("store_key", &self.store_key)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("password_file", &self.password_file)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn b_configuration_credentials_stand_in_the_plural_the_singular_or_at_the_top() {
        for (text, expected) in [
            ("credential.username=a;credential.password=p", vec!["a:p"]),
            ("credential.user=a;credential.pass=p", vec!["a:p"]),
            (
                "credentials.0.username=a;credentials.1.username=b",
                vec!["a:", "b:"],
            ),
            ("credentials.password=p", vec![":p"]),
            ("username=a;password=p", vec!["a:p"]),
            ("credential.username=", vec![]),
        ] {
            let many = CredentialParams::many_from_config(&text.parse().unwrap()).unwrap();
            let found: Vec<_> = many
                .iter()
                .map(|it| {
                    let password = it.password().map_or("", |it| it.expose_secret());
                    format!("{}:{password}", it.username().unwrap_or_default())
                })
                .collect();
            assert_eq!(found, expected, "{text}");
        }
        let both = "credential.password=s3cret;credential.password_file=x"
            .parse()
            .unwrap();
        let error = CredentialParams::many_from_config(&both).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`credential.password` and `credential.password_file` are both set; keep one"
        );
    }

    #[test]
    fn f7_debug_does_not_show_a_password() {
        let credential = CredentialParams::new()
            .with_username("a")
            .with_password("s3cret");
        assert!(!format!("{credential:?} {credential:#?}").contains("s3cret"));
    }
}
