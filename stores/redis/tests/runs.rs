//! What only Redis can show of runs: answers that are lost, records that are damaged, memory that
//! is full, and how long records stay.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails, with the place in its message"
)]

use std::time::Duration;

use tenure_bed::{Flavour, Redis, Relay, Sentinel};
use tenure_core::{
    Backfill, Beat, Claim, ClaimAnswer, ClaimBatch, ClaimItem, Clock as _, Definition, Enqueue,
    Enqueued, EventKind, Finish, Finished, Generation, HistoryQuery, Holder, Note, OnCrash,
    Outcome, Pass, Pause, Recovery, Refusal, Remembered, RequestId, Restore, RunKey, RunState,
    RunStore as _, Seen, Start, StartMode, Started, StoreErrorKind, SystemClock, Take, TaskName,
    Timestamp,
};
use tenure_redis::{RedisStore, Severity};

const LONG: Duration = Duration::from_secs(600);

/// A server, a store on it, and a node that can run `t`.
struct Bed {
    redis: Redis,
    store: RedisStore,
    node: Holder,
}

impl Bed {
    async fn new() -> Self {
        let redis = Redis::builder(Flavour::Redis).unix_only().start().await;
        let url = format!("{}?timeout=5s", redis.url());
        let store = RedisStore::connect(&url).await.unwrap();
        let node = join(&store).await;
        Self { redis, store, node }
    }

    async fn now(&self) -> Timestamp {
        self.store.now().await.unwrap().now
    }

    async fn claim(&self, items: &[ClaimItem]) -> Vec<ClaimAnswer> {
        let batch = ClaimBatch::new(self.node.id, items.to_vec());
        self.store.claim(&batch).await.unwrap().answers
    }

    async fn win(&self, item: ClaimItem) -> Claim {
        won(self.claim(&[item]).await.remove(0))
    }

    async fn notes(&self, kind: &str) -> Vec<Note> {
        let events = self.store.events(None, 1000).await.unwrap().events;
        let notes = events.into_iter().filter_map(|event| match event.kind {
            EventKind::Note(note) => Some(note),
            EventKind::Run(_) => None,
            other => panic!("{other:?}"),
        });
        notes.filter(|note| note.kind == kind).collect()
    }

    async fn lapse(&self, node: &Holder) {
        let tag = self
            .redis
            .cli(&["HGET", &key("ids"), &node.id.to_string()])
            .await;
        self.redis
            .call(&["ZADD", &key("alive"), "XX", "1", &tag])
            .await;
    }
}

#[tokio::test]
async fn e69_with_the_line_that_the_doctor_shows_locks_and_tasks_work_and_no_channel_is_named() {
    let server = Redis::builder(Flavour::Redis)
        .tcp()
        .acl_user("app on >pw ~* resetchannels -@all +hello +auth +client +select +info")
        .start()
        .await;
    let url = format!("redis://app:pw@127.0.0.1:{}?timeout=5s", server.port());
    let findings = async || {
        let store = RedisStore::connect(&url).await.unwrap();
        let findings = store.diagnose().await.map(|diagnosis| diagnosis.findings);
        (store, findings)
    };
    let set = async |rights: &str| {
        let words: Vec<_> = rights.split_whitespace().collect();
        assert_eq!(server.call(&words).await.to_string(), "OK", "{rights}");
    };
    // The doctor reads the clock; everything else is denied.
    set("ACL SETUSER app +time").await;
    let (_, found) = findings().await;
    let found = found.unwrap();
    let rights = found.iter().find(|found| found.topic == "rights").unwrap();
    let line = rights.text.split_once(": ").unwrap().1;
    assert!(line.starts_with("ACL SETUSER app on ~* "), "{line}");
    // What the operator does with it.
    set(line).await;
    let (store, found) = findings().await;
    let found = found.unwrap();
    let severity = |topic: &str| {
        let found = found.iter().find(|found| found.topic == topic);
        found.map(|found| found.severity)
    };
    assert_eq!(severity("hand-off"), Some(Severity::Good), "{found:?}");
    assert_eq!(severity("a lock"), Some(Severity::Good), "{found:?}");
    assert_eq!(severity("rights"), None);
    let node = join(&store).await;
    let tick = store.now().await.unwrap().now;
    let batch = ClaimBatch::new(node.id, vec![item(tick, 1)]);
    let claim = won(store.claim(&batch).await.unwrap().answers.remove(0));
    let finish = Finish::new(claim.run, Outcome::Succeeded);
    let finished = store.finish(&[finish]).await.unwrap();
    assert_eq!(finished, [Finished::Recorded]);
    // Without the channels it works, and they are named.
    let without = line.replace(" &tenure:*", "");
    set(&without).await;
    server.call(&["CLIENT", "KILL", "USER", "app"]).await;
    let (_, found) = findings().await;
    let found = found.unwrap();
    let hand_off = found
        .iter()
        .find(|found| found.topic == "hand-off")
        .unwrap();
    assert_eq!(hand_off.severity, Severity::Warning, "{found:?}");
    let named = "ACL SETUSER app &tenure:* +publish +subscribe";
    assert!(hand_off.text.contains(named), "{hand_off:?}");
}

