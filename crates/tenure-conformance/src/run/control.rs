//! What people ask for: pauses, runs out of turn, backfills.

use std::time::Duration;

use tenure_core::{
    Backfill, BackfillState, Claim, ClaimAnswer, Enqueue, Enqueued, Outcome, Overlap, Pause,
    Refusal, RequestId, RunKey, RunState, StoreErrorKind, Take, Timestamp,
};

use super::actor::{Node, is_won, item, request, task};
use super::cases::Shared;

pub(super) async fn s59_a_paused_task_is_neither_claimed_nor_taken(harness: &Shared) {
    let (a, b) = (
        Node::join_with(harness, "a", &["t", "u"]).await,
        Node::join_with(harness, "b", &["t", "u"]).await,
    );
    let now = a.now().await;
    let running = a.win(item("t", now, 1)).await;
    a.enqueue(request("t", now, "r1")).await;
    a.store
        .pause(&task("t"), &Pause::new("ann", "testing"))
        .await
        .unwrap();
    let answer = b.try_claim(item("t", now, 2)).await;
    let (by, why) = ("ann".to_owned(), "testing".to_owned());
    assert_eq!(answer, ClaimAnswer::Refused(Refusal::Paused { by, why }));
    assert_eq!(b.store.run(&item("t", now, 2).key()).await.unwrap(), None);
    assert_eq!(b.take(10).await, []);
    b.win(item("u", now, 1)).await;
    a.finish(&running, Outcome::Succeeded).await;
    // Nothing but the pause is in the way of what was asked for now.
    assert_eq!(b.take(10).await, []);
    assert!(b.store.resume(&task("t"), "bob", "it works").await.unwrap());
    assert!(!b.store.resume(&task("t"), "bob", "it works").await.unwrap());
    a.win(item("t", now, 2)).await;
    assert_eq!(b.take(10).await.len(), 1);
}

pub(super) async fn s59_a_pause_ends_by_itself_when_it_was_told_to(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let mut pause = Pause::new("ann", "lunch");
    pause.until = Some(node.now().await + Duration::from_millis(1_500));
    node.store.pause(&task("t"), &pause).await.unwrap();
    let tick = node.now().await;
    assert!(!is_won(&node.try_claim(item("t", tick, 1)).await));
    harness.pass_time(Duration::from_secs(2)).await;
    node.win(item("t", tick, 1)).await;
    assert_eq!(node.store.tasks().await.unwrap()[0].pause, None);
}

pub(super) async fn s59_a_pause_is_seen_by_everybody_with_who_and_why(harness: &Shared) {
    let a = Node::join_with(harness, "a", &["t"]).await;
    let mut pause = Pause::new("ann", "the disk is full");
    pause.until = Some(a.now().await + Duration::from_secs(3600));
    a.store.pause(&task("t"), &pause).await.unwrap();
    let b = Node::join(harness, "b").await;
    assert_eq!(b.register("t", "g1").await.pause, Some(pause.clone()));
    assert_eq!(b.store.tasks().await.unwrap()[0].pause, Some(pause.clone()));
    let until = pause
        .until
        .map_or_else(String::new, |until| until.to_string());
    for (why, text) in [
        ("it has room again", "resumed by bob: it has room again"),
        // Nobody is made to give a reason, and a task that goes on already has nothing to tell.
        ("", "resumed by bob"),
    ] {
        let before = a.notes("resumed").await.len();
        a.store.pause(&task("t"), &pause).await.unwrap();
        assert!(b.store.resume(&task("t"), "bob", why).await.unwrap());
        assert!(!b.store.resume(&task("t"), "eve", why).await.unwrap());
        let resumed = a.notes("resumed").await;
        let texts: Vec<_> = resumed.iter().skip(before).map(|note| &note.text).collect();
        assert_eq!(texts, [text]);
        assert_eq!(resumed[before].task, Some(task("t")));
    }
    let paused = a.notes("paused").await;
    let text = format!("paused by ann until {until}: the disk is full");
    assert_eq!(paused.len(), 3, "{paused:?}");
    assert_eq!(paused[0].text, text);
}

pub(super) async fn s60_a_requested_run_has_its_own_record_and_leaves_the_tick_alone(
    harness: &Shared,
) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    let asked = request("t", tick, "r1");
    assert_eq!(node.enqueue(asked.clone()).await, Enqueued::Waiting);
    let claim = node.take(10).await.remove(0);
    assert_eq!(claim.run.key, asked.key);
    node.finish(&claim, Outcome::Succeeded).await;
    node.win(item("t", tick, 1)).await;
    let record = node.record(&asked.key).await;
    assert_eq!(record.state, RunState::Succeeded);
    assert_eq!(record.key.kind, asked.key.kind);
}

