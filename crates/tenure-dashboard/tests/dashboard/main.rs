//! The dashboard against real stores.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at what it did not expect, also in the functions it shares"
)]

mod access;
mod ahead;
mod anything;
mod api;
mod client;
mod refusals;
mod view;
