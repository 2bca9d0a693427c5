//! A cluster that is served is found, used by many, and gone when it is stopped.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tenure_bed::shared::Place;
use tenure_bed::{Cluster, Flavour, until};

fn tenure_bed(words: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure-bed"));
    command
        .args(words)
        .current_dir(folder)
        .stderr(Stdio::null());
    command
}

/// Ends the process, whatever the test did.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test]
async fn redis_cluster_is_served_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| tenure_bed(words, folder.path()).status().unwrap().success();
    let place = Place::of(folder.path());
    assert!(!run(&["ready"]));
    assert!(run(&["stop"]), "nothing to stop is no error");
    let mut serve = tenure_bed(&["serve", "redis-cluster"], folder.path());
    let mut served = Served(serve.spawn().unwrap());
    until(
        "the cluster is ready",
        Duration::from_secs(30),
        async || place.is_ready().await.then_some(()),
    )
    .await;
    assert!(run(&["ready"]));
    assert!(run(&["stop"]));
    assert!(served.0.wait().unwrap().success());
    assert!(!run(&["ready"]));
}

#[tokio::test]
async fn redis_cluster_is_shared_by_the_tests_of_a_process_at_least() {
    let first = Cluster::shared_url(Flavour::Redis).await;
    let second = Cluster::shared_url(Flavour::Redis).await;
    assert_eq!(first, second);
    assert!(first.starts_with("redis+cluster://127.0.0.1:"));
}

#[test]
fn what_cannot_be_served_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["serve", "no-such-server"][..], &["serve"], &[]] {
        let status = tenure_bed(words, folder.path()).status().unwrap();
        assert!(!status.success(), "{words:?}");
    }
}
