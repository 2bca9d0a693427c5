//! What tenure's locks and tasks are doing, as web pages and as a JSON API: an axum router that an
//! application mounts under a path of its own, or that `tenure run` serves.
//!
//! ```
//! use std::sync::Arc;
//! use tenure_dashboard::{Access, Dashboard};
//! use tenure_memory::MemoryStore;
//!
//! // The application has a login of its own, and lets only those through who may use this.
//! let store = Arc::new(MemoryStore::new());
//! let dashboard = Dashboard::builder(store.clone(), store)
//!     .access(Access::outside())
//!     .build();
//! let app: axum::Router = axum::Router::new().nest("/tenure", dashboard.router());
//! # let _ = app;
//! ```
//!
//! # What it promises
//! - **Nobody gets in by default**: without [`DashboardBuilder::access`] every request is refused,
//!   and a [`Server`] beyond loopback does not start without a credential.
//! - **Looking, changing and taking locks away are three rights.** Whatever changes something is a
//!   POST that needs the second or the third, comes from a page of ours or from no browser, and
//!   leaves a record of who did it and from where.
//! - **Tokens end**: each has one right, a name for the record, an end if it is given one, and is
//!   kept as a digest in a list that may be exchanged at any time.
//! - **Bounded**: pages, bodies, connections, listeners and the time of a request; however many
//!   pages are open, the store is asked once a second at most for each view.
//! - **Text is text**: nothing that comes from a store runs in a browser, and the content security
//!   policy allows no script but our own.
//!
//! # What it does not
//! It speaks no TLS: put a proxy in front of it, or mount it in a server that does. It shows one
//! store. What a run prints while it goes on is known to the node that runs it only.

mod api;
mod auth;
mod change;
mod dashboard;
mod pages;
mod problem;
mod routes;
mod server;
mod site;
pub mod view;

pub use auth::{Access, AccessError, ApiToken, Credentials, Peers, Right, TokenList, Visitor};
pub use dashboard::{Dashboard, DashboardBuilder};
pub use routes::{Route, routes};
pub use server::{ServeError, Server};
pub use view::{Finding, StoreMeter, Verdict, View};
