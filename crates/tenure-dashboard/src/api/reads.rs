//! The routes that read.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tenure_core::TaskName;
use tenure_tasks::story::Story;

use super::answer::json;
use super::input::{self, Asked};
use super::table::{Doc, Table};
use crate::problem::Problem;
use crate::site::Site;
use crate::view::{
    At, BackfillRow, Herd, LockDetail, LockRow, LocksQuery, Nodes, Now, Page, RunDetail, RunRow,
    RunsQuery, StoreState, TaskDetail, TaskFilter, TaskRow, TasksQuery, ViewError, WaitGraph,
};

type Answer = Result<Response, Problem>;

const NO_TASK: &str = "The store does not know the task.";
const NO_RUN: &str = "The store has no record of the run.";

/// Adds them to the table.
pub(super) fn add(table: Table) -> Table {
    let table = table
        .add(
            "/now",
            Doc::read::<Now>("now", "What runs, what is next, what failed lately"),
            now,
        )
        .add(
            "/herd",
            Doc::read::<Herd>("herd", "The load of the next 24 hours"),
            herd,
        )
        .add(
            "/tasks",
            Doc::read::<Page<TaskRow>>("tasks", "Tasks by name").query::<TasksAsked>(),
            tasks,
        )
        .add(
            "/tasks/{task}",
            Doc::read::<TaskDetail>("task", "One task").not_found(NO_TASK),
            task,
        )
        .add(
            "/tasks/{task}/why",
            Doc::read::<WhyAnswer>("why", "What became of a tick, or why it did not run")
                .query::<WhyAsked>()
                .not_found("The store does not know the task, or it was never due until then."),
            why,
        );
    of_runs(of_store(table))
}

fn of_runs(table: Table) -> Table {
    table
        .add(
            "/runs",
            Doc::read::<Page<RunRow>>("runs", "Runs, newest tick first").query::<RunsAsked>(),
            runs,
        )
        .add(
            "/runs/{run}",
            Doc::read::<RunDetail>("run", "One run with its output").not_found(NO_RUN),
            run,
        )
        .add(
            "/runs/{run}/output",
            Doc::read::<Printed>("output", "What a run printed so far").not_found(NO_RUN),
            output,
        )
}

fn of_store(table: Table) -> Table {
    table
        .add(
            "/locks",
            Doc::read::<Page<LockRow>>("locks", "Locks that are held or waited for, by key")
                .query::<LocksAsked>(),
            locks,
        )
        .add(
            "/locks/{key}",
            Doc::read::<LockDetail>("lock", "One lock with its queue"),
            lock,
        )
        .add(
            "/waits",
            Doc::read::<WaitGraph>("waits", "Who waits for whom"),
            waits,
        )
        .add(
            "/nodes",
            Doc::read::<Nodes>("nodes", "Who runs tasks"),
            nodes,
        )
        .add(
            "/store",
            Doc::read::<StoreState>("store", "The store: promises, speed"),
            store,
        )
        .add(
            "/backfills",
            Doc::read::<Backfills>("backfills", "Backfills, newest first"),
            backfills,
        )
}

async fn now(State(site): State<Site>, asked: HeaderMap) -> Answer {
    Ok(json(&*site.view().now().await?, &asked))
}

async fn herd(State(site): State<Site>, asked: HeaderMap) -> Answer {
    Ok(json(&*site.view().herd().await?, &asked))
}

/// Which tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TasksAsked {
    /// Names that contain this text, upper and lower case alike.
    contains: Option<String>,
    /// Which of them.
    #[serde(default)]
    filter: Filter,
    /// Where the page begins: the `next` of the page before.
    after: Option<String>,
    /// The most rows.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Filter {
    #[default]
    All,
    Active,
    Paused,
    Unlisted,
    Retired,
}

async fn tasks(
    State(site): State<Site>,
    Asked(query): Asked<TasksAsked>,
    asked: HeaderMap,
) -> Answer {
    let query = TasksQuery {
        contains: query.contains,
        filter: match query.filter {
            Filter::All => TaskFilter::All,
            Filter::Active => TaskFilter::Active,
            Filter::Paused => TaskFilter::Paused,
            Filter::Unlisted => TaskFilter::Unlisted,
            Filter::Retired => TaskFilter::Retired,
        },
        paging: input::paging(query.after, query.limit),
    };
    Ok(json(&site.view().tasks(&query).await?, &asked))
}

async fn task(State(site): State<Site>, uri: Uri, asked: HeaderMap) -> Answer {
    Ok(json(&site.view().task(&input::task(&uri)?).await?, &asked))
}

/// Which tick.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhyAsked {
    /// The last tick at or before this instant; without it, the last one.
    #[schemars(extend("format" = "date-time"))]
    at: Option<String>,
}

/// What became of a tick.
#[derive(Debug, Serialize, JsonSchema)]
struct WhyAnswer {
    /// The task.
    task: String,
    /// The tick.
    tick: At,
    /// The instant that was asked about, if it is no tick.
    asked: Option<At>,
    /// What happened to each run of the tick.
    runs: Vec<WhyRun>,
    /// The runs it should have, and of which there is no record.
    without_record: Vec<WhyNone>,
    /// What else the store told meanwhile.
    meanwhile: Vec<WhyLine>,
}

/// What happened to one run.
#[derive(Debug, Serialize, JsonSchema)]
struct WhyRun {
    /// The run.
    run: RunRow,
    /// Who else was alive when it was claimed, and did not win it.
    against: Vec<String>,
    /// What happened, in its order.
    story: Vec<WhyLine>,
}