pub(super) async fn s60_a_requested_run_waits_for_its_like_unless_forced(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    let running = node.win(item("t", tick, 1)).await;
    node.enqueue(request("t", tick, "polite")).await;
    let mut forced = request("t", tick, "forced");
    forced.overlap = Overlap::Allow;
    node.enqueue(forced.clone()).await;
    let taken = node.take(10).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].run.key, forced.key);
    assert_eq!(node.take(10).await, []);
    node.finish(&running, Outcome::Succeeded).await;
    node.finish(&taken[0], Outcome::Succeeded).await;
    assert_eq!(node.take(10).await.len(), 1);
}

pub(super) async fn s60_two_requests_of_one_index_are_taken_one_after_the_other(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    for id in ["r1", "r2", "r3"] {
        node.enqueue(request("t", tick, id)).await;
    }
    for left in (0..3).rev() {
        let taken = node.take(10).await;
        assert_eq!(taken.len(), 1, "{left} left: {taken:?}");
        assert_eq!(node.take(10).await, []);
        node.finish(&taken[0], Outcome::Succeeded).await;
    }
    assert_eq!(node.take(10).await, []);
}

pub(super) async fn s60_a_scheduled_run_cannot_be_put_into_the_store(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await;
    let good = request("t", tick, "r1");
    let scheduled = Enqueue::new(RunKey::scheduled(task("t"), tick, 1), "a tick for free");
    let orders = [good.clone(), scheduled.clone()];
    let error = node.store.enqueue(&orders).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{error}");
    for key in [good.key, scheduled.key] {
        assert_eq!(node.store.run(&key).await.unwrap(), None, "{key}");
    }
}

