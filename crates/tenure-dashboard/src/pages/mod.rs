//! The pages for people: HTML over the same views that the API answers with.

use axum::Router;

use crate::site::Site;

/// The routes of all pages.
pub(crate) fn router() -> Router<Site> {
    Router::new()
}