async fn join(store: &RedisStore) -> Holder {
    let node = Holder::new("node");
    store.beat(&Beat::new(node.clone(), LONG)).await.unwrap();
    let definition = Definition::new(task("t"), generation(), "* * * * *");
    store.register(node.id, &[definition]).await.unwrap();
    node
}

fn key(name: &str) -> String {
    format!("tenure:{{default}}:r:{name}")
}

fn bucket(tick: Timestamp) -> String {
    key(&format!("t:{}", tick.as_millis()))
}

fn task(name: &str) -> TaskName {
    TaskName::new(name).unwrap()
}

fn generation() -> Generation {
    Generation::new("g1").unwrap()
}

fn item(tick: Timestamp, index: u32) -> ClaimItem {
    ClaimItem::new(task("t"), tick, index, generation())
}

fn order(tick: Timestamp, id: &str) -> Enqueue {
    let id = RequestId::new(id).unwrap();
    Enqueue::new(RunKey::manual(task("t"), tick, 1, id), "asked")
}

fn won(answer: ClaimAnswer) -> Claim {
    match answer {
        ClaimAnswer::Won(claim) => claim,
        other => panic!("{other:?}"),
    }
}

/// A store behind a relay, and how to lose an answer on the way back.
struct Lossy {
    bed: Bed,
    relay: Relay,
    store: RedisStore,
}

impl Lossy {
    async fn new() -> Self {
        let bed = Bed::new().await;
        let relay = Relay::to(&bed.redis);
        let store = RedisStore::connect(&format!("{}?timeout=20s", relay.url()))
            .await
            .unwrap();
        Self { bed, relay, store }
    }

    async fn scripts_run(&self) -> u64 {
        let mut sum = 0;
        for command in ["eval", "evalsha"] {
            let stat = self.bed.redis.info(&format!("cmdstat_{command}")).await;
            for part in stat.unwrap_or_default().split(',') {
                let (name, number) = part.split_once('=').unwrap_or_default();
                let number: u64 = number.parse().unwrap_or_default();
                match name {
                    "calls" => sum += number,
                    // The server did not know the script yet.
                    "failed_calls" => sum -= number,
                    _ => {}
                }
            }
        }
        sum
    }

    /// What `ask` is answered when the connection breaks between its last script and the answer.
    async fn ask<T>(&self, scripts: u64, ask: impl Future<Output = T>) -> T {
        let before = self.scripts_run().await;
        self.relay.delay_replies(Duration::from_millis(300));
        let lose = async {
            while self.scripts_run().await < before + scripts {
                tokio::task::yield_now().await;
            }
            self.relay.cut();
            self.relay.heal();
        };
        tokio::join!(ask, lose).0
    }
}

