//! Who asks, and what they may do.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::tokens::Digest;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Look at everything.
    Read,
    /// Also pause, resume, run, cancel and backfill.
    Change,
    /// Also take locks from their holders.
    Force,
}

impl Right {
    const ALL: [Self; 3] = [Self::Read, Self::Change, Self::Force];

    /// The right's name: `read`, `change` or `force`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Change => "change",
            Self::Force => "force",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Right {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let found = Self::ALL.into_iter().find(|right| right.as_str() == name);
        found.ok_or(())
    }
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
    /// The token and the session by which they are known: either may end while they are here.
    token: Option<Digest>,
    session: Option<Digest>,
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
            token: None,
            session: None,
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

    pub(crate) fn with_token(mut self, token: Digest) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) fn in_session(mut self, session: Digest, form_token: String) -> Self {
        self.session = Some(session);
        self.form_token = Some(form_token);
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
        self.may(Right::Change)
    }

    /// Whether they have this right, or one that includes it.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.right >= right
    }

    pub(crate) fn right(&self) -> Right {
        self.right
    }

    pub(crate) fn token(&self) -> Option<&Digest> {
        self.token.as_ref()
    }

    pub(crate) fn session(&self) -> Option<&Digest> {
        self.session.as_ref()
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
