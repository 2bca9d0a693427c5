//! What this deployment promises as it is set up now, and what endangers it.

use std::collections::HashMap;
use std::time::Duration;

use redis::Value;
use tenure_core::{
    Acquisition, Clock as _, Holder, Key, LeaseRequest, LeaseStore as _, StoreError,
    StoreErrorKind, SystemClock, Timestamp, Token, Ttl, format_duration,
};

use crate::link::{Call, Node};
use crate::reply::{Reply, text_of};
use crate::rights::acl_line;
use crate::safety::Terms;
use crate::store::RedisStore;

/// How often the round trip is measured.
const ROUNDS: usize = 20;
/// The ttl of a doctor's own locks.
const DOCTORS: Duration = Duration::from_secs(5);
/// From how far apart the clocks are worth a warning.
const SKEW: Duration = Duration::from_millis(250);
/// How long the server's clock is watched for its rate.
const WATCH: Duration = Duration::from_secs(1);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Weakens what locks and claims promise.
    Warning,
    /// Breaks it.
    Danger,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was looked at, in a word or two.
    pub topic: &'static str,
    /// What was found, and what to do about it if that is anything.
    pub text: String,
}

/// What a doctor says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What this deployment really gives, in one sentence.
    pub verdict: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// What `INFO` says of a server.
pub(crate) type Info = HashMap<String, String>;

#[derive(Default)]
struct Notes(Vec<Finding>);

impl Notes {
    fn add(&mut self, severity: Severity, topic: &'static str, text: impl Into<String>) {
        self.0.push(Finding {
            severity,
            topic,
            text: text.into(),
        });
    }

    /// What matters more than what the servers keep, if anything does.
    fn verdict(&self) -> Option<String> {
        let dangers = self.0.iter();
        let mut dangers = dangers.filter(|finding| finding.severity == Severity::Danger);
        let first = dangers.next()?;
        let is_about_taking = |finding: &Finding| ["a lock", "role"].contains(&finding.topic);
        let what = if is_about_taking(first) && dangers.all(is_about_taking) {
            "No lock can be taken"
        } else {
            "A lock can vanish while it is held"
        };
        Some(format!("{what}: mend what is marked as a danger first."))
    }
}