#[tokio::test]
async fn s30_r61_requests_whose_answers_were_lost_are_answered_as_the_first_time() {
    let lossy = Lossy::new().await;
    let (bed, store) = (&lossy.bed, &lossy.store);
    let now = bed.now().await;
    let asked = [order(now, "r1")];
    let answer = lossy.ask(1, store.enqueue(&asked)).await.unwrap();
    assert_eq!(answer, [Enqueued::Waiting]);
    let waiting = RunState::Waiting;
    let again = store.enqueue(&asked).await.unwrap();
    assert_eq!(again, [Enqueued::Exists { state: waiting }]);

    let take = Take::new(bed.node.id, 10);
    let taken = lossy.ask(2, store.take(&take)).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(store.take(&Take::new(bed.node.id, 10)).await.unwrap(), []);

    let passes = [Pass::missed(RunKey::scheduled(task("t"), now, 7), "nobody")];
    assert_eq!(lossy.ask(1, store.pass(&passes)).await.unwrap(), [true]);
    assert_eq!(store.pass(&passes).await.unwrap(), [false]);

    let batch = ClaimBatch::new(bed.node.id, vec![item(now, 2), item(now, 3)]);
    let reply = lossy.ask(1, store.claim(&batch)).await.unwrap();
    let claims: Vec<Claim> = reply.answers.into_iter().map(won).collect();
    assert!(claims[0].fence < claims[1].fence);

    let mut failed = Finish::new(claims[0].run.clone(), Outcome::Failed);
    failed.again_after = Some(LONG);
    let ends = [
        failed,
        Finish::new(claims[1].run.clone(), Outcome::Succeeded),
    ];
    let answers = lossy.ask(1, store.finish(&ends)).await.unwrap();
    assert_eq!(answers, [Finished::Recorded, Finished::Recorded]);
    let record = store.run(&claims[0].run.key).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts.len()), (waiting, 1));
    assert_eq!(bed.notes("late_completion").await, []);
}

#[tokio::test]
async fn s30_r61_controls_whose_answers_were_lost_are_answered_as_the_first_time() {
    let lossy = Lossy::new().await;
    let (bed, store) = (&lossy.bed, &lossy.store);
    let pause = Pause::new("ann", "testing");
    lossy.ask(1, store.pause(&task("t"), &pause)).await.unwrap();
    assert_eq!(bed.notes("paused").await.len(), 1);
    assert!(
        lossy
            .ask(1, store.resume(&task("t"), "bob", "done"))
            .await
            .unwrap()
    );
    assert!(!store.resume(&task("t"), "bob", "done").await.unwrap());
    assert_eq!(bed.notes("resumed").await.len(), 1);

    let at = Timestamp::from_millis;
    let id = RequestId::new("b1").unwrap();
    let mut backfill = Backfill::new(id, task("t"), at(1_000), at(9_000));
    let made = store.save_backfill(&backfill, None);
    assert!(lossy.ask(1, made).await.unwrap());
    backfill.cursor = at(2_000);
    let moved = store.save_backfill(&backfill, Some(at(1_000)));
    assert!(lossy.ask(1, moved).await.unwrap());
    assert!(
        !store
            .save_backfill(&backfill, Some(at(1_000)))
            .await
            .unwrap()
    );

    let told = Note::new("told", "once");
    lossy.ask(1, store.note(&told)).await.unwrap();
    assert_eq!(bed.notes("told").await, [told]);
}

#[tokio::test]
async fn s40_r61_nodes_and_lost_runs_are_told_although_the_first_answer_was_lost() {
    let lossy = Lossy::new().await;
    let (bed, store) = (&lossy.bed, &lossy.store);
    let now = bed.now().await;
    let other = join(&bed.store).await;
    let claim = bed.win(item(now, 1)).await;
    bed.lapse(&bed.node).await;
    let recovery = Recovery::new(other.id);
    let found = lossy.ask(2, store.recover(&recovery)).await.unwrap();
    assert_eq!(found.nodes, std::slice::from_ref(&bed.node));
    assert_eq!(found.runs.len(), 1, "{found:?}");
    assert_eq!(found.runs[0].record.key, claim.run.key);
    let again = store.recover(&recovery).await.unwrap();
    assert_eq!((again.nodes, again.runs), (vec![], vec![]));
    assert_eq!(bed.notes("node_lost").await.len(), 1);

    let late = [Finish::new(claim.run.clone(), Outcome::Succeeded)];
    let answers = lossy.ask(1, store.finish(&late)).await.unwrap();
    assert!(matches!(answers[0], Finished::Late { .. }), "{answers:?}");
    assert_eq!(bed.notes("late_completion").await.len(), 1);

    let beat = Beat::new(bed.node.clone(), LONG);
    let beaten = lossy.ask(1, store.beat(&beat)).await.unwrap();
    assert!(beaten.had_lapsed, "{beaten:?}");
    assert!(!store.beat(&beat).await.unwrap().had_lapsed);
    assert_eq!(bed.notes("node_joined").await.len(), 3);
    lossy.ask(1, store.leave(bed.node.id)).await.unwrap();
    assert_eq!(bed.notes("node_left").await.len(), 1);
}

