//! A task as it was checked: everything about it but its code.
//!
//! This is what managers see, what nodes register, and what the runner computes with. It is only
//! made by the check of a configuration, so whoever has one need not check again.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Ability, Definition, Ended, Generation, MaxRunning, OnChange, OnCrash, Overlap, RunKey,
    RunKind, TaskName, Timestamp, format_duration,
};
use tenure_schedule::{Schedule, Zone};

use crate::hash::{self, Hash};
use crate::keep::Keep;
use crate::policy::{Affinity, CatchUp, OnLeaseLoss, Retry};

/// 2026-01-01T00:00:00Z: periods are measured from here, so that every node measures the same.
const ANCHOR: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A checked task, without its code.
///
/// A process can hold very many: it is a name and a pointer to its terms, which tasks share.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskSpec {
    pub(crate) name: TaskName,
    pub(crate) terms: Arc<Terms>,
}

/// Everything about a task but its name and its code: the same for many tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) schedule: Schedule,
    pub(crate) generation: Generation,
    pub(crate) concurrency: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Retry,
    pub(crate) overlap: Overlap,
    pub(crate) max_running: Option<u32>,
    pub(crate) max_running_per_node: Option<u32>,
    pub(crate) catch_up: CatchUp,
    pub(crate) catch_up_window: Duration,
    pub(crate) catch_up_max: usize,
    pub(crate) on_crash: OnCrash,
    pub(crate) on_lease_loss: OnLeaseLoss,
    pub(crate) affinity: Affinity,
    pub(crate) jitter: Duration,
    /// What the jitter is drawn for besides task and tick. No part of the generation: it belongs
    /// to the store, not to the definition.
    pub(crate) of_namespace: u64,
    pub(crate) details: Box<str>,
    pub(crate) aliases: Arc<[TaskName]>,
    pub(crate) number: u32,
    pub(crate) on_change: OnChange,
    pub(crate) keep: Keep,
    pub(crate) is_retired: bool,
}

impl TaskSpec {
    /// The task's name.
    #[must_use]
    pub fn name(&self) -> &TaskName {
        &self.name
    }

