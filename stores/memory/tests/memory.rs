//! What the memory store does beyond the suites: its clocks, its bounds, its clones, its cost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the steps that tests share fail as the tests do"
)]

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{
    Acquisition, Beat, ClaimAnswer, ClaimBatch, ClaimItem, Clock, Definition, Enqueue, Event,
    EventKind, Finish, ForceRequest, Forced, Generation, Held, Holder, Key, LeaseRequest,
    LeaseStore, ManualClock, Note, Outcome, Recovery, RequestId, RunKey, RunState, RunStore,
    SystemClock, Take, TaskName, Timestamp, Ttl,
};
use tenure_memory::MemoryStore;

const HOUR_MS: i64 = 3_600_000;

fn store() -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (MemoryStore::with_clock(clock.clone()), clock)
}

fn request(key: &str, seconds: u64) -> LeaseRequest {
    let ttl = Ttl::new(Duration::from_secs(seconds)).unwrap();
    LeaseRequest::new(Key::new(key).unwrap(), Holder::new("holder"), ttl)
}

fn item(name: &str, tick: Timestamp, index: u32) -> ClaimItem {
    let generation = Generation::new("g1").unwrap();
    ClaimItem::new(TaskName::new(name).unwrap(), tick, index, generation)
}

async fn held(store: &MemoryStore, request: &LeaseRequest) -> Held {
    match store.acquire(request).await.unwrap() {
        Acquisition::Held(held) => held,
        other => panic!("expected it held, was answered {other:?}"),
    }
}

async fn now(store: &MemoryStore) -> Timestamp {
    RunStore::now(store).await.unwrap().now
}

async fn all_events(store: &MemoryStore) -> Vec<Event> {
    let mut all: Vec<Event> = Vec::new();
    loop {
        let after = all.last().map(|event| event.cursor.clone());
        let page = store.events(after, 1000).await.unwrap();
        if page.events.is_empty() {
            return all;
        }
        all.extend(page.events);
    }
}

#[tokio::test]
async fn r16_a_step_of_the_wall_clock_ends_no_lease() {
    let (store, clock) = store();
    let (holder, other) = (request("k", 10), request("k", 10));
    store.acquire(&holder).await.unwrap();
    for step_ms in [HOUR_MS, -2 * HOUR_MS] {
        clock.step_wall_ms(step_ms);
        let remaining = held(&store, &other).await.remaining;
        assert_eq!(
            remaining,
            Some(Duration::from_secs(10)),
            "after {step_ms} ms"
        );
    }
    clock.advance(Duration::from_secs(10));
    let answer = store.acquire(&other).await.unwrap();
    assert!(matches!(answer, Acquisition::Granted(_)), "{answer:?}");
}

#[tokio::test]
async fn s27_a_step_of_the_wall_clock_takes_no_living_node_for_dead() {
    let (store, clock) = store();
    let node = Holder::new("node");
    let beat = Beat::new(node.clone(), Duration::from_secs(15));
    store.beat(&beat).await.unwrap();
    let batch = ClaimBatch::new(node.id, vec![item("t", now(&store).await, 1)]);
    store.claim(&batch).await.unwrap();
    for step_ms in [HOUR_MS, -2 * HOUR_MS] {
        clock.step_wall_ms(step_ms);
        let found = store.recover(&Recovery::new(node.id)).await.unwrap();
        assert_eq!((found.nodes, found.runs), (vec![], vec![]));
        assert!(!store.beat(&beat).await.unwrap().had_lapsed);
    }
    // The clock is an hour behind now, and still a node that dies is found after its ttl.
    clock.advance(Duration::from_secs(15));
    let found = store.recover(&Recovery::new(node.id)).await.unwrap();
    assert_eq!(found.nodes, [node]);
    assert_eq!(found.runs[0].record.state, RunState::Lost);
}

#[tokio::test]
async fn r6_a_forced_release_is_noted_with_who_asked_and_why() {
    let (store, _) = store();
    let holder = request("k", 10);
    store.acquire(&holder).await.unwrap();
    let view = store.inspect(&holder.key).await.unwrap().unwrap();
    let mark = view.mark.unwrap();
    let force = ForceRequest::new(holder.key.clone(), mark, "ann").because("it hangs");
    let answer = store.force(&force).await.unwrap();
    assert!(matches!(answer, Forced::Done { .. }), "{answer:?}");
    let notes: Vec<Note> = all_events(&store)
        .await
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Note(note) => Some(note),
            _ => None,
        })
        .collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!(notes[0].kind, "lease_forced");
    for part in ["k", "ann", "it hangs"] {
        assert!(notes[0].text.contains(part), "{part}: {}", notes[0].text);
    }
}

#[tokio::test]
async fn r22_the_next_in_turn_asks_when_the_lease_ends_and_the_others_seldom() {
    let (store, _) = store();
    let keep = Duration::from_secs(60);
    store.acquire(&request("k", 2)).await.unwrap();
    store.acquire(&request("long", 300)).await.unwrap();
    let seconds = Duration::from_secs;
    for (key, number, expected) in [
        ("k", 1, seconds(2)),
        ("k", 2, seconds(5)),
        ("long", 1, seconds(20)),
        ("long", 2, seconds(20)),
    ] {
        let advice = held(&store, &request(key, 10).in_line(keep)).await;
        assert_eq!(advice.ask_again_after, expected, "{key}, place {number}");
    }
}

#[tokio::test]
async fn clones_share_their_facts_and_a_new_store_is_empty() {
    let (store, _) = store();
    let holder = request("k", 10);
    store.acquire(&holder).await.unwrap();
    held(&store.clone(), &request("k", 10)).await;
    let other = MemoryStore::new();
    assert_eq!(other.inspect(&holder.key).await.unwrap(), None);
    let mut epochs = Vec::new();
    for store in [store.clone(), store, other] {
        epochs.push(RunStore::now(&store).await.unwrap().epoch);
    }
    assert_eq!(epochs[0], epochs[1]);
    assert_ne!(epochs[0], epochs[2]);
}

