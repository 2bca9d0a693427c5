//! Who asks, and what they may do.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Look at everything.
    Read,
    /// Also pause, resume, run, cancel, backfill, and take locks from their holders.
    Change,
}

/// Whoever made a request. An application with a login of its own may add one to the request's
/// extensions, so that changes are recorded under the right name:
///
/// ```
/// # use tenure_dashboard::{Right, Visitor};
/// # fn layer(mut request: axum::extract::Request) {
/// request.extensions_mut().insert(Visitor::new("ann", Right::Read));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    name: Option<String>,
    right: Right,
    how: &'static str,
    from: Option<IpAddr>,
    form_token: Option<String>,
}

impl Visitor {
    /// Somebody whom the application knows.
    #[must_use]
    pub fn new(name: impl Into<String>, right: Right) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::unknown(right, "application")
        }
    }

    /// Somebody whom nobody asked for a name.
    pub(crate) fn unknown(right: Right, how: &'static str) -> Self {
        Self {
            name: None,
            right,
            how,
            from: None,
            form_token: None,
        }
    }

    pub(crate) fn by(mut self, how: &'static str) -> Self {
        self.how = how;
        self
    }

    pub(crate) fn at(mut self, from: Option<IpAddr>) -> Self {
        self.from = self.from.or(from);
        self
    }

    pub(crate) fn with_form_token(mut self, token: String) -> Self {
        self.form_token = Some(token);
        self
    }

    /// Who it is, if the dashboard knows.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether they may change something.
    #[must_use]
    pub fn may_change(&self) -> bool {
        self.right >= Right::Change
    }

    /// By what they are known: `token`, `password`, `session`, `proxy`, `application`, or `open`
    /// if nobody asked.
    pub(crate) fn how(&self) -> &'static str {
        self.how
    }

    /// The address they come from, as far as the server knows.
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// What a form must carry in its field `form_token`, and other changes in the header
    /// `x-tenure-form-token`, if the visitor is known by a cookie.
    pub(crate) fn form_token(&self) -> Option<&str> {
        self.form_token.as_deref()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Without the guard in front there is nobody to trust.
        let visitor = parts.extensions.get::<Self>().cloned();
        Ok(visitor.unwrap_or_else(|| Self::unknown(Right::Read, "open")))
    }
}