impl RedisStore {
    /// Looks at the servers: persistence, eviction, replicas, rights, pushes, version, clocks, and
    /// one lock taken and given back. It takes a second or two and leaves nothing behind.
    ///
    /// # Errors
    /// [`StoreError`] if the servers do not answer. What they refuse to tell is a finding.
    pub async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        let mut seen = Notes::default();
        let nodes = self.shared.link.nodes().await?;
        let mut keeps = Keeps::Everything;
        for node in &nodes {
            let info = self.info(node).await?;
            look_at_version(&info, node, &mut seen);
            keeps = keeps.max(self.look_at_disk(&info, node, &mut seen).await);
            keeps = keeps.max(look_at_replicas(&info, node, &mut seen));
            if let Some(strict) = &self.shared.strict {
                look_at_majority(strict.terms, &info, node, &mut seen);
            }
            look_at_memory(&info, node, &mut seen);
        }
        self.look_at_pushes(&mut seen).await?;
        self.look_at_a_lock(&mut seen).await;
        self.look_at_clock(&mut seen).await?;
        let verdict = seen.verdict().unwrap_or_else(|| self.verdict(keeps));
        Ok(Diagnosis {
            verdict,
            findings: seen.0,
        })
    }

    /// What the servers give with the safety that is in force.
    fn verdict(&self, keeps: Keeps) -> String {
        match &self.shared.strict {
            None => {
                let all = keeps.of("locks and claims");
                format!("Plain safety: {all}.{}", keeps.noticed())
            }
            Some(strict) => format!(
                "Strict safety: no lock gets a second holder through a restart or a fail-over, and \
                 none is granted for {} after one; a majority knows of each tick that is won, and \
                 none is won for {} after one, which narrows, and does not close, the gap in which \
                 a tick may be won twice.",
                format_duration(strict.terms.quarantine()),
                format_duration(strict.terms.rest()),
            ),
        }
    }

    pub(crate) async fn info(&self, node: &Node) -> Result<Info, StoreError> {
        let doing = "ask a server how it is";
        let answer = self.shared.link.run_at(node, Call::command(doing, "INFO"));
        let text = match answer.await {
            Ok(answer) => text_of(doing, answer)?,
            Err(error) if error.kind() == StoreErrorKind::Denied => String::new(),
            Err(error) => return Err(error),
        };
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Ok(lines
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect())
    }

    /// A setting, where the server tells it.
    async fn setting(&self, node: &Node, name: &str) -> Option<String> {
        let doing = "ask a server for a setting";
        let call = Call::command(doing, "CONFIG").arg("GET").arg(name);
        match self.shared.link.run_at(node, call).await.ok()? {
            Value::Map(pairs) => pairs
                .into_iter()
                .find_map(|(_, value)| text_of(doing, value).ok()),
            Value::Array(parts) => text_of(doing, parts.into_iter().nth(1)?).ok(),
            _ => None,
        }
    }

    async fn look_at_disk(&self, info: &Info, node: &Node, notes: &mut Notes) -> Keeps {
        let Some(log) = info.get("aof_enabled") else {
            return Keeps::Unknown;
        };
        if log == "1" {
            let sync = self.setting(node, "appendfsync").await;
            let (severity, keeps) = match sync.as_deref() {
                Some("always") => (Severity::Good, Keeps::Everything),
                Some("no") => (Severity::Warning, Keeps::ButMinutes),
                _ => (Severity::Note, Keeps::ButSeconds),
            };
            let sync = sync.unwrap_or_else(|| "unknown; grant +config|get".to_owned());
            let text = format!("append-only file, appendfsync {sync}");
            notes.add(severity, "persistence", at(node, &text));
            return keeps;
        }
        let text = "no append-only file: a restart forgets every lock and every claim since the \
                    last snapshot; set appendonly yes";
        notes.add(Severity::Warning, "persistence", at(node, text));
        Keeps::WhileItRuns
    }

    /// Whether each server pushes to those who wait for its keys.
    async fn look_at_pushes(&self, notes: &mut Notes) -> Result<(), StoreError> {
        let mute = self.shared.link.mute().await?;
        if mute.is_empty() {
            notes.add(Severity::Good, "hand-off", "pushed to waiters");
        }
        let poll = format_duration(self.shared.options.poll);
        for node in mute {
            let lacks = match &node {
                Node::Only => "the user has no right to the channels tenure:*",
                Node::At(..) => {
                    "the server has no RESP3 or no sharded channels, which Redis has from 7.0, \
                     or the user no right to the channels tenure:* or to ssubscribe"
                }
            };
            let sharded = match &node {
                Node::Only => "",
                Node::At(..) => " +pubsub|shardnumsub +ssubscribe +spublish",
            };
            let text = format!(
                "waiters ask every {poll}: {lacks}, which ACL SETUSER {} &tenure:* \
                 +publish +subscribe{sharded} gives",
                self.user()
            );
            notes.add(Severity::Warning, "hand-off", at(&node, &text));
        }
        Ok(())
    }

    /// Takes a lock of its own and gives it back, and measures how long that takes.
    async fn look_at_a_lock(&self, notes: &mut Notes) {
        let holder = Holder::new("tenure doctor");
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let began = SystemClock.now();
            let taken = self.take_and_release(&holder).await;
            if let Ok(Some(quarantine)) = taken {
                let text = format!(
                    "none is granted for another {}: the server restarted or failed over",
                    format_duration(quarantine)
                );
                notes.add(Severity::Note, "a lock", text);
                return;
            }
            if let Err(error) = taken {
                notes.add(Severity::Danger, "a lock", error.to_string());
                if error.kind() == StoreErrorKind::Denied {
                    let line = acl_line(self.user());
                    let text = format!("all that locks and tasks need on one server: {line}");
                    notes.add(Severity::Note, "rights", text);
                }
                return;
            }
            times.push(SystemClock.now().since(began));
        }
        times.sort_unstable();
        let middle = times.get(ROUNDS / 2).copied().unwrap_or_default();
        let worst = times.last().copied().unwrap_or_default();
        let text = format!("taken and given back in {middle:.1?}, {worst:.1?} at worst");
        notes.add(Severity::Good, "a lock", text);
    }

    /// Whom the servers know us as.
    fn user(&self) -> &str {
        let named = self.shared.options.username.as_deref();
        named.unwrap_or("default")
    }

    /// Takes a lock and gives it back, or says for how long none is granted.
    async fn take_and_release(&self, holder: &Holder) -> Result<Option<Duration>, StoreError> {
        let name = format!("doctor:{}", Token::random());
        let invalid = |error: String| StoreError::new(StoreErrorKind::InvalidRequest, error);
        let key = Key::new(name).map_err(|error| invalid(error.to_string()))?;
        let strict = self.shared.strict.as_ref();
        let ttl = strict.map_or(DOCTORS, |strict| strict.terms.max_ttl.min(DOCTORS));
        let ttl = Ttl::new(ttl).map_err(|error| invalid(error.to_string()))?;
        let request = LeaseRequest::new(key, holder.clone(), ttl);
        match self.acquire(&request).await? {
            Acquisition::Held(held) => return Ok(held.remaining),
            _ => self.release(&request.key, request.token).await?,
        };
        Ok(None)
    }

    /// How far the server's clock is from ours, and whether it runs as fast.
    async fn look_at_clock(&self, notes: &mut Notes) -> Result<(), StoreError> {
        let (first_at, first, bound) = self.clock_sample().await?;
        tokio::time::sleep(WATCH).await;
        let (second_at, second, second_bound) = self.clock_sample().await?;
        let wall = SystemClock.wall();
        let now = second + SystemClock.now().since(second_at);
        let ahead = now.since(wall).max(wall.since(now));
        let side = if now > wall { "ahead of" } else { "behind" };
        let text = format!("{ahead:.0?} {side} this machine's, known to {second_bound:.1?}");
        let severity = if ahead > SKEW + second_bound {
            Severity::Warning
        } else {
            Severity::Good
        };
        notes.add(severity, "clock", text);
        let (theirs, ours) = (second.since(first), second_at.since(first_at));
        let off = theirs
            .abs_diff(ours)
            .saturating_sub((bound + second_bound).saturating_mul(2));
        if off > ours / 100 {
            let text =
                format!("moved {theirs:.0?} in {ours:.0?}: it steps, or runs at another rate");
            notes.add(Severity::Danger, "clock rate", text);
        }
        Ok(())
    }

    /// The server's clock at a moment of ours, and by how much that may be wrong.
    async fn clock_sample(&self) -> Result<(tenure_core::Moment, Timestamp, Duration), StoreError> {
        let asked = SystemClock.now();
        let doing = "read the clock";
        let call = Call::command(doing, "TIME");
        let mut reply = Reply::new(doing, self.shared.link.run(call).await?)?;
        let (seconds, micros): (i64, i64) = (reply.number()?, reply.number()?);
        let half = SystemClock.now().since(asked) / 2;
        let time = Timestamp::from_millis(seconds * 1000 + micros / 1000);
        Ok((asked + half, time, half + Duration::from_millis(1)))
    }
}