#[tokio::test]
async fn the_last_ten_thousand_events_are_kept() {
    let (store, _) = store();
    let first = Note::new("number", "0");
    store.note(&first).await.unwrap();
    let begun = store.events(None, 1).await.unwrap().next;
    for number in 1..=10_500 {
        let note = Note::new("number", number.to_string());
        store.note(&note).await.unwrap();
    }
    let all = all_events(&store).await;
    assert_eq!(all.len(), 10_000);
    let text = |event: &Event| match &event.kind {
        EventKind::Note(note) => note.text.clone(),
        other => panic!("only notes were made, found {other:?}"),
    };
    assert_eq!(text(&all[0]), "501");
    assert_eq!(text(&all[9_999]), "10500");
    // Whoever was away for longer goes on with the oldest that is kept.
    let page = store.events(begun, 1).await.unwrap();
    assert_eq!(text(&page.events[0]), "501");
}

/// A store on a clock that stands still, with `tasks` tasks that a node registered; of each there
/// is a run that ended and one that waits for later.
async fn filled(tasks: usize) -> (MemoryStore, Holder) {
    let (store, _) = store();
    let node = Holder::new("node");
    let beat = Beat::new(node.clone(), Duration::from_secs(600));
    store.beat(&beat).await.unwrap();
    let names: Vec<_> = (0..tasks).map(|number| format!("task {number}")).collect();
    let tick = now(&store).await;
    for names in names.chunks(1000) {
        let (mut definitions, mut orders) = (Vec::new(), Vec::new());
        for name in names {
            let generation = Generation::new("g1").unwrap();
            let task = TaskName::new(name).unwrap();
            definitions.push(Definition::new(task.clone(), generation, "* * * * *"));
            let key = RunKey::manual(task, tick, 1, RequestId::random());
            let mut order = Enqueue::new(key, "later");
            order.due_in = Duration::from_secs(3600);
            orders.push(order);
        }
        store.register(node.id, &definitions).await.unwrap();
        store.enqueue(&orders).await.unwrap();
        run_all(&store, &node, names, tick).await;
    }
    (store, node)
}

/// Claims and ends one run of each task.
async fn run_all(store: &MemoryStore, node: &Holder, names: &[String], tick: Timestamp) {
    let items = names.iter().map(|name| item(name, tick, 1)).collect();
    let batch = ClaimBatch::new(node.id, items);
    let finishes: Vec<_> = store
        .claim(&batch)
        .await
        .unwrap()
        .answers
        .into_iter()
        .map(|answer| match answer {
            ClaimAnswer::Won(claim) => Finish::new(claim.run, Outcome::Succeeded),
            other => panic!("expected to win, was answered {other:?}"),
        })
        .collect();
    store.finish(&finishes).await.unwrap();
}

/// The shortest of several times that a round of claims, completions, takes and recoveries takes.
async fn shortest_round(store: &MemoryStore, node: &Holder) -> Duration {
    let names: Vec<_> = (0..100).map(|number| format!("task {number}")).collect();
    let mut shortest = Duration::MAX;
    for round in 1..=20 {
        let tick = now(store).await - Duration::from_secs(round);
        let began = SystemClock.now();
        run_all(store, node, &names, tick).await;
        assert_eq!(store.take(&Take::new(node.id, 10)).await.unwrap(), []);
        store.recover(&Recovery::new(node.id)).await.unwrap();
        shortest = shortest.min(SystemClock.now().since(began));
    }
    shortest
}

#[tokio::test]
async fn claims_cost_no_more_with_a_hundred_thousand_tasks() {
    let (small, node_of_small) = filled(1_000).await;
    let (large, node_of_large) = filled(100_000).await;
    let few = shortest_round(&small, &node_of_small).await;
    let many = shortest_round(&large, &node_of_large).await;
    // A walk over all tasks or records would cost a hundred times as much; the maps' depth and the
    // processor's caches cost a few times at most.
    assert!(
        many < few * 20,
        "{many:?} with 100 000 tasks, {few:?} with 1 000"
    );
}

#[tokio::test]
async fn s30_a_take_that_arrives_again_after_its_runs_ended_takes_nothing_new() {
    let (store, _clock) = store();
    let node = Holder::new("node");
    store
        .beat(&Beat::new(node.clone(), Duration::from_secs(60)))
        .await
        .unwrap();
    let task = TaskName::new("task").unwrap();
    let generation = Generation::new("g1").unwrap();
    let definition = Definition::new(task.clone(), generation, "@daily");
    store.register(node.id, &[definition]).await.unwrap();
    let order = |tick| {
        let id = RequestId::new(format!("request-{tick}")).unwrap();
        let tick = Timestamp::from_millis(tick);
        Enqueue::new(RunKey::manual(task.clone(), tick, 1, id), "asked for")
    };
    store.enqueue(&[order(1)]).await.unwrap();
    let take = Take::new(node.id, 10);
    let taken = store.take(&take).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(store.take(&take).await.unwrap(), taken);
    let end = Finish::new(taken[0].run.clone(), Outcome::Succeeded);
    store.finish(&[end]).await.unwrap();
    store.enqueue(&[order(2)]).await.unwrap();
    // Its answer was read long ago, so nobody would know of what it took now.
    assert_eq!(store.take(&take).await.unwrap(), []);
    let next = store.take(&Take::new(node.id, 10)).await.unwrap();
    assert_eq!(next.len(), 1);
}
