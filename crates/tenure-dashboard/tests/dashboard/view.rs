//! What the views gather, on the store in memory.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Ended, Enqueue, Generation, Holder, Key,
    LeaseRequest, LeaseStore as _, ManualClock, Pause, RunKey, RunStore, TaskName, Ttl,
};
use tenure_dashboard::view::{LockState, LocksQuery, Paging, TaskFilter, TasksQuery, ViewError};
use tenure_dashboard::{Access, Dashboard, Right};
use tenure_memory::MemoryStore;

use crate::client::serve;

/// A store with `count` tasks of one node.
async fn with_tasks(count: usize) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let node = Holder::new("worker").on_host("here");
    let beat = Beat::new(node.clone(), Duration::from_secs(600));
    store.beat(&beat).await.unwrap();
    let definitions: Vec<Definition> = (0..count)
        .map(|at| {
            let name = TaskName::new(format!("task-{at:05}")).unwrap();
            Definition::new(name, Generation::new("g1").unwrap(), "*/5 * * * *")
        })
        .collect();
    store.register(node.id, &definitions).await.unwrap();
    store
}

pub(crate) fn dashboard(store: &Arc<MemoryStore>) -> Dashboard {
    Dashboard::builder(store.clone(), store.clone()).build()
}

#[tokio::test]
async fn tasks_are_read_page_by_page_each_once_and_in_order() {
    let store = with_tasks(7).await;
    let dashboard = dashboard(&store);
    let mut query = TasksQuery::default();
    query.paging.limit = Some(3);
    let mut seen = Vec::new();
    loop {
        let page = dashboard.view().tasks(&query).await.unwrap();
        seen.extend(page.items.into_iter().map(|task| task.task));
        query.paging.after = page.next;
        if query.paging.after.is_none() {
            break;
        }
    }
    let all: Vec<String> = (0..7).map(|at| format!("task-{at:05}")).collect();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn e102_limits_and_positions_that_no_listing_gave_are_refused() {
    let store = with_tasks(1).await;
    let dashboard = dashboard(&store);
    for (limit, after) in [(Some(0), None), (Some(501), None), (None, Some("x"))] {
        let query = TasksQuery {
            paging: Paging {
                after: after.map(str::to_owned),
                limit,
            },
            ..TasksQuery::default()
        };
        let error = dashboard.view().tasks(&query).await.unwrap_err();
        assert!(matches!(error, ViewError::Invalid { .. }), "{error}");
        let query = LocksQuery {
            paging: query.paging,
            ..LocksQuery::default()
        };
        let error = dashboard.view().locks(&query).await.unwrap_err();
        assert!(matches!(error, ViewError::Invalid { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_paused_task_says_by_whom_and_why_and_is_found_by_that() {
    let store = with_tasks(3).await;
    let name = TaskName::new("task-00001").unwrap();
    store
        .pause(&name, &Pause::new("ann", "month end"))
        .await
        .unwrap();
    let query = TasksQuery {
        filter: TaskFilter::Paused,
        ..TasksQuery::default()
    };
    let page = dashboard(&store).view().tasks(&query).await.unwrap();
    let [task] = &page.items[..] else {
        panic!("{page:?}");
    };
    let pause = task.pause.as_ref().unwrap();
    assert_eq!(
        (pause.by.as_str(), pause.why.as_str()),
        ("ann", "month end")
    );
    let words = task.words.as_deref().unwrap();
    assert!(words.starts_with("every 5 minutes"), "{words}");
}

/// What the dashboard says of its only task at this moment: the counts of tasks that no node lists
/// and that are retired, then the filters that find the task.
async fn standing(store: &Arc<MemoryStore>) -> (usize, usize, Vec<&'static str>) {
    let served = serve(store.clone(), Access::open(Right::Read)).await;
    let now = dashboard(store).view().now().await.unwrap();
    let mut found = Vec::new();
    for filter in ["active", "unlisted", "retired"] {
        let path = format!("/api/v1/tasks?filter={filter}");
        let listed = served.get(&path).await.json();
        if listed["items"]
            .as_array()
            .is_some_and(|items| items.len() == 1)
        {
            assert_eq!(listed["items"][0]["is_retired"], filter == "retired");
            assert_eq!(listed["items"][0]["is_unlisted"], filter == "unlisted");
            found.push(filter);
        }
    }
    (now.counts.unlisted, now.counts.retired, found)
}

#[tokio::test]
async fn s55_a_task_is_retired_ten_minutes_after_the_last_node_that_listed_it_and_not_before() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let nodes = ["worker", "idle"].map(Holder::new);
    for node in &nodes {
        let beat = Beat::new(node.clone(), Duration::from_secs(3600));
        store.beat(&beat).await.unwrap();
    }
    let name = TaskName::new("t").unwrap();
    let task = Definition::new(name.clone(), Generation::new("g1").unwrap(), "*/5 * * * *");
    store
        .register(nodes[0].id, std::slice::from_ref(&task))
        .await
        .unwrap();
    assert_eq!(standing(&store).await, (0, 0, vec!["active"]));
    store.leave(nodes[0].id).await.unwrap();
    assert_eq!(standing(&store).await, (1, 0, vec!["unlisted"]));
    clock.advance(Duration::from_secs(540));
    assert_eq!(standing(&store).await, (1, 0, vec!["unlisted"]));
    let page = serve(store.clone(), Access::open(Right::Read)).await;
    let (list, one) = (
        page.get("/tasks").await.body,
        page.get("/task?name=t").await.body,
    );
    assert!(list.contains("not listed"), "{list}");
    assert!(one.contains("No live node lists this task"), "{one}");
    assert!(one.contains("counts as retired after ten minutes"), "{one}");
    clock.advance(Duration::from_secs(60));
    assert_eq!(standing(&store).await, (0, 1, vec!["retired"]));
    let page = serve(store.clone(), Access::open(Right::Read)).await;
    let one = page.get("/task?name=t").await.body;
    assert!(one.contains("It is retired"), "{one}");
    // It is a task again as soon as a node lists it, and over at once if one says so.
    store
        .register(nodes[1].id, std::slice::from_ref(&task))
        .await
        .unwrap();
    assert_eq!(standing(&store).await, (0, 0, vec!["active"]));
    let mut over = task;
    over.generation = Generation::new("g2").unwrap();
    over.ended = Some(Ended::Retired);
    store.register(nodes[1].id, &[over]).await.unwrap();
    assert_eq!(standing(&store).await, (0, 1, vec!["retired"]));
}

#[tokio::test]
async fn s40_a_run_whose_node_is_gone_is_not_shown_as_running_alone() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let node = Holder::new("dies");
    let lease = Duration::from_secs(15);
    store.beat(&Beat::new(node.clone(), lease)).await.unwrap();
    let (name, generation) = (TaskName::new("t").unwrap(), Generation::new("g1").unwrap());
    let task = Definition::new(name.clone(), generation.clone(), "* * * * *");
    store.register(node.id, &[task]).await.unwrap();
    let tick = RunStore::now(&*store).await.unwrap().now;
    let item = ClaimItem::new(name, tick, 1, generation);
    let id = tenure_dashboard::view::segment(item.key().to_string());
    let claim = ClaimBatch::new(node.id, vec![item]);
    let claimed = store.claim(&claim).await.unwrap();
    assert!(matches!(claimed.answers[..], [ClaimAnswer::Won(_)]));
    let pages = ["/now", "/task?name=t", "/tasks", &format!("/run?id={id}")].map(str::to_owned);
    let api = [
        ("/api/v1/now", "/running/0"),
        ("/api/v1/now", "/timeline/runs/0"),
        ("/api/v1/tasks", "/items/0/ribbon/0"),
        ("/api/v1/tasks/t", "/runs/0"),
        ("/api/v1/tasks/t/why", "/runs/0/run"),
        ("/api/v1/runs", "/items/0"),
        (&format!("/api/v1/runs/{id}"), "/run"),
    ];
    let told = "no node is alive, the next that starts will notice";
    for is_gone in [false, true] {
        // The claim may be a moment younger than the look at the nodes.
        clock.advance(if is_gone {
            lease
        } else {
            Duration::from_millis(1)
        });
        let served = serve(store.clone(), Access::open(Right::Read)).await;
        for page in &pages {
            let body = served.get(page).await.body;
            assert_eq!(body.contains("node gone"), is_gone, "{page}: {body}");
            assert_eq!(
                body.contains(told),
                is_gone && page != "/tasks",
                "{page}: {body}"
            );
            let running = body.contains("<span class=\"state busy\">running</span>");
            assert_eq!(running, !is_gone, "{page}: {body}");
        }
        for (path, place) in &api {
            let json = served.get(path).await.json();
            let run = json.pointer(place).unwrap();
            assert_eq!(run["state"], "running", "{path}: {run}");
            let gone = run["node_gone"].as_str();
            assert_eq!(
                gone.is_some_and(|gone| gone.contains(told)),
                is_gone,
                "{path}: {run}"
            );
        }
        let counts = &served.get("/api/v1/now").await.json()["counts"];
        assert_eq!(counts["running"], 1, "{counts}");
        assert_eq!(counts["node_gone"], i32::from(is_gone), "{counts}");
    }
    // Another one is alive: it is what will notice.
    store
        .beat(&Beat::new(Holder::new("lives"), lease))
        .await
        .unwrap();
    let served = serve(store.clone(), Access::open(Right::Read)).await;
    let body = served.get(&format!("/run?id={id}")).await.body;
    assert!(body.contains("a node that is alive will notice"), "{body}");
}

#[tokio::test]
async fn s40_a_silent_node_is_told_with_its_host_and_number() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let lease = Duration::from_secs(15);
    for pid in [21_322, 21_323] {
        let node = Holder::new("tenure run").on_host("vm").with_pid(pid);
        store.beat(&Beat::new(node, lease)).await.unwrap();
    }
    clock.advance(Duration::from_secs(48));
    let page = serve(store.clone(), Access::open(Right::Read)).await;
    let now = page.get("/now").await.body;
    for pid in [21_322, 21_323] {
        let told = format!(
            "{} was last heard",
            Holder::new("tenure run").on_host("vm").with_pid(pid)
        );
        assert!(now.contains(&told), "{told}: {now}");
    }
}

#[tokio::test]
async fn s59_a_task_that_is_paused_does_not_run_next() {
    let clock = Arc::new(ManualClock::default());
    let store = Arc::new(MemoryStore::with_clock(clock));
    let node = Holder::new("worker");
    let beat = Beat::new(node.clone(), Duration::from_secs(36_000));
    store.beat(&beat).await.unwrap();
    let now = RunStore::now(&*store).await.unwrap().now;
    let until = now + Duration::from_secs(1800);
    for (name, schedule, pause) in [
        ("for-ever", "* * * * *", Some(None)),
        ("a-while", "* * * * *", Some(Some(until))),
        ("chain", "@after 1m", Some(Some(until))),
        ("goes-on", "0 * * * *", None),
    ] {
        let name = TaskName::new(name).unwrap();
        let task = Definition::new(name.clone(), Generation::new("g1").unwrap(), schedule);
        store.register(node.id, &[task]).await.unwrap();
        if let Some(until) = pause {
            let mut pause = Pause::new("ann", "month end");
            pause.until = until;
            store.pause(&name, &pause).await.unwrap();
        }
    }
    let key = RunKey::following(TaskName::new("chain").unwrap(), now, 1);
    let mut following = Enqueue::new(key, "after the run before".to_owned());
    following.due_in = Duration::from_secs(60);
    store.enqueue(&[following]).await.unwrap();

    let served = serve(store, Access::open(Right::Read)).await;
    let next = served.get("/api/v1/now").await.json();
    let soon: Vec<String> = (next["next"].as_array().unwrap().iter())
        .map(|soon| format!("{} {}", soon["task"], soon["tick"]))
        .collect();
    // A tick at the end of a pause runs; a task that has many is told once.
    let expected = [
        ("a-while", "00:30"),
        ("chain", "00:30"),
        ("goes-on", "01:00"),
    ]
    .map(|(task, at)| format!("\"{task}\" \"2026-01-01T{at}:00.000Z\""));
    assert_eq!(soon, expected);
    let due = |minutes: &serde_json::Value, most: usize| -> u64 {
        let minutes = minutes.as_array().unwrap().iter().take(most);
        minutes.map(|minute| minute["runs"].as_u64().unwrap()).sum()
    };
    // From minute 30 to minute 60, and the one that is due every hour, and the one that waits.
    assert_eq!(due(&next["timeline"]["upcoming"], 30), 0);
    assert_eq!(due(&next["timeline"]["upcoming"], 61), 31 + 1 + 1);
    let herd = served.get("/api/v1/herd").await.json();
    assert_eq!(due(&herd["buckets"], 2), 0, "{herd}");
    assert_eq!(due(&herd["buckets"], 4), 30, "{herd}");
    assert!(!herd.to_string().contains("for-ever"), "{herd}");
    let tasks = served.get("/api/v1/tasks").await.json();
    let next: Vec<String> = (tasks["items"].as_array().unwrap().iter())
        .map(|task| format!("{} {}", task["task"], task["next"][0]))
        .collect();
    let expected = [
        "\"a-while\" \"2026-01-01T00:30:00.000Z\"",
        "\"chain\" \"2026-01-01T00:30:00.000Z\"",
        "\"for-ever\" null",
        "\"goes-on\" \"2026-01-01T01:00:00.000Z\"",
    ];
    assert_eq!(next, expected);
    let one = served.get("/api/v1/tasks/for-ever").await.json();
    assert_eq!(one["next"], serde_json::json!([]), "{one}");
    let page = served.get("/task?name=for-ever").await.body;
    assert!(page.contains("None before somebody resumes it."), "{page}");
}

#[tokio::test]
async fn a_thousand_tasks_of_one_schedule_are_one_herd() {
    let store = with_tasks(1000).await;
    let dashboard = dashboard(&store);
    let herd = dashboard.view().herd().await.unwrap();
    assert!(!herd.is_estimate);
    assert_eq!(herd.peaks[0].runs, 1000);
    assert_eq!(herd.buckets.len(), 96);
    let now = dashboard.view().now().await.unwrap();
    assert_eq!((now.counts.tasks, now.counts.nodes), (1000, 1));
    assert_eq!(now.next.len(), 50);
    let due: u64 = now.timeline.upcoming.iter().map(|minute| minute.runs).sum();
    assert_eq!(due, 12_000);
}

#[tokio::test]
async fn what_a_node_can_run_is_told_of_all_nodes_if_all_can_run_the_same() {
    let store = Arc::new(MemoryStore::new());
    let names = ["a", "b", "c"].map(|name| TaskName::new(name).unwrap());
    let definitions =
        names.map(|name| Definition::new(name, Generation::new("g1").unwrap(), "*/5 * * * *"));
    let joins = async |label: &str| {
        let mut beat = Beat::new(Holder::new(label), Duration::from_secs(600));
        beat.capacity = 4;
        store.beat(&beat).await.unwrap();
        beat.node.id
    };
    let tasks = async || {
        let nodes = dashboard(&store).view().nodes().await.unwrap();
        let tasks = nodes.nodes.iter().map(|node| node.tasks);
        tasks.collect::<Vec<_>>()
    };
    for label in ["first", "second"] {
        let node = joins(label).await;
        store.register(node, &definitions).await.unwrap();
    }
    assert_eq!(tasks().await, [Some(3), Some(3)]);
    // A node that has said nothing yet: any two of the three may be those that can.
    joins("third").await;
    assert_eq!(tasks().await, [None, None, None]);
}

#[tokio::test]
async fn a_lock_shows_its_holder_and_who_waits_for_how_long() {
    let store = Arc::new(MemoryStore::new());
    let key = Key::from_bytes(b"in\xffvoice/1").unwrap();
    let ttl = Ttl::new(Duration::from_secs(600)).unwrap();
    let (ann, bob) = (Holder::new("ann"), Holder::new("bob"));
    let held = LeaseRequest::new(key.clone(), ann.clone(), ttl);
    store.acquire(&held).await.unwrap();
    let waiting = LeaseRequest::new(key.clone(), bob.clone(), ttl);
    store
        .acquire(&waiting.in_line(Duration::from_secs(600)))
        .await
        .unwrap();
    let dashboard = dashboard(&store);
    let page = dashboard
        .view()
        .locks(&LocksQuery::default())
        .await
        .unwrap();
    assert_eq!(page.items[0].key, "in\\xffvoice/1");
    assert_eq!(page.items[0].path, "in%FFvoice%2F1");
    assert_eq!(page.items[0].waiting, 1);
    let lock = dashboard.view().lock(&key).await.unwrap();
    assert_eq!(lock.lock.state, LockState::Held);
    assert_eq!(lock.lock.holder.unwrap().label, "ann");
    assert_eq!(lock.queue[0].holder.label, "bob");
    assert!(lock.can_force);
    let graph = dashboard.view().wait_graph().await.unwrap();
    let [wait] = &graph.waits[..] else {
        panic!("{graph:?}");
    };
    assert_eq!(wait.waiter, bob.id.to_string());
    assert_eq!(wait.holder.as_deref(), Some(&*ann.id.to_string()));
}
