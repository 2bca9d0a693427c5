//! What a restart or a fail-over may do to locks, and what the servers are asked to keep that.
//!
//! Strict safety has two parts. A *majority* of the servers has each grant before a client trusts
//! it, so two primaries at once cannot both grant. And a server whose life began anew, by a start
//! or by a promotion, may lack what was granted before: it grants nothing for the longest ttl,
//! counted from when a majority follows it. The scripts are here; how their answers become leases
//! is in [`crate::lease`], and what a `WAIT` needs of a connection in [`crate::link`].
//!
//! # Sources
//! The wait of a new leader for the leases of the old one: C. Gray and D. Cheriton, "Leases"
//! (1989), section 3.3; D. Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.4.1.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::Value;
use tenure_core::{StoreError, StoreErrorKind, Ttl, format_duration};

use crate::error::OptionsError;
use crate::link::{Call, Copies, Lanes, Script};
use crate::options::{RedisOptions, Servers};
use crate::reply::Reply;
use crate::slots::tag_of;

/// What stands before each script that asks about a server's life.
pub(crate) const LIFE: &str = include_str!("scripts/strict_life.lua");
/// How many keys it has, behind those of the script.
pub(crate) const LIFE_KEYS: usize = 2;
/// What stands before a script that grants, behind [`LIFE`].
pub(crate) const GUARD: &str = include_str!("scripts/strict_guard.lua");

static INSTALL: Script = Script::new(
    "begin the quarantine of a server",
    &[LIFE, include_str!("scripts/strict_install.lua")],
)
.with_last(LIFE_KEYS);

/// What clocks and timers may be wrong by.
const SLACK: Duration = Duration::from_millis(300);
/// Twice as long as nodes are apart that beat as often as they do by default.
const REST: Duration = Duration::from_secs(10);
const MAX_TTL: Duration = Duration::from_secs(30);
const MOST_REPLICAS: u32 = 20;

/// What a restart or a fail-over may do to locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Safety {
    /// Locks hold as long as the servers keep what they acknowledged. After a restart without
    /// data, or a fail-over, a lock may be granted although its last holder still trusts it. The
    /// default, and the fastest.
    #[default]
    Plain,
    /// A majority of the servers has each grant and each renewal before it counts, and after a
    /// restart or a fail-over nothing is granted for the longest ttl. Costs a round trip between
    /// the servers for each grant.
    Strict,
}

impl fmt::Display for Safety {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Strict => "strict",
        })
    }
}

impl FromStr for Safety {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "plain" => Ok(Self::Plain),
            "strict" => Ok(Self::Strict),
            _ => Err("must be `plain` or `strict`".to_owned()),
        }
    }
}

/// Whether what is said of safety can work with the rest.
pub(crate) fn check(options: &RedisOptions) -> Result<(), OptionsError> {
    let refused = |name: &str, value: &str, why: &str| {
        Err(OptionsError::parameter(name, value, why.to_owned()))
    };
    if options.safety == Safety::Plain {
        if let Some(max_ttl) = options.max_ttl {
            let shown = format_duration(max_ttl);
            return refused("max_ttl", &shown, "needs safety=strict");
        }
        if let Some(replicas) = options.replicas {
            return refused("replicas", &replicas.to_string(), "needs safety=strict");
        }
        return Ok(());
    }
    if options.is_quorum()
        && let Some(replicas) = options.replicas
    {
        let why = "is not for a quorum, which keeps its own majority";
        return refused("replicas", &replicas.to_string(), why);
    }
    let max_ttl = options.max_ttl.unwrap_or(MAX_TTL);
    if max_ttl < Ttl::MIN || max_ttl > Ttl::MAX {
        return refused("max_ttl", &format_duration(max_ttl), "must be 50ms to 1d");
    }
    match (options.replicas, &options.servers) {
        (Some(replicas), _) if replicas > MOST_REPLICAS => {
            refused("replicas", &replicas.to_string(), "must be 0 to 20")
        }
        (None, Servers::Sentinel { .. } | Servers::Cluster(_)) => {
            let why = "needs replicas=NUMBER beside it: how many each primary has";
            refused("safety", "strict", why)
        }
        _ => Ok(()),
    }
}

/// What all clients of a deployment must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) max_ttl: Duration,
    pub(crate) replicas: u32,
}

impl Terms {
    pub(crate) fn new(options: &RedisOptions) -> Self {
        Self {
            max_ttl: options.max_ttl.unwrap_or(MAX_TTL),
            replicas: options.replicas.unwrap_or(0),
        }
    }

    /// How many replicas make a majority together with their primary.
    pub(crate) fn majority(self) -> u32 {
        self.replicas.div_ceil(2)
    }

    /// For how long nothing is granted after a restart or a fail-over.
    pub(crate) fn quarantine(self) -> Duration {
        self.max_ttl + SLACK
    }

    /// For how long nothing is claimed after a restart or a fail-over: every node has beaten by
    /// then, and has put back what it saw and the server forgot.
    pub(crate) fn rest(self) -> Duration {
        self.quarantine().max(REST)
    }

    /// What must be waited for, for so long, after a step of runs.
    pub(crate) fn copies_within(self, within: Duration) -> Copies {
        Copies {
            replicas: self.majority(),
            within,
        }
    }

    /// The last argument of each script behind [`LIFE`].
    pub(crate) fn settings(self) -> String {
        format!("{} {}", self.max_ttl.as_millis(), self.replicas)
    }

    /// What must be waited for after a grant of this ttl.
    pub(crate) fn copies(self, ttl: Duration) -> Copies {
        Copies {
            replicas: self.majority(),
            within: (ttl / 10).max(Duration::from_millis(1)),
        }
    }

