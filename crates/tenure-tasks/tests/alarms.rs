//! Alarms on several nodes: each is raised once per cluster, told once, and recovers once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod cluster;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::{Cluster, FaultyStore, State, TestClock, logged, pass, secs, slow};
use tenure_core::{Clock, Holder, RunStore, TaskName};
use tenure_tasks::{
    Alarm, AlarmKind, AlarmRule, RunningTasks, StartError, StoreLockManager, Task, TaskContext,
    TaskFailure, TaskScheduling,
};

/// Everything that was told, by any node.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<Alarm>>>);

impl Told {
    fn rule(&self, on: &[AlarmKind]) -> AlarmRule {
        let told = self.clone();
        AlarmRule::new("pager").on(on.to_vec()).call(move |alarm| {
            told.0.lock().unwrap().push(alarm);
            std::future::ready(Ok(()))
        })
    }

    fn all(&self) -> Vec<Alarm> {
        self.0.lock().unwrap().clone()
    }

    /// What was told of each kind and task, in order.
    fn words(&self) -> Vec<String> {
        let of = |alarm: &Alarm| alarm.task.as_ref().map_or("-", TaskName::as_str).to_owned();
        let all = self.all();
        all.iter()
            .map(|alarm| format!("{} {} {}", alarm.kind, of(alarm), alarm.state.as_str()))
            .collect()
    }
}

struct Nodes<'c> {
    cluster: &'c Cluster,
    rule: AlarmRule,
}

impl Nodes<'_> {
    async fn start(&self, name: &str, tasks: Vec<Task<State>>) -> RunningTasks {
        let store = self.cluster.store.clone();
        self.start_on(name, self.cluster.clock.clone(), store, tasks)
            .await
    }

    async fn start_on(
        &self,
        name: &str,
        clock: Arc<dyn Clock>,
        store: Arc<dyn RunStore>,
        tasks: Vec<Task<State>>,
    ) -> RunningTasks {
        TaskScheduling::builder(self.cluster.state(name))
            .manager(StoreLockManager::new(store).as_node(Holder::new(name)))
            .clock(clock)
            .tasks(tasks)
            .alarm(self.rule.clone())
            .start()
            .await
            .unwrap()
    }
}

