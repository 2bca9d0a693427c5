//! What can be changed from the dashboard, by the pages and by the API alike.
//!
//! Each change is made by somebody, for a reason, and leaves a record: in the store, as a note of
//! kind `audit` besides what the change itself keeps, and in the log. Nothing here decides who may.

use std::net::IpAddr;

use tenure_core::{
    Backfill, BackfillState, Cancel, Cancelling, Enqueued, Fence, ForceRequest, Forced, Key, Note,
    Pause, RequestId, RunKey, TaskName, TaskRecord, Timestamp,
};
use tenure_tasks::control::{
    BackfillChange, Survey, SurveyError, backfill_of, begin_backfill, change_backfill, run_now,
};

use crate::auth::Visitor;
use crate::problem::Problem;
use crate::view::{View, ViewError};

/// The longest reason or name that is kept.
pub(crate) const MOST_TEXT: usize = 1000;

/// Who changes something.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    by: String,
    from: Option<IpAddr>,
    how: &'static str,
}

impl Actor {
    /// The visitor, or who they say they are where the dashboard does not know its visitors.
    pub(crate) fn new(visitor: &Visitor, claimed: Option<&str>) -> Self {
        let by = match (visitor.name(), claimed) {
            (Some(name), _) => name.to_owned(),
            (None, Some(claimed)) if !claimed.trim().is_empty() => claimed.trim().to_owned(),
            (None, _) => "somebody at the dashboard".to_owned(),
        };
        Self {
            by,
            from: visitor.from(),
            how: visitor.how(),
        }
    }
}

/// A text of an operator's, short enough to keep.
fn kept(place: &'static str, text: &str) -> Result<String, Problem> {
    let count = text.chars().count();
    if count > MOST_TEXT {
        let reason = format!("`{place}` may have {MOST_TEXT} characters, not {count}");
        return Err(Problem::invalid(place, reason));
    }
    if text.contains('\0') {
        let reason = format!("`{place}` must not hold a NUL character");
        return Err(Problem::invalid(place, reason));
    }
    Ok(text.trim().to_owned())
}

/// How fast a backfill goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    per_minute: u32,
    parallel: u32,
}

impl Pace {
    /// The most of its runs at once that may be asked for.
    pub(crate) const MOST_PARALLEL: u32 = 1000;
    /// The most runs a minute that may be asked for; 0 asks for no limit.
    const MOST_PER_MINUTE: u32 = 60_000;

    pub(crate) fn checked(per_minute: u32, parallel: u32) -> Result<Self, Problem> {
        for (place, value, least, most) in [
            ("parallel", parallel, 1, Self::MOST_PARALLEL),
            ("per_minute", per_minute, 0, Self::MOST_PER_MINUTE),
        ] {
            if !(least..=most).contains(&value) {
                let reason = format!("`{place}` may be {least} to {most}, not {value}");
                return Err(Problem::invalid(place, reason));
            }
        }
        Ok(Self {
            per_minute,
            parallel,
        })
    }
}

/// What became of an order to run now.
pub(crate) struct RunsAsked {
    pub(crate) runs: Vec<RunKey>,
    /// Whether all of them were there already, by the same request.
    pub(crate) is_repeated: bool,
}

impl View {
    /// Stops a task from being claimed, until `until` or until it is resumed. A pause that lasts
    /// longer stays, unless it is to be replaced.
    pub(crate) async fn pause(
        &self,
        actor: &Actor,
        task: &TaskName,
        why: &str,
        until: Option<Timestamp>,
        may_replace: bool,
    ) -> Result<Pause, Problem> {
        // What another process paused a moment ago counts.
        self.forget().await;
        let (record, now) = self.known(task).await?;
        if let Some(until) = until.filter(|until| *until <= now) {
            let reason = format!("`until` {until} is over: it is {now} in the store");
            return Err(Problem::invalid("until", reason).help("give a later instant"));
        }
        let mut pause = Pause::new(kept("by", &actor.by)?, kept("why", why)?);
        pause.until = until;
        let earlier = record.pause.filter(|it| it.holds_at(now));
        if let Some(earlier) = earlier.filter(|it| !may_replace && pause.ends_before(it)) {
            let detail = format!("the task is paused {earlier}; nothing was changed");
            return Err(Problem::conflict(detail)
                .help("what was asked for ends earlier; resume the task, or ask for `replace`"));
        }
        let paused = self.runs_store().pause(task, &pause).await;
        paused.map_err(ViewError::from)?;
        let what = match until {
            Some(until) => format!("paused task {task} until {until}"),
            None => format!("paused task {task}"),
        };
        self.audit(actor, &what, why, Some(task)).await;
        Ok(pause)
    }

