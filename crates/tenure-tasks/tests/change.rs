//! Deploys, managers of other kinds, and what a runner tells about itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cluster::{Cluster, State, TestClock, arrived, at, event, logged, ms, pass, secs, slow};
use tenure_core::{
    Enqueue, Holder, OnChange, Outcome, RequestId, RunKey, RunState, TaskName, Timestamp,
};
use tenure_memory::MemoryStore;
use tenure_tasks::story::Story;
use tenure_tasks::{
    CatchUp, Keep, KeepRule, RunnerEvent, RunnerOptions, StoreLockManager, Task, TaskContext,
    TaskError, TaskExecutionToken, TaskLockManager as _, TaskManager, TaskScheduling, TaskSpec,
};

#[tokio::test(start_paused = true)]
async fn s53_during_a_rolling_deploy_only_the_newer_definition_fires() {
    let cluster = Cluster::new();
    let old = cluster
        .node("old", vec![logged("t", "*/10 * * * * *")])
        .await;
    let mut events = old.events();
    pass(ms(18_000)).await;
    // The tick that the new schedule would have had three seconds ago is caught up by nobody.
    let renewed = || vec![logged("t", "5/10 * * * * *")];
    let new = cluster.node("new", renewed()).await;
    pass(ms(1_000)).await;
    let newer = cluster.node("newer", renewed()).await;
    pass(ms(60_000)).await;
    let ticks = cluster.log.ticks("t");
    let expected: Vec<_> = [10, 25, 35, 45, 55, 65, 75].map(|s| at(s * 1000)).into();
    let in_time: Vec<_> = ticks
        .into_iter()
        .filter(|tick| *tick <= at(75_000))
        .collect();
    assert_eq!(in_time, expected);
    cluster.log.assert_none_twice();
    let told = arrived(&mut events).await;
    let stale = told
        .iter()
        .filter(|event| matches!(event, RunnerEvent::Stale { .. }))
        .count();
    assert_eq!(stale, 1);
    // Rolled back: the older definition is current again as soon as nobody lists the newer.
    new.drain(secs(1)).await;
    newer.drain(secs(1)).await;
    let before = cluster.log.len();
    pass(secs(20)).await;
    let after: Vec<_> = cluster.log.all().split_off(before);
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(
        after
            .iter()
            .all(|ran| ran.node == "old" && ran.tick.as_millis() % 10_000 == 0)
    );
}

fn all(name: &str, schedule: &str) -> Task<State> {
    logged(name, schedule).catch_up(CatchUp::All)
}

fn tens(from: i64, to: i64) -> Vec<Timestamp> {
    (from..=to).map(|n| at(n * 10_000)).collect()
}

