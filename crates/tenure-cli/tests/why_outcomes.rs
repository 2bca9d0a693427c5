//! `tenure why` for one tick of each outcome: the transcript in the guide is what is printed.
//!
//! `TENURE_WRITE_GUIDE=1 cargo nextest run -p tenure-cli --test why_outcomes` prints the transcript
//! anew and writes it into `docs/guide/why.md`. Otherwise the two are compared, but for instants
//! and spans.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helper may fail the test"
)]

mod program;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tenure::core::{
    Beat, Cancel, Claim, ClaimAnswer, ClaimBatch, ClaimItem, Definition, Enqueue, Finish, Finished,
    Generation, Holder, OnCrash, Outcome, Overlap, Pass, Pause, Recovery, Refusal, RequestId,
    RunKey, RunStore, StartMode, TaskName,
};
use tenure::{Fence, Timestamp};
use tenure_bed::{Flavour, Redis};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::program::{PATIENCE, Place, finish};

/// The outcomes, and what the account of each must say.
const OUTCOMES: [(&str, &[&str]); 17] = [
    (
        "succeeded",
        &[
            "#1: succeeded",
            "due",
            "attempt 1 claimed by alpha, fence ",
            "attempt 1 began",
            "succeeded after",
        ],
    ),
    ("failed", &["#1: failed", "status 3: the disk is full"]),
    (
        "retried",
        &[
            "attempt 1 failed: no answer from the bank",
            "attempt 2 claimed by beta",
            "succeeded after",
        ],
    ),
    (
        "timed-out",
        &["#1: timed_out", "still ran after its timeout of 20m"],
    ),
    (
        "cancelled",
        &["#1: cancelled", "stopped on request of eve: wrong month"],
    ),
    (
        "interrupted",
        &["#1: interrupted", "stopped because its node was ending"],
    ),
    (
        "lost",
        &["#1: lost", "attempt 1 claimed by gamma", "lost after"],
    ),
    (
        "late",
        &[
            "#1: lost",
            "meanwhile",
            "reported its end when the run was lost",
        ],
    ),
    (
        "handed-over",
        &["attempt 1 lost", "attempt 2 claimed by alpha", "succeeded"],
    ),
    ("skipped", &["#1: skipped", "recorded as skipped: "]),
    (
        "missed",
        &[
            "#1: missed",
            "recorded as missed: nobody ran it within its window of 5m",
        ],
    ),
    ("claimed", &["#1: claimed", "attempt 1 claimed by alpha"]),
    ("running", &["#1: running", "attempt 1 began"]),
    (
        "in-line",
        &["#1: waiting", "waits in line, because when it came "],
    ),
    (
        "asked-for",
        &[
            "#1, asked for by hand: waiting",
            "asked for by eve: the numbers were wrong",
            "waits to be taken",
        ],
    ),
    (
        "paused",
        &[
            "#1: no record",
            "it is not due yet: in ",
            "paused by eve until then: the disk is full",
        ],
    ),
    (
        "new",
        &["#1: no record", "the store first heard of the task later"],
    ),
];

/// Between two looks.
async fn pause() {
    let _ = timeout(Duration::from_millis(20), std::future::pending::<()>()).await;
}

fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

fn generation() -> Generation {
    Generation::new("g").unwrap()
}

/// A node that does everything by hand.
struct Node {
    store: Arc<dyn RunStore>,
    holder: Holder,
}

impl Node {
    async fn join(store: &Arc<dyn RunStore>, label: &str, ttl: Duration) -> Self {
        let mut holder = Holder::new(label);
        // The transcript is the same whoever prints it.
        holder.pid = 0;
        let mut beat = Beat::new(holder.clone(), ttl);
        beat.capacity = 1;
        store.beat(&beat).await.unwrap();
        let definitions: Vec<_> = OUTCOMES
            .iter()
            .map(|(name, _)| Definition::new(task(name), generation(), "* * * * *"))
            .collect();
        store.register(holder.id, &definitions).await.unwrap();
        let store = store.clone();
        Self { store, holder }
    }

    async fn try_claim(&self, item: ClaimItem, start: StartMode) -> ClaimAnswer {
        let mut batch = ClaimBatch::new(self.holder.id, vec![item]);
        batch.start = start;
        self.store.claim(&batch).await.unwrap().answers.remove(0)
    }

    async fn claim(&self, name: &str, tick: Timestamp) -> Claim {
        self.claim_with(item(name, tick), StartMode::AtOnce).await
    }

