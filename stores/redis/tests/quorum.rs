//! A majority of independent servers: the whole lease suite, also with servers that are down or
//! hang, and what only a quorum can show.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

#[path = "harness/quorum.rs"]
mod harness;

use harness::Harness;

mod five_servers {
    tenure_conformance::lease_suite!(super::Harness::five().await);
}

/// The cases one after another on the same servers, each with names of its own.
mod topologies {
    use std::sync::Arc;

    use tenure_bed::{Flavour, Quorum};
    use tenure_conformance::lease::{NAMES, check};

    use super::Harness;

    async fn every_case(quorum: Quorum, without: &[usize], parameters: &str) {
        let quorum = Arc::new(quorum);
        for (number, case) in NAMES.iter().enumerate() {
            eprintln!("{case}");
            let harness = Harness::part(&quorum, number, without, parameters).await;
            check(case, Arc::new(harness)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_with_one_of_five_servers_down() {
        let quorum = Quorum::start(Flavour::Redis, 5).await;
        quorum.nodes()[3].kill();
        every_case(quorum, &[3], "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_with_one_of_five_servers_hung() {
        let quorum = Quorum::start(Flavour::Redis, 5).await;
        quorum.nodes()[1].pause();
        every_case(quorum, &[1], "").await;
        // The bed ends it.
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_on_three_valkeys() {
        every_case(Quorum::start(Flavour::Valkey, 3).await, &[], "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r71_every_lease_case_passes_without_fences() {
        every_case(Quorum::start(Flavour::Redis, 3).await, &[], "&fenced=false").await;
    }
}
