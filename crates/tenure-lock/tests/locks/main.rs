//! The lock layer over the memory store: on paused time, through a store that can be harmed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail by panicking; clippy only frees functions marked as tests"
)]

mod acquire;
mod admin;
mod cancel;
mod gate;
mod loss;
mod observe;
mod property;
mod release;
mod renewal;
mod runtime;
mod set;
mod shared;
mod support;
mod waiting;