fn look_at_version(info: &Info, node: &Node, notes: &mut Notes) {
    let version = info
        .get("valkey_version")
        .map(|version| format!("Valkey {version}"))
        .or_else(|| {
            info.get("redis_version")
                .map(|version| format!("Redis {version}"))
        });
    match version {
        Some(version) => notes.add(Severity::Good, "server", at(node, &version)),
        None => notes.add(
            Severity::Note,
            "server",
            at(
                node,
                "does not tell us about itself; grant +info to be told more",
            ),
        ),
    }
}

fn look_at_replicas(info: &Info, node: &Node, notes: &mut Notes) -> Keeps {
    match info.get("role").map(String::as_str) {
        Some("slave") => {
            let mut text =
                "is a replica and takes no writes; name the primary, or the sentinels".to_owned();
            if info
                .get("master_link_status")
                .is_some_and(|link| link != "up")
            {
                text.push_str("; it has lost its primary (master_link_status:down)");
            }
            notes.add(Severity::Danger, "role", at(node, &text));
            Keeps::Unknown
        }
        Some(_) => {
            let replicas = info.get("connected_slaves").map_or("0", String::as_str);
            if replicas == "0" {
                notes.add(Severity::Note, "replicas", at(node, "none: no fail-over"));
                return Keeps::Everything;
            }
            let text = format!(
                "{replicas}, asynchronous: a fail-over forgets what had not reached them; the \
                 fence protects the data"
            );
            notes.add(Severity::Note, "replicas", at(node, &text));
            Keeps::ButFailOver
        }
        None => Keeps::Unknown,
    }
}

