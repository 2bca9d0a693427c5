//! Whether each run began once, and whether each tick has a record.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Rule, Verdict};
use crate::client::ATTEMPTS;
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
                let width = self.widths.get(task).copied().unwrap_or(0);
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
                } else if !(1..=width).contains(index) {
                    finding.violated(
                        record,
                        format_args!("{task} at {tick}, run {index} of {width}, began"),
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
                attempt,
                state,
            } => {
                let run = (task.clone(), *tick, *index);
                *verdict.states.entry(state.clone()).or_default() += 1;
                let finding = verdict.finding(Rule::Claims);
                finding.tried += 1;
                if let Some(what) = self.fault_of(&run, *attempt, state) {
                    let what = format_args!("{task} at {tick}, run {index}, {what}");
                    finding.violated(record, what);
                }
                self.kept.insert(run);
            }
            _ => {}
        }
    }

    /// What a record says that cannot be, after what was seen of its run.
    fn fault_of(&self, run: &Run, attempt: u32, state: &str) -> Option<String> {
        let last = self.begun.get(run).and_then(|attempts| attempts.last());
        let is_repeated = self.repeated.contains(&run.0);
        match (state, last) {
            ("succeeded", None) => Some("ended well and never began".to_owned()),
            ("skipped" | "missed", Some(_)) if !is_repeated => {
                Some(format!("began and is said to be {state}"))
            }
            ("lost", _) if is_repeated && attempt < ATTEMPTS => {
                Some(format!("was lost at attempt {attempt} and not tried again"))
            }
            (_, Some(last)) if attempt < *last => Some(format!(
                "is {state} at attempt {attempt}, and {last} had begun"
            )),
            _ => None,
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
