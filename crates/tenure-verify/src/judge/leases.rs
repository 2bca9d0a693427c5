//! Whether locks had one holder at a time, and whether fences grew.
//!
//! A holder acts from the moment its grant came back until it begins to give it back or its time
//! is over, whichever is first. That is known when it ends, so spans are compared then: with those
//! that ended earlier and began before its end.

use std::collections::{BTreeMap, HashMap};

use super::{Rule, Verdict};
use crate::history::{Record, Step};

/// How many fences of a lock are remembered before those that nothing can meet are forgotten.
const MANY: usize = 1024;

#[derive(Debug)]
pub(super) struct Leases {
    locks: HashMap<u32, Lock>,
    is_fenced: bool,
}

#[derive(Debug, Default)]
struct Lock {
    /// Who has asked: the greatest fence that was granted by then, and when.
    asked: HashMap<String, Wish>,
    open: HashMap<String, Hold>,
    past: Vec<Span>,
    fences: BTreeMap<u64, String>,
    greatest: u64,
    /// When it was last granted.
    granted_at: u64,
}

#[derive(Debug)]
struct Wish {
    known: u64,
    at: u64,
}

#[derive(Debug)]
struct Hold {
    of: String,
    from: u64,
    until: u64,
    fence: u64,
}

/// Somebody could act from … to; without a deadline it would have been longer.
#[derive(Debug)]
struct Span {
    owner: String,
    fence: u64,
    from: u64,
    to: u64,
    careless_to: u64,
}

impl Leases {
    pub(super) fn new(is_fenced: bool) -> Self {
        Self {
            locks: HashMap::new(),
            is_fenced,
        }
    }

    pub(super) fn see(&mut self, record: &Record, verdict: &mut Verdict) {
        let t = record.t;
        match &record.step {
            Step::Ask { lock, owner } => {
                let lock = self.locks.entry(*lock).or_default();
                let known = lock.greatest;
                lock.asked.insert(owner.clone(), Wish { known, at: t });
            }
            Step::Granted {
                lock,
                owner,
                fence,
                until,
            } => {
                let lock = self.locks.entry(*lock).or_default();
                verdict.grants += 1;
                verdict.finding(Rule::Overlap).tried += 1;
                lock.wait_ended(t, owner, verdict);
                if self.is_fenced {
                    lock.check_fence(record, owner, *fence, verdict);
                }
                lock.asked.remove(owner);
                let hold = Hold {
                    of: record.p.clone(),
                    from: t,
                    until: *until,
                    fence: *fence,
                };
                lock.open.insert(owner.clone(), hold);
            }
            Step::Renewed { lock, owner, until } => {
                let lock = self.locks.entry(*lock).or_default();
                if let Some(hold) = lock.open.get_mut(owner) {
                    hold.until = hold.until.max(*until);
                }
            }
            Step::NotHad { lock, owner } => {
                let lock = self.locks.entry(*lock).or_default();
                lock.waited_in_vain(t, owner, verdict);
            }
            Step::Unknown { lock, owner, .. } => {
                verdict.unknown += 1;
                let lock = self.locks.entry(*lock).or_default();
                lock.waited_in_vain(t, owner, verdict);
            }
            Step::Release { lock, owner, until }
            | Step::Lost {
                lock, owner, until, ..
            } => {
                let lock = self.locks.entry(*lock).or_default();
                lock.close(record, owner, *until, verdict);
            }
            Step::Died => {
                for lock in self.locks.values_mut() {
                    lock.died(record, verdict);
                }
            }
            _ => {}
        }
    }
}

impl Lock {
    /// Somebody has it: for how long did somebody want it in vain?
    fn wait_ended(&mut self, t: u64, owner: &str, verdict: &mut Verdict) {
        let others = self.asked.keys().any(|other| other != owner) || !self.open.is_empty();
        verdict.contended += u64::from(others);
        let wanted_since = self.asked.values().map(|wish| wish.at).min().unwrap_or(t);
        let idle = t.saturating_sub(wanted_since.max(self.granted_at));
        verdict.longest_wait = verdict.longest_wait.max(idle);
        self.granted_at = t;
    }

    /// Somebody does not wait any more: if nobody was granted it meanwhile, for how long?
    fn waited_in_vain(&mut self, t: u64, owner: &str, verdict: &mut Verdict) {
        if let Some(wish) = self.asked.remove(owner) {
            let idle = t.saturating_sub(wish.at.max(self.granted_at));
            verdict.longest_wait = verdict.longest_wait.max(idle);
        }
    }

    fn check_fence(&mut self, record: &Record, owner: &str, fence: u64, verdict: &mut Verdict) {
        let finding = verdict.finding(Rule::GrowingFences);
        finding.tried += 1;
        let known = self.asked.get(owner).map_or(0, |wish| wish.known);
        if fence <= known {
            finding.violated(
                record,
                format_args!("was granted fence {fence}, and {known} had been granted before"),
            );
        } else if let Some(first) = self.fences.get(&fence) {
            finding.violated(
                record,
                format_args!("was granted fence {fence}, and so was {first}"),
            );
        }
        self.fences.insert(fence, owner.to_owned());
        self.greatest = self.greatest.max(fence);
        if self.fences.len() > MANY {
            // Who asked since then is compared with what was known; only who asked earlier can
            // still meet an older one.
            let oldest = self.asked.values().map(|wish| wish.known).min();
            self.fences = self.fences.split_off(&oldest.unwrap_or(self.greatest));
        }
    }

    fn died(&mut self, record: &Record, verdict: &mut Verdict) {
        let gone = self.open.iter().filter(|(_, hold)| hold.of == record.p);
        let gone: Vec<(String, u64)> = gone.map(|(owner, it)| (owner.clone(), it.until)).collect();
        for (owner, until) in gone {
            self.close(record, &owner, until, verdict);
        }
        let mine = format!("{}-", record.p);
        self.asked.retain(|owner, _| !owner.starts_with(&mine));
    }

    fn close(&mut self, record: &Record, owner: &str, until: u64, verdict: &mut Verdict) {
        let Some(hold) = self.open.remove(owner) else {
            return;
        };
        let span = Span {
            owner: owner.to_owned(),
            fence: hold.fence,
            from: hold.from,
            to: record.t.min(until.max(hold.until)),
            careless_to: record.t,
        };
        for other in &self.past {
            if other.from < span.to && span.from < other.to {
                verdict.finding(Rule::Overlap).violated(
                    record,
                    format_args!(
                        "{} with fence {} and {} with fence {} both held the lock for {} µs",
                        other.owner,
                        other.fence,
                        span.owner,
                        span.fence,
                        (span.to.min(other.to) - span.from.max(other.from)) / 1000
                    ),
                );
            }
            if other.from < span.careless_to && span.from < other.careless_to {
                verdict.overlaps_without_deadlines += 1;
            }
        }
        self.past.push(span);
        // Whoever is granted it later than now meets none of these.
        let oldest = self.open.values().map(|hold| hold.from).min();
        self.past
            .retain(|span| oldest.is_some_and(|from| span.careless_to > from));
    }
}
