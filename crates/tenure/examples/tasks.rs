//! A task in five lines. Start it in several terminals: each tick runs in one of them.
//!
//! `cargo run --example tasks`

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::time::Duration;

use tenure::{SqliteLockManager, Task, TaskContext, TaskScheduling};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tasks = TaskScheduling::builder("example")
        .manager(SqliteLockManager::open("example-tasks.db").await?)
        .task(
            Task::new("rates")
                .schedule("*/5 * * * * *")
                .run(fetch_rates),
        )
        .start()
        .await?;
    println!("due every five seconds; Ctrl-C ends it");
    tokio::signal::ctrl_c().await?;
    tasks.drain(Duration::from_secs(30)).await;
    Ok(())
}

async fn fetch_rates(context: TaskContext<&'static str>) -> Result<(), std::io::Error> {
    println!("rates of {}, {:?} late", context.tick(), context.lateness());
    Ok(())
}
