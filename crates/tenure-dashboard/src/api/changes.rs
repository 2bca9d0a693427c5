//! The routes that change something. Each answers with what it did; what does not fit what is
//! there by now is a conflict and changes nothing.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenure_core::{BackfillState, Cancelling, Fence};

use super::answer::done;
use super::input::{self, Body};
use super::table::{Doc, Table};
use crate::auth::{Right, Visitor};
use crate::change::{Actor, Pace};
use crate::problem::Problem;
use crate::site::Site;
use crate::view::{At, PauseState};

type Answer = Result<Response, Problem>;

const NO_TASK: &str = "The store does not know the task.";

/// Adds them to the table.
pub(super) fn add(table: Table) -> Table {
    let state = |id, what| {
        Doc::change::<Why, Done>(id, what)
            .not_found("There is no such backfill.")
            .conflict("The backfill is over, or moved on while it was about to be changed.")
    };
    table
        .add(
            "/tasks/{task}/pause",
            Doc::change::<PauseAsked, PauseState>("pause", "Stops a task everywhere")
                .not_found(NO_TASK)
                .conflict("The task is paused for longer, and that pause is not to be replaced."),
            pause,
        )
        .add(
            "/tasks/{task}/resume",
            Doc::change::<Why, Resumed>("resume", "Lets a paused task run again")
                .not_found(NO_TASK),
            resume,
        )
        .add(
            "/tasks/{task}/runs",
            Doc::change::<RunAsked, RunsAnswer>("run_now", "Asks for runs of a task now")
                .status(202)
                .not_found(NO_TASK),
            run_now,
        )
        .add(
            "/tasks/{task}/backfills",
            Doc::change::<BackfillAsked, BackfillAnswer>(
                "backfill",
                "Asks for past ticks to run, or says what that would come to",
            )
            .not_found(NO_TASK),
            backfill,
        )
        .add(
            "/runs/{run}/cancel",
            Doc::change::<Why, Cancelled>("cancel", "Asks for a run to stop")
                .status(202)
                .not_found("The store has no record of the run.")
                .conflict("The run is over."),
            cancel,
        )
        .add(
            "/backfills/{id}/pause",
            state("pause_backfill", "Stops a backfill for now"),
            pause_backfill,
        )
        .add(
            "/backfills/{id}/resume",
            state("resume_backfill", "Lets a backfill go on"),
            resume_backfill,
        )
        .add(
            "/backfills/{id}/cancel",
            state("cancel_backfill", "Ends a backfill"),
            cancel_backfill,
        )
        .add(
            "/locks/{key}/force",
            Doc::change::<ForceAsked, Done>(
                "force_unlock",
                "Takes a lock from its holder, if that has the fence that was seen",
            )
            .right(Right::Force)
            .conflict("The lock is free, or has another holder than was seen."),
            force_unlock,
        )
}

/// Who and why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Why {
    /// Why, for everybody who looks.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    why: String,
    /// Who asks, where the dashboard does not know its visitors; else it is not regarded.
    #[schemars(length(max = 1000))]
    by: Option<String>,
}

/// That it was done.
#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    /// True.
    done: bool,
}

fn all_done() -> Response {
    done(StatusCode::OK, &Done { done: true })
}

/// How long a task is to rest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PauseAsked {
    /// Why, for everybody who looks.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    why: String,
    /// Who asks, where the dashboard does not know its visitors; else it is not regarded.
    #[schemars(length(max = 1000))]
    by: Option<String>,
    /// Until when; without it, until somebody resumes it.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// Whether it replaces a pause that would last longer.
    #[serde(default)]
    replace: bool,
}

async fn pause(
    State(site): State<Site>,
    uri: Uri,
    visitor: Visitor,
    Body(asked): Body<PauseAsked>,
) -> Answer {
    let task = input::task(&uri)?;
    let until = asked.until.as_deref().map(|at| input::instant("until", at));
    let actor = Actor::new(&visitor, asked.by.as_deref());
    let view = site.view();
    let pause = view
        .pause(&actor, &task, &asked.why, until.transpose()?, asked.replace)
        .await?;
    let answer = PauseState {
        by: pause.by,
        why: pause.why,
        until: pause.until.map(At),
    };
    Ok(done(StatusCode::OK, &answer))
}

/// Whether something changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Resumed {
    /// False if it was not paused.
    was_paused: bool,
}

async fn resume(
    State(site): State<Site>,
    uri: Uri,
    visitor: Visitor,
    Body(asked): Body<Why>,
) -> Answer {
    let actor = Actor::new(&visitor, asked.by.as_deref());
    let task = input::task(&uri)?;
    let was_paused = site.view().resume(&actor, &task, &asked.why).await?;
    Ok(done(StatusCode::OK, &Resumed { was_paused }))
}

/// Which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunAsked {
    /// Why, for everybody who looks.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    why: String,
    /// Who asks, where the dashboard does not know its visitors; else it is not regarded.
    #[schemars(length(max = 1000))]
    by: Option<String>,
    /// Which index; without it, all of them.
    #[schemars(range(min = 1))]
    index: Option<u32>,
    /// A name for this request: sent again with it, it makes no more runs. 1 to 64 letters, digits,
    /// `-`, `_` and `.`; not `after`, which names the runs of `@after`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._-]+$"))]
    #[schemars(extend("not" = { "const": "after" }))]
    request: Option<String>,
}

/// What was asked for.
#[derive(Debug, Serialize, JsonSchema)]
struct RunsAnswer {
    /// The runs' identities.
    runs: Vec<String>,
    /// Whether an earlier request of the same name had asked for all of them.
    is_repeated: bool,
}

