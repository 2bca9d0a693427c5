//! The servers that tests use.
//!
//! The stores built so far need none. A server gets a row here together with the store that needs
//! it; leaving one out is asked for by name (`TENURE_WITHOUT=name`) and reported.

use clap::ValueEnum;

use crate::say;

/// What to do with the servers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Action {
    /// Starts those that do not run.
    Up,
    /// Stops those that run.
    Down,
    /// Lists them.
    Status,
}

/// The names of the servers that tests know.
const SERVERS: [&str; 0] = [];

/// Does what was asked for.
pub(crate) fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Up => up(),
        Action::Down | Action::Status => {
            say_none();
            Ok(())
        }
    }
}

/// Starts every server that was not left out by name.
pub(crate) fn up() -> anyhow::Result<()> {
    for name in left_out() {
        anyhow::ensure!(
            SERVERS.contains(&name.as_str()),
            "TENURE_WITHOUT names `{name}`, which no test uses; known: {SERVERS:?}"
        );
    }
    say_none();
    Ok(())
}

fn say_none() {
    say("servers: none needed, the stores built so far are embedded");
}

/// The servers that whoever runs the tests asked to leave out.
pub(crate) fn left_out() -> Vec<String> {
    let named = std::env::var("TENURE_WITHOUT").unwrap_or_default();
    named
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
