//! How large the released program is, and how long it takes to start: what docs/performance.md says
//! of both.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use crate::{musl, now, say};

/// What to start.
#[derive(Debug, Args)]
pub(crate) struct Startup {
    /// A program that is built already; without it the release build is made
    #[arg(long, value_name = "PATH")]
    program: Option<std::path::PathBuf>,
    /// How often each command is started
    #[arg(long, value_name = "N", default_value_t = 200)]
    times: usize,
}

/// Commands that end at once, and what each shows: the bare start, a schedule, and a store.
const COMMANDS: [&[&str]; 3] = [
    &["--version"],
    &["explain", "0 0 2 L * *"],
    &["locks", "--json"],
];

/// Measures and tells.
pub(crate) fn run(root: &Path, startup: &Startup) -> anyhow::Result<bool> {
    let program = if let Some(program) = &startup.program {
        std::path::absolute(program)?
    } else {
        say("cargo build --release -p tenure-cli");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--locked", "-p", "tenure-cli"])
            .current_dir(root)
            .status()?;
        ensure!(built.success(), "the program was not built");
        musl::target_folder(root).join("release/tenure")
    };
    ensure!(startup.times > 0, "--times must be at least 1");
    let size = std::fs::metadata(&program).with_context(|| program.display().to_string())?;
    say(format_args!("{} kB", size.len() / 1000));
    let place = std::env::temp_dir().join(format!("tenure-startup-{}", std::process::id()));
    std::fs::create_dir_all(&place)?;
    let told = tell(&program, &place, startup.times);
    std::fs::remove_dir_all(&place)?;
    told.map(|()| true)
}

fn tell(program: &Path, place: &Path, times: usize) -> anyhow::Result<()> {
    let start = |words: &[&str]| -> anyhow::Result<Duration> {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(place)
            .env("TENURE_STORE", "sqlite:store.db")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let begun = now();
        let status = command.status()?;
        let took = begun.elapsed();
        ensure!(status.success(), "tenure {}: {status}", words.join(" "));
        Ok(took)
    };
    // The last one looks at a store, which has to be there.
    start(&["lock", "k", "--", "true"])?;
    for words in COMMANDS {
        let mut took = (0..times)
            .map(|_| start(words))
            .collect::<anyhow::Result<Vec<_>>>()?;
        took.sort_unstable();
        let at = |share: usize| {
            let place = took.get(times * share / 100).or(took.last());
            place.map_or(0.0, |took| took.as_secs_f64() * 1000.0)
        };
        say(format_args!(
            "tenure {}: median {:.2} ms, fastest {:.2} ms, p95 {:.2} ms of {times}",
            words.join(" "),
            at(50),
            at(0),
            at(95)
        ));
    }
    Ok(())
}
