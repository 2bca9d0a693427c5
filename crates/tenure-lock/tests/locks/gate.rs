//! What a resource does with fences: the last line of defence against a holder that was paused.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenure_core::Fence;
use tenure_lock::{FenceGate, Stamp};
use tokio::task::JoinSet;

use crate::support::{World, for_seeds, on_paused_time};

const WRITERS: u8 = 4;
const WRITES: usize = 20;
const TTL: Duration = Duration::from_millis(500);

/// Takes the lock again and again, sleeps past its end now and then, and writes all the same.
async fn write(world: Arc<World>, number: u8, gate: Arc<FenceGate>, log: Arc<Mutex<Log>>) {
    let client = world.client(number);
    for _ in 0..WRITES {
        let lock = client.locks.lock("k").ttl(TTL).no_renewal();
        let guard = lock.acquire().await.unwrap();
        let longest = if fastrand::bool() { 400 } else { 3000 };
        let late = Duration::from_millis(fastrand::u64(0..longest));
        tokio::time::sleep(late).await; // tidy: allow(sleep) the time is paused
        let is_trusted = guard.is_trusted();
        let mut log = log.lock().unwrap();
        match gate.admit("k", guard.stamp()) {
            Ok(()) => log.written.push(guard.stamp()),
            Err(refused) => {
                assert!(!is_trusted, "a holder in good standing: {refused}");
                assert!(refused.last > Some(guard.fence()), "{refused}");
                log.refused += 1;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Log {
    written: Vec<Stamp>,
    refused: usize,
}

#[test]
fn r66_no_paused_holder_writes_behind_a_later_one_and_no_trusted_one_is_refused() {
    let refused = Cell::new(0);
    for_seeds(40, |seed| {
        on_paused_time(async {
            let (world, gate) = (Arc::new(World::new()), Arc::new(FenceGate::new()));
            let log = Arc::new(Mutex::new(Log::default()));
            let mut writers = JoinSet::new();
            for number in 1..=WRITERS {
                writers.spawn(write(world.clone(), number, gate.clone(), log.clone()));
            }
            while let Some(ended) = writers.join_next().await {
                ended.unwrap();
            }
            let log = log.lock().unwrap();
            for pair in log.written.windows(2) {
                assert!(pair[0].fence < pair[1].fence, "seed {seed}: {pair:?}");
            }
            assert_eq!(
                log.written.len() + log.refused,
                usize::from(WRITERS) * WRITES
            );
            refused.set(refused.get() + log.refused);
        });
    });
    assert!(
        refused.get() > 0,
        "no holder was ever late: the test proves nothing"
    );
}

#[test]
fn r66_of_two_holders_with_one_fence_the_first_that_writes_stays() {
    let gate = FenceGate::new();
    let stamp = |fence, owner| Stamp {
        fence: Fence::new(fence),
        owner,
    };
    gate.admit("k", stamp(7, 1)).unwrap();
    gate.admit("k", stamp(7, 1)).unwrap();
    let refused = gate.admit("k", stamp(7, 2)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the write to `k` is refused: a holder with fence 7 has written since"
    );
    assert!(gate.admit("k", stamp(6, 1)).is_err());
    gate.admit("other", stamp(6, 1)).unwrap();
    gate.admit("k", stamp(8, 2)).unwrap();
    // A store that gives no fences cannot be told late from early.
    assert!(gate.admit("new", stamp(0, 1)).is_err());
    gate.forget("k");
    gate.admit("k", stamp(1, 1)).unwrap();
    assert_eq!(stamp(7, 255).to_string(), "7-00000000000000ff");
}
