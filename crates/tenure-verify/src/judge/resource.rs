//! Whether a resource that looks at fences took a stale write, and how many it would have taken
//! without a look.

use std::collections::HashMap;

use super::{Rule, Verdict};
use crate::history::{Record, Step};

/// What a resource must remember to refuse what is stale: a number.
#[derive(Debug, Default)]
pub(crate) struct Register {
    greatest: HashMap<u32, u64>,
}

impl Register {
    /// Whether a write with this fence is taken.
    pub(crate) fn accepts(&mut self, lock: u32, fence: u64) -> bool {
        let greatest = self.greatest.entry(lock).or_default();
        let is_fresh = fence >= *greatest;
        *greatest = fence.max(*greatest);
        is_fresh
    }
}

#[derive(Debug, Default)]
pub(super) struct Resources {
    accepted: HashMap<u32, (u64, String)>,
    arrived: HashMap<u32, u64>,
}

impl Resources {
    pub(super) fn see(&mut self, record: &Record, verdict: &mut Verdict) {
        let Step::Written {
            lock,
            owner,
            fence,
            accepted,
        } = &record.step
        else {
            return;
        };
        // Without fences there is nothing to compare.
        let Some(finding) = verdict.findings.get_mut(&Rule::FencedWrites) else {
            return;
        };
        finding.tried += 1;
        let greatest = self.arrived.entry(*lock).or_default();
        verdict.stale_writes_without_fences += u64::from(fence < greatest);
        *greatest = (*greatest).max(*fence);
        if !accepted {
            verdict.refused_writes += 1;
            return;
        }
        match self.accepted.get(lock) {
            Some((last, of)) if fence < last => finding.violated(
                record,
                format_args!("took a write of {owner} with fence {fence} after {last} of {of}"),
            ),
            Some((last, of)) if fence == last && of != owner => finding.violated(
                record,
                format_args!("took writes of {of} and of {owner} with the same fence {fence}"),
            ),
            _ => {}
        }
        self.accepted.insert(*lock, (*fence, owner.clone()));
    }
}
