//! What may stand where a key is asked for.

use tenure_core::Key;

pub(crate) use self::sealed::BadKey;

/// A name that can be a lock's key: text, bytes or a [`Key`].
///
/// A name that cannot be a key is reported when the lock is asked for, as
/// [`AcquireError::InvalidKey`](crate::AcquireError::InvalidKey), never by a panic.
pub trait IntoKey: sealed::Sealed {}

impl<K: sealed::Sealed> IntoKey for K {}

pub(crate) fn checked(key: impl IntoKey) -> Result<Key, BadKey> {
    key.checked()
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

    /// A name that is no key, shortened for messages, and why.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct BadKey {
        pub(crate) name: String,
        pub(crate) source: InvalidKey,
    }

    pub trait Sealed {
        fn checked(self) -> Result<Key, BadKey>;
    }

    impl Sealed for &[u8] {
        fn checked(self) -> Result<Key, BadKey> {
            Key::from_bytes(self).map_err(|source| BadKey {
                name: super::shown(self),
                source,
            })
        }
    }

    impl<const N: usize> Sealed for &[u8; N] {
        fn checked(self) -> Result<Key, BadKey> {
            self.as_slice().checked()
        }
    }

    impl Sealed for &str {
        fn checked(self) -> Result<Key, BadKey> {
            self.as_bytes().checked()
        }
    }

    impl Sealed for &&str {
        fn checked(self) -> Result<Key, BadKey> {
            self.as_bytes().checked()
        }
    }

    impl Sealed for String {
        fn checked(self) -> Result<Key, BadKey> {
            self.as_bytes().checked()
        }
    }

    impl Sealed for &String {
        fn checked(self) -> Result<Key, BadKey> {
            self.as_bytes().checked()
        }
    }

    impl Sealed for Key {
        fn checked(self) -> Result<Key, BadKey> {
            Ok(self)
        }
    }

    impl Sealed for &Key {
        fn checked(self) -> Result<Key, BadKey> {
            Ok(self.clone())
        }
    }
}
