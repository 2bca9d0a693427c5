//! A process of its own: this very test program, started again with a part to play.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use tenure_core::{
    Acquisition, Beat, ClaimAnswer, ClaimBatch, ClaimItem, Clock, Generation, Holder, LeaseStore,
    RunStore, SystemClock, TaskName, Timestamp,
};
use tenure_sqlite::{SqliteOptions, SqliteStore};

use super::{key, request};

const PART: &str = "TENURE_TEST_PART";
const FILE: &str = "TENURE_TEST_FILE";

/// A child that is killed when the test ends, however it ends.
pub(super) struct Process {
    child: Child,
    pub(super) lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a child that plays `part` on the store in `file`.
    pub(super) fn start(part: &str, file: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        Self::spawn(&mut Command::new(program), part, file)
    }

    /// Starts a child as `command` has prepared it.
    pub(super) fn spawn(command: &mut Command, part: &str, file: &Path) -> Self {
        let mut child = command
            .args(["--exact", "parts::child::plays_its_part", "--nocapture"])
            .env(PART, part)
            .env(FILE, file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The rest of a line that begins with `word`, skipping others; nothing once the child ended.
    pub(super) fn next(&mut self, word: &str) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // The test harness prints its own words before the child's on the same line.
            if let Some((_, rest)) = line.trim_end().split_once(word) {
                return Some(rest.trim().to_owned());
            }
        }
    }

    /// Waits for a good end.
    pub(super) fn finish(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a child failed: {status}");
    }

    /// `kill -9`.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test by itself: the entry of the processes that other tests start.
#[test]
fn plays_its_part() {
    let (Ok(part), Some(file)) = (std::env::var(PART), std::env::var_os(FILE)) else {
        return;
    };
    let file = Path::new(&file);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = SqliteOptions::new(file).patience(Duration::from_secs(30));
        if part == "try" {
            match SqliteStore::connect(options).await {
                Ok(_) => println!("answer opened"),
                Err(error) => println!("answer {:?} {error}", error.kind()),
            }
            return;
        }
        let store = SqliteStore::connect(options).await.unwrap();
        match part.split_once(' ') {
            Some(("count", times)) => count(&store, file, times.parse().unwrap()).await,
            Some(("claim", from)) => claim_the_same(&store, from.parse().unwrap()).await,
            Some(("log", log)) => claim_and_log(&store, Path::new(log)).await,
            _ => println!("opened"),
        }
    });
}

/// Adds one to a number in a plain file, under a lock.
async fn count(store: &SqliteStore, file: &Path, times: u32) {
    let number = file.with_extension("number");
    let key = key("counter");
    let mut longest = Duration::ZERO;
    for _ in 0..times {
        let request = request(&key).in_line(Duration::from_secs(60));
        let mut wakes = LeaseStore::listen(store, &key, request.token);
        let began = SystemClock.now();
        while let Acquisition::Held(held) = store.acquire(&request).await.unwrap() {
            // Woken or not, ask again: a wake-up is only a hint.
            let _ = tokio::time::timeout(held.ask_again_after, wakes.next()).await;
        }
        longest = longest.max(SystemClock.now().since(began));
        let value: u32 = std::fs::read_to_string(&number).map_or(0, |text| text.parse().unwrap());
        std::fs::write(&number, (value + 1).to_string()).unwrap();
        store.release(&key, request.token).await.unwrap();
    }
    println!("longest {}", longest.as_millis());
}

/// Claims ticks that every other child claims as well; says which it won.
async fn claim_the_same(store: &SqliteStore, from: i64) {
    let node = Holder::new("child");
    store
        .beat(&Beat::new(node.clone(), Duration::from_secs(60)))
        .await
        .unwrap();
    for tick in 0..20 {
        let batch = ClaimBatch::new(node.id, items(from + tick * 10, 3));
        for (index, answer) in store
            .claim(&batch)
            .await
            .unwrap()
            .answers
            .iter()
            .enumerate()
        {
            match answer {
                ClaimAnswer::Won(_) => println!("won {tick} {index}"),
                ClaimAnswer::Taken { .. } => {}
                ClaimAnswer::Refused(refusal) => panic!("{refusal}"),
                _ => panic!("an unknown answer"),
            }
        }
    }
}

/// Claims ever new ticks and writes down each batch that was acknowledged, until it is killed.
async fn claim_and_log(store: &SqliteStore, log: &Path) {
    let node = Holder::new("child");
    store
        .beat(&Beat::new(node.clone(), Duration::from_secs(60)))
        .await
        .unwrap();
    let mut log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .unwrap();
    let start = SystemClock.wall().as_millis() - 100_000;
    for tick in 0.. {
        let items = items(start + tick, 8);
        let batch = ClaimBatch::new(node.id, items.clone());
        let reply = store.claim(&batch).await.unwrap();
        // A kill may cut a write short, and whoever comes next writes behind that: so a line says
        // that it is whole, and does not depend on how the one before ended.
        let mut won = String::from("\n");
        for (item, answer) in items.iter().zip(&reply.answers) {
            if matches!(answer, ClaimAnswer::Won(_)) {
                writeln!(won, "{} {} whole", item.key(), item.token).unwrap();
            }
        }
        log.write_all(won.as_bytes()).unwrap();
        println!("claimed {tick}");
    }
}

fn items(tick_ms: i64, count: u32) -> Vec<ClaimItem> {
    let item = |index| {
        let mut item = ClaimItem::new(
            TaskName::new("task").unwrap(),
            Timestamp::from_millis(tick_ms),
            index,
            Generation::new("g").unwrap(),
        );
        item.overlap = tenure_core::Overlap::Allow;
        item
    };
    (1..=count).map(item).collect()
}