#[tokio::test(start_paused = true)]
async fn s54_a_renamed_task_goes_on_where_it_was_and_no_tick_runs_under_both_names() {
    let cluster = Cluster::new();
    let every = "*/10 * * * * *";
    let old = cluster.node("old", vec![all("before", every)]).await;
    pass(ms(21_000)).await;
    let renamed = || vec![all("after", every).aliases(["long ago", "before"])];
    let new = cluster.node("new", renamed()).await;
    pass(secs(20)).await;
    // A node of the old version comes back in the middle.
    let again = cluster.node("again", vec![all("before", every)]).await;
    let newer = cluster.node("newer", renamed()).await;
    pass(secs(20)).await;
    assert_eq!(cluster.log.ticks("before"), tens(1, 2));
    assert_eq!(cluster.log.ticks("after"), tens(3, 6));
    // Rolled back: the old name fires as soon as nobody lists the new one.
    new.drain(secs(1)).await;
    newer.drain(secs(1)).await;
    pass(secs(20)).await;
    assert_eq!(
        cluster.log.ticks("before"),
        [tens(1, 2), tens(7, 8)].concat()
    );
    // And forward again: what ran under the old name meanwhile is known.
    let forward = cluster.node("forward", renamed()).await;
    pass(secs(10)).await;
    assert_eq!(
        cluster.log.ticks("after"),
        [tens(3, 6), tens(9, 9)].concat()
    );
    cluster.log.assert_none_twice();
    for node in [old, again, forward] {
        node.drain(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s54_a_renamed_task_makes_up_for_what_was_missed_between_the_two_names() {
    let cluster = Cluster::new();
    let every = "*/10 * * * * *";
    let old = cluster.node("old", vec![all("before", every)]).await;
    pass(ms(21_000)).await;
    let id = RequestId::new("r1").unwrap();
    let asked = RunKey::manual(TaskName::new("before").unwrap(), at(21_000), 1, id);
    old.drain(secs(1)).await;
    cluster
        .store
        .enqueue(&[Enqueue::new(asked, "asked for by a test")])
        .await
        .unwrap();
    pass(secs(21)).await;
    let renamed = vec![all("after", every).alias("before"), all("fresh", every)];
    let new = cluster.node("new", renamed).await;
    pass(secs(10)).await;
    assert_eq!(cluster.log.ticks("after"), tens(3, 5));
    assert_eq!(cluster.log.ticks("fresh"), tens(5, 5), "has no past");
    // What was asked for under the old name is run by the code of the new one.
    let before = cluster.log.all().into_iter();
    let before: Vec<_> = before.filter(|ran| ran.task == "before").collect();
    assert_eq!(before.len(), 3);
    assert!(
        before
            .iter()
            .any(|ran| ran.node == "new" && ran.tick == at(21_000))
    );
    new.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s55_old_nodes_stop_claiming_a_task_that_a_newer_release_has_retired() {
    let cluster = Cluster::new();
    let every = "*/10 * * * * *";
    let old = cluster
        .node("old", vec![all("over", every), all("kept", every)])
        .await;
    pass(ms(21_000)).await;
    // A release that merely lacks the task is no word about it: S56.
    let lacking = cluster.node("lacking", vec![all("kept", every)]).await;
    pass(secs(10)).await;
    assert_eq!(cluster.log.ticks("over"), tens(1, 3));
    let renewed = vec![all("kept", every), Task::retired("over")];
    let new = cluster.node("new", renewed).await;
    let id = RequestId::new("r1").unwrap();
    let asked = RunKey::manual(TaskName::new("over").unwrap(), at(31_000), 1, id);
    let order = Enqueue::new(asked.clone(), "asked for by a test");
    cluster.store.enqueue(&[order]).await.unwrap();
    pass(secs(20)).await;
    assert_eq!(cluster.log.ticks("over"), tens(1, 3), "nobody fires it");
    assert_eq!(cluster.log.ticks("kept"), tens(1, 5));
    let now = cluster.store.now().await.unwrap().now;
    let tasks = cluster.store.tasks().await.unwrap();
    let retired = |name: &str| {
        let mut tasks = tasks.iter();
        let found = tasks.find(|record| record.definition.task.as_str() == name);
        found.is_some_and(|record| record.is_retired(now))
    };
    assert!(retired("over") && !retired("kept"));
    let asked = cluster.store.run(&asked).await.unwrap().unwrap();
    assert_eq!(asked.state, RunState::Cancelled, "{asked:?}");
    assert_eq!(asked.reason.unwrap(), "not begun: the task is retired");
    assert_eq!(asked.asked.unwrap(), "asked for by a test");
    let over = tasks.iter().find(|it| it.definition.task == asked.key.task);
    let story = Story::of_tick(&*cluster.store, over.unwrap(), at(31_000)).await;
    let life: Vec<String> = story.unwrap().runs[0]
        .life
        .iter()
        .map(|(_, it)| it.clone())
        .collect();
    let claimed = life[1].starts_with("attempt 1 claimed by new");
    assert!(claimed && life.len() == 4, "{life:?}");
    assert_eq!(life[0], "asked for by a test");
    assert_eq!(
        life[2],
        "attempt 1 was given out to begin, but its code did not"
    );
    assert_eq!(life[3], "cancelled: not begun: the task is retired");
    // Rolled back: it goes on when nobody says any more that it is over.
    new.drain(secs(1)).await;
    pass(secs(10)).await;
    assert_eq!(cluster.log.ticks("over").last(), Some(&at(60_000)));
    cluster.log.assert_none_twice();
    for node in [old, lacking] {
        node.drain(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s54_a_task_that_is_renamed_while_it_runs_drops_no_tick() {
    let cluster = Cluster::new();
    let every = "* * * * * *";
    let node = cluster.node("a", vec![all("one", every)]).await;
    let mut name = "one";
    for (n, next) in (1u64..).zip(["two", "three", "one", "two"]) {
        pass(ms(2_000 + 137 * n)).await;
        let state = Arc::new(cluster.state("a"));
        let tasks = vec![all(next, every).alias(name)];
        let replaced = node.replace(state, tasks).await.unwrap();
        assert_eq!((replaced.added.len(), replaced.removed.len()), (1, 1));
        name = next;
    }
    pass(secs(5)).await;
    let mut ticks: Vec<_> = cluster.log.all().into_iter().map(|ran| ran.tick).collect();
    ticks.sort_unstable();
    let last = i64::try_from(ticks.len()).unwrap();
    assert!(last >= 13, "{ticks:?}");
    let each_once: Vec<_> = (1..=last).map(|n| at(n * 1000)).collect();
    assert_eq!(ticks, each_once);
}

/// The newest node dies before the tick that its definition keeps the old one from.
#[tokio::test(start_paused = true)]
async fn s53_a_tick_refused_as_stale_is_caught_up_or_told_if_the_newest_node_dies() {
    let every = "*/10 * * * * *";
    let late = |generation| logged("late", every).generation(generation);
    let skipped = |generation| late_skips(every).generation(generation);
    let moved = |schedule: &str, generation| logged("moved", schedule).generation(generation);
    let cluster = Cluster::new();
    let tasks = vec![late(1), skipped(1), moved(every, 1)];
    let old = cluster.node("old", tasks).await;
    pass(ms(11_000)).await;
    let tasks = vec![late(2), skipped(2), moved("5/10 * * * * *", 2)];
    let new = cluster.node("new", tasks).await;
    pass(ms(8_000)).await;
    // As a process does that is killed: it says no farewell.
    drop(new);
    // Its lease of 15 s began at its last beat.
    pass(secs(26)).await;
    assert_eq!(
        cluster.log.ticks("late"),
        [10, 30, 40].map(|s| at(s * 1000))
    );
    assert_eq!(cluster.log.ticks("skips"), [10, 40].map(|s| at(s * 1000)));
    // Another schedule was in force, so nothing of the old one is made up for.
    let moved = cluster.log.ticks("moved");
    assert_eq!(moved, [10, 15, 40].map(|s| at(s * 1000)));
    for (task, tick, state, why) in [
        ("late", 20, RunState::Missed, "another definition"),
        ("skips", 20, RunState::Missed, "another definition"),
        ("skips", 30, RunState::Missed, "another definition"),
        ("moved", 30, RunState::Skipped, "another schedule"),
    ] {
        let key = RunKey::scheduled(TaskName::new(task).unwrap(), at(tick * 1000), 1);
        let record = cluster.store.run(&key).await.unwrap();
        assert!(record.is_some(), "{key} has no record");
        let record = record.unwrap();
        assert_eq!(record.state, state, "{key}");
        let reason = record.reason.unwrap_or_default();
        assert!(reason.contains(why), "{key}: {reason}");
    }
    cluster.log.assert_none_twice();
    old.drain(secs(1)).await;
}

fn late_skips(every: &str) -> Task<State> {
    logged("skips", every).catch_up(CatchUp::Skip)
}

#[tokio::test(start_paused = true)]
async fn s53_the_highest_generation_fires_whenever_its_nodes_came() {
    let cluster = Cluster::new();
    let high = vec![logged("t", "*/10 * * * * *").generation(2)];
    let high = cluster.node("high", high).await;
    pass(ms(1_000)).await;
    let low = vec![logged("t", "5/10 * * * * *").generation(1)];
    let low = cluster.node("low", low).await;
    let plain = cluster
        .node("plain", vec![logged("t", "* * * * * *")])
        .await;
    pass(secs(30)).await;
    assert_eq!(cluster.log.ticks("t"), tens(1, 3));
    high.drain(secs(1)).await;
    let before = cluster.log.len();
    pass(secs(20)).await;
    let after = cluster.log.all().split_off(before);
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.iter().all(|ran| ran.node == "low"), "{after:?}");
    low.drain(secs(1)).await;
    plain.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s53_under_union_each_nodes_definition_fires_and_what_they_share_once() {
    let cluster = Cluster::new();
    let old = cluster
        .node("old", vec![logged("t", "*/10 * * * * *")])
        .await;
    pass(ms(21_000)).await;
    let new = vec![logged("t", "*/15 * * * * *").on_change(OnChange::Union)];
    let new = cluster.node("new", new).await;
    pass(secs(40)).await;
    let expected = [10, 20, 30, 40, 45, 50, 60].map(|s| at(s * 1000));
    assert_eq!(cluster.log.ticks("t"), expected);
    new.drain(secs(1)).await;
    old.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s52_what_a_task_need_not_keep_goes_as_soon_as_no_claim_needs_it() {
    let mut cluster = Cluster::new();
    cluster.options = RunnerOptions::new()
        .node_ttl(secs(600))
        .beat_every(secs(100))
        .take_every(secs(60));
    let every = |name: &str| logged(name, "*/20 * * * * *").catch_up_window(secs(1));
    let rule = KeepRule::newest(5).within(secs(2 * 3600));
    let tasks = vec![
        every("kept"),
        every("short").keep(Keep::new().succeeded(rule)),
        every("other").keep(Keep::new().failed(KeepRule::newest(1))),
    ];
    let node = cluster.node("a", tasks).await;
    pass(secs(3 * 3600 + 1)).await;
    let on_record = async |name: &str| cluster.states(name).await.len();
    assert_eq!(cluster.log.ticks("short").len(), 540);
    assert_eq!(on_record("kept").await, 540);
    assert_eq!(on_record("other").await, 540, "none of them failed");
    // An hour and two windows, and what came since the last look.
    let left = on_record("short").await;
    assert!((180..=220).contains(&left), "{left}");
    node.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s63_a_day_of_a_running_node_passes_in_seconds() {
    let mut cluster = Cluster::new();
    cluster.options = RunnerOptions::new()
        .node_ttl(secs(600))
        .beat_every(secs(200))
        .take_every(secs(60));
    let node = cluster
        .node(
            "n",
            vec![logged("t", "* * * * *"), logged("h", "0 * * * *")],
        )
        .await;
    pass(secs(24 * 3600 + 1)).await;
    assert_eq!(cluster.log.ticks("t").len(), 1440);
    assert_eq!(cluster.log.ticks("h").len(), 24);
    assert!(node.health().is_good());
}

#[tokio::test(start_paused = true)]
async fn the_next_ticks_of_all_tasks_and_managers_are_told_in_order() {
    let clock = TestClock::new();
    let store = || Arc::new(MemoryStore::with_clock(clock.clone()));
    let running = TaskScheduling::builder(())
        .manager(StoreLockManager::new(store()))
        .manager(StoreLockManager::new(store()).named("reports"))
        .clock(clock.clone())
        .task(Task::new("a").schedule("*/20 * * * * *").run(|_| async {}))
        .task(
            Task::new("b")
                .schedule("*/30 * * * * *")
                .on_manager("reports")
                .run(|_| async {}),
        )
        .task(Task::new("never").schedule("-").run(|_| async {}))
        .start()
        .await
        .unwrap();
    let next: Vec<_> = running
        .next_ticks(5)
        .await
        .into_iter()
        .map(|next| (next.task.as_str().to_owned(), next.tick))
        .collect();
    let expected = [("a", 20), ("b", 30), ("a", 40), ("a", 60), ("b", 60)]
        .map(|(task, s)| (task.to_owned(), at(s * 1000)));
    assert_eq!(next, expected);
    assert_eq!(running.next_ticks(usize::MAX).await.len(), 10_000);
    let health = running.health();
    assert_eq!(health.managers.len(), 2);
    assert_eq!(health.managers[0].tasks, 2);
}

/// A manager that somebody wrote by hand: one process, one set.
#[derive(Debug, Default)]
struct HandWritten {
    taken: Mutex<HashSet<(String, Timestamp, u32)>>,
    executed: Mutex<usize>,
    closed: Mutex<bool>,
}

#[derive(Debug)]
struct Permission(String, u32);

impl TaskExecutionToken for Permission {
    fn name(&self) -> &str {
        &self.0
    }
    fn concurrency_index(&self) -> u32 {
        self.1
    }
}

#[derive(Debug)]
struct Shared(Arc<HandWritten>);

#[async_trait]
impl TaskManager for Shared {
    fn name(&self) -> Option<&str> {
        None
    }

    async fn init(&self, tasks: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
        assert_eq!(tasks.len(), 1);
        Ok(())
    }

    async fn attempt_execute(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskExecutionToken>>, TaskError> {
        let name = task.name().as_str().to_owned();
        let is_new =
            self.0
                .taken
                .lock()
                .unwrap()
                .insert((name.clone(), execution_time, concurrency_index));
        Ok(is_new.then(|| Box::new(Permission(name, concurrency_index)) as Box<_>))
    }

    async fn mark_executed(&self, token: Box<dyn TaskExecutionToken>) -> Result<(), TaskError> {
        assert_eq!(token.name(), "t");
        *self.0.executed.lock().unwrap() += 1;
        Ok(())
    }

    async fn close(&self) {
        *self.0.closed.lock().unwrap() = true;
    }
}

#[tokio::test(start_paused = true)]
async fn contract_a_a_manager_written_by_hand_permits_each_execution_once() {
    let cluster = Cluster::new();
    let manager = Arc::new(HandWritten::default());
    let mut running = Vec::new();
    for name in ["a", "b", "c"] {
        running.push(
            TaskScheduling::builder(cluster.state(name))
                .manager(Shared(manager.clone()))
                .clock(cluster.clock.clone())
                .task(logged("t", "* * * * * *").concurrency(2))
                .start()
                .await
                .unwrap(),
        );
    }
    pass(ms(10_500)).await;
    cluster.log.assert_none_twice();
    assert_eq!(cluster.log.len(), 20);
    assert_eq!(*manager.executed.lock().unwrap(), 20);
    for running in &running {
        running.drain(secs(1)).await;
    }
    assert!(*manager.closed.lock().unwrap());
    pass(secs(5)).await;
    assert_eq!(cluster.log.len(), 20);
}

/// A manager that panics at every second tick.
#[derive(Debug)]
struct Panics;

#[async_trait]
impl TaskManager for Panics {
    fn name(&self) -> Option<&str> {
        None
    }

    async fn init(&self, _: &[Arc<TaskSpec>]) -> Result<(), TaskError> {
        Ok(())
    }

    async fn attempt_execute(
        &self,
        task: &TaskSpec,
        execution_time: Timestamp,
        concurrency_index: u32,
    ) -> Result<Option<Box<dyn TaskExecutionToken>>, TaskError> {
        assert!(execution_time.as_millis() % 2000 == 0, "an odd second");
        let name = task.name().as_str().to_owned();
        Ok(Some(Box::new(Permission(name, concurrency_index))))
    }

    async fn mark_executed(&self, _: Box<dyn TaskExecutionToken>) -> Result<(), TaskError> {
        Ok(())
    }

    async fn close(&self) {}
}

#[tokio::test(start_paused = true)]
async fn s45_a_manager_that_panics_fails_at_that_execution_alone() {
    let cluster = Cluster::new();
    let running = TaskScheduling::builder(cluster.state("n"))
        .manager(Panics)
        .clock(cluster.clock.clone())
        .task(logged("t", "* * * * * *"))
        .start()
        .await
        .unwrap();
    let mut events = running.events();
    pass(ms(10_500)).await;
    assert_eq!(cluster.log.len(), 5);
    let told = arrived(&mut events).await;
    let failed = told
        .iter()
        .filter(|event| matches!(event, RunnerEvent::StoreTrouble { .. }));
    assert_eq!(failed.count(), 5);
    running.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s57_a_manager_without_a_store_refuses_to_run_a_task_after_its_end() {
    let cluster = Cluster::new();
    let refused = TaskScheduling::builder(cluster.state("n"))
        .manager(Shared(Arc::default()))
        .task(logged("t", "@after 5s"))
        .start()
        .await;
    let error = format!("{:?}", refused.unwrap_err());
    assert!(error.contains("needs a manager with a store"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_manager_written_by_hand_stops_what_runs() {
    let cluster = Cluster::new();
    let running = TaskScheduling::builder(cluster.state("n"))
        .manager(Shared(Arc::default()))
        .clock(cluster.clock.clone())
        .task(slow("t", "*/5 * * * * *", secs(1000)))
        .start()
        .await
        .unwrap();
    let mut events = running.events();
    pass(ms(11_000)).await;
    let drained = running.drain(secs(2)).await;
    assert_eq!(drained.interrupted.len(), 1);
    let told = arrived(&mut events).await;
    assert!(
        told.iter()
            .any(|event| matches!(event, RunnerEvent::Skipped { .. }))
    );
    assert!(told.iter().any(|event| {
        matches!(
            event,
            RunnerEvent::Finished {
                outcome: Outcome::Interrupted,
                ..
            }
        )
    }));
}

#[tokio::test(start_paused = true)]
async fn contract_a_a_lock_manager_used_by_hand_gives_each_lock_once_and_for_ever() {
    let cluster = Cluster::new();
    let spec = logged("t", "* * * * *").concurrency(2).check().unwrap();
    let manager = |label| {
        StoreLockManager::new(cluster.store.clone())
            .as_node(Holder::new(label))
            .with_clock(cluster.clock.clone())
    };
    let (mine, theirs) = (manager("mine"), manager("theirs"));
    mine.init(&[Arc::new(spec.clone())]).await.unwrap();
    let lock = mine
        .acquire_lock_key(&spec, at(0), 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((lock.name(), lock.concurrency_index()), ("t", 1));
    assert_eq!(lock.value(), "t@2026-01-01T00:00:00.000Z#1 attempt 1");
    assert!(lock.fence().is_some());
    assert!(
        theirs
            .acquire_lock_key(&spec, at(0), 1)
            .await
            .unwrap()
            .is_none()
    );
    let other = theirs
        .attempt_execute(&spec, at(0), 2)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        mine.mark_executed(Box::new(Permission("t".into(), 1)))
            .await,
        Err(TaskError::ForeignToken { .. })
    ));
    mine.mark_executed(lock).await.unwrap();
    theirs.mark_executed(other).await.unwrap();
    // Long after the lease of the node ended: the lock of an execution that was is never free.
    pass(secs(120)).await;
    assert!(
        mine.acquire_lock_key(&spec, at(0), 1)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        theirs
            .acquire_lock_key(&spec, at(0), 1)
            .await
            .unwrap()
            .is_none()
    );
    let states = cluster.states("t").await;
    assert!(
        states
            .iter()
            .all(|(_, _, state)| *state == RunState::Succeeded),
        "{states:?}"
    );
    mine.close().await;
}

#[tokio::test(start_paused = true)]
async fn contract_a_the_code_sees_the_application_of_its_manager() {
    let clock = TestClock::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let task = |name: &str| {
        let seen = seen.clone();
        Task::new(name)
            .schedule("* * * * * *")
            .run(move |context: TaskContext<String>| {
                seen.lock().unwrap().push((
                    context.task().as_str().to_owned(),
                    context.application().to_string(),
                ));
                std::future::ready(())
            })
    };
    let store = || Arc::new(MemoryStore::with_clock(clock.clone()));
    let own = StoreLockManager::new(store())
        .named("own")
        .with_application(Arc::new("its own".to_owned()));
    let running = TaskScheduling::builder("the common one".to_owned())
        .manager(StoreLockManager::new(store()))
        .manager(own)
        .clock(clock.clone())
        .task(task("a"))
        .task(task("b").on_manager("own"))
        .start()
        .await
        .unwrap();
    pass(ms(1_500)).await;
    running.drain(secs(1)).await;
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    let expected = [("a", "the common one"), ("b", "its own")];
    assert_eq!(
        seen,
        expected.map(|(task, state)| (task.to_owned(), state.to_owned()))
    );
}

#[tokio::test]
async fn code_runs_on_the_runtime_of_its_own_task() {
    let own = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("reports")
        .enable_all()
        .build()
        .unwrap();
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let task = Task::new("t")
        .schedule("@every 100ms")
        .on_runtime(own.handle().clone())
        .run(move |_: TaskContext<()>| {
            let tell = tell.clone();
            async move {
                let name = std::thread::current().name().unwrap_or_default().to_owned();
                let _ = tell.send(name).await;
            }
        });
    let running = TaskScheduling::builder(())
        .manager(StoreLockManager::new(Arc::new(MemoryStore::new())))
        .task(task)
        .start()
        .await
        .unwrap();
    let name = tokio::time::timeout(secs(20), told.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(name, "reports");
    running.drain(secs(1)).await;
    own.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_life_of_a_run_in_order() {
    let cluster = Cluster::new();
    let node = cluster
        .node("n", vec![slow("t", "*/30 * * * * *", secs(2))])
        .await;
    let mut events = node.events();
    let mut names = Vec::new();
    event(&mut events, |event| {
        names.push(match event {
            RunnerEvent::Due { .. } => "due",
            RunnerEvent::Next { .. } => "next",
            RunnerEvent::Claimed { .. } => "claimed",
            RunnerEvent::Started { .. } => "started",
            RunnerEvent::Finished {
                duration, outcome, ..
            } => {
                assert!((secs(2)..ms(2_100)).contains(&duration), "{duration:?}");
                assert_eq!(outcome, Outcome::Succeeded);
                "finished"
            }
            _ => "other",
        });
        (names.last() == Some(&"finished")).then_some(())
    })
    .await;
    assert_eq!(names, ["due", "next", "claimed", "started", "finished"]);
    let _: &State = &cluster.state("n");
}
