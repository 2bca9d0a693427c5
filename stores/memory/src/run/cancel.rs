//! Asking runs to stop.

use tenure_core::{Cancel, Cancelling, HolderId, Note, RunState};

use super::{Now, Runs};

impl Runs {
    pub(super) fn cancel(&mut self, cancel: &Cancel, now: Now) -> Cancelling {
        let key = &cancel.key;
        let Some(run) = self.get(key) else {
            return Cancelling::Unknown;
        };
        let state = run.record.state;
        if state.is_final() {
            return Cancelling::Over { state };
        }
        if self.cancels.contains_key(key) {
            return Cancelling::Asked;
        }
        let mut text = format!("{} asked to stop {key}", cancel.by);
        if !cancel.why.is_empty() {
            text.push_str(": ");
            text.push_str(&cancel.why);
        }
        let note = Note::new("cancel_requested", text).about(key.task.clone());
        if state != RunState::Waiting {
            self.cancels.insert(key.clone(), cancel.clone());
            self.note(now, note);
            return Cancelling::Asked;
        }
        let mut run = run.clone();
        run.record.state = RunState::Cancelled;
        run.record.due_at = None;
        run.record.ended_at = Some(now.wall);
        run.record.reason = Some(cancel.reason());
        run.kept_back = None;
        self.put(run, now);
        self.note(now, note);
        Cancelling::Cancelled
    }

    pub(super) fn cancels(&self, node: HolderId) -> Vec<Cancel> {
        let in_hand = self.active_by_node.get(&node).into_iter().flatten();
        in_hand
            .filter_map(|(_, key)| self.cancels.get(key))
            .cloned()
            .collect()
    }
}
