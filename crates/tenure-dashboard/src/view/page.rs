//! Pages of listings: how long they may be and where they go on.
//!
//! A position is opaque to clients. It is checked like everything that comes from outside.

use schemars::JsonSchema;
use serde::Serialize;

use super::ViewError;

/// How many rows a page has if nobody says.
pub const DEFAULT_LIMIT: usize = 50;
/// The most rows of a page.
pub const MAX_LIMIT: usize = 500;

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins: the `after` of its request. `null` on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page.
    #[must_use]
    pub fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }
}

/// Which page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// Where it begins: the `next` of the page before.
    pub after: Option<String>,
    /// The most rows, 1 to [`MAX_LIMIT`]; [`DEFAULT_LIMIT`] if nothing is said.
    pub limit: Option<usize>,
}

impl Paging {
    /// The limit that counts.
    ///
    /// # Errors
    /// [`ViewError::Invalid`] if it is 0 or over [`MAX_LIMIT`].
    pub fn limit(&self) -> Result<usize, ViewError> {
        match self.limit {
            None => Ok(DEFAULT_LIMIT),
            Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
            Some(limit) => Err(ViewError::invalid(
                "limit",
                format!("may be 1 to {MAX_LIMIT}, not {limit}"),
            )),
        }
    }

    /// The position behind `kind`, by which a cursor of one listing is known from another's.
    pub(crate) fn position(&self, kind: char) -> Result<Option<&str>, ViewError> {
        let Some(after) = &self.after else {
            return Ok(None);
        };
        match after.strip_prefix(kind) {
            Some(position) => Ok(Some(position)),
            None => Err(ViewError::invalid(
                "after",
                "is no position that this listing gave; leave it out for the first page",
            )),
        }
    }
}
