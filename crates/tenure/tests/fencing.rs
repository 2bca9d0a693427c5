//! The shipped checks of a resource, each on the real thing, against the one in memory.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

use rusqlite::Connection;
use tenure::Fence;
use tenure::lock::{FenceGate, REDIS_ADMIT, SQL_ADMIT, SQL_TABLE, Stamp};
use tenure_bed::{Flavour, Redis};

const WRITES: usize = 3000;

/// Writes of a few holders to a few names, early and late, among them the largest numbers.
fn writes() -> Vec<(&'static str, Stamp)> {
    let largest = (1 << 53) - 1;
    (0..WRITES)
        .map(|_| {
            let fence = match fastrand::u8(..) {
                0 => largest,
                1 => largest - 1,
                _ => fastrand::u64(1..200),
            };
            let stamp = Stamp {
                fence: Fence::new(fence),
                owner: fastrand::u64(0..3) * ((1 << 62) - 1),
            };
            (fastrand::choice(["a", "b {c}", "ü"]).unwrap(), stamp)
        })
        .collect()
}

#[test]
fn r66_the_sql_admits_what_the_gate_in_memory_admits_and_a_refused_write_leaves_nothing() {
    let (seed, gate) = (fastrand::u64(..), FenceGate::new());
    fastrand::seed(seed);
    let mut database = Connection::open_in_memory().unwrap();
    database.execute(SQL_TABLE, []).unwrap();
    database
        .execute("CREATE TABLE data (name PRIMARY KEY, fence)", [])
        .unwrap();
    for (name, stamp) in writes() {
        let expected = gate.admit(name, stamp).is_ok();
        let (fence, owner) = (stamp.fence.get().cast_signed(), stamp.owner.cast_signed());
        let write = database.transaction().unwrap();
        let admitted = write.execute(SQL_ADMIT, (name, fence, owner)).unwrap() == 1;
        write
            .execute("REPLACE INTO data VALUES (?, ?)", (name, fence))
            .unwrap();
        if admitted {
            write.commit().unwrap();
        } else {
            write.rollback().unwrap();
        }
        assert_eq!(admitted, expected, "seed {seed}: {name} {stamp}");
    }
    let behind: i64 = database
        .query_row(
            "SELECT count(*) FROM data JOIN tenure_gate AS gate USING (name)
             WHERE data.fence <> gate.fence",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(behind, 0);
}

#[tokio::test]
async fn r66_the_redis_script_admits_what_the_gate_in_memory_admits_and_writes_in_the_same_step() {
    let (seed, gate) = (fastrand::u64(..), FenceGate::new());
    fastrand::seed(seed);
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    for (name, stamp) in writes() {
        let expected = gate.admit(name, stamp).is_ok();
        let (fence, owner) = (stamp.fence.to_string(), stamp.owner.to_string());
        let (last, data) = (format!("{{{name}}}gate"), format!("{{{name}}}data"));
        let call = [
            "EVAL",
            REDIS_ADMIT,
            "2",
            &last,
            &data,
            &fence,
            &owner,
            &fence,
        ];
        let admitted = server.call(&call).await.int() == Some(1);
        assert_eq!(admitted, expected, "seed {seed}: {name} {stamp}");
        let written = server.call(&["GET", &data]).await.to_string();
        let newest = server.call(&["GET", &last]).await.to_string();
        assert_eq!(
            newest.split(' ').next(),
            Some(written.as_str()),
            "seed {seed}"
        );
    }
    // Without a second key only the gate moves; what is no fence, and no gate, is refused aloud.
    assert_eq!(
        server
            .call(&["EVAL", REDIS_ADMIT, "1", "g", "5", "1"])
            .await
            .int(),
        Some(1)
    );
    assert_eq!(
        server
            .call(&["EVAL", REDIS_ADMIT, "1", "g", "4", "1"])
            .await
            .int(),
        Some(0)
    );
    server.call(&["SET", "text", "no gate"]).await;
    for call in [
        ["EVAL", REDIS_ADMIT, "1", "g", "0", "1"],
        ["EVAL", REDIS_ADMIT, "1", "g", "1e3", "1"],
        ["EVAL", REDIS_ADMIT, "1", "text", "9", "1"],
    ] {
        let answer = server.call(&call).await.to_string();
        assert!(answer.contains("GATE"), "{answer}");
    }
}
