//! A file that was replaced by an older copy of itself: what a node knows that the copy does not.

use std::time::Duration;

use tenure_core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Clock as _, Finish, Finished, Generation, Holder,
    Outcome, Refusal, Remembered, Restore, RunState, RunStore as _, Seen, SystemClock, TaskName,
};

use super::{open, raw};

#[tokio::test]
async fn s50_what_an_older_copy_of_the_file_does_not_know_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("t.db"), folder.path().join("old.db"));
    let store = open(&path);
    let node = Holder::new("node");
    let beat = Beat::new(node.clone(), Duration::from_secs(600));
    store.beat(&beat).await.unwrap();
    raw(&path)
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    let task = TaskName::new("t").unwrap();
    let item = |index| {
        let generation = Generation::new("g").unwrap();
        ClaimItem::new(task.clone(), SystemClock.wall(), index, generation)
    };
    let won = item(1);
    let batch = ClaimBatch::new(node.id, vec![won.clone()]);
    let answers = store.claim(&batch).await.unwrap().answers;
    let [ClaimAnswer::Won(claim)] = &answers[..] else {
        panic!("{answers:?}")
    };
    let beaten = store.beat(&beat).await.unwrap();
    let before = Seen::of(&beaten.moment, beaten.moment.sequence);

    let store = open(&copy);
    let mut batch = ClaimBatch::new(node.id, vec![item(2)]);
    batch.seen = before;
    let answers = store.claim(&batch).await.unwrap().answers;
    assert_eq!(answers, [ClaimAnswer::Refused(Refusal::StoreForgot)]);
    let beaten = store.beat(&beat).await.unwrap();
    assert!(Seen::of(&beaten.moment, beaten.own).is_behind(&before));

    let mut run = Remembered::new(won.key(), RunState::Running, 1, claim.claimed_at);
    run.node = Some(node.clone());
    (run.token, run.fence) = (Some(claim.run.token), Some(claim.fence));
    let mut restore = Restore::new(node.id, vec![run]);
    restore.noticed = Some(before.losses);
    let restored = store.restore(&restore).await.unwrap();
    assert_eq!((restored.is_first, restored.put_back), (true, vec![true]));
    let mut rival = won;
    rival.token = tenure_core::Token::random();
    let batch = ClaimBatch::new(node.id, vec![rival]);
    let answers = store.claim(&batch).await.unwrap().answers;
    assert!(
        matches!(answers[..], [ClaimAnswer::Taken { .. }]),
        "{answers:?}"
    );
    let finish = Finish::new(claim.run.clone(), Outcome::Succeeded);
    assert_eq!(store.finish(&[finish]).await.unwrap(), [Finished::Recorded]);
}
