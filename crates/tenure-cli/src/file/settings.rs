//! The settings that a task may have and that `[defaults]` may set for all tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tenure::schedule::{Dialect, DstGap, DstOverlap};
use tenure::tasks::{Affinity, Keep, OnLeaseLoss};
use tenure::{CatchUp, Overlap, Retry, Zone};
use toml::de::DeValue;

use super::account::{Account, read_account, read_log};
use super::keep::read_keep;
use super::problem::Place;
use super::section::Section;
use crate::mask::{FAULT, MOST_PATTERNS, Pattern};

/// What a crash of the process does to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    Lose,
    Retry,
}

/// What becomes of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputMode {
    Keep,
    Discard,
}

/// What a table says; what it does not say is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) zone: Option<Zone>,
    pub(crate) dialect: Option<Dialect>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) inherit_env: Option<bool>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) user: Option<Account>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: Option<u32>,
    pub(crate) overlap: Option<Overlap>,
    pub(crate) queue_max: Option<(u32, Place)>,
    pub(crate) max_running: Option<(u32, Place)>,
    pub(crate) max_running_per_node: Option<(u32, Place)>,
    pub(crate) catch_up: Option<CatchUp>,
    pub(crate) catch_up_window: Option<Duration>,
    pub(crate) catch_up_max: Option<usize>,
    pub(crate) retry: Option<Retry>,
    pub(crate) on_crash: Option<Crash>,
    pub(crate) on_lease_loss: Option<OnLeaseLoss>,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) jitter: Option<Duration>,
    pub(crate) success_codes: Option<Vec<i32>>,
    pub(crate) enabled: Option<bool>,
    pub(crate) dst_gap: Option<DstGap>,
    pub(crate) dst_overlap: Option<DstOverlap>,
    pub(crate) output: Option<OutputMode>,
    pub(crate) mask: Option<Arc<[Pattern]>>,
    pub(crate) keep: Option<Keep>,
}

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// As many parallel runs as one tick of one task may have.
const MAX_CONCURRENCY: i64 = 1000;
/// As many past ticks as are made up for at once.
const MAX_CATCH_UP: i64 = 1000;
const MAX_ATTEMPTS: i64 = 1000;
/// The bounds of delays if a file says one of them only.
const DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

const MAX_QUEUE: i64 = 1000;
const MAX_RUNNING: i64 = 1_000_000;

/// The overlap rules by their words. How many may wait is said by a key of its own.
const OVERLAPS: [(&str, Overlap); 5] = [
    ("skip", Overlap::Skip),
    ("allow", Overlap::Allow),
    ("queue_one", Overlap::QueueOne),
    (
        "queue_all",
        Overlap::QueueAll {
            max: Overlap::DEFAULT_QUEUE_MAX,
        },
    ),
    ("cancel_other", Overlap::CancelOther),
];

const CATCH_UPS: [(&str, CatchUp); 4] = [
    ("skip", CatchUp::Skip),
    ("latest", CatchUp::Latest),
    ("earliest", CatchUp::Earliest),
    ("all", CatchUp::All),
];

/// What every command is told by these variables, so that no file may set them.
pub(crate) const OWN_VARIABLES: [&str; 6] = [
    "TENURE_TASK",
    "TENURE_TICK",
    "TENURE_INDEX",
    "TENURE_ATTEMPT",
    "TENURE_FENCE",
    "TENURE_RUN_ID",
];

