//! What the views gather, on the store in memory.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Beat, Definition, Generation, Holder, Key, LeaseRequest, LeaseStore as _, Pause, RunStore as _,
    TaskName, Ttl,
};
use tenure_dashboard::Dashboard;
use tenure_dashboard::view::{LockState, LocksQuery, Paging, TaskFilter, TasksQuery, ViewError};
use tenure_memory::MemoryStore;

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

fn dashboard(store: &Arc<MemoryStore>) -> Dashboard {
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
