//! Whether each run began once, and whether each tick has a record.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Rule, Verdict};
use crate::history::{Head, Record, Step};

#[derive(Debug)]
pub(super) struct Runs {
    repeated: BTreeSet<String>,
    /// How many runs a tick of each task has.
    widths: BTreeMap<String, u32>,
    /// Which attempts of each run began.
    begun: HashMap<Run, BTreeSet<u32>>,
    due: BTreeSet<(String, i64)>,
    kept: BTreeSet<Run>,
}

type Run = (String, i64, u32);

impl Runs {
    pub(super) fn new(head: &Head) -> Self {
        Self {
            repeated: head.repeated.iter().cloned().collect(),
            widths: head.tasks.clone(),
            begun: HashMap::new(),
            due: BTreeSet::new(),
            kept: BTreeSet::new(),
        }
    }

    pub(super) fn see(&mut self, record: &Record, verdict: &mut Verdict) {
        match &record.step {
            Step::Start {
                task,
                tick,
                index,
                attempt,
            } => {
                verdict.starts += 1;
                let attempts = self.begun.entry((task.clone(), *tick, *index)).or_default();
                let is_new = attempts.insert(*attempt);
                let finding = verdict.finding(Rule::Claims);
                if !is_new {
                    finding.violated(
                        record,
                        format_args!(
                            "{task} at {tick}, run {index}, attempt {attempt} began twice"
                        ),
                    );
                } else if attempts.len() > 1 && !self.repeated.contains(task) {
                    finding.violated(
                        record,
                        format_args!("{task} at {tick}, run {index}, was repeated: {attempts:?}"),
                    );
                }
            }
            Step::Due { task, tick } => {
                self.due.insert((task.clone(), *tick));
            }
            Step::Kept {
                task,
                tick,
                index,
                state,
                ..
            } => {
                let run = (task.clone(), *tick, *index);
                let finding = verdict.finding(Rule::Claims);
                finding.tried += 1;
                *verdict.states.entry(state.clone()).or_default() += 1;
                if state == "succeeded" && !self.begun.contains_key(&run) {
                    verdict.finding(Rule::Claims).violated(
                        record,
                        format_args!("{task} at {tick}, run {index}, ended well and never began"),
                    );
                }
                self.kept.insert(run);
            }
            _ => {}
        }
    }

    /// Every run of every tick that was due has a record.
    pub(super) fn finish(&mut self, verdict: &mut Verdict) {
        for (task, tick) in &self.due {
            let width = self.widths.get(task).copied().unwrap_or(1);
            for index in 1..=width {
                if self.kept.contains(&(task.clone(), *tick, index)) {
                    continue;
                }
                let finding = verdict.finding(Rule::Claims);
                finding.tried += 1;
                finding.violated(
                    &Record::new(0, "the store", Step::Alive),
                    format_args!("{task} at {tick}, run {index}, has no record"),
                );
            }
        }
    }
}