    /// When it is due.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.terms.schedule
    }

    /// The version of the definition: differs whenever anything else here does.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.terms.generation
    }

    /// What nodes tell each other of it.
    pub(crate) fn ability(&self) -> Ability {
        Ability::of(self.name(), self.generation())
    }

    /// How many runs each tick has, with indices from 1.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.terms.concurrency
    }

    /// How long an attempt may take; `None`: as long as it likes.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.terms.timeout
    }

    /// How often a failed run is tried again.
    #[must_use]
    pub fn retry(&self) -> &Retry {
        &self.terms.retry
    }

    /// Whether a run may begin while an earlier one of the same index is in hand.
    #[must_use]
    pub fn overlap(&self) -> Overlap {
        self.terms.overlap
    }

    /// How many runs of it may be in hand at once in the whole cluster, over all ticks and indices;
    /// `None`: any number.
    #[must_use]
    pub fn max_running(&self) -> Option<u32> {
        self.terms.max_running
    }

    /// How many runs of it one node takes on at once; `None`: any number.
    #[must_use]
    pub fn max_running_per_node(&self) -> Option<u32> {
        self.terms.max_running_per_node
    }

    /// The limit that the store keeps.
    pub(crate) fn limit(&self) -> Option<MaxRunning> {
        let runs = self.terms.max_running?;
        Some(MaxRunning::new(runs, self.terms.concurrency))
    }

    /// What to do about ticks that nobody ran in time.
    #[must_use]
    pub fn catch_up(&self) -> CatchUp {
        self.terms.catch_up
    }

    /// How late a tick may still be run.
    #[must_use]
    pub fn catch_up_window(&self) -> Duration {
        self.terms.catch_up_window
    }

    /// How many ticks `catch_up = all` runs at most.
    #[must_use]
    pub fn catch_up_max(&self) -> usize {
        self.terms.catch_up_max
    }

    /// What a crash does to a run.
    #[must_use]
    pub fn on_crash(&self) -> OnCrash {
        self.terms.on_crash
    }

    /// What happens to running code when the node's lease can no longer be trusted.
    #[must_use]
    pub fn on_lease_loss(&self) -> OnLeaseLoss {
        self.terms.on_lease_loss
    }

    /// Which node asks for its runs first.
    #[must_use]
    pub fn affinity(&self) -> Affinity {
        self.terms.affinity
    }

    /// By how much starts are spread at most.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        self.terms.jitter
    }

    /// Whatever else was said about it.
    #[must_use]
    pub fn details(&self) -> &str {
        &self.terms.details
    }

    /// The names the task had before.
    #[must_use]
    pub fn aliases(&self) -> &[TaskName] {
        &self.terms.aliases
    }

    /// The number by which its definition is newer than others; 0 if it says none.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.terms.number
    }

    /// What becomes of other definitions while this is the newest.
    #[must_use]
    pub fn on_change(&self) -> OnChange {
        self.terms.on_change
    }

    /// Which records of its runs are kept.
    #[must_use]
    pub fn keep(&self) -> Keep {
        self.terms.keep
    }

    /// Whether it is only there to say that the task is over.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.terms.is_retired
    }

    /// What a node registers under the names the task had before, so that nobody else claims them.
    pub(crate) fn endings(&self) -> impl Iterator<Item = Definition> {
        let hash = Hash::new(7).text("renamed").text(self.name.as_str());
        let generation = Generation::new(format!("{:016x}", hash.finish())).ok();
        self.terms.aliases.iter().filter_map(move |alias| {
            let mut definition = Definition::new(alias.clone(), generation.clone()?, "-");
            definition.ended = Some(Ended::Renamed(self.name.clone()));
            Some(definition)
        })
    }

    /// Whether another definition has the very same schedule, in the same zone.
    pub(crate) fn has_schedule_of(&self, other: &Definition) -> bool {
        let schedule = self.schedule();
        other.schedule == schedule.text() && other.zone == schedule.zone().name()
    }

    /// What a node registers.
    #[must_use]
    pub fn definition(&self) -> Definition {
        let mut definition = Definition::new(
            self.name.clone(),
            self.terms.generation.clone(),
            self.terms.schedule.text(),
        );
        self.terms
            .schedule
            .zone()
            .name()
            .clone_into(&mut definition.zone);
        definition.concurrency = self.terms.concurrency;
        self.terms
            .details
            .as_ref()
            .clone_into(&mut definition.details);
        definition.number = self.terms.number;
        definition.on_change = self.terms.on_change;
        definition.aliases = self.terms.aliases.to_vec();
        definition.ended = self.terms.is_retired.then_some(Ended::Retired);
        definition
    }

    /// When the runs of `tick` should begin: the tick itself, or later by the task's jitter, but
    /// before the next tick. The delay is the same wherever the task runs in one namespace of a
    /// store; a spec that belongs to no store is of
    /// [`DEFAULT_NAMESPACE`](tenure_core::DEFAULT_NAMESPACE).
    #[must_use]
    pub fn fires_at(&self, tick: Timestamp) -> Timestamp {
        if self.terms.jitter.is_zero() {
            return tick;
        }
        let gap = self
            .tick_after(tick)
            .map_or(self.terms.jitter, |next| next.since(tick));
        let bound = self.terms.jitter.min(gap);
        tick + hash::jitter(self.terms.of_namespace, &self.name, tick, bound)
    }

    /// Why another attempt of a run may not begin at this instant, if it may not.
    pub(crate) fn bars_retry_at(&self, key: &RunKey, at: Timestamp) -> Option<String> {
        let retry = self.retry();
        let is_bounded = key.kind == RunKind::Scheduled && !retry.goes_past_next_tick();
        let next = is_bounded.then(|| self.tick_after(key.tick)).flatten();
        if next.is_some_and(|next| at >= next) {
            return Some("not tried again: the next tick is due before that".to_owned());
        }
        let time = retry.time().filter(|time| at > key.tick + *time)?;
        let time = format_duration(time);
        Some(format!(
            "not tried again: its time for that, {time}, is over"
        ))
    }

    /// The first tick after an instant.
    #[must_use]
    pub fn tick_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.terms
            .schedule
            .next_after(after.to_jiff())
            .map(Timestamp::from)
    }

    /// How late a claim may be: the catch-up window, and the jitter on top of it.
    pub(crate) fn claim_window(&self) -> Duration {
        self.terms.catch_up_window.saturating_add(self.terms.jitter)
    }
}

