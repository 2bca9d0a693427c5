//! What only this store can show: several processes on one file, files that are locked, damaged or
//! somebody else's.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "these are tests: helpers panic, and children report on standard output"
)]

mod parts;