#[tokio::test]
async fn e66_f38_a_record_that_cannot_be_read_is_named_and_stops_nobody_else() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    let claims = bed.claim(&[item(now, 1), item(now, 2)]).await;
    let claims: Vec<Claim> = claims.into_iter().map(won).collect();
    let field = ["HSET", &bucket(now), "s1:t", "no record"];
    bed.redis.call(&field).await;
    for error in [
        bed.store.run(&claims[0].run.key).await.unwrap_err(),
        bed.store.history(&HistoryQuery::all()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&bucket(now)) && text.contains("HDEL"),
            "{text}"
        );
    }
    let answers = bed.claim(&[item(now, 1), item(now, 2), item(now, 3)]).await;
    for answer in &answers[..2] {
        assert!(matches!(answer, ClaimAnswer::Taken { .. }), "{answer:?}");
    }
    let third = won(answers[2].clone());
    let starts = [Start::new(claims[0].run.clone()), Start::new(third.run)];
    let started = bed.store.start(&starts).await.unwrap();
    assert_eq!(started[0], Started::Refused);
    assert!(matches!(started[1], Started::Running { .. }));
    let ends: Vec<_> = claims
        .iter()
        .map(|claim| Finish::new(claim.run.clone(), Outcome::Succeeded))
        .collect();
    let answers = bed.store.finish(&ends).await.unwrap();
    assert_eq!(answers, [Finished::Unknown, Finished::Recorded]);
    // The feed goes on.
    let told = bed.store.events(None, 100).await.unwrap();
    let runs = told.events.iter();
    let runs = runs.filter(|event| matches!(event.kind, EventKind::Run(_)));
    assert_eq!(runs.count(), 2);
    bed.redis.call(&["HDEL", &bucket(now), "s1:t"]).await;
    assert_eq!(
        bed.store
            .history(&HistoryQuery::all())
            .await
            .unwrap()
            .runs
            .len(),
        2
    );
}

#[tokio::test]
async fn e66_f38_damage_around_a_claim_is_answered_and_never_wins_twice() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    for (name, field, value) in [
        ("pauses", "t", "nonsense"),
        ("generations", "t", ";;"),
        ("slots", "s1:t", "99999999999999999999s@1"),
        ("lists", "t", "\u{1}"),
        ("nodes", "1", "nonsense"),
    ] {
        let before = bed.redis.cli(&["HGET", &key(name), field]).await;
        bed.redis.call(&["HSET", &key(name), field, value]).await;
        let answers = bed.claim(&[item(now, 1)]).await;
        if !matches!(name, "lists" | "nodes") {
            assert!(
                matches!(answers[0], ClaimAnswer::Refused(_)),
                "{name}: {answers:?}"
            );
        }
        if before.is_empty() {
            bed.redis.call(&["HDEL", &key(name), field]).await;
        } else {
            bed.redis.call(&["HSET", &key(name), field, &before]).await;
        }
    }
    for (field, value) in [("sequence", "x"), ("fence", "1e400"), ("fence", "-1")] {
        let before = bed.redis.cli(&["HGET", &key("meta"), field]).await;
        bed.redis.call(&["HSET", &key("meta"), field, value]).await;
        let batch = ClaimBatch::new(bed.node.id, vec![item(now, 9)]);
        let error = bed.store.claim(&batch).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(&key("meta")), "{error}");
        bed.redis
            .call(&["HSET", &key("meta"), field, &before])
            .await;
    }
    bed.win(item(now, 9)).await;
}

