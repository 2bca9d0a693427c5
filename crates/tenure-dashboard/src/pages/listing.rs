//! Pages of listings: where one begins, how long it is, and the way to the next.

use maud::{Markup, html};

use super::fields::Fields;
use crate::view::{Paging, ViewError, segment};

/// Which page of a listing the address asks for.
#[derive(Debug, Default)]
pub(super) struct Listing {
    after: Option<String>,
    limit: Option<usize>,
}

impl Listing {
    /// Reads `after` and `limit`.
    pub(super) fn read(asked: &Fields) -> Result<Self, ViewError> {
        let limit = match asked.text("limit") {
            None => None,
            Some(text) => {
                let refused = |_| ViewError::invalid("limit", "must be a number, such as 50");
                Some(text.parse().map_err(refused)?)
            }
        };
        Ok(Self {
            after: asked.text("after").map(str::to_owned),
            limit,
        })
    }

    /// The same, as views take it.
    pub(super) fn paging(&self) -> Paging {
        Paging {
            after: self.after.clone(),
            limit: self.limit,
        }
    }
}

/// The ways to the first and to the next page; nothing if there is only one.
pub(super) fn pager(
    path: &str,
    listing: &Listing,
    next: Option<&str>,
    keep: &[(&str, &str)],
) -> Markup {
    let limit = listing
        .limit
        .map(|limit| limit.to_string())
        .unwrap_or_default();
    let to = |after: &str| {
        let mut fields = keep.to_vec();
        fields.extend([("limit", limit.as_str()), ("after", after)]);
        address(path, &fields)
    };
    html! {
        @if next.is_some() || listing.after.is_some() {
            nav.pages aria-label="Pages of the listing" {
                @if listing.after.is_some() { a.button rel="first" href=(to("")) { "First page" } }
                @if let Some(next) = next { a.button rel="next" href=(to(next)) { "Next page" } }
                @else { span.soft { "This is the last page." } }
            }
        }
    }
}

/// A path with a query; empty fields are left out.
pub(super) fn address(path: &str, fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = fields
        .map(|(name, value)| format!("{name}={}", segment(value)))
        .collect();
    if query.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_what_was_asked_for() {
        let listing = Listing::read(&Fields::parse(b"after=ta&limit=7")).unwrap();
        let shown = pager(
            "tasks",
            &listing,
            Some("t&b"),
            &[("q", "x y"), ("show", "")],
        );
        let shown = shown.into_string();
        assert!(
            shown.contains("tasks?q=x%20y&amp;limit=7&amp;after=t%26b"),
            "{shown}"
        );
        assert!(shown.contains("tasks?q=x%20y&amp;limit=7\""), "{shown}");
        assert_eq!(address("tasks", &[("q", "")]), "tasks");
    }

    #[test]
    fn e102_a_limit_that_is_no_number_is_refused() {
        assert!(Listing::read(&Fields::parse(b"limit=-1")).is_err());
        assert!(Listing::read(&Fields::parse(b"limit=1e9")).is_err());
        let shown = pager("tasks", &Listing::default(), None, &[]);
        assert_eq!(shown.into_string(), "");
    }
}