pub(super) async fn what_is_due_the_longest_is_taken_first(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    for (index, due_ms) in [(1, 900), (2, 100), (3, 600_000), (4, 500)] {
        let key = RunKey::manual(task("t"), tick, index, RequestId::random());
        let mut order = Enqueue::new(key, "asked");
        order.due_in = Duration::from_millis(due_ms);
        node.enqueue(order).await;
    }
    harness.pass_time(Duration::from_millis(1_500)).await;
    let indices = |claims: Vec<Claim>| claims.into_iter().map(|claim| claim.run.key.index);
    assert_eq!(indices(node.take(2).await).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(indices(node.take(2).await).collect::<Vec<_>>(), [1]);
}

fn backfilled(tick: Timestamp, index: u32) -> Enqueue {
    let id = RequestId::new("b1").unwrap();
    let mut run = Enqueue::new(RunKey::backfill(task("t"), tick, index, id), "backfill");
    run.only_missing = true;
    run
}

pub(super) async fn s61_a_backfill_leaves_out_what_ran_well(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    for (index, outcome) in [
        (1, Some(Outcome::Succeeded)),
        (2, Some(Outcome::Failed)),
        (3, None),
    ] {
        let claim = node.win(item("t", now, index)).await;
        if let Some(outcome) = outcome {
            node.finish(&claim, outcome).await;
        }
    }
    let orders: Vec<_> = (1..=4).map(|index| backfilled(now, index)).collect();
    let answers = node.store.enqueue(&orders).await.unwrap();
    assert_eq!(
        answers,
        [
            Enqueued::NotMissing {
                state: RunState::Succeeded
            },
            Enqueued::Waiting,
            Enqueued::NotMissing {
                state: RunState::Running
            },
            Enqueued::Waiting,
        ]
    );
}

pub(super) async fn s61_the_same_run_is_put_into_the_store_once(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let tick = node.now().await;
    assert_eq!(node.enqueue(backfilled(tick, 1)).await, Enqueued::Waiting);
    let again = node.enqueue(backfilled(tick, 1)).await;
    assert_eq!(
        again,
        Enqueued::Exists {
            state: RunState::Waiting
        }
    );
    let claim = node.take(10).await.remove(0);
    node.finish(&claim, Outcome::Succeeded).await;
    let again = node.enqueue(backfilled(tick, 1)).await;
    assert_eq!(
        again,
        Enqueued::Exists {
            state: RunState::Succeeded
        }
    );
    assert_eq!(node.take(10).await, []);
}

pub(super) async fn a_take_sent_again_gets_the_same_runs(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    for number in 0..5 {
        node.enqueue(Enqueue::new(
            RunKey::manual(task("t"), now, number + 1, RequestId::random()),
            "asked",
        ))
        .await;
    }
    let take = Take::new(node.holder.id, 3);
    let first = node.store.take(&take).await.unwrap();
    assert_eq!(first.len(), 3);
    harness.sever().await;
    let mut again = harness.store().await.take(&take).await.unwrap();
    let mut first = first;
    first.sort_by_key(|claim| claim.run.key.index);
    again.sort_by_key(|claim| claim.run.key.index);
    assert_eq!(again, first);
    assert_eq!(node.take(10).await.len(), 2);
}

pub(super) async fn s30_a_take_sent_again_when_its_runs_ended_gets_no_others(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    node.enqueue(request("t", now, "r1")).await;
    let take = Take::new(node.holder.id, 3);
    let first = node.store.take(&take).await.unwrap();
    assert_eq!(first.len(), 1);
    node.finish(&first[0], Outcome::Succeeded).await;
    node.enqueue(request("t", now, "r2")).await;
    // A copy that was late on its way: nobody would know of what it took.
    harness.sever().await;
    let again = harness.store().await.take(&take).await.unwrap();
    assert_eq!(again, []);
    assert_eq!(node.take(10).await.len(), 1);
}

pub(super) async fn of_many_takers_one_gets_a_run(harness: &Shared) {
    let now = Node::join(harness, "clock").await.now().await;
    let mut nodes = Vec::new();
    for number in 0..6 {
        nodes.push(Node::join_with(harness, &format!("n{number}"), &["t"]).await);
    }
    for number in 1..=60 {
        let key = RunKey::manual(task("t"), now, number, RequestId::random());
        nodes[0].enqueue(Enqueue::new(key, "asked")).await;
    }
    let mut racers = tokio::task::JoinSet::new();
    for node in nodes {
        racers.spawn(async move {
            let mut got = Vec::new();
            for _ in 0..10 {
                got.extend(
                    node.take(7)
                        .await
                        .into_iter()
                        .map(|claim| claim.run.key.index),
                );
            }
            got
        });
    }
    let mut got: Vec<u32> = racers.join_all().await.into_iter().flatten().collect();
    got.sort_unstable();
    assert_eq!(got, (1..=60).collect::<Vec<_>>());
}

pub(super) async fn a_backfills_cursor_moves_only_from_where_it_was(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let (from, to) = (Timestamp::from_millis(1_000), Timestamp::from_millis(9_000));
    let mut backfill = Backfill::new(RequestId::new("b1").unwrap(), task("t"), from, to);
    backfill.by = "ann".into();
    backfill.why = "the provider was down".into();
    backfill.per_minute = 5;
    backfill.parallel = 3;
    assert!(node.store.save_backfill(&backfill, None).await.unwrap());
    assert!(
        !node.store.save_backfill(&backfill, None).await.unwrap(),
        "it exists"
    );
    backfill.cursor = Timestamp::from_millis(2_000);
    assert!(
        node.store
            .save_backfill(&backfill, Some(from))
            .await
            .unwrap()
    );
    assert!(
        !node
            .store
            .save_backfill(&backfill, Some(from))
            .await
            .unwrap(),
        "it moved on"
    );
    let cursor = backfill.cursor;
    backfill.cursor = to;
    backfill.state = BackfillState::Done;
    let mut renamed = backfill.clone();
    renamed.by = "somebody else".into();
    assert!(
        node.store
            .save_backfill(&renamed, Some(cursor))
            .await
            .unwrap(),
        "only cursor and state move"
    );
    let second = Backfill::new(RequestId::new("a2").unwrap(), task("u"), from, to);
    node.store.save_backfill(&second, None).await.unwrap();
    let kept = harness.store().await.backfills().await.unwrap();
    assert_eq!(kept, [backfill, second]);
}

pub(super) async fn listeners_hear_that_something_waits(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let other = Node::join(harness, "other").await;
    let mut wakes = node.store.listen();
    other.enqueue(request("t", other.now().await, "r1")).await;
    // A hint may come late or stand for something else, so the listener looks for itself.
    let deadline = tokio::time::sleep(Duration::from_secs(15)); // tidy: allow(sleep) a deadline
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            _ = wakes.next() => {}
            () = &mut deadline => panic!("no hint within 15 s"),
        }
        if node.take(10).await.len() == 1 {
            break;
        }
    }
}