impl Settings {
    pub(crate) fn read(section: &mut Section<'_, '_, '_>) -> Self {
        Self {
            zone: zone(section),
            dialect: dialect(section),
            env: environment(section),
            inherit_env: section.boolean("inherit_env"),
            dir: folder(section),
            user: read_account(section),
            log: read_log(section),
            timeout: section.duration("timeout", 10 * MS, 365 * DAY),
            concurrency: section
                .number("concurrency", 1, MAX_CONCURRENCY)
                .and_then(|number| u32::try_from(number).ok()),
            overlap: section.word("overlap", &OVERLAPS, &[]),
            queue_max: limit(section, "queue_max", MAX_QUEUE),
            max_running: limit(section, "max_running", MAX_RUNNING),
            max_running_per_node: limit(section, "max_running_per_node", MAX_RUNNING),
            catch_up: section.word("catch_up", &CATCH_UPS, &[]),
            catch_up_window: section.duration("catch_up_window", 1000 * MS, 31 * DAY),
            catch_up_max: section
                .number("catch_up_max", 1, MAX_CATCH_UP)
                .and_then(|number| usize::try_from(number).ok()),
            retry: retry(section),
            on_crash: section.word(
                "on_crash",
                &[("lose", Crash::Lose), ("retry", Crash::Retry)],
                &[],
            ),
            on_lease_loss: section.word(
                "on_lease_loss",
                &[
                    ("stop", OnLeaseLoss::Stop),
                    ("continue", OnLeaseLoss::Continue),
                ],
                &[],
            ),
            affinity: affinity(section),
            jitter: section.duration("jitter", Duration::ZERO, DAY),
            success_codes: success_codes(section),
            enabled: section.boolean("enabled"),
            dst_gap: section.word(
                "dst_gap",
                &[("run_after", DstGap::RunAfter), ("skip", DstGap::Skip)],
                &[],
            ),
            dst_overlap: section.word(
                "dst_overlap",
                &[
                    ("first", DstOverlap::First),
                    ("last", DstOverlap::Last),
                    ("both", DstOverlap::Both),
                ],
                &[],
            ),
            output: section.word(
                "output",
                &[("keep", OutputMode::Keep), ("discard", OutputMode::Discard)],
                &["file", "stream"],
            ),
            mask: mask(section),
            keep: read_keep(section),
        }
    }

    /// These settings, and those of `defaults` where these say nothing. Environments are joined.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        let defaults = defaults.clone();
        let mut env = defaults.env;
        env.retain(|(name, _)| self.env.iter().all(|(own, _)| own != name));
        env.extend(self.env);
        Self {
            zone: self.zone.or(defaults.zone),
            dialect: self.dialect.or(defaults.dialect),
            env,
            inherit_env: self.inherit_env.or(defaults.inherit_env),
            dir: self.dir.or(defaults.dir),
            user: self.user.or(defaults.user),
            log: self.log.or(defaults.log),
            timeout: self.timeout.or(defaults.timeout),
            concurrency: self.concurrency.or(defaults.concurrency),
            overlap: self.overlap.or(defaults.overlap),
            queue_max: self.queue_max.or(defaults.queue_max),
            max_running: self.max_running.or(defaults.max_running),
            max_running_per_node: self.max_running_per_node.or(defaults.max_running_per_node),
            catch_up: self.catch_up.or(defaults.catch_up),
            catch_up_window: self.catch_up_window.or(defaults.catch_up_window),
            catch_up_max: self.catch_up_max.or(defaults.catch_up_max),
            retry: self.retry.or(defaults.retry),
            on_crash: self.on_crash.or(defaults.on_crash),
            on_lease_loss: self.on_lease_loss.or(defaults.on_lease_loss),
            affinity: self.affinity.or(defaults.affinity),
            jitter: self.jitter.or(defaults.jitter),
            success_codes: self.success_codes.or(defaults.success_codes),
            enabled: self.enabled.or(defaults.enabled),
            dst_gap: self.dst_gap.or(defaults.dst_gap),
            dst_overlap: self.dst_overlap.or(defaults.dst_overlap),
            output: self.output.or(defaults.output),
            mask: self.mask.or(defaults.mask),
            keep: self.keep.or(defaults.keep),
        }
    }
}

/// A whole number from 1 on, with the place of its key.
fn limit(section: &mut Section<'_, '_, '_>, key: &'static str, most: i64) -> Option<(u32, Place)> {
    let number = section.number(key, 1, most)?;
    let place = section.key_place(key)?;
    u32::try_from(number).ok().map(|number| (number, place))
}

