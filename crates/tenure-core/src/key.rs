//! The name that is locked.
//!
//! A key is bytes, so that any program's names fit; most are text. Nothing here knows how a store
//! writes a key down.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::text::is_hidden;

/// The name of a lock: 1 to 512 bytes, compared byte for byte.
///
/// Two spellings that look alike (`é` composed or decomposed, upper and lower case) are two keys.
/// Names that begin with `tenure:` belong to the stores and are refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 512;
    const RESERVED: &'static [u8] = b"tenure:";

    /// A key from text.
    ///
    /// # Errors
    /// [`InvalidKey`] if the name is empty, longer than [`Key::MAX_LEN`] or begins with `tenure:`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidKey> {
        Self::from_bytes(name.as_ref().as_bytes())
    }

    /// A key from bytes that need not be text.
    ///
    /// # Errors
    /// As [`Key::new`].
    pub fn from_bytes(name: &[u8]) -> Result<Self, InvalidKey> {
        if name.is_empty() {
            return Err(InvalidKey::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(InvalidKey::TooLong { len: name.len() });
        }
        if name.starts_with(Self::RESERVED) {
            return Err(InvalidKey::Reserved);
        }
        Ok(Self(name.into()))
    }

    /// The key as the bytes that stores compare.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// Keys are found in ordered and hashed maps by their bytes.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Shows the key for people: control characters and bytes that are not text are escaped.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_hidden(c) {
                    write!(f, "{}", c.escape_unicode())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Why a name cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The name has no bytes.
    #[error("a key must not be empty")]
    Empty,
    /// The name has more than [`Key::MAX_LEN`] bytes.
    #[error("a key may have {} bytes, this one has {len}", Key::MAX_LEN)]
    TooLong {
        /// How long it is, in bytes.
        len: usize,
    },
    /// The name begins with `tenure:`, which stores keep for their own records.
    #[error("keys that begin with `tenure:` belong to the store; choose another name")]
    Reserved,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e13_e15_e22_names_that_are_no_keys_are_refused_with_the_reason() {
        let long = "k".repeat(513);
        for (name, message) in [
            ("", "a key must not be empty"),
            (long.as_str(), "a key may have 512 bytes, this one has 513"),
            (
                "tenure:x",
                "keys that begin with `tenure:` belong to the store; choose another name",
            ),
        ] {
            assert_eq!(Key::new(name).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn e14_e16_e17_e18_e19_any_other_name_is_kept_byte_for_byte() {
        for name in [
            "{",
            "}",
            "{}",
            "{a}{b}",
            "a}b{",
            "e\u{301}",
            "é",
            "a b ",
            "a\0b",
            "\u{202e}x",
        ] {
            assert_eq!(Key::new(name).unwrap().as_bytes(), name.as_bytes());
        }
        assert_ne!(Key::new("e\u{301}").unwrap(), Key::new("é").unwrap());
        assert_eq!(Key::from_bytes(&[0xff, b'a']).unwrap().as_str(), None);
    }

    #[test]
    fn e16_hidden_characters_are_shown_escaped() {
        let key = Key::from_bytes(b"a\n\x1b[31m\xff").unwrap();
        assert_eq!(key.to_string(), "a\\u{a}\\u{1b}[31m\\xff");
        assert_eq!(Key::new("x\u{202e}y").unwrap().to_string(), "x\\u{202e}y");
    }
}
