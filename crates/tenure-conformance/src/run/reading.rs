//! Reading what happened, and forgetting what is old enough.

use std::collections::HashSet;
use std::time::Duration;

use tenure_core::{
    ClaimAnswer, Cursor, Enqueue, EventDetail, EventKind, HistoryQuery, Note, Outcome, Pass, Prune,
    RequestId, RunKey, RunState, StoreErrorKind, Timestamp,
};

use super::actor::{Node, beside, item, task};
use super::cases::Shared;

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn a_passed_tick_is_recorded_with_its_reason_and_cannot_be_claimed(
    harness: &Shared,
) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let missed = RunKey::scheduled(task("t"), now, 1);
    let skipped = RunKey::scheduled(task("t"), now, 2);
    let passes = [
        Pass::missed(missed.clone(), "nobody was there"),
        Pass::skipped(skipped.clone(), "not today"),
    ];
    assert_eq!(node.store.pass(&passes).await.unwrap(), [true, true]);
    for (key, state, reason) in [
        (missed, RunState::Missed, "nobody was there"),
        (skipped, RunState::Skipped, "not today"),
    ] {
        let record = node.record(&key).await;
        assert_eq!(
            (record.state, record.reason.as_deref()),
            (state, Some(reason))
        );
        assert!(record.ended_at.is_some());
        let answer = node.try_claim(item("t", now, key.index)).await;
        assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
    }
}

pub(super) async fn s47_one_read_tells_which_runs_are_on_record(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let earlier = now - SECOND;
    let key = |tick, index| RunKey::scheduled(task("t"), tick, index);
    let won = node.win(item("t", now, 2)).await.run.key;
    let passed = Pass::missed(key(earlier, 1), "nobody was there");
    node.store.pass(&[passed]).await.unwrap();
    let keys = [
        key(now, 1),
        won,
        RunKey::scheduled(task("never named"), now, 2),
        key(earlier, 1),
        key(earlier, 2),
    ];
    let expected = [false, true, false, true, false];
    assert_eq!(node.store.known(&keys).await.unwrap(), expected);
    assert_eq!(node.store.known(&[]).await.unwrap(), []);
    let many = vec![key(now, 1); node.store.promises().max_batch + 1];
    let error = node.store.known(&many).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{error}");
}

pub(super) async fn a_pass_leaves_existing_records_alone(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let claim = node.win(item("t", now, 1)).await;
    let passes = [
        Pass::missed(claim.run.key.clone(), "no"),
        Pass::missed(RunKey::scheduled(task("t"), now, 2), "yes"),
        Pass::missed(RunKey::scheduled(task("t"), now, 2), "again"),
    ];
    assert_eq!(
        node.store.pass(&passes).await.unwrap(),
        [false, true, false]
    );
    assert_eq!(node.state(&claim.run.key).await, RunState::Running);
}

pub(super) async fn a_tick_is_passed_as_skipped_or_missed_only(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let good = RunKey::scheduled(task("t"), now, 1);
    let mut wrong = Pass::missed(RunKey::scheduled(task("t"), now, 2), "no");
    wrong.state = RunState::Running;
    let passes = [Pass::missed(good.clone(), "yes"), wrong];
    let error = node.store.pass(&passes).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidRequest, "{error}");
    for pass in passes {
        let found = node.store.run(&pass.key).await.unwrap();
        assert_eq!(found, None, "{}", pass.key);
    }
}

/// Runs of two tasks over five ticks, `a` with two indices; those of odd ticks fail.
async fn fill(node: &Node) -> Vec<Timestamp> {
    let now = node.now().await;
    let ticks: Vec<_> = (0..5_u32).map(|back| now - SECOND * back).collect();
    for (number, tick) in ticks.iter().enumerate().rev() {
        for (name, index) in [("b", 1), ("a", 2), ("a", 1)] {
            let claim = node.win(beside(item(name, *tick, index))).await;
            let outcome = if number % 2 == 1 {
                Outcome::Failed
            } else {
                Outcome::Succeeded
            };
            node.finish(&claim, outcome).await;
        }
    }
    ticks
}