impl Terms {
    /// The generation of everything else. `zone_rules` tells apart nodes whose zone data differ: it
    /// stands behind the hash of what was written, so that two generations show whether they differ
    /// in the rules alone.
    pub(crate) fn hashed(&self, zone_rules: u64) -> String {
        let schedule = &self.schedule;
        // UTC has no rules that could differ.
        let (beside, within) = if *schedule.zone() == Zone::utc() {
            (None, zone_rules)
        } else {
            (Some(zone_rules), 0)
        };
        let hash = Hash::new(3)
            .text(schedule.text())
            .text(schedule.zone().name())
            .number(within)
            .text(schedule.gap().as_str())
            .text(schedule.overlap().as_str())
            .number(u64::from(self.concurrency))
            .text(&format!("{:?} {:?}", self.timeout, self.retry))
            .text(&format!(
                "{:?} {:?} {:?}",
                self.overlap, self.on_crash, self.on_lease_loss
            ))
            .text(&format!("{:?} {:?}", self.catch_up, self.catch_up_window))
            .number(self.catch_up_max as u64)
            .text(&format!("{:?}", self.jitter))
            .text(&self.details);
        // Without limits, tasks keep the generation they had before there were any.
        let hash = match (self.max_running, self.max_running_per_node) {
            (None, None) => hash,
            limits => hash.text(&format!("{limits:?}")),
        };
        // What is not said leaves the generation as it was before it could be said.
        let hash = match self.affinity {
            Affinity::Spread => hash,
            Affinity::Sticky => hash.text(self.affinity.as_str()),
        };
        let hash = self
            .aliases
            .iter()
            .fold(hash, |hash, alias| hash.text("alias").text(alias.as_str()));
        let hash = match (self.number, self.on_change) {
            (0, OnChange::Newest) => hash,
            (number, on_change) => hash.number(number.into()).text(on_change.as_str()),
        };
        let hash = if self.is_retired {
            hash.text("retired")
        } else {
            hash
        };
        let hash = hash.finish();
        beside.map_or_else(
            || format!("{hash:016x}"),
            |rules| format!("{hash:016x}{RULES}{rules:016x}"),
        )
    }
}

/// What stands in a generation between the hash of what was written and the rules of its zone.
const RULES: char = '.';

/// Whether two generations are of one definition, read by programs with other rules for its zone:
/// their copies of the time-zone database are of two versions, and may compute other ticks.
#[must_use]
pub fn differs_in_zone_rules(one: &Generation, other: &Generation) -> bool {
    let parts = |generation: &Generation| -> Option<(String, String)> {
        let (written, rules) = generation.as_str().split_once(RULES)?;
        Some((written.to_owned(), rules.to_owned()))
    };
    match (parts(one), parts(other)) {
        (Some(one), Some(other)) => one.0 == other.0 && one.1 != other.1,
        _ => false,
    }
}

/// Five minutes for tasks at most an hour apart, else their smallest distance, at most a day.
///
/// The distance is that of the first ticks after a fixed instant: it must not depend on when a
/// node starts.
pub(crate) fn default_window(schedule: &Schedule) -> Duration {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let ticks: Vec<_> = schedule.ticks_after(ANCHOR.to_jiff()).take(4).collect();
    let smallest = ticks
        .windows(2)
        .filter_map(|pair| match pair {
            [first, second] => Duration::try_from(second.duration_since(*first)).ok(),
            _ => None,
        })
        .min();
    match smallest {
        Some(gap) if gap <= Duration::from_secs(3600) => Duration::from_secs(300),
        Some(gap) => gap.min(DAY),
        None => DAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s18_a_generation_tells_which_rules_its_zone_had() {
        let spec = |zone: &str| {
            let task = crate::Task::<()>::new("t").schedule("0 9 * * *").zone(zone);
            task.run(|_| async {}).check().unwrap()
        };
        let (berlin, utc) = (spec("Europe/Berlin"), spec("UTC"));
        let generation = |text: String| Generation::new(text).unwrap();
        let of = |spec: &TaskSpec, rules| generation(spec.terms.hashed(rules));
        let own = berlin.schedule().zone().rules_fingerprint();
        assert_eq!(*berlin.generation(), of(&berlin, own));
        let older = of(&berlin, 7);
        assert_ne!(*berlin.generation(), older);
        assert!(differs_in_zone_rules(berlin.generation(), &older));
        assert!(older.as_str().ends_with(".0000000000000007"), "{older}");
        // Not so what is the same, differs in more, or has no rules that could differ.
        let paris = spec("Europe/Paris");
        assert!(!differs_in_zone_rules(&older, &older));
        assert!(!differs_in_zone_rules(&of(&paris, 1), &of(&berlin, 2)));
        assert!(!differs_in_zone_rules(utc.generation(), &older));
        assert!(!utc.generation().as_str().contains(RULES));
    }

    #[test]
    fn s57_the_default_window_follows_the_schedules_distance() {
        for (text, seconds) in [
            ("* * * * * *", 300),
            ("0 * * * *", 300),
            ("0 */2 * * *", 7_200),
            ("0 2 * * *", 86_400),
            ("0 2 1 * *", 86_400),
            ("@every 200ms", 300),
            ("-", 86_400),
        ] {
            let schedule = Schedule::parse(text).unwrap();
            assert_eq!(
                default_window(&schedule),
                Duration::from_secs(seconds),
                "{text}"
            );
        }
    }
}
