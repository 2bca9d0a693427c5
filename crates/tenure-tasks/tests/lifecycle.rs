//! A run from its start to its end: timeouts, retries, panics, crashes, drains, pauses, requests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{Cluster, FaultyStore, State, arrived, at, event, logged, ms, pass, secs, slow};
use tenure_core::{
    Enqueue, Finish, OnCrash, Outcome, Pause, RequestId, RunKey, RunState, TaskName, TaskRecord,
};
use tenure_tasks::story::Story;
use tenure_tasks::{
    OnLeaseLoss, Retry, RunnerEvent, StopReason, Task, TaskContext, TaskFailure, TaskReport,
};
use tokio::time::timeout;

fn key(task: &str, tick_ms: i64) -> RunKey {
    RunKey::scheduled(TaskName::new(task).unwrap(), at(tick_ms), 1)
}

fn finished(event: RunnerEvent) -> Option<(RunKey, u32, Outcome, Option<String>)> {
    match event {
        RunnerEvent::Finished {
            key,
            attempt,
            outcome,
            reason,
            ..
        } => Some((key, attempt, outcome, reason)),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_code_reports_is_on_record_with_its_context() {
    let cluster = Cluster::new();
    let task = Task::new("t").schedule("*/5 * * * * *").concurrency(2).run(
        |context: TaskContext<State>| async move {
            context.print("printed\n");
            assert_eq!(
                context.run_id().to_string(),
                format!("t@{}#{}", context.tick(), context.index())
            );
            match context.index() {
                1 => Ok(TaskReport::new().exit_code(0)),
                _ => Err(TaskFailure::new("no luck")
                    .exit_code(3)
                    .output("in place of it")),
            }
        },
    );
    let node = cluster.node("n", vec![task]).await;
    pass(ms(5_500)).await;
    let mut first = key("t", 5_000);
    let record = cluster.store.run(&first).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Succeeded);
    assert_eq!(
        (record.exit_code, record.output.as_deref()),
        (Some(0), Some("printed\n"))
    );
    first.index = 2;
    let record = cluster.store.run(&first).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Failed);
    assert_eq!(
        (record.exit_code, record.output.as_deref()),
        (Some(3), Some("in place of it"))
    );
    assert_eq!(record.reason.as_deref(), Some("no luck"));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s43_a_timeout_may_exceed_the_lease_and_ends_code_that_does_not_listen() {
    let cluster = Cluster::new();
    let deaf = Task::new("deaf")
        .schedule("0 * * * * *")
        .timeout(secs(40))
        .run(|context: TaskContext<State>| async move {
            State::ran(&context);
            std::future::pending::<()>().await;
        });
    let listens = Task::new("listens")
        .schedule("0 * * * * *")
        .timeout(secs(30))
        .run(|context: TaskContext<State>| async move {
            assert_eq!(context.cancelled().await, StopReason::Timeout);
            context.print("tidied up");
        });
    let node = cluster.node("n", vec![deaf, listens]).await;
    let mut events = node.events();
    let (ended, _, outcome, _) = event(&mut events, finished).await;
    assert_eq!(
        (ended, outcome),
        (key("listens", 60_000), Outcome::TimedOut)
    );
    let (ended, _, outcome, reason) = event(&mut events, finished).await;
    assert_eq!((ended, outcome), (key("deaf", 60_000), Outcome::TimedOut));
    assert_eq!(
        reason.as_deref(),
        Some("took longer than 40s; did not stop in time and was dropped")
    );
    pass(secs(1)).await;
    let record = cluster
        .store
        .run(&key("deaf", 60_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, RunState::TimedOut);
    let began = record.started_at.unwrap();
    let took = record.ended_at.unwrap().since(began);
    assert!((secs(42)..secs(43)).contains(&took), "{took:?}");
    let record = cluster
        .store
        .run(&key("listens", 60_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.output.as_deref(), Some("tidied up"));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s43_a_node_that_cannot_renew_stops_its_code_before_the_lease_ends() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    let gone = Arc::new(std::sync::Mutex::new(None));
    let clock = cluster.clock.clone();
    let seen = gone.clone();
    let task = Task::new("t")
        .schedule("*/5 * * * * *")
        .run(move |context: TaskContext<State>| {
            // Told when the future is dropped, however that comes about.
            let told = (seen.clone(), clock.clone());
            let on_drop = OnDrop(Some(move || {
                use tenure_core::Clock as _;
                *told.0.lock().unwrap() = Some(told.1.wall());
            }));
            async move {
                let _on_drop = on_drop;
                State::ran(&context);
                std::future::pending::<()>().await;
            }
        });
    let node = cluster
        .node_on("n", cluster.clock.clone(), faulty.clone(), vec![task])
        .await;
    pass(ms(6_000)).await;
    assert_eq!(cluster.log.len(), 1);
    faulty.go_down();
    pass(secs(30)).await;
    let expires = cluster.store.nodes().await.unwrap()[0].expires_at;
    let gone = gone.lock().unwrap().expect("the code still runs");
    assert!(
        gone < expires,
        "gone at {gone}, the lease ended at {expires}"
    );
    assert!(expires.since(gone) < secs(2));
    drop(node);
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}

/// Fails until its attempt has this number.
fn fails_until(name: &str, schedule: &str, attempt: u32, retry: Retry) -> Task<State> {
    Task::new(name).schedule(schedule).retry(retry).run(
        move |context: TaskContext<State>| async move {
            State::ran(&context);
            if context.attempt() < attempt {
                return Err("not yet");
            }
            Ok(())
        },
    )
}

#[tokio::test(start_paused = true)]
async fn s44_a_failed_run_is_tried_again_with_growing_fences_and_counted_across_nodes() {
    let cluster = Cluster::new();
    let task = || fails_until("t", "0 * * * * *", 4, Retry::fixed(4, secs(3)));
    let nodes = [
        cluster.node("a", vec![task()]).await,
        cluster.node("b", vec![task()]).await,
    ];
    pass(secs(75)).await;
    let ran = cluster.log.all();
    assert_eq!(
        ran.iter().map(|ran| ran.attempt).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert!(
        ran.windows(2).all(|pair| pair[0].fence < pair[1].fence),
        "{ran:?}"
    );
    for pair in ran.windows(2) {
        let gap = pair[1].started_at.since(pair[0].started_at);
        assert!((secs(3)..ms(4_300)).contains(&gap), "{gap:?}");
    }
    let record = cluster.store.run(&key("t", 60_000)).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Succeeded);
    assert_eq!(record.attempts.len(), 3);
    drop(nodes);
}

/// What fails together is not tried again together.
#[tokio::test(start_paused = true)]
async fn s44_a_storm_of_retries_is_spread_over_all_of_the_delay() {
    let cluster = Cluster::new();
    let retry = Retry::exponential(2).between(secs(40), secs(40));
    let tasks = (0..100).map(|n| fails_until(&format!("t{n}"), "0 0 * * * *", 2, retry));
    let tasks: Vec<_> = tasks.collect();
    let node = cluster.node("n", tasks).await;
    pass(secs(3700)).await;
    let again = cluster.log.all().into_iter();
    let again = again.filter(|ran| ran.attempt == 2);
    let mut quarters = [0; 4];
    for ran in again {
        let waited = ran.started_at.since(ran.tick).as_secs() / 10;
        quarters[usize::try_from(waited.min(3)).unwrap()] += 1;
    }
    assert_eq!(quarters.iter().sum::<i32>(), 100);
    assert!(
        quarters.iter().all(|count| *count > 3),
        "a quarter of the delay with hardly any: {quarters:?}"
    );
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s44_retries_stop_at_the_next_tick_or_when_the_task_says() {
    let cluster = Cluster::new();
    let bounded = fails_until("bounded", "*/10 * * * * *", 99, Retry::fixed(50, secs(4)));
    let goes_on = fails_until(
        "goes_on",
        "0 * * * * *",
        99,
        Retry::fixed(7, secs(10)).past_next_tick(),
    );
    let in_time = fails_until(
        "in_time",
        "0 * * * * *",
        99,
        Retry::fixed(50, secs(4)).within(secs(10)),
    );
    let permanent = Task::new("permanent")
        .schedule("0 * * * * *")
        .retry(Retry::fixed(5, secs(1)))
        .run(|context: TaskContext<State>| async move {
            State::ran(&context);
            Err::<(), _>(TaskFailure::new("useless").permanent())
        });
    let all = vec![bounded, goes_on, in_time, permanent];
    let node = cluster.node("n", all).await;
    pass(secs(150)).await;
    let attempts = |task: &str, tick_ms| {
        let ran = cluster.log.all().into_iter();
        ran.filter(|ran| ran.task == task && ran.tick == at(tick_ms))
            .count()
    };
    assert_eq!(attempts("bounded", 10_000), 3);
    assert_eq!(attempts("goes_on", 60_000), 7);
    assert_eq!(attempts("in_time", 60_000), 3, "at 0, 4 and 8 s");
    assert_eq!(attempts("permanent", 60_000), 1);
    for (task, tick_ms, why) in [
        (
            "bounded",
            10_000,
            "; not tried again: the next tick is due before that",
        ),
        (
            "in_time",
            60_000,
            "; not tried again: its time for that, 10s, is over",
        ),
        ("goes_on", 60_000, ""),
        ("permanent", 60_000, ""),
    ] {
        let record = cluster.store.run(&key(task, tick_ms)).await;
        let record = record.unwrap().unwrap();
        assert_eq!(record.state, RunState::Failed, "{task}");
        let reason = record.reason.unwrap();
        let (_, told) = reason.split_at(reason.find(';').unwrap_or(reason.len()));
        assert_eq!(told, why, "{task}");
    }
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s45_a_panic_ends_its_own_run_and_nothing_else() {
    let cluster = Cluster::new();
    let panics =
        Task::new("panics")
            .schedule("* * * * * *")
            .run(|context: TaskContext<State>| async move {
                assert!(context.attempt() > 1, "out of {}", "cheese");
            });
    let panics_early = Task::new("early")
        .schedule("* * * * * *")
        .run(|_: TaskContext<State>| -> std::future::Ready<()> { panic!("before the future") });
    let node = cluster
        .node("n", vec![panics, panics_early, logged("t", "* * * * * *")])
        .await;
    pass(ms(10_500)).await;
    assert_eq!(cluster.log.ticks("t").len(), 10);
    let record = cluster
        .store
        .run(&key("panics", 5_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.state, RunState::Failed);
    assert_eq!(record.reason.as_deref(), Some("panicked: out of cheese"));
    let record = cluster
        .store
        .run(&key("early", 5_000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        record.reason.as_deref(),
        Some("panicked: before the future")
    );
    assert!(node.health().is_good());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s46_blocking_tasks_do_not_delay_the_ticks_of_others() {
    let store: Arc<dyn tenure_core::RunStore> = Arc::new(tenure_memory::MemoryStore::new());
    let release = Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
    let mut tasks: Vec<Task<()>> = Vec::new();
    for n in 0..8 {
        let release = release.clone();
        tasks.push(
            Task::new(format!("blocks{n}"))
                .schedule("@every 100ms")
                .run_blocking(move |_: TaskContext<()>| {
                    let (is_over, woken) = &*release;
                    let guard = is_over.lock().unwrap();
                    drop(woken.wait_while(guard, |is_over| !*is_over).unwrap());
                }),
        );
    }
    let late = Arc::new(AtomicUsize::new(0));
    let count = late.clone();
    let (done, mut wait) = tokio::sync::mpsc::channel(64);
    tasks.push(
        Task::new("quick")
            .schedule("@every 100ms")
            .run(move |context: TaskContext<()>| {
                let (count, done) = (count.clone(), done.clone());
                async move {
                    if context.lateness() > secs(2) {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                    let _ = done.send(()).await;
                }
            }),
    );
    let node = tenure_tasks::TaskScheduling::builder(())
        .manager(tenure_tasks::StoreLockManager::new(store))
        .tasks(tasks)
        .start()
        .await
        .unwrap();
    for _ in 0..15 {
        timeout(secs(20), wait.recv())
            .await
            .expect("the quick task waits")
            .unwrap();
    }
    assert_eq!(late.load(Ordering::SeqCst), 0);
    *release.0.lock().unwrap() = true;
    release.1.notify_all();
    let drained = node.drain(secs(10)).await;
    assert_eq!(drained.interrupted, []);
}

#[tokio::test(start_paused = true)]
async fn s40_a_killed_nodes_run_is_lost_and_told_once_or_run_again_by_the_rule() {
    for on_crash in [OnCrash::Lose, OnCrash::Retry { max_attempts: 3 }] {
        let cluster = Cluster::new();
        let task = || slow("t", "0 * * * * *", secs(30)).on_crash(on_crash);
        let victim = cluster.node("victim", vec![task()]).await;
        pass(ms(61_000)).await;
        assert_eq!(cluster.log.len(), 1);
        let others = [
            cluster.node("a", vec![task()]).await,
            cluster.node("b", vec![task()]).await,
        ];
        let mut all_events = others.each_ref().map(tenure_tasks::RunningTasks::events);
        // As kill -9 does: no farewell, and the code is gone with the process.
        drop(victim);
        pass(secs(22)).await;
        let mut lost = Vec::new();
        let mut dead = 0;
        for events in &mut all_events {
            for event in arrived(events).await {
                match event {
                    RunnerEvent::Lost {
                        key,
                        attempt,
                        had_started,
                        state,
                        ..
                    } => {
                        lost.push((key, attempt, had_started, state));
                    }
                    RunnerEvent::NodeLost { node } => {
                        assert_eq!(node.label, "victim");
                        dead += 1;
                    }
                    _ => {}
                }
            }
        }
        let state = match on_crash {
            OnCrash::Retry { .. } => RunState::Waiting,
            _ => RunState::Lost,
        };
        assert_eq!(lost, [(key("t", 60_000), 1, true, state)]);
        assert_eq!(dead, 1);
        pass(secs(35)).await;
        let attempts: Vec<_> = cluster.log.all().iter().map(|ran| ran.attempt).collect();
        let record = cluster.store.run(&key("t", 60_000)).await.unwrap().unwrap();
        if on_crash == OnCrash::Lose {
            assert_eq!(attempts, [1]);
            assert_eq!(record.state, RunState::Lost);
        } else {
            assert_eq!(attempts, [1, 2]);
            assert_eq!(record.state, RunState::Succeeded);
        }
        drop(others);
    }
}

#[tokio::test(start_paused = true)]
async fn s40_a_run_is_lost_when_its_nodes_lease_ends_whenever_the_others_beat() {
    for ahead_ms in [0, 700, 1_900, 3_100, 4_300] {
        let cluster = Cluster::new();
        let task = || slow("t", "0 * * * * *", secs(600));
        let victim = cluster.node("victim", vec![task()]).await;
        pass(ms(61_000)).await;
        assert_eq!(cluster.log.len(), 1);
        pass(ms(ahead_ms)).await;
        let other = cluster.node("other", vec![task()]).await;
        drop(victim);
        // As long as a lease is at most, and not a beat longer.
        pass(ms(15_100)).await;
        let record = cluster.store.run(&key("t", 60_000)).await.unwrap().unwrap();
        assert_eq!(record.state, RunState::Lost, "{ahead_ms} ms");
        drop(other);
    }
}

#[tokio::test(start_paused = true)]
async fn s40_the_late_completion_of_a_node_that_was_cut_off_is_refused_and_told() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    let task = || {
        let task = slow("t", "0 * * * * *", secs(40));
        task.on_crash(OnCrash::Retry { max_attempts: 2 })
            .on_lease_loss(OnLeaseLoss::Continue)
    };
    let zombie = cluster
        .node_on(
            "zombie",
            cluster.clock.clone(),
            faulty.clone(),
            vec![task()],
        )
        .await;
    let mut events = zombie.events();
    pass(ms(61_000)).await;
    let other = cluster.node("other", vec![task()]).await;
    faulty.go_down();
    pass(secs(25)).await;
    let ran = cluster.log.all();
    assert_eq!(ran.len(), 2, "{ran:?}");
    assert_eq!((ran[1].node.as_str(), ran[1].attempt), ("other", 2));
    assert!(ran[1].fence > ran[0].fence);
    pass(secs(20)).await;
    faulty.come_back();
    let (late, state) = event(&mut events, |event| match event {
        RunnerEvent::LateCompletion {
            key,
            attempt: 1,
            state,
        } => Some((key, state)),
        _ => None,
    })
    .await;
    assert_eq!((late, state), (key("t", 60_000), RunState::Running));
    pass(secs(30)).await;
    let record = cluster.store.run(&key("t", 60_000)).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempt), (RunState::Succeeded, 2));
    cluster.log.assert_none_twice();
    drop((zombie, other));
}

#[tokio::test(start_paused = true)]
async fn s41_a_drain_claims_nothing_waits_stops_reports_and_leaves() {
    let cluster = Cluster::new();
    let tasks = || {
        vec![
            slow("short", "0 * * * * *", secs(10)),
            slow("long", "0 * * * * *", secs(600)).on_crash(OnCrash::Retry { max_attempts: 2 }),
            slow("longer", "0 * * * * *", secs(600)),
            logged("tick", "* * * * * *"),
        ]
    };
    let node = cluster.node("n", tasks()).await;
    pass(ms(61_500)).await;
    let before = cluster.log.ticks("tick").len();
    let begun = tokio::time::Instant::now();
    let drained = node.drain(secs(30)).await;
    let took = begun.elapsed();
    assert!((secs(30)..secs(31)).contains(&took), "{took:?}");
    assert_eq!(
        cluster.log.ticks("tick").len(),
        before,
        "claimed after the drain began"
    );
    assert_eq!(drained.finished, 1);
    let mut interrupted = drained.interrupted;
    interrupted.sort();
    assert_eq!(interrupted, [key("long", 60_000), key("longer", 60_000)]);
    assert_eq!(drained.unreported, 0);
    for (task, state) in [
        ("short", RunState::Succeeded),
        ("long", RunState::Waiting),
        ("longer", RunState::Interrupted),
    ] {
        let record = cluster
            .store
            .run(&key(task, 60_000))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(record.state, state, "{task}");
    }
    // It left: nobody has to wait for its lease to end, and nothing is lost.
    let other = cluster.node("other", tasks()).await;
    let mut events = other.events();
    pass(secs(3)).await;
    let handed_over = cluster
        .log
        .all()
        .into_iter()
        .find(|ran| ran.attempt == 2)
        .unwrap();
    assert_eq!(
        (handed_over.task.as_str(), handed_over.node.as_str()),
        ("long", "other")
    );
    let told = arrived(&mut events).await;
    assert!(
        !told
            .iter()
            .any(|event| matches!(event, RunnerEvent::Lost { .. }))
    );
}

#[tokio::test(start_paused = true)]
async fn s41_a_run_that_is_won_while_a_drain_without_patience_begins_is_left_to_others() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    let task = || logged("t", "30 * * * * *").on_crash(OnCrash::Lose);
    let (clock, store) = (cluster.clock.clone(), faulty.clone());
    let node = cluster.node_on("leaves", clock, store, vec![task()]).await;
    let node = Arc::new(node);
    let (leaving, left) = tokio::sync::watch::channel(None);
    // The drain and the answer to the claim arrive together.
    faulty.after_claim({
        let node = node.clone();
        move || {
            let (node, leaving) = (node.clone(), leaving.clone());
            tokio::spawn(async move {
                let drained = node.drain(Duration::ZERO).await;
                leaving.send_replace(Some(drained));
            });
        }
    });
    let mut left = left;
    timeout(secs(60), left.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(cluster.log.len(), 0, "begun, to be stopped at once");
    let record = cluster.store.run(&key("t", 30_000)).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Waiting, "{record:?}");
    let _other = cluster.node("other", vec![task()]).await;
    pass(secs(3)).await;
    let ran = cluster.log.all();
    let nodes: Vec<_> = ran
        .iter()
        .map(|ran| (ran.node.as_str(), ran.tick))
        .collect();
    assert_eq!(nodes, [("other", at(30_000))]);
}

#[tokio::test(start_paused = true)]
async fn s41_a_second_drain_shortens_the_first_and_a_dead_store_does_not_hold_it_up() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    let node = cluster
        .node_on(
            "n",
            cluster.clock.clone(),
            faulty.clone(),
            vec![slow("t", "*/5 * * * * *", secs(600))],
        )
        .await;
    let node = Arc::new(node);
    pass(ms(6_000)).await;
    faulty.go_down();
    let patient = tokio::spawn({
        let node = node.clone();
        async move { node.drain(secs(3600)).await }
    });
    pass(secs(1)).await;
    let begun = tokio::time::Instant::now();
    let drained = node.drain(Duration::ZERO).await;
    assert!(begun.elapsed() < secs(20), "{:?}", begun.elapsed());
    assert_eq!(drained.interrupted, [key("t", 5_000)]);
    assert_eq!(drained.unreported, 1);
    assert_eq!(patient.await.unwrap(), drained);
    assert_eq!(node.drain(secs(1)).await, tenure_tasks::Drained::default());
}

/// What the story of a tick tells besides its runs.
async fn notes_of(cluster: &Cluster, task: &TaskRecord, tick_ms: i64) -> Vec<String> {
    let story = Story::of_tick(&*cluster.store, task, at(tick_ms)).await;
    let story = story.unwrap();
    let notes = story.meanwhile().map(|(_, note)| note.text.clone());
    notes.collect()
}

#[tokio::test(start_paused = true)]
async fn s59_of_a_tick_in_the_middle_of_a_long_pause_it_is_told_when_the_pause_ended() {
    let cluster = Cluster::new();
    let name = TaskName::new("t").unwrap();
    let node = cluster
        .node("n", vec![slow("t", "* * * * * *", ms(1))])
        .await;
    pass(ms(2_500)).await;
    let mut pause = Pause::new("eve", "stocktaking");
    pause.until = Some(at(3_600_000));
    cluster.store.pause(&name, &pause).await.unwrap();
    pass(secs(300)).await;
    let known = cluster.store.resume(&name, "bob", "counted").await;
    assert!(known.unwrap());
    pass(secs(20)).await;
    // Paused and resumed again later: that has to do with other ticks.
    cluster.store.pause(&name, &pause).await.unwrap();
    pass(secs(200)).await;
    cluster.store.resume(&name, "bob", "again").await.unwrap();
    pass(secs(20)).await;
    let tasks = cluster.store.tasks().await.unwrap();
    let story = Story::of_tick(&*cluster.store, &tasks[0], at(50_000)).await;
    let story = story.unwrap();
    assert!(story.runs.is_empty(), "{story:?}");
    let why = story.missing[0].why.join("; ");
    for part in [
        "the task was paused by eve until",
        "it was resumed by bob: counted at ",
        "the first of these counts those before it",
    ] {
        assert!(why.contains(part), "`{part}`: {why}");
    }
    assert!(!why.contains("again"), "{why}");
    let meanwhile: Vec<_> = story
        .meanwhile()
        .map(|(_, note)| note.text.clone())
        .collect();
    assert_eq!(meanwhile.len(), 1, "{meanwhile:?}");
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn s59_a_pause_lets_the_run_end_survives_restarts_and_is_caught_up_by_the_rule() {
    let cluster = Cluster::new();
    let task = || slow("t", "*/10 * * * * *", secs(5));
    let name = TaskName::new("t").unwrap();
    let node = cluster.node("n", vec![task()]).await;
    let mut events = node.events();
    pass(ms(11_000)).await;
    cluster
        .store
        .pause(&name, &Pause::new("eve", "stocktaking"))
        .await
        .unwrap();
    pass(secs(50)).await;
    assert_eq!(cluster.log.ticks("t"), [at(10_000)]);
    let record = cluster.store.run(&key("t", 10_000)).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Succeeded);
    let told = arrived(&mut events).await;
    let paused: Vec<_> = told
        .iter()
        .filter(|e| matches!(e, RunnerEvent::Paused { .. }))
        .collect();
    let wanted = RunnerEvent::Paused {
        task: name.clone(),
        by: "eve".to_owned(),
    };
    assert_eq!(paused, [&wanted]);
    node.drain(secs(1)).await;
    drop(node);

    let node = cluster.node("next", vec![task()]).await;
    let mut events = node.events();
    pass(secs(30)).await;
    assert_eq!(cluster.log.len(), 1, "a restart ended the pause");
    let known = cluster.store.tasks().await.unwrap();
    let pause = known[0].pause.clone().unwrap();
    assert_eq!(
        (pause.by.as_str(), pause.why.as_str()),
        ("eve", "stocktaking")
    );
    assert!(cluster.store.resume(&name, "eve", "").await.unwrap());
    pass(secs(1)).await;
    // Resumed at 91 s: the latest missed tick is run, the others are on record.
    assert_eq!(cluster.log.ticks("t"), [at(10_000), at(90_000)]);
    pass(secs(30)).await;
    let told = arrived(&mut events).await;
    assert!(told.contains(&RunnerEvent::Resumed { task: name }));
    let states = cluster.states("t").await;
    let missed: Vec<_> = states
        .iter()
        .filter(|(_, _, state)| *state == RunState::Missed)
        .map(|(tick, _, _)| *tick)
        .collect();
    let expected: Vec<_> = (2..=8).map(|n| at(n * 10_000)).collect();
    assert_eq!(missed, expected);
    let record = cluster.store.run(&key("t", 40_000)).await.unwrap().unwrap();
    assert_eq!(
        record.reason.as_deref(),
        Some("the task was paused by eve: stocktaking")
    );
    // The pause that was in force is told, however long before the tick it began.
    let missed = notes_of(&cluster, &known[0], 40_000).await;
    assert_eq!(missed, ["paused by eve: stocktaking", "resumed by eve"]);
    let ran = notes_of(&cluster, &known[0], 90_000).await;
    assert_eq!(ran, ["resumed by eve"], "no pause kept it from running");
    cluster.log.assert_none_twice();
}

#[tokio::test(start_paused = true)]
async fn s60_a_requested_run_obeys_overlap_has_its_own_id_and_consumes_no_tick() {
    let cluster = Cluster::new();
    let task = || slow("t", "*/20 * * * * *", secs(8));
    let nodes = [
        cluster.node("a", vec![task()]).await,
        cluster.node("b", vec![task()]).await,
    ];
    pass(ms(21_000)).await;
    let name = TaskName::new("t").unwrap();
    let id = RequestId::new("by-hand").unwrap();
    let request = RunKey::manual(name, at(21_000), 1, id);
    cluster
        .store
        .enqueue(&[Enqueue::new(request.clone(), "eve asked")])
        .await
        .unwrap();
    pass(secs(5)).await;
    assert_eq!(cluster.log.len(), 1, "ran beside the scheduled run");
    pass(secs(5)).await;
    assert_eq!(cluster.log.len(), 2);
    let record = cluster.store.run(&request).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Running);
    pass(secs(15)).await;
    assert_eq!(cluster.log.ticks("t"), [at(20_000), at(21_000), at(40_000)]);
    let record = cluster.store.run(&request).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Succeeded);
    drop(nodes);
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_kept_until_the_store_can_hear_them() {
    let cluster = Cluster::new();
    let faulty = FaultyStore::over(cluster.store.clone());
    let node = cluster
        .node_on(
            "n",
            cluster.clock.clone(),
            faulty.clone(),
            vec![slow("t", "*/30 * * * * *", secs(3))],
        )
        .await;
    pass(ms(31_000)).await;
    faulty.go_down();
    pass(secs(6)).await;
    let record = cluster.store.run(&key("t", 30_000)).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Running);
    faulty.come_back();
    pass(secs(8)).await;
    let record = cluster.store.run(&key("t", 30_000)).await.unwrap().unwrap();
    assert_eq!(record.state, RunState::Succeeded);
    assert!(record.output.unwrap_or_default().len() <= Finish::MAX_OUTPUT);
    drop(node);
}
