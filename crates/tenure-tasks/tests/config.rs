//! The configuration errors of the contract, part A, and ours: all found at once, before anything
//! is asked of a manager.

#![expect(clippy::panic, reason = "a test that cannot go on ends")]

mod cluster;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster::{Cluster, secs};
use tenure_core::{Holder, OnCrash, RunStore, Timestamp};
use tenure_memory::MemoryStore;
use tenure_tasks::{
    ConfigErrors, DEFAULT_MANAGER, Keep, Retry, RunnerOptions, StartError, StoreLockManager, Task,
    TaskError, TaskExecutionToken, TaskManager, TaskScheduling, TaskSpec,
};

fn manager() -> StoreLockManager {
    StoreLockManager::new(Arc::new(MemoryStore::new()))
}

fn task(name: &str) -> Task<()> {
    Task::new(name).schedule("* * * * *").run(|_| async {})
}

async fn faults(scheduling: TaskScheduling<()>) -> Vec<String> {
    match scheduling.start().await {
        Err(StartError::Config(errors)) => errors.into_iter().map(|e| e.to_string()).collect(),
        other => panic!("expected faults, got {other:?}"),
    }
}

#[tokio::test]
async fn a_manager_without_tasks_is_valid() {
    let running = TaskScheduling::builder(())
        .manager(manager())
        .start()
        .await
        .unwrap();
    assert!(running.health().is_good());
    running.drain(secs(1)).await;
    assert!(!running.health().is_good());
}

#[tokio::test]
async fn s54_aliases_that_nobody_could_tell_apart_are_refused_with_what_is_allowed() {
    let wrong = [
        task("a").aliases(["a", "b", "old", "old", "shared"]),
        task("b").aliases(["shared", ""]).generation(0),
    ];
    let scheduling = TaskScheduling::builder(()).manager(manager()).tasks(wrong);
    let told = faults(scheduling).await;
    let expected = [
        "task `a`: aliases: `b` is a task of its own; an alias names a task that is there no more",
        "task `b`: aliases: `shared` is an alias of `a` too; only one task can go on with it",
        "task `a`: aliases: `a` is the task's own name; leave it out",
        "task `a`: aliases: `old` is listed twice; once is enough",
        "task `b`: generation: 0 is what a definition without a number has; write at least 1",
        "task `b`: aliases: a task name must not be empty",
    ];
    assert_eq!(told, expected);
    let right = task("a").aliases(["old", "older"]).generation(1);
    let right = TaskScheduling::builder(()).manager(manager()).task(right);
    right.start().await.unwrap().drain(secs(1)).await;
}

#[tokio::test]
async fn contract_a_each_configuration_error_is_told() {
    let builder = || TaskScheduling::builder(());
    let cases: Vec<(TaskScheduling<()>, &[&str])> = vec![
        (
            builder(),
            &["there is no task manager; add one with `manager`"],
        ),
        (
            builder().task(task("a")),
            &["there is no task manager; add one with `manager`"],
        ),
        (
            builder().manager(manager()).manager(manager()),
            &["2 task managers have no name, only the default may; name the others"],
        ),
        (
            builder()
                .manager(manager().named("x"))
                .manager(manager().named("x")),
            &["2 task managers are named `x`; give each a name of its own"],
        ),
        (
            builder().manager(manager().named(DEFAULT_MANAGER)),
            &["the manager name `default` is reserved; choose another"],
        ),
        (
            builder()
                .manager(manager())
                .task(task("a").on_manager(DEFAULT_MANAGER)),
            &[
                "the manager name `default` is reserved, and task `a` asks for it; leave the \
               manager out to use the default one",
            ],
        ),
        (
            builder()
                .manager(manager())
                .tasks(["a", "b", "a", "c", "c", "a"].map(task)),
            &[
                "3 tasks are named `a`; give each a name of its own",
                "2 tasks are named `c`; give each a name of its own",
            ],
        ),
        (
            builder()
                .manager(manager())
                .task(Task::new("a").run(|_| async {})),
            &["task `a` has no schedule; write `-` to switch it off"],
        ),
        (
            builder()
                .manager(manager())
                .task(Task::new("a").schedule("* * * * *")),
            &["task `a` has no code; add it with `run`"],
        ),
        (
            builder()
                .manager(manager().named("reports"))
                .task(task("a").on_manager("report")),
            &["task `a` asks for the manager `report`, which does not exist; there is `reports`"],
        ),
        (
            builder()
                .manager(manager().named("reports"))
                .task(task("a")),
            &["task `a` asks for no manager, and there is no default one; there is `reports`"],
        ),
        (
            builder().manager(manager().with_application(Arc::new(5_u8))),
            &[
                "the application state of the manager without a name is of another type than the \
               tasks'",
            ],
        ),
    ];
    for (scheduling, expected) in cases {
        assert_eq!(faults(scheduling).await, expected);
    }
}