async fn read(node: &Node, query: &HistoryQuery) -> Vec<(Timestamp, String, u32)> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let page = node.store.history(&query).await.unwrap();
        assert!(
            page.runs.len() <= query.page_size(),
            "a page of {}",
            page.runs.len()
        );
        let found = page.runs.iter().map(|run| &run.key);
        all.extend(found.map(|key| (key.tick, key.task.to_string(), key.index)));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

pub(super) async fn history_is_ordered_filtered_and_paged(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let ticks = fill(&node).await;
    let mut expected = Vec::new();
    for tick in &ticks {
        for (name, index) in [("a", 1), ("a", 2), ("b", 1)] {
            expected.push((*tick, name.to_owned(), index));
        }
    }
    let mut query = HistoryQuery::all();
    for limit in [0, 1, 2, 7, 15, 100_000] {
        query.limit = limit;
        assert_eq!(read(&node, &query).await, expected, "pages of {limit}");
    }
    query = HistoryQuery::of(task("a"));
    query.limit = 3;
    query.from = Some(ticks[3]);
    query.to = Some(ticks[1]);
    let of_a = expected
        .iter()
        .filter(|(tick, name, _)| name == "a" && *tick >= ticks[3] && *tick <= ticks[1]);
    assert_eq!(read(&node, &query).await, of_a.cloned().collect::<Vec<_>>());
    query = HistoryQuery::all();
    query.states = vec![RunState::Failed, RunState::Lost];
    query.limit = 4;
    let failed: Vec<_> = read(&node, &query).await;
    assert_eq!(failed.len(), 6);
    assert!(
        failed
            .iter()
            .all(|(tick, ..)| *tick == ticks[1] || *tick == ticks[3])
    );
    assert_eq!(read(&node, &HistoryQuery::of(task("nobody"))).await, []);
}

