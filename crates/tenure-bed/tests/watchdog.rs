//! Servers do not outlive the process that started them, even if it is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tenure_bed::{Flavour, Redis, until};

/// What tells the second run of this test that it is the one to be killed.
const VICTIM: &str = "TENURE_BED_VICTIM";

#[tokio::test]
async fn redis_is_gone_soon_after_its_test_was_killed() {
    if std::env::var_os(VICTIM).is_some() {
        let redis = Redis::builder(Flavour::Redis).start().await;
        let other = Redis::builder(Flavour::Redis).start().await;
        other.kill();
        println!("\nstarted {} {}", redis.pid(), redis.folder().display());
        std::future::pending::<()>().await;
    }
    let own = std::env::current_exe().unwrap();
    let mut victim = Command::new(own)
        .args([
            "--exact",
            "redis_is_gone_soon_after_its_test_was_killed",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let started = lines.find(|line| line.starts_with("started ")).unwrap();
    let words: Vec<_> = started.split(' ').collect();
    let pid = Pid::from_raw(words[1].parse().unwrap()).unwrap();
    let folder = Path::new(words[2]);
    assert!(test_kill_process(pid).is_ok() && folder.exists());
    victim.kill().unwrap();
    victim.wait().unwrap();
    until(
        "server and folder are gone",
        Duration::from_secs(10),
        async || (!folder.exists() && !is_running(pid)).then_some(()),
    )
    .await;
}

/// A zombie does not run: whoever inherited it has not reaped it yet.
fn is_running(pid: Pid) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    match state {
        Ok(state) => !state.contains(") Z "),
        Err(_) => cfg!(not(target_os = "linux")) && test_kill_process(pid).is_ok(),
    }
}