#[test]
fn e56_a_task_alone_is_refused_for_what_a_runner_would_refuse() {
    for (task, part) in [
        (
            task("tenure.alarm.x"),
            "name: `tenure.alarm.` begins the names",
        ),
        (
            task("a").keep(Keep::new().failed("0".parse().unwrap())),
            "keep: the number in `0` must be 1 to 10000",
        ),
        (task("  "), "name: a task's name must show"),
        (
            task("a\u{200b}b"),
            "name: a task's name cannot hold `\\u{200b}`, which does not show",
        ),
        (
            task("a\tb"),
            "name: a task's name cannot hold `\\u{9}`, which does not show",
        ),
    ] {
        let fault = task.check().unwrap_err().to_string();
        assert!(fault.contains(part), "{fault}");
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_are_told_with_what_is_allowed() {
    let cases: Vec<(Task<()>, &str)> = vec![
        (
            task("").schedule("* * * * *"),
            "task ``: a task name must not be empty",
        ),
        (
            task("a\0"),
            "task `a\\u{0}`: a task name must not hold a NUL character",
        ),
        (
            task("a").schedule("0 24 * * *"),
            "task `a`: schedule `0 24 * * *`: hour `24` must be 0 to 23, at column 3",
        ),
        (
            task("a").zone("Europe/Berlim"),
            "task `a`: unknown time zone `Europe/Berlim`, expected an iana name or UTC; did you \
             mean `Europe/Berlin`?",
        ),
        (
            task("a").concurrency(0),
            "task `a`: concurrency: 0 must be 1 to 1000",
        ),
        (
            task("a").concurrency(1001),
            "task `a`: concurrency: 1001 must be 1 to 1000",
        ),
        (
            task("a").timeout(Duration::ZERO),
            "task `a`: timeout: 0s would stop every run; leave it out for no limit",
        ),
        (
            task("a").retry(Retry::fixed(0, secs(1))),
            "task `a`: retry: 0 attempts would never run it; write at least 1",
        ),
        (
            task("a").retry(Retry::exponential(3).between(secs(9), secs(2))),
            "task `a`: retry: the first delay is longer than the longest",
        ),
        (
            task("a").catch_up_window(Duration::ZERO),
            "task `a`: catch_up_window: 0s must be 1s to 31d",
        ),
        (
            task("a").catch_up_max(0),
            "task `a`: catch_up_max: 0 must be 1 to 1000; to run none write catch_up = skip",
        ),
        (
            task("a").on_crash(OnCrash::Retry { max_attempts: 1 }),
            "task `a`: on_crash: 1 attempts leave none for after a crash; write at least 2",
        ),
        (
            task("a").jitter(secs(100_000)),
            "task `a`: jitter: 100000s is longer than a day",
        ),
        (
            task("a")
                .schedule(tenure_schedule::Schedule::every(secs(5)).unwrap())
                .zone("UTC"),
            "task `a`: zone: a schedule that was read already has its zone; leave this out",
        ),
    ];
    for (task, expected) in cases {
        let scheduling = TaskScheduling::builder(()).manager(manager()).task(task);
        assert_eq!(faults(scheduling).await, [expected]);
    }
}

#[tokio::test]
async fn s08_the_origins_builder_and_other_dialects_are_schedules_of_tasks() {
    use tenure_schedule::Schedule;
    let built = Schedule::builder()
        .hours(|h| h.from(0).every(12))
        .minutes(|m| m.from(15).every(30))
        .seconds(|s| s.at(0));
    let wrong = Schedule::builder().hours(|h| h.every(0));
    let scheduling = TaskScheduling::builder(())
        .manager(manager())
        .task(task("a").schedule(built))
        .task(task("b").schedule("quartz: 0 0 12 ? * MON"))
        .task(task("c").schedule("systemd: daily Europe/Berlin"))
        .task(task("d").schedule(wrong))
        .task(
            task("e")
                .schedule("krontab: 0 0 12 * * 60o")
                .zone("Europe/Berlin"),
        );
    assert_eq!(
        faults(scheduling).await,
        [
            "task `d`: schedule `krontab: * * 0/0 * *`: `0` is refused in the krontab dialect, a \
             step of 0 ends in an error in krontab, at column 16",
            "task `e`: schedule `krontab: 0 0 12 * * 60o`: the text says `60o`, but its zone is \
             given as Europe/Berlin, at column 21",
        ]
    );
}

#[tokio::test]
async fn options_that_make_no_sense_are_told_with_both_values() {
    let cases = [
        (
            RunnerOptions::new().node_ttl(secs(10)),
            "option beat_every: 5s must be under half of node_ttl (10s)",
        ),
        (
            RunnerOptions::new().event_capacity(0),
            "option event_capacity: 0 must be 1 to 1000000",
        ),
        (
            RunnerOptions::new().capacity(0),
            "option capacity: 0 would leave every run to the others; write at least 1",
        ),
        (
            RunnerOptions::new().sweep_after(Duration::ZERO),
            "option sweep_after: 0s must be 10ms to 10s",
        ),
    ];
    for (options, expected) in cases {
        let scheduling = TaskScheduling::builder(())
            .manager(manager())
            .options(options);
        assert_eq!(faults(scheduling).await, [expected]);
    }
}

/// A manager that must not be asked anything.
#[derive(Debug)]
struct Untouched;

#[async_trait]
impl TaskManager for Untouched {
    fn name(&self) -> Option<&str> {
        None
    }

    async fn init(&self, _: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
        panic!("init was called")
    }

    async fn attempt_execute(
        &self,
        _: &TaskSpec,
        _: Timestamp,
        _: u32,
    ) -> Result<Option<Box<dyn TaskExecutionToken>>, TaskError> {
        panic!("attempt_execute was called")
    }

    async fn mark_executed(&self, _: Box<dyn TaskExecutionToken>) -> Result<(), TaskError> {
        panic!("mark_executed was called")
    }

    async fn close(&self) {
        panic!("close was called")
    }
}

#[tokio::test]
async fn s35_all_faults_are_listed_at_once_and_nothing_was_started() {
    let scheduling = TaskScheduling::builder(())
        .manager(Untouched)
        .manager(manager())
        .task(task("twice"))
        .task(task("twice"))
        .task(
            task("bad")
                .schedule("61 * * * *")
                .zone("Mars/Base")
                .concurrency(0),
        )
        .task(Task::new("bare").on_manager("nobody"));
    let Err(StartError::Config(errors)) = scheduling.start().await else {
        panic!("it started")
    };
    let text = errors.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "8 faults in the configuration");
    for wanted in [
        "2 task managers have no name",
        "2 tasks are named `twice`",
        "unknown time zone `Mars/Base`",
        "minute `61` must be 0 to 59",
        "concurrency: 0",
        "task `bare` has no schedule",
        "task `bare` asks for the manager `nobody`, which does not exist",
        "task `bare` has no code",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing in {text}");
    }
    let of_bad = errors.as_slice().iter().filter(|e| e.task() == Some("bad"));
    let settings: Vec<_> = of_bad
        .filter_map(tenure_tasks::ConfigError::setting)
        .collect();
    assert_eq!(settings, ["zone", "schedule", "concurrency"]);
}

#[tokio::test]
async fn e63_a_hundred_thousand_tasks_are_checked_in_no_time() {
    let tasks: Vec<_> = (0..100_000)
        .map(|n| task(&format!("t{n}")).schedule("0 * * * *"))
        .collect();
    let begun = std::time::Instant::now();
    for task in &tasks {
        task.check().unwrap();
    }
    assert!(
        begun.elapsed() < secs(120),
        "{:?} in a debug build",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn s65_no_task_one_task_and_a_task_that_is_switched_off_are_valid() {
    let cluster = Cluster::new();
    let off = cluster::logged("off", "-");
    let on = cluster::logged("on", "* * * * * *");
    let empty = cluster.node("empty", vec![]).await;
    let node = cluster.node("node", vec![off, on]).await;
    cluster::pass(cluster::ms(10_900)).await;
    assert!(cluster.log.ticks("off").is_empty());
    assert_eq!(cluster.log.ticks("on").len(), 10);
    assert_eq!(empty.next_ticks(5).await, vec![]);
    assert_eq!(node.next_ticks(3).await.len(), 3);
    node.drain(secs(1)).await;
    empty.drain(secs(1)).await;
}

#[tokio::test]
async fn s51_a_store_that_cannot_be_used_is_told_at_the_start() {
    let store = cluster::FaultyStore::over(Arc::new(MemoryStore::new()));
    store.go_down();
    let manager = StoreLockManager::new(store as Arc<dyn RunStore>)
        .named("reports")
        .as_node(Holder::new("n"));
    let error = TaskScheduling::builder(())
        .manager(manager)
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the task manager `reports` cannot begin");
}

#[test]
fn the_generation_differs_whenever_the_definition_does() {
    let base = || task("t");
    let spec = |task: Task<()>| -> Result<String, ConfigErrors> {
        Ok(task.check()?.generation().to_string())
    };
    let variants = [
        base(),
        base().schedule("*/2 * * * *"),
        base().zone("Europe/Berlin"),
        base().concurrency(2),
        base().timeout(secs(5)),
        base().retry(Retry::exponential(2)),
        base().catch_up_max(11),
        base().jitter(secs(1)),
        base().details("/bin/true"),
        base().on_crash(OnCrash::Retry { max_attempts: 2 }),
    ];
    let generations: std::collections::BTreeSet<_> = variants
        .into_iter()
        .map(|task| spec(task).unwrap())
        .collect();
    assert_eq!(generations.len(), 10);
    assert_eq!(spec(base()).unwrap(), spec(base()).unwrap());
}
