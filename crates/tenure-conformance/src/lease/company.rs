//! What the cases of shared leases have in common: who asks for them, and whether the store keeps
//! any.

use std::num::NonZeroU32;
use std::time::Duration;

use tenure_core::{Fence, Key, LeaseRequest, Mark, Occupant, SharedLeases, Sharer, Sharing};

use super::actor::{Asker, Client, LONG, ttl};
use super::cases::Shared;

pub(super) const READ: Sharing = Sharing::READ;

pub(super) fn permit(at_most: u32) -> Sharing {
    Sharing::permit(NonZeroU32::new(at_most).unwrap())
}

/// Two process instances, if the store keeps shared leases; what it refuses is a case of its own.
pub(super) async fn two(harness: &Shared) -> Option<[Client; 2]> {
    let one = Client::new(harness, "one").await;
    let is_kept = one.store.promises().shared == SharedLeases::Kept;
    if is_kept {
        Some([one, Client::new(harness, "two").await])
    } else {
        None
    }
}

impl Client {
    /// Somebody who is about to ask for a lease that is shared so, for a long ttl, once.
    pub(super) fn sharer(&self, key: &Key, sharing: Sharing) -> Asker {
        self.sharer_for(key, sharing, LONG)
    }

    /// The same for another ttl.
    pub(super) fn sharer_for(&self, key: &Key, sharing: Sharing, by: Duration) -> Asker {
        let request = LeaseRequest::new(key.clone(), self.holder.clone(), ttl(by));
        self.asker_with(request.shared(sharing))
    }

    /// Takes a lease that is shared so.
    pub(super) async fn join(&self, key: &Key, sharing: Sharing) -> Asker {
        let asker = self.sharer(key, sharing);
        asker.granted().await;
        asker
    }

    /// Somebody who is about to ask for a lease that is shared so, and waits in line.
    pub(super) fn sharing_waiter(&self, key: &Key, sharing: Sharing) -> Asker {
        self.sharing_waiter_for(key, sharing, LONG)
    }

    /// The same with another length of its place.
    pub(super) fn sharing_waiter_for(&self, key: &Key, sharing: Sharing, keep: Duration) -> Asker {
        let request = LeaseRequest::new(key.clone(), self.holder.clone(), ttl(LONG));
        self.asker_with(request.in_line(keep).shared(sharing))
    }

    /// Takes a place for a lease that is shared so.
    pub(super) async fn line_up_for(&self, key: &Key, sharing: Sharing) -> Asker {
        let waiter = self.sharing_waiter(key, sharing);
        waiter.held().await;
        waiter
    }

    /// Who shares the key now, as a view shows it.
    pub(super) async fn sharers(&self, key: &Key) -> Vec<Sharer> {
        let view = self.look(key).await;
        view.map(|view| view.sharers).unwrap_or_default()
    }

    /// The mark of the key as it is held now.
    pub(super) async fn mark(&self, key: &Key) -> Mark {
        let view = self.look(key).await.expect("the key is held");
        view.mark.expect("a held key has a mark")
    }

    /// Checks that so many share the key, in the view and in its summary.
    pub(super) async fn expect_sharers(&self, key: &Key, count: usize) {
        let view = self.look(key).await;
        if count == 0 {
            assert!(view.is_none_or(|view| view.sharers.is_empty()));
            return;
        }
        let view = view.expect("the key is held");
        assert_eq!(view.sharers.len(), count, "{view:?}");
        let told = u32::try_from(count).unwrap();
        match view.occupant {
            Some(Occupant::Shared { holders, .. }) => assert_eq!(holders, told),
            other => panic!("{other:?}"),
        }
    }
}

/// Checks that fences stand in the order in which they were granted.
pub(super) fn expect_growing(client: &Client, fences: &[Fence]) {
    for two in fences.windows(2) {
        assert!(client.is_after(two[1], two[0]), "{fences:?}");
    }
}