    /// A ttl that no quarantine would outlast is refused before anything is asked.
    pub(crate) fn check_ttl(self, ttl: Ttl) -> Result<(), StoreError> {
        if ttl.get() <= self.max_ttl {
            return Ok(());
        }
        let (asked, most) = (format_duration(ttl.get()), format_duration(self.max_ttl));
        Err(StoreError::new(
            StoreErrorKind::InvalidRequest,
            format!(
                "a ttl of {asked} is longer than max_ttl, {most}; ask for a shorter one, or raise \
                 max_ttl for all clients"
            ),
        ))
    }

    /// Why the clients' settings cannot stand beside those that others agreed on.
    pub(crate) fn disagreement(self, theirs: &str) -> StoreError {
        let message = match theirs.split_once(' ') {
            Some((max_ttl, replicas)) => format!(
                "the other clients of this store agreed on max_ttl={max_ttl}ms and \
                 replicas={replicas}, and this one has max_ttl={}ms and replicas={}; set the same \
                 for all, or see `Strict safety` in stores/redis/README.md on changing them",
                self.max_ttl.as_millis(),
                self.replicas
            ),
            None => "the marker of strict safety cannot be read; with no lock held, delete the \
                     keys tenure:*strict:life"
                .to_owned(),
        };
        StoreError::new(StoreErrorKind::Misconfigured, message)
    }
}

/// Strict safety as one store keeps it.
#[derive(Debug)]
pub(crate) struct Strict {
    pub(crate) terms: Terms,
    pub(crate) lanes: Lanes,
    is_cluster: bool,
}

impl Strict {
    /// For a store with these options, if they ask for it.
    pub(crate) fn new(options: &RedisOptions) -> Option<Self> {
        (options.safety == Safety::Strict).then(|| Self {
            terms: Terms::new(options),
            lanes: Lanes::new(options),
            is_cluster: matches!(options.servers, Servers::Cluster(_)),
        })
    }

    /// A key of strict safety's own: one for a server, and one for each slot of a cluster, since
    /// slots move from node to node, and a script sees only one.
    pub(crate) fn key(&self, kind: &str, lock: &[u8]) -> String {
        if self.is_cluster {
            format!("tenure:{{{}}}:strict:{kind}", tag_of(lock))
        } else {
            format!("tenure:strict:{kind}")
        }
    }

    /// The last keys of each script behind [`LIFE`].
    pub(crate) fn marker_keys(&self, lock: &[u8]) -> [String; LIFE_KEYS] {
        [self.key("life", lock), self.key("quarantine", lock)]
    }

    /// Begins the quarantine of the server that has `lock`, once a majority follows it.
    pub(crate) async fn install(&self, lock: &[u8]) -> Result<(), StoreError> {
        let mut life = String::new();
        // The second time the life is known; a third is for one that ended in between.
        for _ in 0..3 {
            let mut call: Call = INSTALL.call(3).arg(self.key("claims", lock));
            for key in self.marker_keys(lock) {
                call.push(key);
            }
            let quarantine = self.terms.quarantine().as_millis();
            let rest = self.terms.rest().as_millis();
            let call = call
                .arg(&life)
                .arg(u64::try_from(quarantine).unwrap_or(u64::MAX))
                .arg(u64::try_from(rest).unwrap_or(u64::MAX))
                .arg(self.terms.settings());
            let copies = self.terms.copies(self.terms.max_ttl);
            let kept = self.lanes.run(lock, call, is_probed, &copies).await?;
            let has_majority = kept.has_majority();
            let mut reply = Reply::new(INSTALL.doing, kept.answer)?;
            match reply.text()?.as_str() {
                "installed" => {
                    tracing::warn!(
                        quarantine = ?self.terms.quarantine(),
                        "the server is new or began a new life: nothing is granted meanwhile"
                    );
                    return Ok(());
                }
                "known" => return Ok(()),
                "probed" if has_majority => life = reply.text()?,
                "probed" => {
                    return Err(self.no_quorum("begin the quarantine of a server", kept.copies));
                }
                "other" => return Err(self.terms.disagreement(&reply.text()?)),
                "evicts" => {
                    let message = format!(
                        "the server's maxmemory-policy is {}, which may throw locks away; strict \
                         safety needs noeviction",
                        reply.text()?
                    );
                    return Err(StoreError::new(StoreErrorKind::Misconfigured, message));
                }
                word => return Err(reply.unknown(word)),
            }
        }
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "begin the quarantine of a server: it changed while it was asked; try again",
        ))
    }

    /// The same for a step that is not undone.
    pub(crate) fn unconfirmed(&self, doing: &str, copies: Option<u32>) -> StoreError {
        self.no_quorum(doing, copies).with_unknown_outcome()
    }

    /// The error for a step that too few replicas acknowledged.
    pub(crate) fn no_quorum(&self, doing: &str, copies: Option<u32>) -> StoreError {
        let message = format!(
            "{doing}: no quorum: {} of {} replicas acknowledged it in time, and {} must; if this \
             lasts, look whether they follow the primary",
            copies.unwrap_or(0),
            self.terms.replicas,
            self.terms.majority()
        );
        StoreError::new(StoreErrorKind::Unavailable, message)
    }
}

fn is_probed(answer: &Value) -> bool {
    begins_with(answer, &["probed"])
}

/// Whether a script's answer begins with one of these words.
pub(crate) fn begins_with(answer: &Value, words: &[&str]) -> bool {
    let first = match answer {
        Value::Array(parts) => parts.first(),
        _ => None,
    };
    match first {
        Some(Value::BulkString(word)) => words.iter().any(|known| known.as_bytes() == word),
        _ => false,
    }
}