/// A task that fails as long as `is_bad`.
fn fails_while(is_bad: &Arc<AtomicUsize>) -> Task<State> {
    let is_bad = is_bad.clone();
    Task::new("t")
        .schedule("0 * * * * *")
        .run(move |context: TaskContext<State>| {
            State::ran(&context);
            let fails = is_bad.load(Ordering::SeqCst) > 0;
            async move { if fails { Err("no") } else { Ok(()) } }
        })
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn s44_failing_is_told_once_after_so_many_runs_wherever_they_ran_and_once_when_it_is_over() {
    let cluster = Cluster::new();
    let told = Told::default();
    let nodes = Nodes {
        cluster: &cluster,
        rule: told.rule(&[AlarmKind::Failing]).after(3),
    };
    let is_bad = Arc::new(AtomicUsize::new(0));
    let mut running = Vec::new();
    for name in ["a", "b", "c"] {
        running.push(nodes.start(name, vec![fails_while(&is_bad)]).await);
    }
    pass(MINUTE * 2 + secs(30)).await;
    is_bad.store(1, Ordering::SeqCst);
    pass(MINUTE * 2).await;
    assert_eq!(told.words(), Vec::<String>::new());
    pass(MINUTE).await;
    assert_eq!(told.words(), ["failing t raised"]);
    let first = told.all().remove(0);
    assert_eq!((first.count, first.rule.as_str()), (3, "pager"));
    assert!(first.text.contains("3 in a row: no"), "{}", first.text);
    pass(MINUTE * 10).await;
    assert_eq!(told.words().len(), 1, "nothing more is told while it lasts");
    is_bad.store(0, Ordering::SeqCst);
    pass(MINUTE * 5).await;
    assert_eq!(told.words(), ["failing t raised", "failing t recovered"]);
    is_bad.store(1, Ordering::SeqCst);
    pass(MINUTE * 5).await;
    assert_eq!(told.words().len(), 3, "{:?}", told.words());
    assert_ne!(told.all()[2].id, first.id);
    assert!(
        cluster.log.by_node().len() > 1,
        "one node alone shows nothing"
    );
    let feed = cluster.store.events(None, 1000).await.unwrap().events;
    let kept = feed.iter().filter(
        |event| matches!(&event.kind, tenure_core::EventKind::Note(note) if note.kind == "alarm"),
    );
    assert_eq!(kept.count(), 3, "each stands in the store's events");
}

#[tokio::test(start_paused = true)]
async fn s40_a_run_that_is_lost_with_its_node_is_told_once() {
    let cluster = Cluster::new();
    let told = Told::default();
    let nodes = Nodes {
        cluster: &cluster,
        rule: told.rule(&[AlarmKind::Lost, AlarmKind::Missed]),
    };
    let tasks = || vec![slow("t", "0 */10 * * * *", secs(30))];
    let first = nodes.start("a", tasks()).await;
    pass(MINUTE * 10 + secs(5)).await;
    let _b = nodes.start("b", tasks()).await;
    let _c = nodes.start("c", tasks()).await;
    drop(first);
    pass(MINUTE * 2).await;
    assert_eq!(told.words(), ["lost t raised"]);
    assert!(told.all()[0].node.as_ref().unwrap().starts_with("a ("));
    pass(MINUTE * 20).await;
    assert_eq!(told.words(), ["lost t raised", "lost t recovered"]);
}

#[tokio::test(start_paused = true)]
async fn s57_ticks_that_nobody_ran_are_told_once_by_those_who_come_back() {
    let cluster = Cluster::new();
    let told = Told::default();
    let nodes = Nodes {
        cluster: &cluster,
        rule: told.rule(&[AlarmKind::Missed]),
    };
    let tasks = || vec![logged("t", "0 * * * * *"), logged("u", "0 0 0 1 1 *")];
    nodes.start("a", tasks()).await.drain(secs(1)).await;
    pass(MINUTE * 30).await;
    let _a = nodes.start("a", tasks()).await;
    let _b = nodes.start("b", tasks()).await;
    pass(MINUTE * 3).await;
    assert_eq!(told.words(), ["missed t raised", "missed t recovered"]);
}

#[tokio::test(start_paused = true)]
async fn s49_runs_that_begin_late_are_told_once() {
    let cluster = Cluster::new();
    let told = Told::default();
    let nodes = Nodes {
        cluster: &cluster,
        rule: told.rule(&[AlarmKind::Late]).late_after(secs(4)),
    };
    let store = FaultyStore::over(cluster.store.clone());
    let tasks = vec![logged("t", "0 * * * * *")];
    let _node = nodes
        .start_on("a", cluster.clock.clone(), store.clone(), tasks)
        .await;
    pass(MINUTE * 3).await;
    // Down when the tick comes, and back when it can still be run.
    pass(secs(55)).await;
    store.go_down();
    pass(secs(15)).await;
    store.come_back();
    pass(secs(40)).await;
    assert_eq!(told.words(), ["late t raised"]);
    pass(MINUTE * 3).await;
    assert_eq!(told.words(), ["late t raised", "late t recovered"]);
}

#[tokio::test(start_paused = true)]
async fn s43_a_run_that_takes_too_long_is_told_while_it_still_runs() {
    let cluster = Cluster::new();
    let told = Told::default();
    let nodes = Nodes {
        cluster: &cluster,
        rule: told
            .rule(&[AlarmKind::TooLong])
            .longer_than(secs(20))
            .tasks(["slow*"]),
    };
    let tasks = || {
        vec![
            slow("slow-one", "0 */10 * * * *", secs(40)),
            slow("other", "0 */10 * * * *", secs(40)),
        ]
    };
    let _a = nodes.start("a", tasks()).await;
    let _b = nodes.start("b", tasks()).await;
    pass(MINUTE * 10 + secs(25)).await;
    assert_eq!(told.words(), ["too_long slow-one raised"]);
    let text = &told.all()[0].text;
    assert!(text.contains("has been running for"), "{text}");
    pass(MINUTE * 20).await;
    assert_eq!(
        told.words().len(),
        1,
        "it takes too long each time: {:?}",
        told.words()
    );
}

#[tokio::test(start_paused = true)]
async fn s21_s22_a_node_whose_clock_is_wrong_is_named_once_and_works_on() {
    let cluster = Cluster::new();
    let told = Told::default();
    let nodes = Nodes {
        cluster: &cluster,
        rule: told.rule(&[AlarmKind::ClockSkew]).skew_over(secs(1)),
    };
    let tasks = || vec![logged("t", "* * * * * *")];
    let right = nodes.start("right", tasks()).await;
    let clock = TestClock::new();
    clock.step_wall(-600_000);
    let wrong = nodes
        .start_on("wrong", clock.clone(), cluster.store.clone(), tasks())
        .await;
    pass(secs(60)).await;
    assert_eq!(told.words(), ["clock_skew - raised"]);
    let text = told.all()[0].text.clone();
    assert!(
        text.contains("wrong (") && text.contains("behind"),
        "{text}"
    );
    clock.step_wall(600_000);
    pass(secs(60)).await;
    assert_eq!(
        told.words(),
        ["clock_skew - raised", "clock_skew - recovered"]
    );
    assert_eq!(cluster.log.by_node().len(), 2, "both nodes work");
    cluster.log.assert_none_twice();
    clock.step_wall(600_000);
    pass(secs(60)).await;
    drop(wrong);
    pass(secs(120)).await;
    assert_eq!(
        told.words().len(),
        4,
        "a node that is gone is no trouble: {:?}",
        told.words()
    );
    drop(right);
}

#[tokio::test(start_paused = true)]
async fn s40_telling_is_tried_again_and_handed_over_when_its_node_dies() {
    let cluster = Cluster::new();
    let tries = Arc::new(Mutex::new(Vec::new()));
    let seen = tries.clone();
    let rule = AlarmRule::new("pager")
        .on([AlarmKind::Failing])
        .attempts(3)
        .call(move |alarm| {
            let mut tries = seen.lock().unwrap();
            tries.push(alarm);
            let is_first = tries.len() <= 2;
            async move {
                if is_first {
                    Err(TaskFailure::new("nobody hears it"))
                } else {
                    Ok(())
                }
            }
        });
    let nodes = Nodes {
        cluster: &cluster,
        rule,
    };
    let is_bad = Arc::new(AtomicUsize::new(1));
    let _a = nodes.start("a", vec![fails_while(&is_bad)]).await;
    pass(MINUTE + secs(30)).await;
    let tries = tries.lock().unwrap().clone();
    assert_eq!(tries.len(), 3);
    assert_eq!(tries[0], tries[2], "each try tells the same");
    let states = cluster.states("tenure.alarm.pager").await;
    assert_eq!(states.len(), 2, "{states:?}");
}

#[tokio::test(start_paused = true)]
async fn s40_an_alarm_whose_teller_dies_is_told_by_another_node() {
    let cluster = Cluster::new();
    let told = Told::default();
    let tasks = |is_bad: &Arc<AtomicUsize>| vec![fails_while(is_bad)];
    let is_bad = Arc::new(AtomicUsize::new(1));
    let hangs = AlarmRule::new("pager")
        .on([AlarmKind::Failing])
        .timeout(secs(600))
        .call(|_| std::future::pending());
    let dies = Nodes {
        cluster: &cluster,
        rule: hangs,
    };
    let node = dies.start("dies", tasks(&is_bad)).await;
    pass(MINUTE + secs(10)).await;
    let lives = Nodes {
        cluster: &cluster,
        rule: told.rule(&[AlarmKind::Failing]),
    };
    let _b = lives.start("lives", tasks(&is_bad)).await;
    pass(secs(10)).await;
    assert_eq!(told.words(), Vec::<String>::new());
    drop(node);
    pass(secs(40)).await;
    assert_eq!(told.words(), ["failing t raised"]);
}

#[tokio::test(start_paused = true)]
async fn s48_what_went_wrong_while_the_store_was_away_is_told_when_it_is_back() {
    let cluster = Cluster::new();
    let told = Told::default();
    let nodes = Nodes {
        cluster: &cluster,
        rule: told.rule(&[AlarmKind::Failing]),
    };
    let store = FaultyStore::over(cluster.store.clone());
    let task = Task::new("t")
        .schedule("0 * * * * *")
        .on_lease_loss(tenure_tasks::OnLeaseLoss::Continue)
        .run(|_: TaskContext<State>| async {
            pass(secs(5)).await;
            Err::<(), _>("no")
        });
    let _a = nodes
        .start_on("a", cluster.clock.clone(), store.clone(), vec![task])
        .await;
    pass(MINUTE + secs(2)).await;
    store.go_down();
    pass(secs(20)).await;
    assert_eq!(told.words(), Vec::<String>::new());
    store.come_back();
    pass(secs(30)).await;
    assert!(
        told.words().contains(&"failing t raised".to_owned()),
        "{:?}",
        told.words()
    );
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_an_alarm_is_found_before_anything_starts() {
    let cluster = Cluster::new();
    let rule = AlarmRule::new("no name").after(1000);
    let refused = TaskScheduling::builder(cluster.state("a"))
        .manager(StoreLockManager::new(cluster.store.clone()))
        .task(logged("tenure.alarm.x", "-"))
        .alarm(rule)
        .start()
        .await;
    let Err(StartError::Config(faults)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(faults.as_slice().len(), 5, "{faults}");
    assert!(
        faults
            .to_string()
            .contains("begins the names of tenure's own tasks")
    );
}

#[tokio::test(start_paused = true)]
async fn s40_an_alarm_whose_own_task_cannot_have_its_name_is_refused_and_not_left_out() {
    let cluster = Cluster::new();
    let managed = |name: String| {
        let manager = StoreLockManager::new(cluster.store.clone()).named(name);
        TaskScheduling::builder(cluster.state("a"))
            .manager(manager)
            .alarm(Told::default().rule(&[AlarmKind::Failing]))
            .start()
    };
    // With the rule's own name it is longer than a task's name may be.
    let refused = managed("m".repeat(990)).await;
    let Err(StartError::Config(faults)) = refused else {
        panic!("{refused:?}");
    };
    let told = faults.to_string();
    for part in [
        "alarm `pager`: ",
        "may have 1000 characters, this one has 1009",
        "give manager `mmm",
        "another, shorter name",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let refused = managed("a\u{200b}b".to_owned()).await;
    let Err(StartError::Config(faults)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        faults.to_string().contains("which does not show"),
        "{faults}"
    );
    let running = managed("m".repeat(900)).await.unwrap();
    running.drain(secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn s62_alarms_watch_and_are_told_after_the_tasks_were_replaced() {
    let cluster = Cluster::new();
    let told = Told::default();
    let rule = told.rule(&[AlarmKind::Failing, AlarmKind::TooLong]);
    let nodes = Nodes {
        cluster: &cluster,
        rule: rule.after(1).longer_than(secs(5)),
    };
    let node = nodes.start("a", vec![logged("old", "0 * * * * *")]).await;
    pass(secs(10)).await;
    let is_bad = Arc::new(AtomicUsize::new(1));
    let tasks = vec![
        fails_while(&is_bad),
        slow("lingers", "30 * * * * *", secs(20)),
    ];
    let state = Arc::new(cluster.state("a"));
    let replaced = node.replace(state, tasks).await.unwrap();
    assert_eq!((replaced.added.len(), replaced.removed.len()), (2, 1));
    pass(MINUTE).await;
    let mut words = told.words();
    words.sort_unstable();
    words.dedup();
    assert!(words.contains(&"failing t raised".to_owned()), "{words:?}");
    assert!(
        words.contains(&"too_long lingers raised".to_owned()),
        "{words:?}"
    );
}
