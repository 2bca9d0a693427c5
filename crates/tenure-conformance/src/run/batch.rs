//! Many claims at once: decided together, answered in order, within limits.

use std::time::Duration;

use tenure_core::{
    ClaimAnswer, ClaimBatch, Finish, Finished, Outcome, Pass, Refusal, RunKey, RunState, Start,
    Started, StoreErrorKind, Token,
};

use super::actor::{Node, beside, is_won, item, request, task};
use super::cases::Shared;
use crate::chance::seeded;

pub(super) async fn s33_a_thousand_racing_batches_in_any_order_are_all_decided(harness: &Shared) {
    let mut chance = seeded();
    let now = Node::join(harness, "clock").await.now().await;
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let node = Node::join(harness, &format!("n{number}")).await;
        let mut chance = chance.fork();
        racers.spawn(async move {
            let mut won = 0;
            for round in 0..125_u64 {
                let tick = now - Duration::from_millis(round);
                let mut items: Vec<_> = (1..=10)
                    .map(|index| beside(item("t", tick, index)))
                    .collect();
                chance.shuffle(&mut items);
                let answers = node.claim(items).await;
                won += answers.iter().filter(|answer| is_won(answer)).count();
            }
            won
        });
    }
    let wins: usize = racers.join_all().await.into_iter().sum();
    assert_eq!(wins, 1_250);
}

pub(super) async fn answers_stand_in_the_order_of_the_items(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let now = a.now().await;
    let (early, late) = (
        now + Duration::from_secs(600),
        now - Duration::from_secs(6_000),
    );
    a.win(item("z", now, 1)).await;
    let answers = b
        .claim(vec![
            item("z", now, 1),
            item("m", early, 1),
            item("a", now, 1),
            item("m", late, 1),
            item("b", now, 1),
        ])
        .await;
    assert!(
        matches!(answers[0], ClaimAnswer::Taken { .. }),
        "{answers:?}"
    );
    assert!(
        matches!(answers[1], ClaimAnswer::Refused(Refusal::TooEarly { .. })),
        "{answers:?}"
    );
    assert!(
        matches!(answers[3], ClaimAnswer::Refused(Refusal::TooLate { .. })),
        "{answers:?}"
    );
    for (at, name) in [(2, "a"), (4, "b")] {
        match &answers[at] {
            ClaimAnswer::Won(claim) => assert_eq!(claim.run.key.task.as_str(), name),
            other => panic!("expected to win {name}, was answered {other:?}"),
        }
    }
}

pub(super) async fn a_batch_over_the_limit_is_refused_whole(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let most = node.store.promises().max_batch;
    let items = |count: usize| {
        let numbers = 1..=u32::try_from(count).unwrap();
        numbers
            .map(|index| item("t", now, index))
            .collect::<Vec<_>>()
    };
    let batch = ClaimBatch::new(node.holder.id, items(most + 1));
    let error = node.store.claim(&batch).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{error}");
    assert!(!error.outcome_is_unknown(), "{error}");
    assert_eq!(harness.raw_run(&item("t", now, 1).key()).await, None);
    let answers = node.claim(items(most)).await;
    assert!(answers.iter().all(is_won));
}

pub(super) async fn reports_are_answered_in_their_order(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let first = node.win_for_later(item("t", now, 1)).await;
    let second = node.win_for_later(item("a", now, 2)).await;
    let mut stranger = first.clone();
    stranger.run.token = Token::random();
    let mut unknown = first.clone();
    unknown.run.key.index = 77;
    let all = [&second, &stranger, &first, &unknown];
    let starts: Vec<_> = all
        .iter()
        .map(|claim| Start::new(claim.run.clone()))
        .collect();
    let started: Vec<_> = node.store.start(&starts).await.unwrap();
    let began = started
        .iter()
        .map(|answer| matches!(answer, Started::Running { .. }));
    assert_eq!(began.collect::<Vec<_>>(), [true, false, true, false]);
    let finishes: Vec<_> = all
        .iter()
        .map(|claim| Finish::new(claim.run.clone(), Outcome::Succeeded))
        .collect();
    let late = Finished::Late {
        state: RunState::Running,
        attempt: 1,
    };
    assert_eq!(
        node.store.finish(&finishes).await.unwrap(),
        [
            Finished::Recorded,
            late,
            Finished::Recorded,
            Finished::Unknown
        ]
    );
}

pub(super) async fn reports_and_orders_over_the_limit_are_refused_whole(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let store = &node.store;
    let claim = node.win_for_later(item("t", node.now().await, 1)).await;
    let over = store.promises().max_batch + 1;
    let order = request("t", claim.claimed_at, "r1");
    let passed = RunKey::scheduled(task("t"), claim.claimed_at, 2);
    let pass = Pass::missed(passed.clone(), "no");
    let finish = Finish::new(claim.run.clone(), Outcome::Succeeded);
    let errors = [
        store
            .start(&vec![Start::new(claim.run.clone()); over])
            .await
            .unwrap_err(),
        store.finish(&vec![finish; over]).await.unwrap_err(),
        store.pass(&vec![pass; over]).await.unwrap_err(),
        store.enqueue(&vec![order.clone(); over]).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{error}");
        assert!(!error.outcome_is_unknown(), "{error}");
    }
    assert_eq!(node.state(&claim.run.key).await, RunState::Claimed);
    assert_eq!(store.run(&passed).await.unwrap(), None);
    assert_eq!(store.run(&order.key).await.unwrap(), None);
}

pub(super) async fn an_empty_batch_is_answered(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    assert_eq!(node.claim(Vec::new()).await, []);
    assert_eq!(node.store.finish(&[]).await.unwrap(), []);
    assert_eq!(node.store.start(&[]).await.unwrap(), []);
    assert_eq!(node.store.pass(&[]).await.unwrap(), [false; 0]);
    assert_eq!(node.store.enqueue(&[]).await.unwrap(), []);
    assert_eq!(node.take(0).await, []);
}

pub(super) async fn the_same_pair_twice_in_a_batch_is_won_once(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let answers = node.claim(vec![item("t", now, 1), item("t", now, 1)]).await;
    assert_eq!(
        answers.iter().filter(|answer| is_won(answer)).count(),
        1,
        "{answers:?}"
    );
}

pub(super) async fn the_sequence_grows_by_one_with_each_claim_call_and_the_epoch_stays(
    harness: &Shared,
) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let begun = a.store.now().await.unwrap();
    for call in 1..=6 {
        let node = if call % 2 == 0 { &a } else { &b };
        let items = vec![item("t", begun.now, 1), item("t", begun.now, 2)];
        let reply = node
            .store
            .claim(&ClaimBatch::new(node.holder.id, items))
            .await
            .unwrap();
        assert_eq!(reply.sequence, begun.sequence + call);
        assert_eq!(reply.epoch, begun.epoch);
        assert!(!reply.epoch.is_empty());
        assert!(reply.now >= begun.now);
    }
    assert_eq!(b.beat().await.moment.sequence, begun.sequence + 7);
}