#[tokio::test]
async fn e66_what_waits_and_cannot_be_read_keeps_nothing_else_waiting() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    bed.store.enqueue(&[order(now, "r1")]).await.unwrap();
    bed.redis
        .call(&["HSET", &bucket(now), "m1:r1:t", "?"])
        .await;
    for member in ["nonsense", "s5/s1", "s5/s99999999999:t", "s9/m1:r9:t"] {
        bed.redis.call(&["ZADD", &key("due"), "1", member]).await;
    }
    let mut second = order(now, "r2");
    second.key.index = 2;
    bed.store.enqueue(&[second.clone()]).await.unwrap();
    let taken = bed.store.take(&Take::new(bed.node.id, 10)).await.unwrap();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0].run.key, second.key);
    assert_eq!(
        bed.store.take(&Take::new(bed.node.id, 10)).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn e75_a_full_server_claims_nothing_and_nothing_by_half() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    let claim = bed.win(item(now, 1)).await;
    let before = bed.store.now().await.unwrap().sequence;
    let policy = ["CONFIG", "SET", "maxmemory-policy", "noeviction"];
    bed.redis.call(&policy).await;
    bed.redis.call(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let batch = ClaimBatch::new(bed.node.id, vec![item(now, 2)]);
    let ends = [Finish::new(claim.run.clone(), Outcome::Succeeded)];
    for error in [
        bed.store.claim(&batch).await.unwrap_err(),
        bed.store.finish(&ends).await.unwrap_err(),
        bed.store.enqueue(&[order(now, "r1")]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
        assert!(!error.outcome_is_unknown(), "{error}");
    }
    bed.redis.call(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(bed.store.now().await.unwrap().sequence, before);
    assert_eq!(bed.store.run(&item(now, 2).key()).await.unwrap(), None);
    assert_eq!(bed.redis.cli(&["HLEN", &key("slots")]).await, "1");
    won(bed.store.claim(&batch).await.unwrap().answers.remove(0));
    assert_eq!(bed.store.finish(&ends).await.unwrap(), [Finished::Recorded]);
}

async fn life_ms(bed: &Bed, tick: Timestamp) -> i64 {
    bed.redis
        .call(&["PTTL", &bucket(tick)])
        .await
        .int()
        .unwrap()
}

#[tokio::test]
async fn s32_a_tick_with_a_run_in_hand_stays_and_a_finished_one_at_least_as_long_as_promised() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    let claims = bed.claim(&[item(now, 1), item(now, 2)]).await;
    let claims: Vec<Claim> = claims.into_iter().map(won).collect();
    assert_eq!(life_ms(&bed, now).await, -1);
    let mut end = Finish::new(claims[0].run.clone(), Outcome::Succeeded);
    end.output = Some("said".to_owned());
    bed.store.finish(&[end]).await.unwrap();
    assert_eq!(life_ms(&bed, now).await, -1, "one of two is in hand");
    let mut again = Finish::new(claims[1].run.clone(), Outcome::Failed);
    again.again_after = Some(Duration::ZERO);
    bed.store.finish(&[again]).await.unwrap();
    assert_eq!(life_ms(&bed, now).await, -1, "one of two waits");
    let taken = bed.store.take(&Take::new(bed.node.id, 1)).await.unwrap();
    let day = 24 * 3600 * 1000;
    let last = [Finish::new(taken[0].run.clone(), Outcome::Succeeded)];
    bed.store.finish(&last).await.unwrap();
    assert!(life_ms(&bed, now).await > 29 * day);
    let outputs = key(&format!("o:{}", now.as_millis()));
    let kept = bed.redis.call(&["PTTL", &outputs]).await.int().unwrap();
    assert!(kept > 29 * day);
    // A run that is put in later opens the tick again.
    bed.store.enqueue(&[order(now, "r1")]).await.unwrap();
    assert_eq!(life_ms(&bed, now).await, -1);
}

#[tokio::test]
async fn s52_where_very_many_runs_are_made_records_stay_shorter_but_never_too_short() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    let (hour, day) = (now.as_millis() / 3_600_000, 24 * 3_600_000);
    let hour = hour.to_string();
    let made = |today: &'static str, yesterday: &'static str| {
        let (meta, hour) = (key("meta"), hour.clone());
        let redis = &bed.redis;
        async move {
            let command = [
                "HSET",
                &meta,
                "hour",
                &hour,
                "made",
                "1000",
                "today",
                today,
                "yesterday",
                yesterday,
            ];
            redis.call(&command).await;
        }
    };
    let mut index = 0;
    for (today, yesterday, least, most) in [
        // As yesterday: two days' worth fit.
        ("150000", "150000", day, 3 * day),
        // Very many: as long as the tick could be claimed, and an hour more.
        ("900000000", "900000000", 4_100_000, 4_300_000),
    ] {
        made(today, yesterday).await;
        index += 1;
        let tick = now - Duration::from_secs(index);
        let claim = bed.win(item(tick, 1)).await;
        made(today, yesterday).await;
        let ends = [Finish::new(claim.run, Outcome::Succeeded)];
        bed.store.finish(&ends).await.unwrap();
        let life = life_ms(&bed, tick).await;
        assert!(life > least && life < most, "{today}: {life} ms");
    }
}

#[tokio::test]
async fn s52_what_the_server_forgot_is_gone_from_every_list() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    for back in 0..40_u64 {
        let tick = now - Duration::from_secs(back);
        let claim = bed.win(item(tick, 1)).await;
        let ends = [Finish::new(claim.run, Outcome::Succeeded)];
        bed.store.finish(&ends).await.unwrap();
    }
    // As if they had ended long ago.
    for back in 1..40_u64 {
        let tick = now - Duration::from_secs(back);
        bed.redis.call(&["PEXPIREAT", &bucket(tick), "1"]).await;
        let tick = tick.as_millis().to_string();
        bed.redis.call(&["ZADD", &key("ends"), "1", &tick]).await;
    }
    let page = bed
        .store
        .history(&HistoryQuery::of(task("t")))
        .await
        .unwrap();
    assert_eq!((page.runs.len(), page.next), (1, None));
    for ahead in 1..=2 {
        let tick = now + Duration::from_millis(ahead);
        let claim = bed.win(item(tick, 1)).await;
        let ends = [Finish::new(claim.run, Outcome::Succeeded)];
        bed.store.finish(&ends).await.unwrap();
    }
    assert_eq!(bed.redis.cli(&["ZCARD", &key("ticks")]).await, "3");
    assert_eq!(bed.redis.cli(&["ZCARD", &key("ends")]).await, "3");
    // Each claim lets go of old places now and then; here until it happens.
    let oldest = (now - Duration::from_secs(39)).as_millis();
    let place = ["ZSCORE", &key("x:t"), &format!("{oldest}/s1")];
    for index in 2..10_000 {
        if bed.redis.cli(&place).await.is_empty() {
            return;
        }
        bed.win(item(now, index)).await;
    }
    panic!("the history kept everything");
}