/// A run without a record.
#[derive(Debug, Serialize, JsonSchema)]
struct WhyNone {
    /// Its index.
    index: u32,
    /// Why, as far as that can be known.
    why: Vec<String>,
}

/// A line of a story.
#[derive(Debug, Serialize, JsonSchema)]
struct WhyLine {
    /// When.
    at: At,
    /// What, in words.
    what: String,
}

async fn why(
    State(site): State<Site>,
    uri: Uri,
    Asked(query): Asked<WhyAsked>,
    asked: HeaderMap,
) -> Answer {
    let name: TaskName = input::task(&uri)?;
    let at = query.at.as_deref().map(|at| input::instant("at", at));
    let at = at.transpose()?;
    let (record, now) = site.view().known(&name).await?;
    let story = Story::of(&**site.view().runs_store(), &record, at).await;
    let story = story.map_err(ViewError::from)?;
    let Some(story) = story else {
        return Err(Problem::not_found("the task was never due until then"));
    };
    let gone = site.view().gone(story.runs.iter().map(|told| &told.record));
    let gone = gone.await?;
    let line = |(at, what): (_, &String)| WhyLine {
        at: At(at),
        what: what.clone(),
    };
    let answer = WhyAnswer {
        task: name.as_str().to_owned(),
        tick: At(story.tick),
        asked: story.asked.map(At),
        runs: (story.runs.iter())
            .map(|told| WhyRun {
                run: RunRow::new(&told.record, now, &gone),
                against: told.alive_besides.clone(),
                story: told
                    .life
                    .iter()
                    .map(|(at, what)| line((*at, what)))
                    .collect(),
            })
            .collect(),
        without_record: (story.missing.iter())
            .map(|missing| WhyNone {
                index: missing.index,
                why: missing.why.clone(),
            })
            .collect(),
        meanwhile: story
            .meanwhile()
            .map(|(at, note)| line((at, &note.text)))
            .collect(),
    };
    Ok(json(&answer, &asked))
}

/// Which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunsAsked {
    /// Of this task only.
    task: Option<String>,
    /// In one of these states, with commas between them.
    state: Option<String>,
    /// With ticks from this instant on.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// With ticks up to this instant.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// Where the page begins: the `next` of the page before.
    after: Option<String>,
    /// The most rows.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

async fn runs(
    State(site): State<Site>,
    Asked(query): Asked<RunsAsked>,
    asked: HeaderMap,
) -> Answer {
    let name = query.task.map(TaskName::new).transpose();
    let instant =
        |place, text: Option<String>| text.map(|text| input::instant(place, &text)).transpose();
    let query = RunsQuery {
        task: name.map_err(|error| Problem::invalid("task", error.to_string()))?,
        states: input::states(query.state.as_deref())?,
        from: instant("from", query.from)?,
        to: instant("to", query.to)?,
        paging: input::paging(query.after, query.limit),
    };
    Ok(json(&site.view().runs(&query).await?, &asked))
}

async fn run(State(site): State<Site>, uri: Uri, asked: HeaderMap) -> Answer {
    Ok(json(&site.view().run(&input::run(&uri)?).await?, &asked))
}

/// What a run printed.
#[derive(Debug, Serialize, JsonSchema)]
struct Printed {
    /// What it printed so far, as far as it is kept.
    output: Option<String>,
    /// Where that comes from: `record`, `live`, `elsewhere` or `none`, as in the run.
    output_from: &'static str,
    /// Whether more may come.
    is_open: bool,
}

async fn output(State(site): State<Site>, uri: Uri, asked: HeaderMap) -> Answer {
    let (output, output_from, is_open) = site.view().output(&input::run(&uri)?).await?;
    let answer = Printed {
        output,
        output_from,
        is_open,
    };
    Ok(json(&answer, &asked))
}

/// Which locks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LocksAsked {
    /// Keys that begin with this text.
    #[serde(default)]
    prefix: String,
    /// Where the page begins: the `next` of the page before.
    after: Option<String>,
    /// The most rows.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

async fn locks(
    State(site): State<Site>,
    Asked(query): Asked<LocksAsked>,
    asked: HeaderMap,
) -> Answer {
    let query = LocksQuery {
        prefix: query.prefix,
        paging: input::paging(query.after, query.limit),
    };
    Ok(json(&site.view().locks(&query).await?, &asked))
}

async fn lock(State(site): State<Site>, uri: Uri, asked: HeaderMap) -> Answer {
    Ok(json(&site.view().lock(&input::key(&uri)?).await?, &asked))
}

async fn waits(State(site): State<Site>, asked: HeaderMap) -> Answer {
    Ok(json(&*site.view().wait_graph().await?, &asked))
}

async fn nodes(State(site): State<Site>, asked: HeaderMap) -> Answer {
    Ok(json(&*site.view().nodes().await?, &asked))
}

async fn store(State(site): State<Site>, asked: HeaderMap) -> Answer {
    Ok(json(&*site.view().store().await?, &asked))
}

/// Backfills.
#[derive(Debug, Serialize, JsonSchema)]
struct Backfills {
    /// The newest 500 at most.
    items: Vec<BackfillRow>,
}

async fn backfills(State(site): State<Site>, asked: HeaderMap) -> Answer {
    let items = site.view().backfills().await?;
    Ok(json(&Backfills { items }, &asked))
}
