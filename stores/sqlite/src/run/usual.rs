//! The usual claim: of a run that nobody has and nothing stands in the way of.
//!
//! It is decided with two statements, of which one writes, and both are prepared once for a batch.
//! Whatever is not usual goes the long way of `claim.rs`, which looks at everything anew: this one
//! refuses nothing.

use rusqlite::{CachedStatement, params};
use tenure_core::{
    Claim, ClaimBatch, ClaimItem, Fence, Holder, HolderId, OnCrash, Overlap, RunRef, RunState,
    StartMode, Timestamp,
};

use super::definition;
use super::node;
use super::row::write_overlap;
use crate::column;
use crate::step::{Counter, Fault, Step};

/// Statements for the usual claims of a batch.
pub(super) struct Usual<'f> {
    node: HolderId,
    insert: CachedStatement<'f>,
    blocker: CachedStatement<'f>,
}

impl<'f> Usual<'f> {
    /// Prepares for a batch of a node that lives. Nothing is usual while any task is paused.
    pub(super) fn new(
        step: &Step<'f>,
        batch: &ClaimBatch,
        holder: &Holder,
    ) -> Result<Option<Self>, Fault> {
        let some_pause = step.one(
            "SELECT 1 FROM pause WHERE ns = ?1 LIMIT 1",
            [step.ns],
            |_| Ok(()),
        )?;
        if some_pause.is_some() {
            return Ok(None);
        }
        node::look_at_version(step)?;
        let mut usual = Self {
            node: holder.id,
            insert: step.prepare(concat!(
                include_str!("insert_run.sql"),
                "ON CONFLICT (ns, task, tick_at, idx, kind, request) DO NOTHING"
            ))?,
            blocker: step.prepare(
                "SELECT 1 FROM run WHERE ns = ?1 AND task = ?2 AND idx = ?3
                 AND state IN ('claimed', 'running') AND kind = 0 LIMIT 1",
            )?,
        };
        usual.bind_what_is_the_same(step, batch, holder)?;
        Ok(Some(usual))
    }

    /// What all records of the batch have in common; the numbers are those of `insert_run.sql`.
    fn bind_what_is_the_same(
        &mut self,
        step: &Step<'_>,
        batch: &ClaimBatch,
        node: &Holder,
    ) -> Result<(), Fault> {
        let begins = batch.start == StartMode::AtOnce;
        let state = if begins {
            RunState::Running
        } else {
            RunState::Claimed
        };
        let wall = step.wall.as_millis();
        let insert = &mut self.insert;
        insert.raw_bind_parameter(1, step.ns)?;
        insert.raw_bind_parameter(5, 0)?;
        insert.raw_bind_parameter(6, "")?;
        insert.raw_bind_parameter(7, state.as_str())?;
        insert.raw_bind_parameter(8, 1)?;
        insert.raw_bind_parameter(11, node.id.as_bytes().as_slice())?;
        insert.raw_bind_parameter(12, &node.label)?;
        insert.raw_bind_parameter(13, &node.host)?;
        insert.raw_bind_parameter(14, node.pid)?;
        insert.raw_bind_parameter(18, wall)?;
        insert.raw_bind_parameter(19, wall)?;
        insert.raw_bind_parameter(20, begins.then_some(wall))?;
        insert.raw_bind_parameter(27, wall)?;
        for nothing in [21, 22, 24, 25, 28, 29] {
            insert.raw_bind_parameter(nothing, None::<i64>)?;
        }
        Ok(())
    }

    /// Claims the run of an item, or does nothing if that is not usual.
    pub(super) fn claim(
        &mut self,
        step: &Step<'_>,
        batch: &ClaimBatch,
        item: &ClaimItem,
    ) -> Result<Option<Claim>, Fault> {
        let is_usual = item.aliases.is_empty()
            && item.max_running.is_none()
            && matches!(item.overlap, Overlap::Skip | Overlap::Allow)
            && batch.window_is_open(item, step.wall).is_ok()
            && self.is_in_force(step, item)?
            && !self.is_blocked(step, item)?;
        if !is_usual {
            return Ok(None);
        }
        let fence = step.next(Counter::Fence)?;
        let max_attempts = match item.on_crash {
            OnCrash::Retry { max_attempts } => Some(max_attempts),
            _ => None,
        };
        let insert = &mut self.insert;
        insert.raw_bind_parameter(2, item.task.as_str())?;
        insert.raw_bind_parameter(3, item.tick.as_millis())?;
        insert.raw_bind_parameter(4, item.index)?;
        insert.raw_bind_parameter(9, fence)?;
        insert.raw_bind_parameter(10, item.token.as_bytes().as_slice())?;
        insert.raw_bind_parameter(15, item.generation.as_str())?;
        insert.raw_bind_parameter(16, write_overlap(item.overlap)?)?;
        insert.raw_bind_parameter(17, max_attempts)?;
        insert.raw_bind_parameter(23, keep_until(step.wall, item))?;
        insert.raw_bind_parameter(26, step.next(Counter::Feed)?)?;
        if insert.raw_execute()? == 0 {
            // There is a record.
            return Ok(None);
        }
        let run = RunRef::new(item.key(), 1, item.token);
        let fence: Fence = column::fence_of(fence)?;
        Ok(Some(Claim::new(run, fence, step.wall, item.on_crash)))
    }

    /// Whether the item's generation is its task's newest, and listed by this very node.
    fn is_in_force(&self, step: &Step<'_>, item: &ClaimItem) -> Result<bool, Fault> {
        let (task, generation) = (&item.task, &item.generation);
        if step
            .checked
            .borrow()
            .is_in_force(self.node, task, generation)
        {
            return Ok(true);
        }
        definition::is_newest_of(step, self.node, task, generation)
    }

    /// Whether a scheduled run of the same task and index is in hand that the item minds.
    fn is_blocked(&mut self, step: &Step<'_>, item: &ClaimItem) -> Result<bool, Fault> {
        let values = params![step.ns, item.task.as_str(), item.index];
        Ok(item.overlap != Overlap::Allow && self.blocker.exists(values)?)
    }
}

fn keep_until(wall: Timestamp, item: &ClaimItem) -> i64 {
    (wall + item.keep_for()).as_millis()
}