#[tokio::test]
async fn s40_a_run_whose_record_is_gone_gives_its_place_free() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    let other = join(&bed.store).await;
    let mut batch = ClaimBatch::new(bed.node.id, vec![item(now, 1)]);
    batch.start = StartMode::Later;
    batch.items[0].on_crash = OnCrash::Retry { max_attempts: 2 };
    won(bed.store.claim(&batch).await.unwrap().answers.remove(0));
    bed.redis.call(&["DEL", &bucket(now)]).await;
    bed.lapse(&bed.node).await;
    let found = bed.store.recover(&Recovery::new(other.id)).await.unwrap();
    assert_eq!((found.nodes.len(), found.runs.len()), (1, 0));
    assert_eq!(bed.redis.cli(&["HLEN", &key("slots")]).await, "0");
    assert_eq!(bed.redis.cli(&["ZCARD", &key("alive")]).await, "1");
}

#[tokio::test]
async fn s50_a_store_that_lost_everything_has_another_epoch_and_larger_fences() {
    let bed = Bed::new().await;
    let now = bed.now().await;
    let before = bed.store.now().await.unwrap();
    let claim = bed.win(item(now, 1)).await;
    bed.redis.call(&["FLUSHALL"]).await;
    let refused = bed.claim(&[item(now, 1)]).await;
    assert!(matches!(refused[0], ClaimAnswer::Refused(_)), "{refused:?}");
    let beat = Beat::new(bed.node.clone(), LONG);
    let beaten = bed.store.beat(&beat).await.unwrap();
    assert_ne!(beaten.moment.epoch, before.epoch);
    // The claim is made again, as nodes do that remember it, under a larger fence.
    let mut same = item(now, 1);
    same.token = claim.run.token;
    let again = bed.win(same).await;
    assert!(again.fence > claim.fence);
}

