//! The lock component as a program uses it: over the memory store, through connectors that record
//! what they are asked, with real packets for name servers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking; clippy only frees functions marked as tests"
)]

#[cfg(feature = "dns")]
#[expect(
    clippy::indexing_slicing,
    reason = "packets are bytes at places, and helpers of tests fail by panicking"
)]
mod dns;
mod life_cycle;
mod locking;
mod logging;
#[cfg(feature = "redis")]
mod real_redis;
mod releases;
mod support;
