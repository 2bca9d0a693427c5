//! `tenure run`: task files on a store, until a signal ends it.

mod alarm;
mod command;
#[cfg(feature = "dashboard")]
mod dashboard;
#[cfg(not(feature = "dashboard"))]
#[path = "no_dashboard.rs"]
mod dashboard;
mod json;
mod log;
mod output;
mod probe;
mod reload;
mod report;
mod service;
#[cfg(feature = "dashboard")]
mod tokens;
mod words;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use annotate_snippets::Renderer;
use nix::sys::signal::Signal;
use tenure::core::{Clock as _, SystemClock, TaskName, Timestamp};
use tenure::otel::Telemetry;
use tenure::tasks::{Drained, Events, OtelMetrics, RunnerOptions, RunningTasks, StartError};
use tenure::{Task, TaskContext, TaskScheduling, Tenure};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::command::{Shared, execute};
use self::dashboard::Desk;
use self::probe::Probe;
use self::reload::{Reload, Stamps, Terminal};
use self::report::Reporter;
use crate::args::RunArgs;
use crate::child::{Guardian, adopt_orphans, bury_orphans};
use crate::definition::task_of;
use crate::exit::{Code, Failure, Outcome, chain};
use crate::file::{AlarmEntry, Interop, StoreEntry, TaskEntry, TaskFiles, render};
use crate::lock::runtime;
use crate::notice::notice;
use crate::schedules::without_ticks;
use crate::signals::Signals;
use crate::store::{Chosen, code_of_store};

/// How long stopped commands get; a little more than they are given, so that they are killed by
/// the one who knows them.
const STOP_GRACE: Duration = Duration::from_secs(7);

pub(crate) fn run(args: RunArgs, telemetry: Option<Telemetry>) -> Outcome {
    let runtime = runtime(&mut Builder::new_multi_thread())?;
    // Before the files are read, which may take a while: no hang-up ends the program from here on.
    let heard = {
        let _inside = runtime.enter();
        Heard {
            signals: listen(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT])?,
            hang_ups: listen(&[Signal::SIGHUP])?,
        }
    };
    // Before they are read: what changes from here on is another change.
    let stamps = Stamps::of(&args.files);
    let files = TaskFiles::read(&args.files)?;
    tell_problems(&files);
    if !files.are_sound() {
        return Err(Failure::new(Code::CONFIG, "nothing was started")
            .help("mend the task file; `tenure check` reads it without starting anything"));
    }
    let chosen = Chosen::new(&args.store, files.store.as_ref())?;
    let figures = telemetry.as_ref().map(Telemetry::metrics);
    let outcome = runtime.block_on(serve(args, heard, stamps, files, chosen, figures));
    crate::telemetry::end(telemetry);
    // A store that hangs must not hold up the exit.
    runtime.shutdown_background();
    outcome
}

/// Shows what is wrong with the files on standard error.
pub(crate) fn tell_problems(files: &TaskFiles) {
    use std::io::Write as _;
    if files.problems.list().is_empty() {
        return;
    }
    let text = render(files, &Renderer::styled());
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "{text}\n");
}

/// What is sent to the program from its beginning on.
struct Heard {
    signals: Signals,
    hang_ups: Signals,
}

async fn serve(
    args: RunArgs,
    heard: Heard,
    stamps: Stamps,
    files: TaskFiles,
    chosen: Chosen,
    figures: Option<OtelMetrics>,
) -> Outcome {
    let (mut signals, mut hang_ups) = (heard.signals, heard.hang_ups);
    let terminal = Terminal::now();
    let probe = probe::listen_if(args.metrics).await?;
    let desk = Desk::open(&args, files.dashboard().cloned()).await?;
    let interop = files.store.as_ref().and_then(|it| it.interop.as_ref());
    let (tenure, scheduling) = unless_told(&mut signals, opened(&chosen, interop)).await?;
    let shared = Arc::new(shared_by(files.store.as_ref()));
    let (most, mut entries) = (files.max_running(), files.tasks);
    entries.retain(|task| task.enabled);
    let next = next_of(&entries);
    if args.watch_only {
        entries.clear();
    }
    let retired = retired_of(files.retired, args.watch_only);
    let scheduling = scheduling.tasks(retired);
    let scheduling = watched(scheduling, files.alarms, probe.as_ref(), &shared);
    let scheduling = match &desk {
        Some(desk) => desk.watch(scheduling),
        None => scheduling,
    };
    let scheduling = counted(scheduling, figures.as_ref());
    // On the heap, for it carries a runner while that joins.
    let starting = Box::pin(start(scheduling, entries, &shared, most));
    let tasks = Arc::new(unless_told(&mut signals, starting).await?);
    watch(figures.as_ref(), &tasks);
    if let Some(probe) = probe {
        probe.serve(&tasks);
    }
    let shown_on = desk.map(|desk| desk.serve(&tenure, &chosen, &tasks));
    let shown_on = shown_on.transpose()?;

    let mut reporter = Reporter::new(&args, tenure.holder().clone());
    let events = tasks.events();
    reporter.begin(&args, &chosen, shown_on, &next);
    service::ready(service::doing(args.watch_only));
    let reporter = Arc::new(Mutex::new(reporter));
    let reporting = tokio::spawn(tell_all(events, reporter.clone()));
    let reload = Reload {
        files: args.files.clone(),
        stamps,
        is_watched: args.watch,
        runs_nothing: args.watch_only,
        store: files.store,
        shared: shared.clone(),
        reporter: reporter.clone(),
        runs: tenure.runs(),
        node: tenure.holder().id,
        terminal,
        gone: Notify::new(),
    };
    let (drained, by) = tokio::select! {
        ended = until_asked(&tasks, &args, &mut signals, &reload) => ended,
        never = reload.keep_current(&tasks, &mut hang_ups) => match never {},
        never = keep_told(&tasks, &shared.guardian) => match never {},
        never = service::stay_alive() => match never {},
        never = bury_orphans() => match never {},
    };
    drop(tasks);
    tell_end(reporting, &reporter, &drained).await;
    Ok(code_after(&by, &drained))
}

