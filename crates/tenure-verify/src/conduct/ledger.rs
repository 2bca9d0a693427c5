//! What clients told, in order, judged and written down.

use std::collections::BTreeMap;

use tenure_bench::Trouble;

use super::History;
use crate::client::now;
use crate::history::{Head, Record, Step};
use crate::judge::{Judge, Register, Verdict};
use crate::merge::Merge;

/// What was told so far, in order, judged and written down.
pub(super) struct Ledger {
    pub(super) merge: Merge,
    judge: Judge,
    resource: Register,
    /// Who holds a lock, as far as was told.
    pub(super) holding: BTreeMap<String, String>,
    history: Option<History>,
}

impl Ledger {
    pub(super) fn new(head: &Head, history: Option<History>) -> Result<Self, Trouble> {
        let mut ledger = Self {
            merge: Merge::default(),
            judge: Judge::new(head),
            resource: Register::default(),
            holding: BTreeMap::new(),
            history,
        };
        ledger.write(head)?;
        Ok(ledger)
    }

    fn write(&mut self, what: &impl serde::Serialize) -> Result<(), Trouble> {
        if let Some(history) = &mut self.history {
            let mut line = serde_json::to_vec(what).map_err(Trouble::wrong)?;
            line.push(b'\n');
            history.write_all(&line).map_err(Trouble::Output)?;
        }
        Ok(())
    }

    /// Somebody did something. A write arrives at the resource at this moment.
    pub(super) fn told(&mut self, record: Record) {
        match &record.step {
            Step::Granted { owner, .. } => {
                self.holding.insert(owner.clone(), record.p.clone());
            }
            Step::Release { owner, .. } | Step::Lost { owner, .. } => {
                self.holding.remove(owner);
            }
            Step::Died => self.holding.retain(|_, holder| *holder != record.p),
            _ => {}
        }
        if let Step::Write {
            lock, owner, fence, ..
        }
        | Step::CarelessWrite { lock, owner, fence } = &record.step
        {
            let accepted = self.resource.accepts(*lock, *fence);
            let written = Step::Written {
                lock: *lock,
                owner: owner.clone(),
                fence: *fence,
                accepted,
            };
            self.merge.push(Record::new(now(), "resource", written));
        }
        self.merge.push(record);
    }

    /// Judges what has nothing before it any more.
    pub(super) fn look(&mut self) -> Result<(), Trouble> {
        self.look_until(now())
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> &Verdict {
        self.judge.so_far()
    }

    fn look_until(&mut self, until: u64) -> Result<(), Trouble> {
        while let Some(record) = self.merge.next(until) {
            // It brings the others into order, and says nothing to a judge.
            if record.step != Step::Alive {
                self.judge.see(&record);
                self.write(&record)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Verdict, Trouble> {
        self.look_until(u64::MAX)?;
        if let Some(history) = &mut self.history {
            history.flush().map_err(Trouble::Output)?;
        }
        Ok(self.judge.finish())
    }
}
