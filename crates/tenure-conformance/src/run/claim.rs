//! Winning a tick: once, by one node, whatever is repeated, raced or renamed.

use std::collections::HashMap;
use std::time::Duration;

use tenure_core::{
    ClaimAnswer, ClaimBatch, ClaimItem, Outcome, RunKey, RunState, Timestamp, Token,
};

use super::actor::{Node, beside, is_won, item};
use super::cases::Shared;
use crate::chance::seeded;

/// The same claim under a token of its own, as another node would send it.
fn rival(pair: &ClaimItem) -> ClaimItem {
    let mut own = pair.clone();
    own.token = Token::random();
    own
}

/// A store may be too busy for fifty nodes at once, and says so. A node then sends the batch again,
/// under the same tokens; the time limit of the case ends this.
async fn claim_at_last(node: &Node, items: &[ClaimItem]) -> Vec<ClaimAnswer> {
    let batch = ClaimBatch::new(node.holder.id, items.to_vec());
    loop {
        match node.store.claim(&batch).await {
            Ok(reply) => {
                assert_eq!(reply.answers.len(), items.len(), "one answer an item");
                return reply.answers;
            }
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

/// Lets each node claim its pairs in an order of its own and counts who won what.
async fn race(nodes: Vec<Node>, shares: Vec<Vec<ClaimItem>>) -> HashMap<RunKey, usize> {
    let mut chance = seeded();
    let mut racers = tokio::task::JoinSet::new();
    for (node, mut mine) in nodes.into_iter().zip(shares) {
        chance.shuffle(&mut mine);
        racers.spawn(async move {
            let mut won = Vec::new();
            for chunk in mine.chunks(node.store.promises().max_batch) {
                let answers = claim_at_last(&node, chunk).await;
                let kept = chunk
                    .iter()
                    .zip(&answers)
                    .filter(|(_, answer)| is_won(answer));
                won.extend(kept.map(|(item, _)| item.key()));
            }
            won
        });
    }
    let mut wins = HashMap::new();
    while let Some(won) = racers.join_next().await {
        for key in won.unwrap() {
            *wins.entry(key).or_insert(0) += 1;
        }
    }
    wins
}

async fn nodes(harness: &Shared, count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..count {
        nodes.push(Node::join(harness, &format!("n{number}")).await);
    }
    nodes
}

fn pairs(tasks: u32, ticks: u64, indices: u32, now: Timestamp) -> Vec<ClaimItem> {
    let mut pairs = Vec::new();
    for name in 0..tasks {
        for back in 0..ticks {
            for index in 1..=indices {
                let tick = now - Duration::from_millis(back * 100);
                pairs.push(beside(item(&format!("t{name}"), tick, index)));
            }
        }
    }
    pairs
}

pub(super) async fn s29_each_tick_is_won_once_by_fifty_nodes_that_race(harness: &Shared) {
    let nodes = nodes(harness, 50).await;
    let pairs = pairs(1, 200, 3, nodes[0].now().await);
    let shares = nodes
        .iter()
        .map(|_| pairs.iter().map(rival).collect())
        .collect();
    let wins = race(nodes, shares).await;
    assert_eq!(wins.len(), 600);
    assert_eq!(wins.values().sum::<usize>(), 600);
}

pub(super) async fn s29_fifty_nodes_win_thirty_thousand_pairs_once_each(harness: &Shared) {
    let mut chance = seeded();
    let nodes = nodes(harness, 50).await;
    let pairs = pairs(50, 200, 3, nodes[0].now().await);
    // Two of the nodes, whichever, compete for each pair; the case above has all compete for all.
    let mut shares = vec![Vec::new(); nodes.len()];
    for pair in &pairs {
        for _ in 0..2 {
            shares[chance.usize(..nodes.len())].push(rival(pair));
        }
    }
    let wins = race(nodes, shares).await;
    assert_eq!(wins.len(), 30_000);
    assert_eq!(wins.values().sum::<usize>(), 30_000);
}

pub(super) async fn s30_a_resend_is_answered_won_again_with_the_same_fence(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let wanted = item("t", node.now().await, 1);
    let first = node.win(wanted.clone()).await;
    let again = node.win(wanted).await;
    assert_eq!((again.run, again.fence), (first.run, first.fence));
}

pub(super) async fn s30_a_resend_over_a_new_connection_is_answered_won_again(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let wanted = item("t", node.now().await, 1);
    let first = node.win(wanted.clone()).await;
    harness.sever().await;
    let other_view = Node {
        store: harness.store().await,
        holder: node.holder.clone(),
    };
    let again = other_view.win(wanted).await;
    assert_eq!((again.run, again.fence), (first.run, first.fence));
}

pub(super) async fn s31_a_run_that_ended_at_once_is_not_run_again(harness: &Shared) {
    let (first, second) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let tick = first.now().await;
    let claim = first.win(item("t", tick, 1)).await;
    first.finish(&claim, Outcome::Succeeded).await;
    for node in [&second, &first] {
        let answer = node.try_claim(item("t", tick, 1)).await;
        assert!(
            matches!(
                &answer,
                ClaimAnswer::Taken {
                    state: RunState::Succeeded,
                    ..
                }
            ),
            "{answer:?}"
        );
    }
}

pub(super) async fn s34_losing_a_claim_is_an_answer_that_says_who_won(harness: &Shared) {
    let (first, second) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let tick = first.now().await;
    let claim = first.win(item("t", tick, 1)).await;
    match second.try_claim(item("t", tick, 1)).await {
        ClaimAnswer::Taken {
            by,
            state,
            since,
            under,
        } => {
            assert_eq!(under, None);
            assert_eq!(by, Some(first.holder));
            assert_eq!(state, RunState::Running);
            assert_eq!(since, claim.claimed_at);
        }
        other => panic!("expected that it is taken, was answered {other:?}"),
    }
}

pub(super) async fn s36_names_with_any_characters_do_not_collide(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await;
    let long = "n".repeat(1000);
    let names = [
        "a",
        "A",
        "a ",
        " a",
        "a:1",
        "a:1:1",
        "a*",
        "a#1",
        "a@1",
        "a-***-1",
        "é",
        "e\u{301}",
        "\u{1f98a}",
        "a\tb",
        "a\nb",
        "a'b",
        "a\"b",
        "a\\b",
        "a%b",
        "a_b",
        "a;b",
        "{a}",
        long.as_str(),
        "K",
        "\u{212a}",
    ];
    for name in names {
        for index in [1, 2, 11] {
            node.win(item(name, tick, index)).await;
        }
    }
    for name in names {
        let key = item(name, tick, 11).key();
        assert_eq!(node.record(&key).await.key, key);
    }
}

pub(super) async fn s49_a_second_claim_of_one_node_for_one_tick_loses(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await;
    let (first, second) = (item("t", tick, 1), item("t", tick, 1));
    assert_ne!(first.token, second.token);
    node.win(first).await;
    let answer = node.try_claim(second).await;
    assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
}

pub(super) async fn fences_grow_with_every_claim_of_a_task(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let now = a.now().await;
    let mut last = None;
    for back in (0..20).rev() {
        let tick = now - Duration::from_secs(back);
        let node = if back % 2 == 0 { &a } else { &b };
        let claim = node.win(item("t", tick, 1)).await;
        assert!(Some(claim.fence) > last, "{:?} after {last:?}", claim.fence);
        last = Some(claim.fence);
        node.finish(&claim, Outcome::Succeeded).await;
    }
}

pub(super) async fn s26_a_run_that_is_claimed_early_is_not_said_to_begin_before_its_tick(
    harness: &Shared,
) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await + Duration::from_millis(200);
    let claim = node.win(item("t", tick, 1)).await;
    let record = node.record(&claim.run.key).await;
    assert_eq!(record.claimed_at, Some(claim.claimed_at));
    assert_eq!(record.started_at, Some(claim.claimed_at.max(tick)));
    node.finish(&claim, Outcome::Succeeded).await;
    let record = node.record(&claim.run.key).await;
    assert!(record.started_at <= record.ended_at, "{record:?}");
}

pub(super) async fn the_record_of_a_claim_says_who_has_it(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let wanted = item("t", node.now().await, 2);
    let claim = node.win(wanted.clone()).await;
    let record = node.record(&wanted.key()).await;
    assert_eq!(claim.run.attempt, 1);
    assert_eq!(claim.run.token, wanted.token);
    assert_eq!(record.state, RunState::Running);
    assert_eq!(record.attempt, 1);
    assert_eq!(record.fence, Some(claim.fence));
    assert_eq!(record.node, Some(node.holder));
    assert_eq!(record.generation, Some(wanted.generation));
    assert_eq!(record.claimed_at, Some(claim.claimed_at));
    assert_eq!(record.started_at, Some(claim.claimed_at));
    assert_eq!(record.ended_at, None);
    assert_eq!(
        harness.raw_run(&record.key).await,
        Some((RunState::Running, 1))
    );
}
