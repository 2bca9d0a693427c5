//! What every handler is given: the views, and where the dashboard is mounted.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;

use crate::view::View;

/// The state of all routes. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    view: View,
    /// Where it is mounted, if a proxy hides that; without a slash at the end.
    base: Option<String>,
}

impl Site {
    pub(crate) fn new(view: View, base: Option<String>) -> Self {
        Self {
            inner: Arc::new(Inner { view, base }),
        }
    }

    /// What is shown.
    pub(crate) fn view(&self) -> &View {
        &self.inner.view
    }
}

/// The path under which the dashboard is mounted, as the browser sees it: empty at the root, else
/// such as `/tenure`. Every link begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base(pub(crate) String);

impl FromRequestParts<Site> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Infallible> {
        if let Some(base) = &site.inner.base {
            return Ok(Self(base.clone()));
        }
        // A router that is nested sees the rest of the path only; what is missing is the base.
        let whole = parts.extensions.get::<OriginalUri>();
        let whole = whole.map_or_else(|| parts.uri.path(), |whole| whole.path());
        let base = whole.strip_suffix(parts.uri.path()).unwrap_or_default();
        Ok(Self(base.trim_end_matches('/').to_owned()))
    }
}