    /// Lets a task run again. False if it was not paused.
    pub(crate) async fn resume(
        &self,
        actor: &Actor,
        task: &TaskName,
        why: &str,
    ) -> Result<bool, Problem> {
        self.known(task).await?;
        let (by, why) = (kept("by", &actor.by)?, kept("why", why)?);
        let resumed = self.runs_store().resume(task, &by, &why).await;
        let resumed = resumed.map_err(ViewError::from)?;
        if resumed {
            self.audit(actor, &format!("resumed task {task}"), &why, Some(task))
                .await;
        }
        Ok(resumed)
    }

    /// Asks for runs of a task now: of `index`, or of all. The same `request` again makes no more
    /// runs.
    pub(crate) async fn run_now(
        &self,
        actor: &Actor,
        task: &TaskName,
        index: Option<u32>,
        request: Option<RequestId>,
        why: &str,
    ) -> Result<RunsAsked, Problem> {
        let (record, now) = self.known(task).await?;
        let most = record.definition.concurrency;
        if let Some(index) = index.filter(|index| !(1..=most).contains(index)) {
            let reason = format!("`index` {index}: task `{task}` has the indices 1 to {most}");
            return Err(Problem::invalid("index", reason).help("leave it out to run them all"));
        }
        let (by, why) = (kept("by", &actor.by)?, kept("why", why)?);
        let is_new = request.is_none();
        let id = request.unwrap_or_else(RequestId::random);
        let mut tick = now;
        if !is_new && let Some(earlier) = self.asked_before(task, &id).await? {
            tick = earlier;
        }
        let indices: Vec<u32> = index.into_iter().collect();
        let runs = run_now(&record, tick, &indices, &id, &by, &why).map_err(ViewError::from)?;
        let answers = self.runs_store().enqueue(&runs).await;
        let answers = answers.map_err(ViewError::from)?;
        let is_repeated = (answers.iter()).all(|it| matches!(it, Enqueued::Exists { .. }));
        let runs: Vec<RunKey> = runs.into_iter().map(|run| run.key).collect();
        if !is_repeated {
            let what = format!("asked for {} runs of task {task}, {id}", runs.len());
            self.audit(actor, &what, &why, Some(task)).await;
        }
        Ok(RunsAsked { runs, is_repeated })
    }

    /// The tick of the runs that the same request asked for earlier.
    async fn asked_before(
        &self,
        task: &TaskName,
        id: &RequestId,
    ) -> Result<Option<Timestamp>, ViewError> {
        use tenure_core::{HistoryQuery, RunKind};
        let mut query = HistoryQuery::of(task.clone());
        query.limit = 1000;
        let page = self.runs_store().history(&query).await?;
        let same = page
            .runs
            .iter()
            .find(|run| run.key.kind == RunKind::Manual(id.clone()));
        Ok(same.map(|run| run.key.tick))
    }

    /// Asks for a run to stop.
    pub(crate) async fn cancel(
        &self,
        actor: &Actor,
        run: &RunKey,
        why: &str,
    ) -> Result<Cancelling, Problem> {
        let cancel = Cancel::new(run.clone(), kept("by", &actor.by)?, kept("why", why)?);
        let answer = self.runs_store().cancel_run(&cancel).await;
        let answer = answer.map_err(ViewError::from)?;
        match answer {
            Cancelling::Unknown => Err(Problem::not_found("the store has no record of the run")),
            Cancelling::Over { state } => Err(Problem::conflict(format!(
                "the run is over: it {state}; nothing was changed"
            ))),
            _ => {
                let what = format!("asked run {run} to stop");
                self.audit(actor, &what, why, Some(&run.task)).await;
                Ok(answer)
            }
        }
    }

    /// What a backfill of the ticks from `from` to `to` would run.
    pub(crate) async fn survey(
        &self,
        task: &TaskName,
        from: Timestamp,
        to: Timestamp,
        is_forced: bool,
    ) -> Result<(TaskRecord, Survey), Problem> {
        let (record, now) = self.known(task).await?;
        if to > now {
            let reason = format!("`to` {to} has not come yet: it is {now} in the store");
            return Err(Problem::invalid("to", reason).help("leave it out for now"));
        }
        if from > to {
            let reason = format!("`from` {from} is later than `to` {to}");
            return Err(Problem::invalid("from", reason).help("exchange the two"));
        }
        let survey = Survey::of(&**self.runs_store(), &record, from, to, is_forced).await;
        match survey {
            Ok(survey) => Ok((record, survey)),
            Err(SurveyError::Store(error)) => Err(ViewError::from(error).into()),
            Err(SurveyError::TooMany { largest_to, .. }) => {
                let reason = "the range has more than 100000 runs";
                Err(Problem::invalid("to", reason).help(format!("`to` may be {largest_to}")))
            }
            Err(error) => Err(Problem::invalid("from", error.to_string())),
        }
    }

