//! What tenure's locks and tasks are doing, as web pages and as a JSON API: an axum router that an
//! application mounts under a path of its own, or that `tenure run` serves.

#![allow(dead_code, reason = "what the API and the pages use lands before them")]

mod dashboard;
mod pages;
mod site;
pub mod view;

pub use dashboard::{Dashboard, DashboardBuilder};
pub use view::{StoreMeter, View};
