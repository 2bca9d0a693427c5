//! Fencing tokens: they grow with every grant of a key, whatever ended the lease before.

use futures_util::stream::{self, StreamExt as _};
use tenure_core::{Fence, Fences, ForceRequest, Grant, Key, Occupant};

use super::actor::{Asker, Client, LONG, key};
use super::cases::Shared;

/// Fences stay below this number, so that readers of JSON and Lua keep them.
const END: u64 = 1 << 53;

/// The ways a lease can end.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Release,
    Lapse,
    Force,
    Cancel,
}

impl Ending {
    const ALL: [Self; 4] = [Self::Release, Self::Lapse, Self::Force, Self::Cancel];

    async fn end(self, harness: &Shared, lease: &Asker) {
        match self {
            Self::Release => lease.give_back().await,
            Self::Lapse => harness.lapse(lease.key()).await,
            Self::Force => force(lease).await,
            Self::Cancel => {
                lease.cancel().await;
            }
        }
    }
}

async fn force(lease: &Asker) {
    let view = lease.store.inspect(lease.key()).await.unwrap().unwrap();
    let request = ForceRequest::new(lease.key().clone(), view.mark.unwrap(), "operator");
    lease.store.force(&request).await.unwrap();
}

/// The fences of one key, each greater than the one before; or none at all, if so declared.
#[derive(Debug)]
struct Growing {
    last: Option<Fence>,
    declared: Fences,
}

impl Growing {
    fn of(client: &Client) -> Self {
        Self {
            last: None,
            declared: client.store.promises().fences,
        }
    }

    fn add(&mut self, grant: &Grant, what: &str) {
        let fence = grant.fence;
        if self.declared == Fences::None {
            assert_eq!(fence, Fence::NONE, "{what}: a fence without a promise");
            return;
        }
        assert!(fence.get() > 0 && fence.get() < END, "{what}: {fence}");
        let last = self.last;
        assert!(last < Some(fence), "{what}: {fence} after {last:?}");
        self.last = Some(fence);
    }
}

pub(super) async fn r62_fences_grow_whatever_ends_a_lease(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    let mut fences = Growing::of(&client);
    for first in Ending::ALL {
        for second in Ending::ALL {
            for (who, ending) in [(&client, first), (&other, second)] {
                let lease = who.asker(&key);
                fences.add(&lease.granted().await, &format!("{first:?}, {second:?}"));
                ending.end(harness, &lease).await;
            }
        }
    }
}

pub(super) async fn r62_fences_grow_with_every_hand_off(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    let mut fences = Growing::of(&client);
    let mut holder = client.asker(&key);
    fences.add(&holder.granted().await, "the first");
    for ending in Ending::ALL.into_iter().cycle().take(12) {
        let mut next = other.line_up(&key).await;
        ending.end(harness, &holder).await;
        fences.add(&next.served().await, &format!("{ending:?}"));
        holder = next;
    }
}

pub(super) async fn r62_fences_grow_when_other_keys_come_and_go(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let keys: Vec<Key> = (0..5).map(|n| key(&format!("k{n}"))).collect();
    let mut fences: Vec<Growing> = keys.iter().map(|_| Growing::of(&client)).collect();
    for round in 0..20 {
        let chosen = round * round % keys.len();
        let lease = client.asker(&keys[chosen]);
        fences[chosen].add(&lease.granted().await, "round");
        lease.give_back().await;
    }
}

pub(super) async fn r62_fences_grow_after_the_counter_is_lost(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let mut fences = Growing::of(&client);
    for _ in 0..3 {
        let lease = client.asker(&key);
        fences.add(&lease.granted().await, "before the loss");
        lease.give_back().await;
    }
    harness.lose_fence(&key).await;
    let holder = client.asker(&key);
    fences.add(&holder.granted().await, "after the loss");
    // While the key is held, too.
    let mut waiter = client.beside("waiter").line_up(&key).await;
    harness.lose_fence(&key).await;
    holder.give_back().await;
    fences.add(&waiter.served().await, "handed on after a loss");
}

pub(super) async fn r62_fences_grow_when_the_wall_clock_steps_back(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let mut fences = Growing::of(&client);
    for step_ms in [0, -3_600_000, -86_400_000, 3_600_000, -1000] {
        harness.step_wall(step_ms).await;
        let lease = client.asker(&key);
        fences.add(&lease.granted().await, &format!("a step of {step_ms} ms"));
        // The step may have ended it already, where a store declares that.
        lease.release().await;
    }
}

pub(super) async fn r64_everybody_sees_the_fence_of_the_acquisition(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.asker(&key);
    let grant = lease.granted().await;
    let other = Client::new(harness, "other").await;
    for number in 0..6 {
        // Grants of other keys may share the counter; they do not change this lease's fence.
        let elsewhere = self::key(&format!("other {}", number % 2));
        other.take(&elsewhere).await.give_back().await;
        assert_eq!(other.fence_of(&key).await, Some(grant.fence));
        assert_eq!(client.fence_of(&key).await, Some(grant.fence));
        match other.asker(&key).held().await.by {
            Occupant::Holder { fence, .. } => assert_eq!(fence, grant.fence),
            by => panic!("{by:?}"),
        }
        lease.renew(2 * LONG).await;
    }
}

pub(super) async fn r65_fence_counters_are_bounded(harness: &Shared) {
    // Names that fall into 16 384 counters at random: of 2000 some 117 share one with another.
    // A counter for each name, kept for ever, would make exactly 2000.
    const NAMES: usize = 2000;
    const BOUND: usize = 16_384;
    let client = Client::new(harness, "client").await;
    let names = stream::iter(0..NAMES as u64);
    names
        .for_each_concurrent(16, async |number| {
            // Numbers in a row would not fall at random: checksums of their digits are linear.
            let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let lease = client.take(&key(&format!("invoice/{spread:016x}"))).await;
            lease.give_back().await;
        })
        .await;
    let counters = harness.raw_fence_counters().await;
    assert!(counters <= BOUND, "{counters}");
    assert!(counters < NAMES, "one counter for each of {NAMES} names");
}
