//! The command line of what needs no store: schedules, and task files that are only read.
//!
//! Words and bounds only; [`crate::schedules`] does it.

use std::path::PathBuf;

use clap::Args;
use tenure::core::Timestamp;

use super::value::tick_count;
use super::when::{instant, times};

/// A schedule given on the command line.
#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    /// The schedule: 5 to 7 fields, a word such as @daily, `@every 90s` or `@after 10m`; quote it
    #[arg(value_name = "EXPR")]
    pub(crate) expr: String,
    /// How to read it: `crontab`, `krontab`, `quartz`, `systemd` or `english`; without it, as
    /// crontab, unless the text itself begins with one of these and a colon
    #[arg(long, value_name = "DIALECT")]
    pub(crate) dialect: Option<String>,
    /// The zone its times are read in
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) zone: String,
    /// What to do with times the clocks jump over: `run_after` or `skip`
    #[arg(long, value_name = "POLICY", default_value = "run_after")]
    pub(crate) dst_gap: String,
    /// What to do with times that come twice: `first`, `last` or `both`
    #[arg(long, value_name = "POLICY", default_value = "first")]
    pub(crate) dst_overlap: String,
    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = times!())]
pub(crate) struct NextArgs {
    #[command(flatten)]
    pub(crate) schedule: ScheduleArgs,
    /// How many ticks
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = tick_count)]
    pub(crate) count: u32,
    /// After which time, instead of now; a time of day is today's
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(crate) from: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) schedule: ScheduleArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Task files, or folders of them (`*.toml`)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
