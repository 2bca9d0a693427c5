//! Both suites against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod harness;

use harness::Harness;
use harness::runs::Server;

mod runs {
    mod redis {
        tenure_conformance::run_suite!(crate::Server::redis().await);
    }

    mod valkey {
        tenure_conformance::run_suite!(crate::Server::valkey().await);
    }

    mod without_channels {
        tenure_conformance::run_suite!(crate::Server::without_channels().await);
    }
}

mod socket {
    tenure_conformance::lease_suite!(super::Harness::socket().await);
}

mod valkey {
    tenure_conformance::lease_suite!(super::Harness::valkey().await);
}

mod pool {
    tenure_conformance::lease_suite!(super::Harness::pool().await);
}

mod tls_with_a_user {
    tenure_conformance::lease_suite!(super::Harness::tls_with_a_user().await);
}

mod without_channels {
    tenure_conformance::lease_suite!(super::Harness::without_channels().await);
}

/// Sentinels and clusters take seconds to start, so the cases run one after another on them, each
/// with names of its own.
mod topologies {
    use std::sync::Arc;

    use tenure_bed::{Cluster, Flavour, Sentinel};
    use tenure_conformance::lease::{NAMES, check};
    use tenure_conformance::run;

    use super::{Harness, Server};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s50_every_run_case_passes_on_sentinels_before_and_after_a_fail_over() {
        let sentinel = Arc::new(Sentinel::start(Flavour::Redis, 2).await);
        for (number, case) in run::NAMES.iter().enumerate() {
            if number == run::NAMES.len() / 2 {
                let old = sentinel.kill_primary().await;
                sentinel.failed_over(old).await;
            }
            eprintln!("{case}");
            let harness = Server::part_of_sentinel(&sentinel, number);
            run::check(case, Arc::new(harness)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s37_every_run_case_passes_on_a_cluster_whose_slots_move() {
        let cluster = Arc::new(Cluster::start(Flavour::Redis).await);
        for (number, case) in run::NAMES.iter().enumerate() {
            let slot = cluster.slot_of_key(&format!("case{number}")).await;
            let here = cluster.node_of_slot(slot).await;
            eprintln!("{case}");
            let harness = Server::part_of_cluster(&cluster, number);
            cluster.migrate_slot(slot, (here + 1) % 3).await;
            run::check(case, Arc::new(harness)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r58_every_lease_case_passes_on_sentinels_before_and_after_a_fail_over() {
        let sentinel = Arc::new(Sentinel::start(Flavour::Redis, 2).await);
        for (number, case) in NAMES.iter().enumerate() {
            if number == NAMES.len() / 2 {
                let old = sentinel.kill_primary().await;
                sentinel.failed_over(old).await;
            }
            eprintln!("{case}");
            let harness = Harness::part_of_sentinel(&sentinel, number).await;
            check(case, Arc::new(harness)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_lease_case_passes_under_strict_safety_before_and_after_a_fail_over() {
        let sentinel = Arc::new(Sentinel::start(Flavour::Redis, 2).await);
        for (number, case) in NAMES.iter().enumerate() {
            if number == NAMES.len() / 2 {
                let old = sentinel.kill_primary().await;
                sentinel.failed_over(old).await;
                sentinel.in_sync().await;
            }
            eprintln!("{case}");
            let harness = Harness::strict_part_of_sentinel(&sentinel, number).await;
            check(case, Arc::new(harness)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r49_every_lease_case_passes_on_a_cluster_whose_slots_move() {
        let cluster = Arc::new(Cluster::start(Flavour::Redis).await);
        for (number, case) in NAMES.iter().enumerate() {
            // The slot of the name most cases lock, to the next of the three primaries.
            let slot = cluster.slot_of_key(&format!("case{number}:k")).await;
            let here = cluster.node_of_slot(slot).await;
            eprintln!("{case}");
            let harness = Harness::part_of_cluster(&cluster, number).await;
            cluster.migrate_slot(slot, (here + 1) % 3).await;
            check(case, Arc::new(harness)).await;
        }
    }
}