async fn run_now(
    State(site): State<Site>,
    uri: Uri,
    visitor: Visitor,
    Body(asked): Body<RunAsked>,
) -> Answer {
    let task = input::task(&uri)?;
    let request = asked.request.as_deref();
    let request = request.map(input::request).transpose()?;
    let actor = Actor::new(&visitor, asked.by.as_deref());
    let view = site.view();
    let runs = view
        .run_now(&actor, &task, asked.index, request, &asked.why)
        .await?;
    let answer = RunsAnswer {
        runs: runs.runs.iter().map(ToString::to_string).collect(),
        is_repeated: runs.is_repeated,
    };
    Ok(done(StatusCode::ACCEPTED, &answer))
}

/// Which ticks, and how they are to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BackfillAsked {
    /// The first instant whose tick counts.
    #[schemars(extend("format" = "date-time"))]
    from: String,
    /// The last instant whose tick counts; without it, now.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// Only says what would run.
    #[serde(default)]
    dry_run: bool,
    /// Also runs ticks that ran well.
    #[serde(default)]
    force: bool,
    /// The most runs a minute; 0: as fast as they end.
    #[serde(default)]
    #[schemars(range(max = 60000))]
    per_minute: u32,
    /// The most of its runs at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    parallel: u32,
    /// Why, for everybody who looks.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    why: String,
    /// Who asks, where the dashboard does not know its visitors; else it is not regarded.
    #[schemars(length(max = 1000))]
    by: Option<String>,
}

fn one() -> u32 {
    1
}

/// What a backfill comes to.
#[derive(Debug, Serialize, JsonSchema)]
struct BackfillAnswer {
    /// Its name; `null` if nothing was asked for: a dry run, or nothing to run.
    id: Option<String>,
    /// How many ticks are in the range.
    ticks: usize,
    /// How many runs it comes to.
    runs: usize,
    /// The first tick.
    first: Option<At>,
    /// The last tick.
    last: Option<At>,
    /// How many (tick, index) stand how; `without_record` for those without one.
    on_record: std::collections::BTreeMap<String, usize>,
}

async fn backfill(
    State(site): State<Site>,
    uri: Uri,
    visitor: Visitor,
    Body(asked): Body<BackfillAsked>,
) -> Answer {
    let (name, view) = (input::task(&uri)?, site.view());
    let pace = Pace::checked(asked.per_minute, asked.parallel)?;
    let from = input::instant("from", &asked.from)?;
    let to = match &asked.to {
        Some(to) => input::instant("to", to)?,
        None => view.known(&name).await?.1,
    };
    let (task, survey) = view.survey(&name, from, to, asked.force).await?;
    let mut answer = BackfillAnswer {
        id: None,
        ticks: survey.ticks,
        runs: survey.to_run(),
        first: survey.first.map(At),
        last: survey.last.map(At),
        on_record: (survey.counts.iter())
            .map(|(state, count)| {
                let word = state.map_or("without_record", |state| state.as_str());
                (word.to_owned(), *count)
            })
            .collect(),
    };
    if !asked.dry_run && answer.runs > 0 {
        let actor = Actor::new(&visitor, asked.by.as_deref());
        let asked_for = view.backfill(&actor, &task, &survey, &asked.why, pace);
        let backfill = asked_for.await?;
        answer.id = Some(backfill.id.to_string());
    }
    Ok(done(StatusCode::OK, &answer))
}

/// What became of an order to stop.
#[derive(Debug, Serialize, JsonSchema)]
struct Cancelled {
    /// True if the run waited and is cancelled now; false if its node is asked to stop it.
    is_over: bool,
}

async fn cancel(
    State(site): State<Site>,
    uri: Uri,
    visitor: Visitor,
    Body(asked): Body<Why>,
) -> Answer {
    let actor = Actor::new(&visitor, asked.by.as_deref());
    let answer = site
        .view()
        .cancel(&actor, &input::run(&uri)?, &asked.why)
        .await?;
    let is_over = answer == Cancelling::Cancelled;
    Ok(done(StatusCode::ACCEPTED, &Cancelled { is_over }))
}

async fn pause_backfill(site: State<Site>, uri: Uri, visitor: Visitor, why: Body<Why>) -> Answer {
    change_backfill(&site, &uri, &visitor, why, BackfillState::Paused).await
}

async fn resume_backfill(site: State<Site>, uri: Uri, visitor: Visitor, why: Body<Why>) -> Answer {
    change_backfill(&site, &uri, &visitor, why, BackfillState::Running).await
}

async fn cancel_backfill(site: State<Site>, uri: Uri, visitor: Visitor, why: Body<Why>) -> Answer {
    change_backfill(&site, &uri, &visitor, why, BackfillState::Cancelled).await
}

async fn change_backfill(
    site: &Site,
    uri: &Uri,
    visitor: &Visitor,
    Body(asked): Body<Why>,
    state: BackfillState,
) -> Answer {
    let actor = Actor::new(visitor, asked.by.as_deref());
    let id = input::backfill(uri)?;
    site.view()
        .change_backfill(&actor, &id, state, &asked.why)
        .await?;
    Ok(all_done())
}

/// From whom a lock is taken.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ForceAsked {
    /// The fencing token of the holder, as it was seen.
    fence: u64,
    /// Why, for everybody who looks.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    why: String,
    /// Who asks, where the dashboard does not know its visitors; else it is not regarded.
    #[schemars(length(max = 1000))]
    by: Option<String>,
}

async fn force_unlock(
    State(site): State<Site>,
    uri: Uri,
    visitor: Visitor,
    Body(asked): Body<ForceAsked>,
) -> Answer {
    let actor = Actor::new(&visitor, asked.by.as_deref());
    let (key, seen) = (input::key(&uri)?, Fence::new(asked.fence));
    site.view()
        .force_unlock(&actor, &key, seen, &asked.why)
        .await?;
    Ok(all_done())
}