/// What a node knows of a store that it asked.
async fn seen(store: &RedisStore, node: &Holder) -> Seen {
    let beaten = store.beat(&Beat::new(node.clone(), LONG)).await.unwrap();
    Seen::of(&beaten.moment, beaten.moment.sequence)
}

/// A node that won `claim` finds a store that has forgotten it, and mends that.
async fn finds_and_mends(store: &RedisStore, node: &Holder, claim: &Claim, before: Seen) {
    let key = &claim.run.key;
    assert_eq!(store.run(key).await.unwrap(), None, "nothing was lost");
    let mut batch = ClaimBatch::new(node.id, vec![item(key.tick, 2)]);
    batch.seen = before;
    let answers = store.claim(&batch).await.unwrap().answers;
    // A server that forgot the node as well says that first.
    let is_refused = matches!(
        answers[..],
        [ClaimAnswer::Refused(
            Refusal::StoreForgot | Refusal::NodeLapsed
        )]
    );
    assert!(is_refused, "{answers:?}");
    let beat = Beat::new(node.clone(), LONG);
    let beaten = store.beat(&beat).await.unwrap();
    let shown = Seen::of(&beaten.moment, beaten.own);
    assert!(shown.is_behind(&before), "{shown:?} after {before:?}");
    let rival = join(store).await;

    let mut run = Remembered::new(key.clone(), RunState::Running, 1, claim.claimed_at);
    run.node = Some(node.clone());
    (run.token, run.fence) = (Some(claim.run.token), Some(claim.fence));
    let mut restore = Restore::new(node.id, vec![run]);
    restore.noticed = Some(before.losses);
    let restored = store.restore(&restore).await.unwrap();
    assert_eq!((restored.is_first, restored.put_back), (true, vec![true]));

    let again = ClaimBatch::new(rival.id, vec![item(key.tick, 1)]);
    let answers = store.claim(&again).await.unwrap().answers;
    assert!(
        matches!(answers[..], [ClaimAnswer::Taken { .. }]),
        "{answers:?}"
    );
    let finish = Finish::new(claim.run.clone(), Outcome::Succeeded);
    assert_eq!(store.finish(&[finish]).await.unwrap(), [Finished::Recorded]);
}

/// Asks until the server is there again.
async fn until_answered<T, F>(ask: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, tenure_core::StoreError>>,
{
    let deadline = SystemClock.now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(SystemClock.now() < deadline, "{error}"),
        }
    }
}

#[tokio::test]
async fn s50_what_a_server_without_persistence_forgot_when_it_restarted_is_put_back() {
    let bed = Bed::new().await;
    let claim = bed.win(item(bed.now().await, 1)).await;
    let before = seen(&bed.store, &bed.node).await;
    bed.redis.restart().await;
    until_answered(|| bed.store.now()).await;
    finds_and_mends(&bed.store, &bed.node, &claim, before).await;
}

#[tokio::test]
async fn s50_what_a_promoted_replica_never_heard_of_is_put_back() {
    let servers = Sentinel::start(Flavour::Redis, 1).await;
    let store = RedisStore::connect(&format!("{}?timeout=5s", servers.url()))
        .await
        .unwrap();
    let node = join(&store).await;
    servers.in_sync().await;
    let primary = servers.primary().await;
    let replica = servers
        .nodes()
        .iter()
        .find(|other| other.port() != primary.port());
    let replica = replica.unwrap();
    // What was sent to a paused replica would be read when it goes on, so it is cut off as well.
    replica.pause();
    primary.call(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    let tick = store.now().await.unwrap().now;
    let batch = ClaimBatch::new(node.id, vec![item(tick, 1)]);
    let claim = won(store.claim(&batch).await.unwrap().answers.remove(0));
    let before = seen(&store, &node).await;
    primary.kill();
    replica.resume();
    servers.watch().await;
    servers.failed_over(primary).await;
    until_answered(|| store.now()).await;
    finds_and_mends(&store, &node, &claim, before).await;
}
