//! A lock in three lines. Start it in two terminals: the second waits for the first.
//!
//! `cargo run --example lock`

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let locks = tenure::connect("sqlite:example-locks.db").await?.locks();
    let guard = locks.lock("invoice/42").acquire().await?;
    tokio::select! {
        () = work(guard.fence()) => {}
        reason = guard.lost() => eprintln!("stopped: {reason}"),
    }
    guard.release().await?;
    Ok(())
}

/// Whatever only one process may do at a time. The resource keeps the largest fence it has seen
/// and refuses smaller ones: that stops a process that was paused and writes late.
async fn work(fence: tenure::Fence) {
    println!("working under fence {fence} for five seconds");
    tokio::time::sleep(Duration::from_secs(5)).await;
}