/// Whether the primary has as many replicas as its clients believe.
fn look_at_majority(terms: Terms, info: &Info, node: &Node, notes: &mut Notes) {
    let Some(found) = info
        .get("connected_slaves")
        .and_then(|count| count.parse::<u32>().ok())
    else {
        return;
    };
    let (said, needed) = (terms.replicas, terms.majority());
    let (severity, text) = if found > said {
        let text = format!(
            "strict, but {found} replicas follow where replicas={said} was said: {needed} are no \
             majority of them; set replicas={found} for all clients"
        );
        (Severity::Danger, text)
    } else if found < said {
        let text = format!(
            "strict, and only {found} of {said} replicas follow; each grant needs {needed}"
        );
        (Severity::Warning, text)
    } else if said == 1 {
        let text = "strict with one replica: while either server is away nothing is granted; two \
                    replicas bear the loss of one server";
        (Severity::Note, text.to_owned())
    } else {
        let text = format!("strict: {needed} of {said} replicas have each grant before it counts");
        (Severity::Good, text)
    };
    notes.add(severity, "safety", at(node, &text));
}

fn look_at_memory(info: &Info, node: &Node, notes: &mut Notes) {
    let limit = info.get("maxmemory").map_or("0", String::as_str);
    match info.get("maxmemory_policy").map(String::as_str) {
        Some("noeviction") => notes.add(Severity::Good, "eviction", at(node, "noeviction")),
        Some(policy) if limit == "0" => {
            let text = format!("{policy}, without effect while maxmemory is 0; set noeviction");
            notes.add(Severity::Warning, "eviction", at(node, &text));
        }
        Some(policy) => {
            let text = format!("{policy}: a full server throws locks away; set noeviction");
            notes.add(Severity::Danger, "eviction", at(node, &text));
        }
        None => {}
    }
}

fn at(node: &Node, text: &str) -> String {
    match node {
        Node::Only => text.to_owned(),
        Node::At(host, port) => format!("{host}:{port}: {text}"),
    }
}

/// What the weakest of the servers keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keeps {
    Everything,
    ButSeconds,
    ButFailOver,
    ButMinutes,
    WhileItRuns,
    Unknown,
}

impl Keeps {
    /// What is done about what is lost.
    fn noticed(self) -> &'static str {
        match self {
            Self::Everything => "",
            _ => " Nodes notice that claims were forgotten, and put back those that they remember.",
        }
    }

    /// What becomes of `what` with servers such as these.
    fn of(self, what: &str) -> String {
        match self {
            Self::Everything => {
                format!("{what} that were acknowledged are kept, also through a power cut")
            }
            Self::ButSeconds => {
                format!("a power cut may lose the last second or so of {what}; fences still grow")
            }
            Self::ButFailOver => {
                format!("a fail-over may lose the last moments of {what}; fences still grow")
            }
            Self::ButMinutes => format!(
                "a power cut may lose the last half a minute and more of {what}, because \
                 appendfsync is no; fences still grow"
            ),
            Self::WhileItRuns => format!(
                "{what} hold while the server runs: a restart forgets them; fences still grow"
            ),
            Self::Unknown => {
                format!("what the servers keep of {what} is not known; grant +info")
            }
        }
    }
}
