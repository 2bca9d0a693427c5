//! Both suites against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

mod harness;
#[path = "steps/trio.rs"]
mod trio;

use harness::Harness;
use harness::runs::Server;

mod runs {
    mod redis {
        tenure_conformance::run_suite!(crate::Server::redis().await);
    }

    mod valkey {
        tenure_conformance::run_suite!(crate::Server::valkey().await);
    }

    mod tcp {
        tenure_conformance::run_suite!(crate::Server::tcp().await);
    }

    mod tls_with_a_user {
        tenure_conformance::run_suite!(crate::Server::tls_with_a_user().await);
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

mod resp2 {
    tenure_conformance::lease_suite!(super::Harness::resp2().await);
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

/// The table in the README of what the suites run on: servers, and how many cases of each suite.
#[test]
fn the_readme_counts_the_cases_as_they_are() {
    use tenure_conformance::{lease, run};
    const HEAD: &str = "| servers | leases | runs |";
    let (text, rest) = include_str!("../README.md").split_once(HEAD).unwrap();
    let (leases, runs) = (lease::NAMES.len(), run::NAMES.len());
    let sentence = format!("that was {leases} cases for leases and {runs} for runs");
    assert!(text.contains(&sentence), "say: {sentence}");
    let rows = rest
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut counted = 0;
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        for (cell, count) in [(cells[2], leases), (cells[3], runs)] {
            let each = cell.rsplit("× ").next().unwrap();
            if !each.is_empty() {
                assert_eq!(each, count.to_string(), "{row}");
                counted += 1;
            }
        }
    }
    assert!(counted > 20, "the table is there: {counted}");
}

/// Sentinels, clusters and replicas take seconds to start, so cases share them.
mod topologies {
    use std::sync::Arc;

    use tenure_bed::{Cluster, Flavour, Redis, RedisBuilder, Sentinel};
    use tenure_conformance::{lease, run};

    use super::harness::servers::{Place, STRICT, Servers};
    use super::harness::{USER, authority, runs, tls_url, together, trusting};
    use super::trio::{trio, trio_of};
    use super::{Harness, Server};

    /// What is checked.
    #[derive(Clone, Copy)]
    enum Suite {
        Leases,
        Runs,
    }

    impl Suite {
        fn cases(self) -> Vec<(usize, &'static str)> {
            let names = match self {
                Self::Leases => lease::NAMES,
                Self::Runs => run::NAMES,
            };
            names.iter().copied().enumerate().collect()
        }