    async fn claim_with(&self, item: ClaimItem, start: StartMode) -> Claim {
        match self.try_claim(item, start).await {
            ClaimAnswer::Won(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    async fn finish(&self, finish: Finish) -> Finished {
        self.store.finish(&[finish]).await.unwrap().remove(0)
    }

    async fn ends(&self, claim: Claim, outcome: Outcome, reason: Option<&str>) {
        let mut finish = Finish::new(claim.run, outcome);
        finish.reason = reason.map(str::to_owned);
        finish.exit_code = (outcome == Outcome::Failed).then_some(3);
        assert_eq!(self.finish(finish).await, Finished::Recorded);
    }

    /// Takes the one run that waits and is due.
    async fn takes(&self, name: &str) -> Claim {
        let take = tenure::core::Take::new(self.holder.id, 10);
        let taking = async {
            loop {
                let mut taken = self.store.take(&take).await.unwrap();
                if let Some(place) = taken.iter().position(|it| it.run.key.task == task(name)) {
                    return taken.remove(place);
                }
                pause().await;
            }
        };
        timeout(PATIENCE, taking).await.unwrap()
    }
}

fn item(name: &str, tick: Timestamp) -> ClaimItem {
    ClaimItem::new(task(name), tick, 1, generation())
}

/// Brings about one tick of each outcome.
async fn bring_about(store: &Arc<dyn RunStore>, tick: Timestamp) {
    let long = Duration::from_secs(3600);
    let alpha = Node::join(store, "alpha", long).await;
    let beta = Node::join(store, "beta", long).await;

    for (name, outcome, reason) in [
        ("succeeded", Outcome::Succeeded, None),
        ("failed", Outcome::Failed, Some("the disk is full")),
        (
            "timed-out",
            Outcome::TimedOut,
            Some("still ran after its timeout of 20m"),
        ),
        (
            "interrupted",
            Outcome::Interrupted,
            Some("stopped because its node was ending"),
        ),
    ] {
        let claim = alpha.claim(name, tick).await;
        assert!(matches!(
            beta.try_claim(item(name, tick), StartMode::AtOnce).await,
            ClaimAnswer::Taken { .. }
        ));
        alpha.ends(claim, outcome, reason).await;
    }
    let claim = alpha.claim("cancelled", tick).await;
    let cancel = Cancel::new(claim.run.key.clone(), "eve", "wrong month");
    store.cancel_run(&cancel).await.unwrap();
    let reason = Some("stopped on request of eve: wrong month");
    alpha.ends(claim, Outcome::Cancelled, reason).await;

    let claim = alpha.claim("retried", tick).await;
    let mut finish = Finish::new(claim.run, Outcome::Failed);
    finish.again_after = Some(Duration::from_millis(1));
    finish.reason = Some("no answer from the bank".to_owned());
    alpha.finish(finish).await;
    let claim = beta.takes("retried").await;
    beta.ends(claim, Outcome::Succeeded, None).await;

    bring_about_losses(store, &alpha, tick).await;

    // The tick before still runs when this one comes.
    for (name, overlap) in [("skipped", Overlap::Skip), ("in-line", Overlap::QueueOne)] {
        let before = tick - Duration::from_secs(60);
        alpha.claim(name, before).await;
        let mut item = item(name, tick);
        item.overlap = overlap;
        match (name, alpha.try_claim(item, StartMode::AtOnce).await) {
            ("skipped", ClaimAnswer::Refused(Refusal::Overlap { .. }))
            | ("in-line", ClaimAnswer::Waits(_)) => {}
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
    let key = RunKey::scheduled(task("missed"), tick, 1);
    let pass = Pass::missed(key, "nobody ran it within its window of 5m");
    store.pass(&[pass]).await.unwrap();
    alpha
        .claim_with(item("claimed", tick), StartMode::Later)
        .await;
    alpha.claim("running", tick).await;
    let request = RunKey::manual(task("asked-for"), tick, 1, RequestId::random());
    let run = Enqueue::new(request, "asked for by eve: the numbers were wrong");
    store.enqueue(&[run]).await.unwrap();
}

/// A node dies with three runs in hand, and its report of one comes too late.
async fn bring_about_losses(store: &Arc<dyn RunStore>, alpha: &Node, tick: Timestamp) {
    let gamma = Node::join(store, "gamma", Duration::from_secs(3600)).await;
    gamma.claim("lost", tick).await;
    let late = gamma.claim("late", tick).await;
    let mut again = item("handed-over", tick);
    again.on_crash = OnCrash::Retry { max_attempts: 2 };
    gamma.claim_with(again, StartMode::AtOnce).await;
    // From here on it is silent.
    let last = Beat::new(gamma.holder.clone(), Duration::from_secs(1));
    store.beat(&last).await.unwrap();
    let mut moved = 0;
    let recovering = async {
        while moved < 3 {
            let found = store.recover(&Recovery::new(alpha.holder.id)).await;
            moved += found.unwrap().runs.len();
            pause().await;
        }
    };
    timeout(PATIENCE, recovering).await.unwrap();
    let finish = Finish::new(late.run, Outcome::Succeeded);
    assert!(matches!(gamma.finish(finish).await, Finished::Late { .. }));
    let claim = alpha.takes("handed-over").await;
    assert!(claim.fence > Fence::NONE);
    alpha.ends(claim, Outcome::Succeeded, None).await;
}

/// What is printed for each outcome, one after the other.
fn transcript(place: &Place) -> String {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (tick, next) = runtime.block_on(async {
        let tenure = tenure::connect(&place.store()).await.unwrap();
        let store = tenure.runs();
        let now = store.now().await.unwrap().now.as_millis();
        let tick = Timestamp::from_millis(now.div_euclid(60_000) * 60_000);
        bring_about(&store, tick).await;
        let pause = Pause::new("eve", "the disk is full");
        store.pause(&task("paused"), &pause).await.unwrap();
        (tick, tick + Duration::from_secs(3600))
    });
    let mut all = String::new();
    for (name, parts) in OUTCOMES {
        let tick = match name {
            "paused" => next,
            "new" => tick - Duration::from_secs(3600),
            _ => tick,
        };
        let words = ["why", name, &tick.to_string()];
        let ended = place.run(words);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        for part in parts {
            assert!(ended.stdout.contains(part), "`{part}`:\n{}", ended.stdout);
        }
        let _ = write!(all, "$ tenure {}\n{}\n", words.join(" "), ended.stdout);
    }
    all
}

/// The words without instants, spans and fences, which differ from time to time.
fn without_times(text: &str) -> Vec<String> {
    let is_time = |word: &str| {
        let word = word.trim_end_matches([',', ':', ')']);
        let has_digit = word.contains(|c: char| c.is_ascii_digit());
        let is_instant = has_digit && word.ends_with('Z') && word.contains('T');
        let span = word.trim_start_matches(['+', '-']);
        let is_span = span.starts_with(|c: char| c.is_ascii_digit())
            && span.ends_with(['s', 'm', 'h', 'd'])
            && span
                .chars()
                .all(|c| c.is_ascii_digit() || ".msµhd".contains(c));
        is_instant || is_span
    };
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_fence = words.last().is_some_and(|word| word == "fence");
        if is_fence {
            words.push("N".to_owned());
        } else if let (Some((task, _)), Some((_, index))) =
            (word.split_once('@'), word.split_once("Z#"))
        {
            words.push(format!("{task}#{index}"));
        } else if !is_time(word) {
            words.push(word.to_owned());
        }
    }
    words
}

fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/why.md")
}

const FENCE: (&str, &str) = ("```text\n", "```\n");

#[test]
fn s44_the_transcript_in_the_guide_is_what_why_prints_for_each_outcome() {
    let place = Place::new();
    let printed = transcript(&place);
    let page = std::fs::read_to_string(guide()).unwrap();
    let (head, rest) = page.split_once(FENCE.0).unwrap();
    let (kept, tail) = rest.split_once(FENCE.1).unwrap();
    if std::env::var_os("TENURE_WRITE_GUIDE").is_some() {
        let (open, close) = FENCE;
        let page = format!("{head}{open}{}\n{close}{tail}", printed.trim_end());
        std::fs::write(guide(), page).unwrap();
        return;
    }
    assert_eq!(
        without_times(kept),
        without_times(&printed),
        "the guide shows something else; the header of this file says how to write it anew"
    );
}

/// A zombie reports its end when its run was given up: refused, and shown, on this store.
async fn marks_late_ends(place: &Place, url: &str) {
    let tenure = tenure::connect(url).await.unwrap();
    let store = tenure.runs();
    let now = store.now().await.unwrap().now.as_millis();
    let tick = Timestamp::from_millis(now.div_euclid(60_000) * 60_000);
    let alpha = Node::join(&store, "alpha", Duration::from_secs(3600)).await;
    bring_about_losses(&store, &alpha, tick).await;
    let run = |arguments: &[&str]| {
        let ended = finish(
            place
                .tenure(arguments)
                .env("TENURE_STORE", url)
                .spawn()
                .unwrap(),
        );
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    let lines = run(&["history", "--json"]);
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines {
        let ends = line["late_completions"].as_array().unwrap();
        let expected = usize::from(line["task"] == "late");
        assert_eq!(ends.len(), expected, "{line}");
        if let Some(end) = ends.first() {
            assert_eq!(
                line["state"], "lost",
                "the late end changes nothing: {line}"
            );
            assert!(end["at"].is_string(), "{line}");
            let text = end["text"].as_str().unwrap();
            assert!(text.contains("attempt 1 of late@"), "{text}");
        }
    }
    let table = run(&["history"]);
    let marked: Vec<_> = table
        .lines()
        .filter(|line| line.contains("its end came too late"))
        .collect();
    assert_eq!(marked.len(), 1, "{table}");
    assert!(marked.iter().all(|line| line.contains(" late ")), "{table}");
}

#[tokio::test]
async fn s40_a_late_end_of_a_zombie_is_marked_in_the_history_on_sqlite() {
    let place = Place::new();
    let url = place.store();
    marks_late_ends(&place, &url).await;
}

#[tokio::test]
async fn s40_a_late_end_of_a_zombie_is_marked_in_the_history_on_redis() {
    let server = Redis::builder(Flavour::Redis).tcp().start().await;
    marks_late_ends(&Place::new(), &server.url()).await;
}
