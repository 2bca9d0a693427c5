//! The dashboard in a real browser, served by real `tenure run` processes.
//!
//! Whatever a test does, its pages may open no dialog, raise no error, be refused nothing by their
//! policy and ask nobody but their server: [`site::Site`] looks at the end of each test.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helper may fail the test"
)]

#[path = "../program/mod.rs"]
mod program;

mod change;
mod hostile;
mod live;
mod login;
mod many;
mod pages;
mod scene;
mod site;
