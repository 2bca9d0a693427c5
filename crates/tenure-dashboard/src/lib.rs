//! What tenure's locks and tasks are doing, as web pages and as a JSON API: an axum router that an
//! application mounts under a path of its own, or that `tenure run` serves.

mod api;
mod auth;
mod change;
mod dashboard;
mod pages;
mod problem;
mod server;
mod site;
pub mod view;

pub use api::routes;
pub use auth::{Access, AccessError, Credentials, Peers, Right, Visitor};
pub use dashboard::{Dashboard, DashboardBuilder};
pub use server::{ServeError, Server};
pub use view::{Finding, StoreMeter, Verdict, View};