/// The store, and tasks on it that are yet to be named.
async fn opened(
    chosen: &Chosen,
    interop: Option<&Interop>,
) -> Result<(Tenure, TaskScheduling<()>), Failure> {
    let tenure = chosen.open().await?.labelled("tenure run");
    let scheduling = TaskScheduling::builder(());
    let scheduling = match interop {
        Some(interop) => scheduling.manager(chosen.interop(interop).await?),
        None => scheduling.manager(tenure.manager()),
    };
    Ok((tenure, scheduling))
}

/// What `work` comes to, unless the program is told to end first, as while a store does not answer:
/// nothing has begun then that would have to be waited for.
async fn unless_told<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => return done,
        _ = signals.next() => {}
    }
    service::ending();
    notice(format_args!(
        "told to end before the tasks were started; no task has run"
    ));
    Err(Failure::quiet(Code::OK))
}

/// Tells the summary, behind all events.
async fn tell_end(reporting: JoinHandle<()>, reporter: &Mutex<Reporter>, drained: &Drained) {
    let finished = tokio::time::timeout(Duration::from_secs(5), reporting).await;
    if let Ok(Ok(())) = finished {
        let mut reporter = reporter.lock().unwrap_or_else(PoisonError::into_inner);
        reporter.end(drained);
    }
}

fn watch(figures: Option<&OtelMetrics>, tasks: &Arc<RunningTasks>) {
    if let Some(figures) = figures {
        figures.watch(tasks);
    }
}

/// Counts what happens, if somebody is sent the figures.
fn counted(scheduling: TaskScheduling<()>, figures: Option<&OtelMetrics>) -> TaskScheduling<()> {
    match figures {
        Some(figures) => scheduling.otel(figures),
        None => scheduling,
    }
}

fn code_after(by: &Ended, drained: &Drained) -> Code {
    match by {
        Ended::Aborted(signal) => Code::of_signal(*signal),
        Ended::Drained if drained.interrupted.is_empty() => Code::OK,
        Ended::Drained => Code::LEASE_OVER,
    }
}

/// What all commands have in common, on a store that is said so.
fn shared_by(store: Option<&StoreEntry>) -> Shared {
    adopt_orphans();
    let shared = Shared {
        guardian: Guardian::start(),
        withheld: store
            .map(|store| store.variables.clone())
            .unwrap_or_default(),
    };
    // Until more is known: no lease that begins from here on ends earlier.
    shared.guardian.until(SystemClock.now() + FIRST_END);
    shared
}

/// Tells what happens until nothing more does.
async fn tell_all(mut events: Events, reporter: Arc<Mutex<Reporter>>) {
    while let Some(event) = events.next().await {
        let mut reporter = reporter.lock().unwrap_or_else(PoisonError::into_inner);
        reporter.tell(&event);
    }
}

/// With alarms, and counted if somebody reads the figures.
fn watched(
    scheduling: TaskScheduling<()>,
    alarms: Vec<AlarmEntry>,
    probe: Option<&Probe>,
    shared: &Arc<Shared>,
) -> TaskScheduling<()> {
    let rules = alarms.into_iter().map(|it| alarm::rule_of(it, shared));
    let scheduling = rules.fold(scheduling, TaskScheduling::alarm);
    match probe {
        Some(probe) => probe.watch(scheduling),
        None => scheduling,
    }
}

fn listen(signals: &[Signal]) -> Result<Signals, Failure> {
    Signals::listen(signals)
        .map_err(|error| Failure::new(Code::SYSTEM, format!("cannot listen for signals: {error}")))
}

