//! What may stand where a key is asked for.

use tenure_core::{InvalidKey, Key};

/// A name that can be a lock's key: text, bytes or a [`Key`].
///
/// A name that cannot be a key is reported when the lock is asked for, as
/// [`AcquireError::InvalidKey`](crate::AcquireError::InvalidKey), never by a panic.
pub trait IntoKey: sealed::Sealed {}

impl<K: sealed::Sealed> IntoKey for K {}

/// A name that is no key, shortened for messages, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadKey {
    pub(crate) name: String,
    pub(crate) source: InvalidKey,
}

pub(crate) fn checked(key: impl IntoKey) -> Result<Key, BadKey> {
    sealed::Sealed::key(&key).map_err(|source| BadKey {
        name: shown(sealed::Sealed::name(&key)),
        source,
    })
}

/// At most 80 characters, with control characters escaped.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

mod sealed {
    use tenure_core::{InvalidKey, Key};

    pub trait Sealed {
        fn name(&self) -> &[u8];
        fn key(&self) -> Result<Key, InvalidKey> {
            Key::from_bytes(self.name())
        }
    }

    impl Sealed for &str {
        fn name(&self) -> &[u8] {
            self.as_bytes()
        }
    }

    impl Sealed for String {
        fn name(&self) -> &[u8] {
            self.as_bytes()
        }
    }

    impl Sealed for &String {
        fn name(&self) -> &[u8] {
            self.as_bytes()
        }
    }

    impl Sealed for &[u8] {
        fn name(&self) -> &[u8] {
            self
        }
    }

    impl Sealed for Key {
        fn name(&self) -> &[u8] {
            self.as_bytes()
        }
        fn key(&self) -> Result<Key, InvalidKey> {
            Ok(self.clone())
        }
    }

    impl Sealed for &Key {
        fn name(&self) -> &[u8] {
            self.as_bytes()
        }
        fn key(&self) -> Result<Key, InvalidKey> {
            Ok((*self).clone())
        }
    }
}
