//! Files that an earlier tenure wrote.

use tenure_core::{
    BackfillState, Definition, Generation, HistoryQuery, RunState, RunStore, TaskName,
};

use super::{open, raw};

/// Where the tables of the first version are described; never changed.
const FIRST: &str = include_str!("../../src/migrations/0001.sql");

#[tokio::test]
async fn e37_a_file_of_the_first_version_is_brought_up_to_date_with_all_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let file = raw(&path);
    file.execute_batch(FIRST).unwrap();
    file.execute_batch(
        "PRAGMA application_id = 0x74656e72;
         PRAGMA user_version = 1;
         INSERT INTO namespace (name, epoch) VALUES ('default', 'first');
         INSERT INTO backfill VALUES
             (1, 'b1', 1, 'report', 1000, 9000, 5000, 1, 60, 'ann', 'a gap', 'running');
         INSERT INTO run (ns, task, tick_at, idx, kind, request, state, attempt, overlap,
                          created_at, keep_until, changed, changed_at)
         VALUES (1, 'report', 1000, 0, 0, '', 'succeeded', 1, 0, 1000, 9000000000000, 1, 1000);
         INSERT INTO run (ns, task, tick_at, idx, kind, request, state, attempt, overlap,
                          created_at, keep_until, changed, changed_at, reason)
         VALUES (1, 'report', 1000, 1, 1, 'r1', 'succeeded', 1, 0, 1000, 9000000000000, 2, 1000,
                 'asked for by eve: a gap'),
                (1, 'report', 1000, 1, 1, 'r2', 'failed', 1, 0, 1000, 9000000000000, 3, 1000,
                 'due to the weather');
         INSERT INTO task VALUES (1, 'report', 500);
         INSERT INTO definition VALUES (1, 'report', 7, 'g1', '@daily', 'Europe/Berlin', 2, '{}');",
    )
    .unwrap();
    drop(file);

    let store = open(&path);
    let [backfill] = &store.backfills().await.unwrap()[..] else {
        panic!("one backfill was written");
    };
    assert_eq!(backfill.by, "ann");
    assert_eq!(backfill.state, BackfillState::Running);
    assert_eq!(backfill.parallel, 1);
    let page = store.history(&HistoryQuery::all()).await.unwrap();
    let states: Vec<_> = page.runs.iter().map(|run| run.state).collect();
    assert_eq!(
        states,
        [RunState::Succeeded, RunState::Succeeded, RunState::Failed]
    );
    // Who asked stands apart from how it ended, where the end had not taken its place.
    let told: Vec<_> = page
        .runs
        .iter()
        .map(|run| (run.asked.as_deref(), run.reason.as_deref()))
        .collect();
    assert_eq!(
        told[1..],
        [
            (Some("asked for by eve: a gap"), None),
            (None, Some("due to the weather"))
        ]
    );
    let mut definition = Definition::new(
        TaskName::new("report").unwrap(),
        Generation::new("g1").unwrap(),
        "@daily",
    );
    definition.zone = "Europe/Berlin".to_owned();
    definition.concurrency = 2;
    definition.details = "{}".to_owned();
    let [task] = &store.tasks().await.unwrap()[..] else {
        panic!("one task was written");
    };
    assert_eq!(task.definition, definition);
    assert_eq!(task.unlisted_since, None, "nobody wrote that down");
    assert!(task.is_retired(store.now().await.unwrap().now));
    // Once only: who opens it next finds nothing left to do.
    drop(store);
    drop(open(&path));
}
