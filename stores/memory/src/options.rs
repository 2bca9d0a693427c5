//! The memory store's URL. There is nothing to set.

use crate::MemoryStore;

/// The settings of a memory store: none.
///
/// ```
/// # fn main() -> Result<(), tenure_memory::InvalidUrl> {
/// let store = tenure_memory::MemoryOptions::from_url("memory:")?.open();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoryOptions;

impl MemoryOptions {
    /// Reads `memory:`, which takes no parts and no parameters.
    ///
    /// # Errors
    /// [`InvalidUrl`] for anything else.
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        if url == "memory:" {
            Ok(Self)
        } else {
            Err(InvalidUrl)
        }
    }

    /// Opens a new, empty store.
    #[must_use]
    pub fn open(self) -> MemoryStore {
        MemoryStore::new()
    }
}

/// A URL that is not `memory:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUrl;

impl std::fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the memory store takes no settings; write `memory:`")
    }
}

impl std::error::Error for InvalidUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e25_a_url_with_parts_it_does_not_have_is_refused() {
        assert!(MemoryOptions::from_url("memory:").is_ok());
        for url in ["memory://", "memory:x", "memory", "memory:?a=b", ""] {
            assert_eq!(MemoryOptions::from_url(url), Err(InvalidUrl), "{url}");
        }
    }
}
