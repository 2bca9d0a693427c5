//! Reads a secret from a file, and looks at who else can.

use std::fs::Metadata;
use std::path::Path;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::config::ConfigError;

/// No secret is longer; a longer file is another one.
const MAX_LEN: u64 = 64 * 1024;

/// What to do about a file that everybody on the machine can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Strictness {
    /// Nothing: where the files are only to be seen by this program, as in a container.
    Accept,
    /// Say so in the log.
    #[default]
    Warn,
    /// Do not use it.
    Refuse,
}

/// The secret in a file, without a line end behind it.
pub(super) fn read(path: &Path, strictness: Strictness) -> Result<SecretString, ConfigError> {
    let text = text(path, strictness)?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

/// The whole text of a file with secrets in it.
pub(super) fn text(path: &Path, strictness: Strictness) -> Result<Zeroizing<String>, ConfigError> {
    let cannot_read = |source| ConfigError::File {
        path: path.to_owned(),
        source,
    };
    // Before opening: opening a pipe would wait for somebody to write. Links are followed, because
    // that is how orchestrators swap secrets.
    let meta = std::fs::metadata(path).map_err(cannot_read)?;
    if !meta.is_file() {
        return Err(not_usable(path, "is not a regular file"));
    }
    if meta.len() > MAX_LEN {
        return Err(not_usable(
            path,
            "has more than 64 KiB, which no secret has",
        ));
    }
    if is_open_to_all(&meta) {
        match strictness {
            Strictness::Accept => {}
            Strictness::Warn => tracing::warn!(
                path = %path.display(),
                "everybody on this machine can read this file with a secret; chmod it to 0600"
            ),
            Strictness::Refuse => {
                return Err(not_usable(
                    path,
                    "can be read by everybody on this machine; chmod it to 0600",
                ));
            }
        }
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(cannot_read)
}

fn not_usable(path: &Path, reason: &str) -> ConfigError {
    ConfigError::NotUsable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(unix)]
fn is_open_to_all(meta: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    meta.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_open_to_all(_meta: &Metadata) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn f8_a_secret_file_is_looked_at_before_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "s3cret \r\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let secret = read(&path, Strictness::Refuse).unwrap();
        assert_eq!(secret.expose_secret(), "s3cret ");

        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let error = read(&path, Strictness::Refuse).unwrap_err().to_string();
        assert!(error.contains("chmod it to 0600"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
        assert!(read(&path, Strictness::Warn).is_ok());
    }

    #[test]
    fn e53_a_path_that_holds_no_secret_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long");
        std::fs::write(&long, "x".repeat(65 * 1024)).unwrap();
        for (path, part) in [
            (folder.path().join("none"), "cannot read"),
            (folder.path().to_owned(), "is not a regular file"),
            (long, "more than 64 KiB"),
        ] {
            let error = read(&path, Strictness::Accept).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
