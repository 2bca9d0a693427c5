//! What deploys need: names that changed, definitions that say which is newer, tasks that are gone.

use tenure_core::{
    ClaimAnswer, ClaimItem, Definition, Ended, HistoryQuery, OnChange, Outcome, Pause, Refusal,
    Registered, RunKey, RunState, TaskRecord, Timestamp,
};

use super::actor::{Node, definition, generation, item, request, task};
use super::cases::Shared;

impl Node {
    async fn brings(&self, definition: Definition) -> Registered {
        let answers = self.store.register(self.holder.id, &[definition]).await;
        answers.unwrap().remove(0)
    }

    async fn knows(&self, name: &str) -> TaskRecord {
        let mut tasks = self.store.tasks().await.unwrap().into_iter();
        let found = tasks.find(|record| record.definition.task == task(name));
        found.unwrap_or_else(|| panic!("the store does not know the task {name}"))
    }
}

fn numbered(name: &str, of: &str, number: u32) -> Definition {
    let mut definition = definition(name, of);
    definition.number = number;
    definition
}

fn formerly(mut item: ClaimItem, names: &[&str]) -> ClaimItem {
    item.aliases = names.iter().map(|name| task(name)).collect();
    item
}

fn under(mut item: ClaimItem, of: &str) -> ClaimItem {
    item.generation = generation(of);
    item
}

pub(super) async fn s54_a_tick_on_record_under_an_earlier_name_is_taken(harness: &Shared) {
    let old = Node::join(harness, "old").await;
    let new = Node::join(harness, "new").await;
    let tick = old.now().await;
    let claim = old.win(item("before", tick, 1)).await;
    old.finish(&claim, Outcome::Succeeded).await;
    let renamed = |index| formerly(item("after", tick, index), &["never", "before"]);
    match new.try_claim(renamed(1)).await {
        ClaimAnswer::Taken {
            by, state, under, ..
        } => {
            assert_eq!(by.as_ref().map(|holder| holder.id), Some(old.holder.id));
            assert_eq!(state, RunState::Succeeded);
            assert_eq!(under, Some(task("before")));
        }
        other => panic!("the old name had this tick: {other:?}"),
    }
    let key = RunKey::scheduled(task("after"), tick, 1);
    assert_eq!(new.store.run(&key).await.unwrap(), None, "leaves no record");
    // Another index is another run, and so is another tick; each is won once.
    let mut batch = vec![renamed(2), renamed(1), item("unrelated", tick, 1)];
    batch.push(renamed(2));
    let answers = new.claim(batch).await;
    assert!(matches!(answers[0], ClaimAnswer::Won(_)), "{answers:?}");
    assert!(
        matches!(answers[1], ClaimAnswer::Taken { .. }),
        "{answers:?}"
    );
    assert!(matches!(answers[2], ClaimAnswer::Won(_)), "{answers:?}");
    assert!(
        matches!(answers[3], ClaimAnswer::Taken { .. }),
        "{answers:?}"
    );
}

pub(super) async fn s54_a_resend_under_the_new_name_gets_its_first_answer(harness: &Shared) {
    let new = Node::join(harness, "new").await;
    let tick = new.now().await;
    let renamed = formerly(item("after", tick, 1), &["before"]);
    let won = new.win(renamed.clone()).await;
    // A node that does not know of the new name yet; the record under it is not looked for.
    let old = Node::join(harness, "old").await;
    old.win(item("before", tick, 1)).await;
    assert_eq!(new.win(renamed).await, won);
}

pub(super) async fn s54_a_renamed_task_keeps_its_first_time_and_its_pause(harness: &Shared) {
    let node = Node::join_with(harness, "node", &["before"]).await;
    let first_seen = node.register("before", "g1").await.first_seen;
    let pause = Pause::new("ann", "the disk is full");
    node.store.pause(&task("before"), &pause).await.unwrap();
    harness
        .pass_time(std::time::Duration::from_millis(50))
        .await;
    let mut renamed = definition("after", "g2");
    renamed.aliases = vec![task("never"), task("before")];
    let registered = node.brings(renamed.clone()).await;
    assert_eq!(registered.first_seen, first_seen);
    assert_eq!(registered.pause, Some(pause.clone()));
    assert_eq!(node.knows("after").await.definition, renamed);
    let refused = node
        .is_refused(under(item("after", node.now().await, 1), "g2"))
        .await;
    assert_eq!(
        refused,
        Refusal::Paused {
            by: "ann".into(),
            why: "the disk is full".into()
        }
    );
    // Once: whoever resumes it is not overruled by the next node that starts.
    assert!(node.store.resume(&task("after"), "bob", "").await.unwrap());
    assert_eq!(node.brings(renamed).await.pause, None);
    assert_eq!(node.knows("before").await.pause, Some(pause));
}

/// A task of which a node says that it is over is left alone by the node that has it. Answers both
/// nodes, the one that has it first, and a tick that is due.
async fn is_left_alone(harness: &Shared, name: &str, how: Ended) -> (Node, Node, Timestamp) {
    let old = Node::join(harness, "old").await;
    old.brings(numbered(name, "g1", 5)).await;
    let new = Node::join(harness, "new").await;
    let mut ended = definition(name, "ended");
    ended.ended = Some(how);
    new.brings(ended.clone()).await;
    let tick = old.now().await;
    let current = generation("ended");
    let refused = old.is_refused(item(name, tick, 1)).await;
    assert_eq!(refused, Refusal::StaleGeneration { current });
    // It said no number, and so takes the highest.
    ended.number = 5;
    assert_eq!(old.knows(name).await.definition, ended);
    assert!(old.knows(name).await.is_retired(tick));
    // What waits goes to those who know that it is over.
    old.enqueue(request(name, tick, "r1")).await;
    assert_eq!(old.take(10).await, []);
    assert_eq!(new.take(10).await.len(), 1);
    (old, new, tick)
}

