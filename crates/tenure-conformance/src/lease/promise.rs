//! The declaration of a store is complete, reasonable and the same everywhere.

use std::time::Duration;

use tenure_core::{HandOff, LeaseRequest, Ttl};

use super::actor::{Client, key, ttl};
use super::cases::Shared;

pub(super) async fn promises_are_complete_and_the_same_for_every_view(harness: &Shared) {
    let promises = harness.store().await.promises();
    assert_eq!(harness.store().await.promises(), promises);
    let name = promises.store;
    assert!(
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'+'),
        "{name:?}"
    );
    assert!(
        !promises.forgets.trim().is_empty(),
        "what it forgets is for people to read"
    );
    assert!(promises.min_ttl >= Ttl::MIN && promises.min_ttl <= Duration::from_secs(5));
    assert!(promises.claim_window > Duration::ZERO);
    assert!(promises.claim_window <= Duration::from_secs(5));
    match promises.hand_off {
        HandOff::Pushed => {}
        HandOff::Noticed(within) | HandOff::AskAgain(within) => {
            assert!(
                within > Duration::ZERO && within <= Duration::from_secs(5),
                "{within:?}"
            );
        }
        other => panic!("the suite does not know {other:?}"),
    }
}

pub(super) async fn the_declared_minimum_ttl_is_kept(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let least = client.store.promises().min_ttl;
    let request = LeaseRequest::new(key("k"), client.holder.clone(), ttl(least));
    let grant = client.asker_with(request).granted_at_last().await;
    assert!(grant.expires_at >= grant.now + least, "{grant:?}");
}