/// When each task is due next, by this machine's clock, or why it has no such instant; those come
/// last.
fn next_of(entries: &[TaskEntry]) -> Vec<(TaskName, Result<Timestamp, String>)> {
    let now = SystemClock.wall().to_jiff();
    let mut next: Vec<_> = entries
        .iter()
        .map(|task| {
            let tick = task.schedule.next_after(now);
            let words = || without_ticks(&task.schedule, "never");
            (
                task.name.clone(),
                tick.map(Timestamp::from).ok_or_else(words),
            )
        })
        .collect();
    next.sort_by(|(a, at), (b, bt)| {
        (at.is_err(), at.as_ref().ok(), a).cmp(&(bt.is_err(), bt.as_ref().ok(), b))
    });
    next
}

/// Says of each name that its task is over.
fn retired_of(names: Vec<TaskName>, is_watching: bool) -> Vec<Task<()>> {
    let names = names.into_iter().filter(|_| !is_watching);
    names.map(|name| Task::retired(name.as_str())).collect()
}

async fn start(
    scheduling: TaskScheduling<()>,
    entries: Vec<TaskEntry>,
    shared: &Arc<Shared>,
    max_running: Option<usize>,
) -> Result<RunningTasks, Failure> {
    let options = RunnerOptions::new()
        .stop_grace(STOP_GRACE)
        .max_running(max_running)
        .version(env!("CARGO_PKG_VERSION"));
    let tasks = entries
        .into_iter()
        .map(|entry| work_of(entry, shared.clone()));
    scheduling
        .tasks(tasks)
        .options(options)
        .start()
        .await
        .map_err(|error| match &error {
            StartError::Config(_) => Failure::new(Code::CONFIG, chain(&error)),
            StartError::Manager { source, .. } => {
                let code = match source {
                    tenure::tasks::TaskError::Store(source) => code_of_store(source),
                    _ => Code::UNAVAILABLE,
                };
                Failure::new(code, chain(&error))
            }
            _ => Failure::new(Code::UNAVAILABLE, chain(&error)),
        })
}

/// The task of a file with its command.
fn work_of(entry: TaskEntry, shared: Arc<Shared>) -> Task<()> {
    let task = task_of(&entry);
    let entry = Arc::new(entry);
    task.run(move |context: TaskContext<()>| {
        let (entry, shared) = (entry.clone(), shared.clone());
        async move { execute(&entry, &shared, &context).await }
    })
}

/// What is left of a node's first lease, of fifteen seconds, when its commands must be gone.
const FIRST_END: Duration = Duration::from_secs(14);
/// How often the guardian is told how long the node's lease lasts.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// Tells the guardian until when the node's lease lasts, so that commands end with it although this
/// process is stopped. By itself the runner stops them earlier, when it may no longer trust it.
async fn keep_told(tasks: &RunningTasks, guardian: &Guardian) -> std::convert::Infallible {
    let mut told = None;
    loop {
        let health = tasks.health();
        let trusted_until = health
            .managers
            .iter()
            .filter_map(|manager| manager.trusted_until);
        let trusted_until = trusted_until.min();
        if trusted_until != told {
            told = trusted_until;
            if let Some(until) = trusted_until {
                guardian.until(until + command::LAST_MOMENT);
            }
        }
        tokio::time::sleep(TELL_EVERY).await;
    }
}

enum Ended {
    Drained,
    /// By a third signal: nothing is waited for.
    Aborted(i32),
}

/// Waits for a signal, then drains; a second signal stops what runs, a third everything.
async fn until_asked(
    tasks: &RunningTasks,
    args: &RunArgs,
    signals: &mut Signals,
    reload: &Reload,
) -> (Drained, Ended) {
    tokio::select! {
        _ = signals.next() => {}
        () = reload.hung_up() => {}
        () = sleep_if(args.run_for) => {}
    }
    service::ending();
    let running: usize = tasks
        .health()
        .managers
        .iter()
        .map(|manager| manager.running)
        .sum();
    if running > 0 && !args.json {
        notice(format_args!(
            "ending; {running} running tasks may finish within {}, a second signal stops them",
            tenure::core::format_duration(args.drain)
        ));
    }
    let mut draining = std::pin::pin!(tasks.drain(args.drain));
    tokio::select! {
        drained = &mut draining => return (drained, Ended::Drained),
        _ = signals.next() => {}
    }
    let hurried = async {
        // Shortens the patience; the first call has the answer.
        let _ = tokio::join!(tasks.drain(Duration::ZERO), std::future::pending::<()>());
    };
    tokio::select! {
        drained = &mut draining => (drained, Ended::Drained),
        () = hurried => (Drained::default(), Ended::Drained),
        signal = signals.next() => (Drained::default(), Ended::Aborted(signal as i32)),
    }
}

async fn sleep_if(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