pub(super) async fn s54_an_old_name_that_was_ended_is_claimed_by_nobody(harness: &Shared) {
    let renamed = Ended::Renamed(task("after"));
    let (old, new, tick) = is_left_alone(harness, "before", renamed).await;
    new.win(item("after", tick, 2)).await;
    // A roll-back: the old definition counts again when the last node of the new one is gone; what
    // ran under the new name stays run, though the old definition does not know of it.
    new.store.leave(new.holder.id).await.unwrap();
    let answer = old.try_claim(item("before", tick, 2)).await;
    let is_after =
        matches!(&answer, ClaimAnswer::Taken { under, .. } if *under == Some(task("after")));
    assert!(is_after, "{answer:?}");
    old.win(item("before", tick, 1)).await;
    assert!(!old.knows("before").await.is_retired(tick));
}

pub(super) async fn s55_a_task_that_was_retired_is_claimed_by_nobody(harness: &Shared) {
    let (old, new, tick) = is_left_alone(harness, "t", Ended::Retired).await;
    // A roll-back.
    new.store.leave(new.holder.id).await.unwrap();
    old.win(item("t", tick, 1)).await;
    assert!(!old.knows("t").await.is_retired(tick));
}

pub(super) async fn s53_a_higher_number_is_newer_whenever_it_was_registered(harness: &Shared) {
    let (high, low) = (
        Node::join(harness, "high").await,
        Node::join(harness, "low").await,
    );
    high.brings(numbered("t", "seven", 7)).await;
    let registered = low.brings(numbered("t", "three", 3)).await;
    assert_eq!(registered.current, generation("seven"));
    assert_eq!(
        low.register("t", "plain").await.current,
        generation("seven")
    );
    let tick = low.now().await;
    let refused = low.is_refused(under(item("t", tick, 1), "plain")).await;
    let current = generation("seven");
    assert_eq!(refused, Refusal::StaleGeneration { current });
    high.win(under(item("t", tick, 1), "seven")).await;
    assert_eq!(high.knows("t").await.definition.number, 7);
    // Of equal numbers the one registered last.
    let registered = low.brings(numbered("t", "seven-too", 7)).await;
    assert_eq!(registered.current, generation("seven-too"));
    // Without those that live nodes list, the highest of the others.
    low.brings(numbered("t", "three", 3)).await;
    high.store.leave(high.holder.id).await.unwrap();
    low.win(under(item("t", tick, 2), "three")).await;
    assert_eq!(
        low.knows("t").await.definition.generation,
        generation("three")
    );
    low.store.leave(low.holder.id).await.unwrap();
    let reader = Node::join(harness, "reader").await;
    let current = reader.knows("t").await.definition;
    assert_eq!(current.generation, generation("seven-too"));
}

pub(super) async fn s53_under_union_every_definition_fires_and_each_tick_once(harness: &Shared) {
    let (old, new) = (
        Node::join(harness, "old").await,
        Node::join(harness, "new").await,
    );
    old.register("t", "g1").await;
    let mut union = definition("t", "g2");
    union.on_change = OnChange::Union;
    new.brings(union).await;
    assert_eq!(new.knows("t").await.definition.on_change, OnChange::Union);
    let tick = old.now().await;
    old.win(item("t", tick, 1)).await;
    new.win(under(item("t", tick, 2), "g2")).await;
    for (node, of, index) in [(&old, "g1", 2), (&new, "g2", 1)] {
        let answer = node.try_claim(under(item("t", tick, index), of)).await;
        assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
    }
    // It is the newest definition that says so: one that does not ends it.
    let newest = Node::join(harness, "newest").await;
    newest.register("t", "g3").await;
    let refused = old.is_refused(item("t", tick, 3)).await;
    let current = generation("g3");
    assert_eq!(refused, Refusal::StaleGeneration { current });
}

pub(super) async fn s55_a_task_says_since_when_no_live_node_lists_it(harness: &Shared) {
    let before = {
        let early = Node::join_with(harness, "early", &["left", "lapsed", "withdrawn"]).await;
        let claim = early.win(item("left", early.now().await, 1)).await;
        early.finish(&claim, Outcome::Succeeded).await;
        let before = early.now().await;
        early.store.leave(early.holder.id).await.unwrap();
        before
    };
    let late = Node::join_with(harness, "late", &["lapsed", "withdrawn"]).await;
    assert_eq!(late.knows("lapsed").await.unlisted_since, None);
    let gone = [task("withdrawn")];
    late.store.withdraw(late.holder.id, &gone).await.unwrap();
    harness.lapse_node(late.holder.id).await;
    let reader = Node::join(harness, "reader").await;
    // Also when the nodes are given up.
    for _ in 0..2 {
        for name in ["left", "lapsed", "withdrawn"] {
            let record = reader.knows(name).await;
            let since = record.unlisted_since.unwrap_or_else(|| panic!("{name}"));
            let now = reader.now().await;
            assert_eq!(record.nodes, 0, "{name}");
            assert!(
                since >= before && since <= now,
                "{name}: {since} in {before}..{now}"
            );
            assert!(!record.is_retired(now), "{name}: only just gone");
            assert!(
                record.is_retired(since + TaskRecord::RETIRED_AFTER),
                "{name}"
            );
        }
        reader.recover().await;
    }
    let page = reader.store.history(&HistoryQuery::of(task("left"))).await;
    assert_eq!(page.unwrap().runs.len(), 1, "what it did stays");
    // It is a task again as soon as a node lists it.
    reader.register("left", "g1").await;
    assert_eq!(reader.knows("left").await.unlisted_since, None);
}
