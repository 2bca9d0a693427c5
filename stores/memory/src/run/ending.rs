//! Beginning and ending runs: start, finish, pass, recovery.

use tenure_core::{
    AttemptRecord, Finish, Finished, HolderId, Note, OnCrash, Pass, Recovered, RecoveredRun,
    Recovery, RunKey, RunRecord, RunRef, RunState, Start, Started,
};

use super::{ENDED_NODES_KEPT, Now, Run, Runs};

impl Runs {
    /// The run, if this attempt is the one in hand.
    fn in_hand(&self, attempt: &RunRef) -> Option<Run> {
        let run = self.get(&attempt.key)?;
        let is_current = run.record.attempt == attempt.attempt && run.token == Some(attempt.token);
        (is_current && run.record.state.is_active()).then(|| run.clone())
    }

    pub(super) fn start(&mut self, start: &Start, now: Now) -> Started {
        let Some(run) = self.in_hand(&start.run) else {
            return Started::Refused;
        };
        if run.record.state == RunState::Claimed {
            self.put_begun(run, now);
        }
        Started::Running { now: now.wall }
    }

    pub(super) fn finish(&mut self, finish: &Finish, now: Now) -> Finished {
        let Some(mut run) = self.in_hand(&finish.run) else {
            return self.too_late(finish, now);
        };
        run.ended = Some((finish.run.attempt, finish.run.token));
        run.record.exit_code = finish.exit_code;
        run.record.output = finish.output.as_deref().map(|text| cut(text).to_owned());
        // A run that is asked to stop does not begin again.
        let cancel = self.cancels.get(&finish.run.key);
        let cancel = cancel.filter(|_| finish.again_after.is_some()).cloned();
        if let Some(cancel) = cancel {
            run.record.state = RunState::Cancelled;
            run.record.ended_at = Some(now.wall);
            run.record.reason = Some(cancel.reason());
            self.put(run, now);
            return Finished::Recorded;
        }
        if let Some(delay) = finish.again_after {
            archive(&mut run, finish.outcome.state(), finish.reason.clone(), now);
            run.record.state = RunState::Waiting;
            run.record.due_at = Some(now.wall + delay);
        } else {
            run.record.state = finish.outcome.state();
            run.record.ended_at = Some(now.wall);
        }
        run.record.reason.clone_from(&finish.reason);
        self.put(run, now);
        Finished::Recorded
    }

    /// Answers a completion of an attempt that is not the one in hand.
    fn too_late(&mut self, finish: &Finish, now: Now) -> Finished {
        let attempt = &finish.run;
        let Some(run) = self.get(&attempt.key) else {
            return Finished::Unknown;
        };
        if run.ended == Some((attempt.attempt, attempt.token)) {
            return Finished::Recorded;
        }
        let late = Finished::Late {
            state: run.record.state,
            attempt: run.record.attempt,
        };
        let text = format!(
            "attempt {} of {} ended {} after the run had moved on",
            attempt.attempt,
            attempt.key,
            finish.outcome.state()
        );
        self.note(
            now,
            Note::new("late_completion", text).about(attempt.key.task.clone()),
        );
        late
    }

    pub(super) fn pass(&mut self, pass: &Pass, now: Now) -> bool {
        if self.get(&pass.key).is_some() {
            return false;
        }
        self.saw_tick(&pass.key, now);
        let mut record = RunRecord::new(pass.key.clone(), pass.state, now.wall);
        record.reason = Some(pass.reason.clone());
        record.ended_at = Some(now.wall);
        self.put(Run::new(record, now.wall + pass.keep_for), now);
        true
    }

    pub(super) fn recover(&mut self, recovery: &Recovery, now: Now) -> Recovered {
        let mut ended: Vec<HolderId> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.left || node.ends + recovery.grace <= now.steady)
            .map(|(id, _)| *id)
            .collect();
        ended.sort();
        let (mut nodes, mut runs) = (Vec::new(), Vec::new());
        for id in ended {
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            let holder = node.record.node.clone();
            if !node.left && !std::mem::replace(&mut node.reported, true) {
                let text = format!("{holder} has not been heard of");
                nodes.push(holder);
                self.note(now, Note::new("node_lost", text).of_node(id));
            }
            let in_hand = self.active_by_node.get(&id).into_iter().flatten();
            let room = recovery.limit.saturating_sub(runs.len());
            let keys: Vec<RunKey> = in_hand.take(room).map(|(_, key)| key.clone()).collect();
            runs.extend(keys.iter().filter_map(|key| self.recover_run(key, now)));
            if self.is_idle(id) {
                self.end_node(id);
            }
        }
        Recovered::new(now.wall, nodes, runs)
    }

    fn recover_run(&mut self, key: &RunKey, now: Now) -> Option<RecoveredRun> {
        let mut run = self.get(key)?.clone();
        let record = &mut run.record;
        let lost_attempt = record.attempt;
        let had_started = record.state == RunState::Running;
        let again = match record.on_crash {
            OnCrash::Retry { max_attempts } => lost_attempt < max_attempts,
            _ => false,
        };
        let reason = match &run.node {
            Some(node) => format!("{node} was lost"),
            None => "its node was lost".to_owned(),
        };
        let cancel = self.cancels.get(key);
        if let Some(cancel) = cancel.filter(|_| again || !had_started) {
            record.state = RunState::Cancelled;
            record.ended_at = Some(now.wall);
            record.reason = Some(format!("{}; {reason}", cancel.reason()));
        } else if again || !had_started {
            archive(&mut run, RunState::Lost, Some(reason), now);
            let record = &mut run.record;
            record.state = RunState::Waiting;
            record.due_at = Some(now.wall);
        } else {
            record.state = RunState::Lost;
            record.ended_at = Some(now.wall);
            record.reason = Some(reason);
        }
        let recovered = RecoveredRun::new(run.told(), lost_attempt, had_started);
        self.put(run, now);
        Some(recovered)
    }

    /// Files a node that has nothing in hand any more.
    pub(super) fn end_node(&mut self, id: HolderId) {
        if let Some(ended) = self.nodes.get(&id).map(|node| node.record.expires_at) {
            self.forget_tasks(id, ended);
        }
        self.active_by_node.remove(&id);
        self.ended_nodes.extend(self.nodes.remove(&id));
        while self.ended_nodes.len() > ENDED_NODES_KEPT {
            self.ended_nodes.pop_front();
        }
    }
}

/// Moves the current attempt to the earlier ones.
fn archive(run: &mut Run, state: RunState, reason: Option<String>, now: Now) {
    let record = &mut run.record;
    let mut attempt = AttemptRecord::new(record.attempt, state, now.wall);
    attempt.node = run.node.as_deref().cloned();
    attempt.started_at = record.started_at;
    attempt.reason = reason;
    record.attempts.push(attempt);
    record.started_at = None;
}

/// As much output as is kept, cut between characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(Finish::MAX_OUTPUT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