        /// Both halves of the cases: something happens in between.
        fn halves(self) -> [Vec<(usize, &'static str)>; 2] {
            let mut first = self.cases();
            let second = first.split_off(first.len() / 2);
            [first, second]
        }

        async fn pass(self, place: &Place, cases: Vec<(usize, &'static str)>) {
            together::pass(cases, |number, case| {
                let place = place.clone();
                async move {
                    match self {
                        Self::Leases => {
                            let harness = Harness::part(&place, number, case).await;
                            lease::check(case, Arc::new(harness)).await;
                        }
                        Self::Runs => {
                            let harness = Server::part(&place, number, case);
                            run::check(case, Arc::new(harness)).await;
                        }
                    }
                }
            })
            .await;
        }

        /// Half of the cases, then the primary dies, and the other half.
        async fn pass_a_fail_over(self, flavour: Flavour, parameters: &str) {
            let sentinel = Sentinel::start(flavour, 2).await;
            let url = sentinel.url();
            self.pass_around_a_fail_over(sentinel, &url, parameters)
                .await;
        }

        /// The same over TLS everywhere, for a user with no more rights than the README lists.
        async fn pass_a_fail_over_as_a_user(self) {
            let of_sentinels = |one: RedisBuilder| encrypted(one);
            let of_nodes = |one: RedisBuilder| encrypted(one).acl_user(&self.user("+role"));
            let sentinel = Sentinel::start_as(Flavour::Redis, 2, of_nodes, of_sentinels).await;
            let url = trusting(&sentinel.url(), authority());
            self.pass_around_a_fail_over(sentinel, &url, "").await;
        }

        async fn pass_around_a_fail_over(self, sentinel: Sentinel, url: &str, parameters: &str) {
            let place = Place::new(Servers::Sentinel(sentinel), url, parameters);
            let Servers::Sentinel(sentinel) = &*place.servers else {
                panic!("made of sentinels");
            };
            let [first, second] = self.halves();
            for (half, cases) in [first, second].into_iter().enumerate() {
                if half == 1 {
                    let old = sentinel.kill_primary().await;
                    sentinel.failed_over(old).await;
                    sentinel.in_sync().await;
                }
                if parameters == STRICT {
                    place.settle().await;
                }
                self.pass(&place, cases).await;
            }
        }

        /// All cases on a cluster whose slots move.
        async fn pass_moving_slots(self, flavour: Flavour) {
            let cluster = Cluster::start(flavour).await;
            let url = cluster.url();
            self.pass_while_slots_move(cluster, &url).await;
        }

        /// The same over TLS everywhere, for a user with no more rights than the README lists.
        async fn pass_moving_slots_as_a_user(self) {
            let user = self.user("+cluster +asking +pubsub|shardnumsub +ssubscribe +spublish");
            let cluster = Cluster::start_with(Flavour::Redis, |node| {
                encrypted(node).config("tls-cluster", "yes").acl_user(&user)
            })
            .await;
            let url = trusting(&cluster.url(), authority());
            self.pass_while_slots_move(cluster, &url).await;
        }

        /// The slot of each case moves after the first half has passed or before it begins.
        async fn pass_while_slots_move(self, cluster: Cluster, url: &str) {
            let place = Place::new(Servers::Cluster(cluster), url, "");
            let Servers::Cluster(cluster) = &*place.servers else {
                panic!("made of a cluster");
            };
            for cases in self.halves() {
                for (number, _) in &cases {
                    let slot = cluster.slot_of_key(&self.most_used(*number)).await;
                    let here = cluster.node_of_slot(slot).await;
                    cluster.migrate_slot(slot, (here + 1) % 3).await;
                }
                self.pass(&place, cases).await;
            }
        }

        /// A user with the rights that the README lists, these among them.
        fn user(self, rights: &str) -> String {
            match self {
                Self::Leases => format!("{USER} {rights}"),
                Self::Runs => format!("{} &tenure:* {rights}", runs::USER),
            }
        }

        /// The key of a case whose slot most of it is about.
        fn most_used(self, number: usize) -> String {
            match self {
                Self::Leases => format!("case{number}:k"),
                Self::Runs => format!("case{number}"),
            }
        }

        /// All cases under strict safety, on a primary that two replicas follow.
        async fn pass_strictly(self, over: Over) {
            let ca = authority();
            let trio = match over {
                Over::Tcp | Over::Pool => trio().await,
                Over::Tls => {
                    // Besides what the README lists: what `Place::settle` locks.
                    let user = match self {
                        Self::Leases => format!("{USER} +info +wait"),
                        Self::Runs => format!("{} +info +wait +pttl ~first", runs::USER),
                    };
                    trio_of(|| encrypted(Redis::builder(Flavour::Redis)).acl_user(&user)).await
                }
            };
            let url = match over {
                Over::Tcp => trio.0.url(),
                Over::Pool => format!("{}?pool=4&pool_timeout=20s", trio.0.url()),
                Over::Tls => tls_url(&trio.0, ca),
            };
            let place = Place::new(Servers::trio(trio), &url, STRICT);
            place.settle().await;
            self.pass(&place, self.cases()).await;
        }
    }

    /// Speaks nothing but TLS, with its replicas or its primary too.
    fn encrypted(server: RedisBuilder) -> RedisBuilder {
        server.tls(authority()).config("tls-replication", "yes")
    }

    #[derive(Clone, Copy)]
    enum Over {
        Tcp,
        Pool,
        /// For a user with no more rights than the README lists.
        Tls,
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s50_every_run_case_passes_on_sentinels_before_and_after_a_fail_over() {
        Suite::Runs.pass_a_fail_over(Flavour::Redis, "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s37_every_run_case_passes_on_a_cluster_whose_slots_move() {
        Suite::Runs.pass_moving_slots(Flavour::Redis).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r58_every_lease_case_passes_on_sentinels_before_and_after_a_fail_over() {
        Suite::Leases.pass_a_fail_over(Flavour::Redis, "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r49_every_lease_case_passes_on_a_cluster_whose_slots_move() {
        Suite::Leases.pass_moving_slots(Flavour::Redis).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s50_every_run_case_passes_over_tls_for_a_user_of_sentinels_around_a_fail_over() {
        Suite::Runs.pass_a_fail_over_as_a_user().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r58_every_lease_case_passes_over_tls_for_a_user_of_sentinels_around_a_fail_over() {
        Suite::Leases.pass_a_fail_over_as_a_user().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s37_every_run_case_passes_over_tls_for_a_user_of_a_cluster_whose_slots_move() {
        Suite::Runs.pass_moving_slots_as_a_user().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r49_every_lease_case_passes_over_tls_for_a_user_of_a_cluster_whose_slots_move() {
        Suite::Leases.pass_moving_slots_as_a_user().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_lease_case_passes_strictly_on_sentinels_before_and_after_a_fail_over() {
        Suite::Leases.pass_a_fail_over(Flavour::Redis, STRICT).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_run_case_passes_strictly_on_sentinels_before_and_after_a_fail_over() {
        Suite::Runs.pass_a_fail_over(Flavour::Redis, STRICT).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_lease_case_passes_strictly_on_one_server() {
        Suite::Leases.pass_strictly(Over::Tcp).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_run_case_passes_strictly_on_one_server() {
        Suite::Runs.pass_strictly(Over::Tcp).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_lease_case_passes_strictly_with_a_pool() {
        Suite::Leases.pass_strictly(Over::Pool).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_run_case_passes_strictly_with_a_pool() {
        Suite::Runs.pass_strictly(Over::Pool).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_lease_case_passes_strictly_over_tls_for_a_user() {
        Suite::Leases.pass_strictly(Over::Tls).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_run_case_passes_strictly_over_tls_for_a_user() {
        Suite::Runs.pass_strictly(Over::Tls).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s50_every_run_case_passes_on_sentinels_of_valkey_before_and_after_a_fail_over() {
        Suite::Runs.pass_a_fail_over(Flavour::Valkey, "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r58_every_lease_case_passes_on_sentinels_of_valkey_before_and_after_a_fail_over() {
        Suite::Leases.pass_a_fail_over(Flavour::Valkey, "").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_run_case_passes_strictly_on_sentinels_of_valkey_around_a_fail_over() {
        Suite::Runs.pass_a_fail_over(Flavour::Valkey, STRICT).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn b5_every_lease_case_passes_strictly_on_sentinels_of_valkey_around_a_fail_over() {
        Suite::Leases
            .pass_a_fail_over(Flavour::Valkey, STRICT)
            .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s37_every_run_case_passes_on_a_cluster_of_valkey_whose_slots_move() {
        Suite::Runs.pass_moving_slots(Flavour::Valkey).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r49_every_lease_case_passes_on_a_cluster_of_valkey_whose_slots_move() {
        Suite::Leases.pass_moving_slots(Flavour::Valkey).await;
    }
}
