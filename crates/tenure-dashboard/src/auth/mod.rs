//! Who may look at the dashboard, and who may change something.
//!
//! An application with a login of its own puts its layer around the router and says
//! [`Access::outside`]. Otherwise the dashboard asks for credentials itself: tokens, users with
//! passwords, or a header that a proxy sets. Reading needs the right to read, every other method
//! the right to change; see `guard`.

mod access;
mod guard;
mod login;
mod sessions;
mod throttle;
mod visitor;

pub use self::access::{Access, AccessError, Credentials, Peers};
pub(crate) use self::guard::{Hosts, guard, headers};
pub(crate) use self::login::router as login_router;
pub(crate) use self::sessions::Sessions;
pub(crate) use self::throttle::Throttle;
pub use self::visitor::{Right, Visitor};