pub(super) async fn history_pages_through_runs_of_every_kind(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let tick = node.now().await;
    let id = |text: &str| RequestId::new(text).unwrap();
    node.win(item("t", tick, 1)).await;
    let asked = [
        RunKey::manual(task("t"), tick, 1, id("b")),
        RunKey::manual(task("t"), tick, 1, id("a")),
        RunKey::backfill(task("t"), tick, 1, id("a")),
        RunKey::backfill(task("t"), tick, 2, id("b")),
    ];
    let orders: Vec<_> = asked
        .iter()
        .map(|key| Enqueue::new(key.clone(), "asked"))
        .collect();
    node.store.enqueue(&orders).await.unwrap();
    for of_task in [false, true] {
        let mut query = HistoryQuery::all();
        query.task = of_task.then(|| task("t"));
        query.limit = 1;
        let mut found = HashSet::new();
        loop {
            let page = node.store.history(&query).await.unwrap();
            for run in page.runs {
                assert!(found.insert(run.key.clone()), "{} twice", run.key);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        assert!(asked.iter().all(|key| found.contains(key)), "{found:?}");
        assert!(found.contains(&item("t", tick, 1).key()), "{found:?}");
        assert_eq!(found.len(), 5);
    }
}

pub(super) async fn events_tell_every_change_in_order_and_resume(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let begun = node.events().await.last().map(|event| event.cursor.clone());
    let now = node.now().await;
    let mut seen = Vec::new();
    let mut cursor = begun;
    for index in 1..=4 {
        let claim = node.win(item("t", now, index)).await;
        node.finish(&claim, Outcome::Succeeded).await;
        let page = node.store.events(cursor.clone(), 100).await.unwrap();
        assert!(page.next.is_some());
        cursor = page.next;
        seen.extend(page.events);
    }
    let states = |index: u32| {
        let of_run = seen.iter().filter_map(move |event| match &event.kind {
            EventKind::Run(record) if record.key.index == index => Some(record.state),
            _ => None,
        });
        of_run.collect::<Vec<_>>()
    };
    for index in 1..=4 {
        let told = states(index);
        assert_eq!(
            told.last(),
            Some(&RunState::Succeeded),
            "index {index}: {told:?}"
        );
        if node.store.promises().events == EventDetail::Every {
            assert_eq!(
                told,
                [RunState::Running, RunState::Succeeded],
                "index {index}"
            );
        }
    }
    assert!(
        seen.windows(2).all(|pair| pair[0].at <= pair[1].at),
        "out of order"
    );
    let page = node.store.events(cursor.clone(), 100).await.unwrap();
    assert_eq!((page.events, page.next), (vec![], cursor));
}

pub(super) async fn notes_are_events(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let told = Note::new("clock_skew", "ahead by 3 s: é\n'\"")
        .about(task("t"))
        .of_node(node.holder.id);
    node.store.note(&told).await.unwrap();
    let other = Node::join(harness, "other").await;
    assert_eq!(other.notes("clock_skew").await, [told]);
    assert_eq!(other.notes("node_joined").await.len(), 2);
}

pub(super) async fn positions_that_are_none_are_refused(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    for text in [
        "",
        "x",
        "-1",
        "1;DROP TABLE",
        "\0",
        "99999999999999999999999999",
    ] {
        let mut query = HistoryQuery::all();
        query.after = Some(Cursor::new(text));
        let error = node.store.history(&query).await.unwrap_err();
        assert_eq!(
            error.kind(),
            StoreErrorKind::InvalidRequest,
            "{text:?}: {error}"
        );
        let error = node
            .store
            .events(Some(Cursor::new(text)), 10)
            .await
            .unwrap_err();
        assert_eq!(
            error.kind(),
            StoreErrorKind::InvalidRequest,
            "{text:?}: {error}"
        );
    }
}

pub(super) async fn pruning_keeps_what_may_still_be_claimed(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let claim = node.win(item("t", now, 1)).await;
    node.finish(&claim, Outcome::Succeeded).await;
    let running = node.win(item("t", now, 2)).await;
    let far = now + Duration::from_secs(86_400 * 365);
    assert_eq!(node.store.prune(&Prune::before(far)).await.unwrap(), 0);
    assert_eq!(node.state(&claim.run.key).await, RunState::Succeeded);
    assert_eq!(node.state(&running.run.key).await, RunState::Running);
    let answer = node.try_claim(item("t", now, 1)).await;
    assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
}

pub(super) async fn pruning_is_bounded_and_takes_only_what_was_named(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let passes: Vec<Pass> = (0..10_u32)
        .map(|back| {
            let key = RunKey::scheduled(task("t"), now - SECOND * back, 1);
            let mut pass = Pass::missed(key, "old");
            pass.keep_for = Duration::ZERO;
            pass
        })
        .collect();
    node.store.pass(&passes).await.unwrap();
    harness.pass_time(Duration::from_millis(100)).await;
    let mut prune = Prune::before(node.now().await + SECOND);
    prune.states = vec![RunState::Succeeded];
    assert_eq!(node.store.prune(&prune).await.unwrap(), 0, "other states");
    prune.states = vec![RunState::Missed];
    let early = Prune::before(now - Duration::from_secs(3600));
    assert_eq!(node.store.prune(&early).await.unwrap(), 0, "ended later");
    prune.keep_newest = 3;
    prune.limit = 5;
    assert_eq!(node.store.prune(&prune).await.unwrap(), 5);
    assert_eq!(node.store.prune(&prune).await.unwrap(), 2);
    assert_eq!(node.store.prune(&prune).await.unwrap(), 0);
    let left = read(&node, &HistoryQuery::of(task("t"))).await;
    let newest: Vec<_> = (0..3_u32).map(|back| now - SECOND * back).collect();
    assert_eq!(
        left.into_iter().map(|(tick, ..)| tick).collect::<Vec<_>>(),
        newest
    );
}

pub(super) async fn pruning_forgets_old_notes(harness: &Shared) {
    let node = Node::join(harness, "node").await;
    node.store.note(&Note::new("old", "")).await.unwrap();
    harness.pass_time(Duration::from_secs(1)).await;
    let prune = Prune::before(node.now().await - Duration::from_millis(500));
    harness.pass_time(Duration::from_secs(1)).await;
    node.store.note(&Note::new("new", "")).await.unwrap();
    node.store.prune(&prune).await.unwrap();
    assert_eq!(node.notes("old").await, []);
    assert_eq!(node.notes("new").await.len(), 1);
}

pub(super) async fn s52_of_one_task_what_is_beyond_the_newest_goes_state_by_state(
    harness: &Shared,
) {
    let node = Node::join(harness, "node").await;
    let now = node.now().await;
    let pass = |name: &str, back: u32| {
        let key = RunKey::scheduled(task(name), now - SECOND * back, 1);
        let mut pass = if back.is_multiple_of(2) {
            Pass::missed(key, "")
        } else {
            Pass::skipped(key, "")
        };
        pass.keep_for = Duration::ZERO;
        pass
    };
    let passes: Vec<Pass> = (1..=12)
        .flat_map(|back| [pass("t", back), pass("u", back)])
        .collect();
    node.store.pass(&passes).await.unwrap();
    let claim = node.win(item("t", now, 2)).await;
    node.finish(&claim, Outcome::Succeeded).await;
    node.store.note(&Note::new("kept", "")).await.unwrap();
    harness.pass_time(Duration::from_millis(100)).await;
    let gone = async |prune: &Prune| node.store.prune(prune).await.unwrap();
    // Nothing is too old; two of six may stay.
    let long_ago = now - Duration::from_secs(3600);
    let mut prune = Prune::of(task("t"), long_ago, &[RunState::Missed]);
    assert_eq!(gone(&prune).await, 0);
    prune.keep_most = Some(2);
    prune.limit = 3;
    assert_eq!(gone(&prune).await, 3);
    assert_eq!(gone(&prune).await, 1);
    assert_eq!(gone(&prune).await, 0);
    let left = |name: &'static str, state| {
        let mut query = HistoryQuery::of(task(name));
        query.states = vec![state];
        let node = &node;
        async move {
            let runs = node.store.history(&query).await.unwrap().runs;
            let back = |tick: Timestamp| now.since(tick).as_secs();
            runs.iter()
                .map(|run| back(run.key.tick))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(left("t", RunState::Missed).await, [2, 4]);
    assert_eq!(left("t", RunState::Skipped).await.len(), 6);
    assert_eq!(left("u", RunState::Missed).await.len(), 6);
    // By age, of this task only; what a claim may still be refused by stays whatever was asked.
    let soon = node.now().await + SECOND;
    let skipped = Prune::of(task("t"), soon, &[RunState::Skipped]);
    assert_eq!(gone(&skipped).await, 6);
    let mut all = Prune::of(task("t"), soon, &[]);
    all.keep_most = Some(0);
    assert_eq!(gone(&all).await, 2);
    assert_eq!(node.state(&claim.run.key).await, RunState::Succeeded);
    assert_eq!(left("u", RunState::Skipped).await.len(), 6);
    assert_eq!(
        node.notes("kept").await.len(),
        1,
        "events are not asked for"
    );
}

pub(super) async fn two_views_of_the_same_runs_always_agree(harness: &Shared) {
    let (a, b) = (
        Node::join(harness, "a").await,
        Node::join(harness, "b").await,
    );
    let now = a.now().await;
    for index in 1..=20 {
        let (node, other) = if index % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let claim = node.win(item("t", now, index)).await;
        assert_eq!(
            other.record(&claim.run.key).await,
            node.record(&claim.run.key).await
        );
        node.finish(&claim, Outcome::Succeeded).await;
        assert_eq!(other.state(&claim.run.key).await, RunState::Succeeded);
    }
    let all = HistoryQuery::all();
    assert_eq!(
        a.store.history(&all).await.unwrap(),
        b.store.history(&all).await.unwrap()
    );
}

pub(super) async fn run_promises_are_complete_and_the_same_for_every_view(harness: &Shared) {
    let promises = harness.store().await.promises();
    assert_eq!(promises, harness.store().await.promises());
    let (one, other) = (harness.store().await, harness.store().await);
    assert_eq!(one.namespace(), other.namespace());
    assert!(!one.namespace().is_empty());
    assert!(promises.max_batch >= 100, "{promises:?}");
    assert!(
        !promises.store.is_empty() && !promises.forgets.is_empty(),
        "{promises:?}"
    );
}