    /// Asks for the ticks of a survey to run.
    pub(crate) async fn backfill(
        &self,
        actor: &Actor,
        task: &TaskRecord,
        survey: &Survey,
        why: &str,
        pace: Pace,
    ) -> Result<Backfill, Problem> {
        let backfill = backfill_of(task, survey.from, survey.to);
        let mut backfill = backfill.map_err(ViewError::from)?;
        backfill.by = kept("by", &actor.by)?;
        backfill.why = kept("why", why)?;
        backfill.only_missing = !survey.is_forced;
        (backfill.per_minute, backfill.parallel) = (pace.per_minute, pace.parallel);
        let begun = begin_backfill(&**self.runs_store(), &mut backfill).await;
        begun.map_err(ViewError::from)?;
        let name = &task.definition.task;
        let what = format!(
            "asked for backfill {} of task {name}, {} runs",
            backfill.id,
            survey.to_run()
        );
        self.audit(actor, &what, why, Some(name)).await;
        Ok(backfill)
    }

    /// Puts a backfill into another state.
    pub(crate) async fn change_backfill(
        &self,
        actor: &Actor,
        id: &RequestId,
        state: BackfillState,
        why: &str,
    ) -> Result<(), Problem> {
        let (by, why) = (kept("by", &actor.by)?, kept("why", why)?);
        let changed = change_backfill(&**self.runs_store(), id, state, &by, &why).await;
        match changed.map_err(ViewError::from)? {
            BackfillChange::Done { text } => {
                self.audit(actor, &text, "", None).await;
                Ok(())
            }
            BackfillChange::Already => Ok(()),
            BackfillChange::Over { .. } => Err(Problem::conflict("the backfill is over")),
            BackfillChange::Unknown => {
                Err(Problem::not_found(format!("there is no backfill `{id}`")))
            }
            _ => Err(Problem::conflict(
                "the backfill moved on each time it was about to be changed",
            )
            .help("try again")),
        }
    }

    /// Takes a lock from its holder, if that is still the one with the fence that was seen; of
    /// several who share it from that one.
    pub(crate) async fn force_unlock(
        &self,
        actor: &Actor,
        key: &Key,
        seen: Fence,
        why: &str,
    ) -> Result<(), Problem> {
        let (by, why) = (kept("by", &actor.by)?, kept("why", why)?);
        let leases = self.leases();
        let view = leases.inspect(key).await.map_err(ViewError::from)?;
        let free = || Problem::conflict(format!("nobody holds lock `{key}` any more"));
        let other = |now: Option<Fence>| {
            let now = now.map_or_else(String::new, |fence| format!(", now with fence {fence}"));
            Problem::conflict(format!(
                "lock `{key}` has another holder than you saw{now}; nothing was changed"
            ))
        };
        let view = view.ok_or_else(free)?;
        if view.mark.is_none() {
            return Err(free());
        }
        let Some(mark) = view.mark_of(seen).cloned() else {
            return Err(other(view.fence()));
        };
        let request = ForceRequest::new(key.clone(), mark, by).because(why.clone());
        let forced = leases.force(&request).await;
        match forced.map_err(ViewError::from)? {
            Forced::Done { from } => {
                let what = format!("took lock {key} from {from}");
                self.audit(actor, &what, &why, None).await;
                Ok(())
            }
            Forced::Changed { current } => Err(other(current.fence())),
            _ => Err(free()),
        }
    }

    /// Leaves a record of a change that was made. That it cannot be written is told in the log and
    /// does not undo the change.
    async fn audit(&self, actor: &Actor, what: &str, why: &str, task: Option<&TaskName>) {
        let from = actor.from.map(|from| from.to_string());
        let from = from.unwrap_or_else(|| "an unknown address".to_owned());
        let (by, how) = (&actor.by, actor.how);
        tracing::info!(
            target: "tenure::audit",
            by = by.as_str(),
            how,
            from = from.as_str(),
            why,
            "{what}"
        );
        let mut text = format!("{by} ({how}, from {from}) {what}");
        if !why.is_empty() {
            text = format!("{text}: {why}");
        }
        let mut note = Note::new("audit", text);
        if let Some(task) = task {
            note = note.about(task.clone());
        }
        if let Err(error) = self.runs_store().note(&note).await {
            tracing::error!(%error, "the store did not keep the record of a change");
        }
        self.forget().await;
    }
}