/// What must not be kept of the output.
fn mask(section: &mut Section<'_, '_, '_>) -> Option<Arc<[Pattern]>> {
    let help = || Some("write mask = [\"password=*\"]; `*` stands for the secret".to_owned());
    let texts = section.strings("mask", "an array of strings")?;
    if texts.len() > MOST_PATTERNS {
        let place = section.key_place("mask")?;
        let reason = format!("there may be {MOST_PATTERNS} patterns at most");
        section.refuse("mask", place, &reason, None);
        return None;
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for text in texts {
        match Pattern::parse(text.text) {
            Some(pattern) => patterns.push(pattern),
            None => section.refuse("mask", text.place, FAULT, help()),
        }
    }
    Some(patterns.into())
}

fn success_codes(section: &mut Section<'_, '_, '_>) -> Option<Vec<i32>> {
    let codes = section.numbers("success_codes", 0..=255)?;
    if codes.is_empty() {
        let place = section.key_place("success_codes")?;
        let help = "write success_codes = [0], or leave it out".to_owned();
        section.refuse("success_codes", place, "no run could succeed", Some(help));
        return None;
    }
    Some(
        codes
            .into_iter()
            .filter_map(|code| i32::try_from(code).ok())
            .collect(),
    )
}

fn affinity(section: &mut Section<'_, '_, '_>) -> Option<Affinity> {
    let words = [("spread", Affinity::Spread), ("sticky", Affinity::Sticky)];
    section.word("affinity", &words, &[])
}

fn zone(section: &mut Section<'_, '_, '_>) -> Option<Zone> {
    let text = section.string("zone")?;
    match Zone::parse(text.text) {
        Ok(zone) => Some(zone),
        Err(error) => {
            let place = text.inside(section.reading, error.span());
            section.refuse("zone", place, &error.to_string(), error.help());
            None
        }
    }
}

fn dialect(section: &mut Section<'_, '_, '_>) -> Option<Dialect> {
    let words = Dialect::ALL.map(|dialect| (dialect.as_str(), dialect));
    section.word("dialect", &words, &[])
}

fn environment(section: &mut Section<'_, '_, '_>) -> Vec<(String, String)> {
    let mut env = Vec::new();
    for (name, value) in section.string_table("env") {
        let reason = if name.text.is_empty() || name.text.contains(['=', '\0']) {
            "a variable's name must not be empty or hold `=`"
        } else if OWN_VARIABLES.contains(&name.text) {
            "tenure sets this variable itself"
        } else if value.contains('\0') {
            "a variable's value cannot hold a NUL"
        } else {
            env.push((name.text.to_owned(), value));
            continue;
        };
        section.refuse("env", name.place, reason, None);
    }
    env
}

fn folder(section: &mut Section<'_, '_, '_>) -> Option<PathBuf> {
    let (path, place) = section.path("dir")?;
    if path.is_dir() {
        return Some(path);
    }
    let reason = if path.exists() {
        "is not a folder"
    } else {
        "does not exist"
    };
    let help = "create it, or name another; it is relative to the task file's folder";
    section.refuse("dir", place, reason, Some(help.to_owned()));
    None
}

fn retry(section: &mut Section<'_, '_, '_>) -> Option<Retry> {
    let found = section.any("retry")?;
    match found.value {
        DeValue::Integer(_) => section
            .number("retry", 1, MAX_ATTEMPTS)
            .and_then(|attempts| u32::try_from(attempts).ok())
            .map(Retry::exponential),
        DeValue::Table(table) => {
            let place = section.reading.place(found.span);
            let mut inner = Section::new(section.reading, &mut *section.problems, table, "`retry`");
            let attempts = inner.number("attempts", 1, MAX_ATTEMPTS);
            let first = inner.duration("first", MS, DAY);
            let most = inner.duration("most", MS, DAY);
            let past_next_tick = inner.boolean("past_next_tick").unwrap_or(false);
            let within = inner.duration("within", MS, 366 * DAY);
            let is_missing = inner.key_place("attempts").is_none();
            inner.finish(&[]);
            if is_missing {
                let help = "write retry = 5 or retry = { attempts = 5, first = \"1s\" }";
                let reason = "`attempts` is missing";
                section.refuse("retry", place.clone(), reason, Some(help.to_owned()));
            }
            let first = first.unwrap_or(DELAYS.0);
            let most = most.unwrap_or(DELAYS.1.max(first));
            if first > most {
                section.refuse("retry", place, "`first` is longer than `most`", None);
                return None;
            }
            let retry = Retry::exponential(u32::try_from(attempts?).ok()?).between(first, most);
            let retry = within.map_or(retry, |time| retry.within(time));
            Some(if past_next_tick {
                retry.past_next_tick()
            } else {
                retry
            })
        }
        _ => {
            section.wrong_type("retry", &found, "a number of attempts, or a table");
            None
        }
    }
}
