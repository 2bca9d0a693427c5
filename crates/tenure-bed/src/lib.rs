//! Real servers for tests: started, harmed and taken away with the test that asked for them.
//!
//! ```no_run
//! # async fn example() {
//! use tenure_bed::{Flavour, Redis};
//!
//! let redis = Redis::builder(Flavour::Redis).append_only().start().await;
//! redis.call(&["SET", "key", "value"]).await;
//! redis.restart().await; // killed; back on the same port with the same data
//! assert_eq!(redis.cli(&["GET", "key"]).await, "value");
//! # }
//! ```
//!
//! Every server is a process of its own with a folder of its own, about twenty milliseconds away.
//! Before a test gets it, it has proved that it is the process that was started and no stranger on
//! the same port. It is ended by its process id, never by a command sent to a port, and it does not
//! outlive the test, however the test ends: a watchdog sees to that.
//!
//! [`Sentinel`], [`Cluster`] and [`Quorum`] are several such servers, complete when a test gets
//! them. Only a cluster takes seconds to start, so tests that harm nothing share one:
//! [`Cluster::shared_url`].
//!
//! A [`Browser`] is Chromium without a window, for tests of pages.
//!
//! A [`Terminal`] is one that nobody sits at, for tests of what a person sees and types.
//!
//! A [`Relay`] in front of a server delays, stalls, cuts or loses what passes.
//!
//! Nothing here knows what tenure does, and no handle belongs to a runtime: one that was made in
//! one test may be used in another. Whatever goes wrong is a panic with a message, because that is
//! how a test fails. Programs come from `cargo xtask servers up`; see [`Flavour`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "this crate is for tests: a panic with a message is how a test fails"
)]

mod browser;
mod ca;
mod cluster;
mod control;
mod folder;
mod poll;
mod port;
mod process;
mod program;
mod quorum;
mod redis;
mod relay;
mod sentinel;
pub mod shared;
mod terminal;
mod wall;
mod watchdog;

pub use browser::{Browser, Look, pictures};
pub use ca::{Ca, Pair};
pub use cluster::{Cluster, Migration};
pub use control::Reply;
pub use poll::until;
pub use program::{Flavour, schemathesis};
pub use quorum::Quorum;
pub use redis::{Redis, RedisBuilder};
pub use relay::Relay;
pub use sentinel::Sentinel;
pub use terminal::Terminal;
