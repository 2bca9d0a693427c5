//! Claims of one process after another changed what they are judged by: nothing that was found in
//! force before is taken for granted.

use std::time::Duration;

use tenure_core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Clock as _, Definition, Finish, Finished, Generation,
    Holder, Outcome, Pause, Refusal, RunStore as _, SystemClock, TaskName, Timestamp,
};
use tenure_sqlite::SqliteStore;

use super::open;

fn task() -> TaskName {
    TaskName::new("t").unwrap()
}

fn generation(name: &str) -> Generation {
    Generation::new(name).unwrap()
}

/// A node that lists the task in this generation.
async fn node(store: &SqliteStore, label: &str, listed: &str) -> Holder {
    let node = Holder::new(label);
    let beat = Beat::new(node.clone(), Duration::from_secs(600));
    store.beat(&beat).await.unwrap();
    let definition = Definition::new(task(), generation(listed), "* * * * *");
    store.register(node.id, &[definition]).await.unwrap();
    node
}

async fn claim(store: &SqliteStore, node: &Holder, listed: &str, tick: Timestamp) -> ClaimAnswer {
    let item = ClaimItem::new(task(), tick, 1, generation(listed));
    let reply = store.claim(&ClaimBatch::new(node.id, vec![item])).await;
    reply.unwrap().answers.remove(0)
}

/// Claims and ends a run.
async fn run(store: &SqliteStore, node: &Holder, listed: &str, tick: Timestamp) {
    let answer = claim(store, node, listed, tick).await;
    let ClaimAnswer::Won(won) = answer else {
        panic!("{answer:?}")
    };
    let finish = Finish::new(won.run, Outcome::Succeeded);
    let finished = store.finish(&[finish]).await.unwrap();
    assert_eq!(finished, [Finished::Recorded]);
}

#[tokio::test]
async fn s53_s59_what_another_process_changes_counts_for_the_very_next_claim() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let (here, there) = (open(&path), open(&path));
    let old = node(&here, "old", "g1").await;
    let now = SystemClock.wall();
    let tick = |back| now - Duration::from_secs(back);
    run(&here, &old, "g1", tick(60)).await;
    run(&here, &old, "g1", tick(50)).await;
    let new = node(&there, "new", "g2").await;
    let answer = claim(&here, &old, "g1", tick(40)).await;
    let ClaimAnswer::Refused(Refusal::StaleGeneration { current }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(current, generation("g2"));
    run(&there, &new, "g2", tick(40)).await;
    there.leave(new.id).await.unwrap();
    run(&here, &old, "g1", tick(30)).await;
    there
        .pause(&task(), &Pause::new("me", "why"))
        .await
        .unwrap();
    let answer = claim(&here, &old, "g1", tick(20)).await;
    let is_paused = matches!(answer, ClaimAnswer::Refused(Refusal::Paused { .. }));
    assert!(is_paused, "{answer:?}");
    assert!(there.resume(&task(), "me", "").await.unwrap());
    run(&here, &old, "g1", tick(20)).await;
    here.withdraw(old.id, &[task()]).await.unwrap();
    node(&there, "newer", "g3").await;
    let answer = claim(&here, &old, "g1", tick(10)).await;
    let is_stale = matches!(
        answer,
        ClaimAnswer::Refused(Refusal::StaleGeneration { .. })
    );
    assert!(is_stale, "{answer:?}");
}
