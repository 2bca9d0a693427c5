//! Who may look at the dashboard, and who may change something.
//!
//! An application with a login of its own puts its layer around the router and says
//! [`Access::outside`]. Otherwise the dashboard asks for credentials itself: tokens, users with
//! passwords, or a header that a proxy sets. Which right a route needs, the table of `routes` says.

mod access;
mod guard;
mod headers;
mod login;
mod sessions;
mod throttle;
mod tokens;
mod visitor;

pub(crate) use self::access::Kind;
pub use self::access::{Access, AccessError, Credentials, Peers};
pub(crate) use self::guard::{Hosts, forbidden, guard};
pub(crate) use self::headers::headers;
pub(crate) use self::login::routes as login_routes;
pub(crate) use self::sessions::Sessions;
pub(crate) use self::throttle::Throttle;
pub use self::tokens::{ApiToken, TokenList};
pub use self::visitor::{Right, Visitor};
