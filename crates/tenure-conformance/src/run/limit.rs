//! How many runs of a task may be in hand at once.

use std::time::Duration;

use tenure_core::{
    ClaimAnswer, MaxRunning, Outcome, Overlap, Refusal, RunState, Take, TaskRoom, Timestamp,
};

use super::actor::{Node, beside, item, limited, request, task, with};
use super::cases::Shared;

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn s38_a_limit_counts_every_tick_and_index_of_the_task(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let now = a.now().await;
    let claim = |name, back: u32, index| limited(item(name, now - SECOND * back, index), 2);
    let first = a.win(claim("t", 2, 1)).await;
    a.win(claim("t", 2, 2)).await;
    for wanted in [claim("t", 2, 3), beside(claim("t", 1, 3))] {
        let because = b.is_refused(wanted.clone()).await;
        assert_eq!(because, Refusal::Limit { max: 2 });
        assert_eq!(b.is_refused(wanted.clone()).await, because, "a resend");
        let record = b.record(&wanted.key()).await;
        assert_eq!(record.state, RunState::Skipped);
        let reason = record.reason.unwrap_or_default();
        assert!(reason.starts_with("limit"), "{reason}");
    }
    b.win(claim("other", 1, 1)).await;
    a.finish(&first, Outcome::Succeeded).await;
    b.win(claim("t", 0, 3)).await;
}

pub(super) async fn s38_what_exceeds_a_limit_follows_the_overlap_rule(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t", "u"]).await;
    let now = node.now().await;
    let claim =
        |name, tick: Timestamp, index, rule| with(limited(item(name, tick, index), 1), rule);
    let running = node
        .win(claim("t", now - SECOND, 1, Overlap::QueueOne))
        .await;
    let because = node.queue(claim("t", now, 2, Overlap::QueueOne)).await;
    assert_eq!(because, Refusal::Limit { max: 1 });
    assert_eq!(node.take(10).await, []);
    node.finish(&running, Outcome::Succeeded).await;
    let taken = node.take(10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].run.key.index, 2);

    let running = node
        .win(claim("u", now - SECOND, 1, Overlap::CancelOther))
        .await;
    node.queue(claim("u", now, 2, Overlap::CancelOther)).await;
    let asked = node.store.cancels(node.holder.id).await.unwrap();
    let asked: Vec<_> = asked.into_iter().map(|cancel| cancel.key).collect();
    assert_eq!(asked, [running.run.key]);
}

pub(super) async fn s38_a_limit_holds_for_what_is_taken_too(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let claims = [1, 2, 3].map(|index| limited(item("t", now, index), 3));
    let mut running = Vec::new();
    for claim in claims {
        running.push(node.win(limited(claim, 3)).await);
    }
    // As many retries as ran, of a task that now may have two of them in hand.
    for claim in &running {
        node.finish(claim, Outcome::Succeeded).await;
    }
    for (number, id) in ["r1", "r2", "r3"].into_iter().enumerate() {
        let mut wanted = request("t", now, id);
        wanted.key.index = u32::try_from(number).unwrap() + 1;
        wanted.max_running = Some(MaxRunning::new(2, 3));
        node.enqueue(wanted).await;
    }
    let taken = node.take(10).await;
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert_eq!(node.take(10).await, []);
    node.finish(&taken[0], Outcome::Succeeded).await;
    assert_eq!(node.take(10).await.len(), 1);
}

pub(super) async fn s38_a_limit_of_racing_nodes_is_never_exceeded(harness: &Shared) {
    let now = Node::join(harness, "clock").await.now().await;
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..6_u32 {
        let node = Node::join_with(harness, &format!("n{number}"), &["t"]).await;
        racers.spawn(async move {
            let mut won = 0;
            for back in 0..5 {
                let tick = now - SECOND * (5 * number + back);
                let answer = node.try_claim(beside(limited(item("t", tick, 1), 4))).await;
                won += u32::from(matches!(answer, ClaimAnswer::Won(_)));
            }
            won
        });
    }
    assert_eq!(racers.join_all().await.into_iter().sum::<u32>(), 4);
}

pub(super) async fn s60_requested_runs_count_and_cost_no_tick(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t"]).await;
    let now = node.now().await;
    let mut wanted = request("t", now, "r1");
    wanted.max_running = Some(MaxRunning::new(1, 3));
    node.enqueue(wanted).await;
    let requested = node.take(10).await.remove(0);
    let ticks = [now - SECOND, now];
    for tick in ticks {
        let because = node.queue(limited(item("t", tick, 1), 1)).await;
        assert_eq!(because, Refusal::Limit { max: 1 });
    }
    node.finish(&requested, Outcome::Succeeded).await;
    let taken = node.take(10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(
        taken[0].run.key,
        item("t", now, 1).key(),
        "only the newest waits"
    );
}

pub(super) async fn a_node_takes_no_more_of_a_task_than_it_has_room_for(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["t", "u", "v"]).await;
    let now = node.now().await;
    for name in ["t", "u", "v"] {
        for index in 1..=3 {
            let mut wanted = request(name, now, &format!("{name}{index}"));
            wanted.key.index = index;
            node.enqueue(wanted).await;
        }
    }
    let mut take = Take::new(node.holder.id, 10);
    take.room = vec![TaskRoom::new(task("t"), 0), TaskRoom::new(task("u"), 2)];
    let taken = node.store.take(&take).await.unwrap();
    let count = |name| {
        let of_task = taken
            .iter()
            .filter(|claim| claim.run.key.task == task(name));
        of_task.count()
    };
    assert_eq!([count("t"), count("u"), count("v")], [0, 2, 3]);
    assert_eq!(node.take(10).await.len(), 4);
}
