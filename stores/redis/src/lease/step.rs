//! One lock taken or given back, as it is asked for alone and beside others.
//!
//! As long as it waits to be sent, a step is a few numbers and a shared name. It becomes text once:
//! in a call of its own, or in the request of a batch, where what all have in common stands once.

use std::borrow::Cow;
use std::time::Duration;

use redis::Cmd;
use tenure_core::{HolderId, Key, Token, Ttl};

use super::{ACQUIRE, ACQUIRE_PARTS, RELEASE, RELEASE_PARTS, push_keys};
use crate::link::{BatchScript, Call, Member};
use crate::options::RedisOptions;
use crate::slots::Tags;

/// Releases come first: somebody may wait for what they free.
static BATCH: BatchScript = BatchScript::new(
    [RELEASE_PARTS, ACQUIRE_PARTS],
    include_str!("../scripts/lease_batch.lua"),
);
/// What a request of a batch has besides the locks' names, their marks, tags and terms: how long
/// numbers and heads of arguments are.
const HEADS: usize = 256;
/// What a lock costs in a request besides its name: a mark, a tag, and the heads of arguments.
const EACH: usize = 64;
/// What stands before the names of our records about the locks of a batch, whose keys are all in
/// one server: see [`Tags::One`].
const OF_ALL: &str = "tenure:{0}:";

/// A step on one lock.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    key: Key,
    token: Token,
    want: Want,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Release,
    Acquire(Terms),
}

/// What most acquisitions of a client have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms {
    holder: HolderId,
    ttl: Ttl,
    /// For how long a place is kept; zero if none is taken.
    keep: Duration,
    /// Whether the server can push to us.
    is_heard: bool,
}

impl Step {
    pub(crate) fn release(key: &Key, token: Token) -> Self {
        Self {
            key: key.clone(),
            token,
            want: Want::Release,
        }
    }

    pub(crate) fn acquire(
        key: &Key,
        token: Token,
        (holder, ttl): (HolderId, Ttl),
        keep: Duration,
        is_heard: bool,
    ) -> Self {
        let terms = Terms {
            holder,
            ttl,
            keep,
            is_heard,
        };
        Self {
            key: key.clone(),
            token,
            want: Want::Acquire(terms),
        }
    }

    pub(crate) fn member(&self) -> Member {
        match self.want {
            Want::Release => Member::First,
            Want::Acquire(_) => Member::Second,
        }
    }

    pub(crate) fn doing(&self) -> &'static str {
        match self.want {
            Want::Release => RELEASE.doing,
            Want::Acquire(_) => ACQUIRE.doing,
        }
    }

    fn terms(&self) -> Option<Terms> {
        match self.want {
            Want::Release => None,
            Want::Acquire(terms) => Some(terms),
        }
    }
}

/// How the steps of one store are written.
#[derive(Debug)]
pub(crate) struct Wording {
    prefix: Vec<u8>,
    tags: Tags,
    claim_window: u64,
    max_waiters: u32,
    /// How one server reaches us.
    way_back: String,
}

impl Wording {
    pub(crate) fn new(options: &RedisOptions, way_back: String) -> Self {
        Self {
            prefix: options.prefix.as_bytes().to_vec(),
            tags: options.tags(),
            claim_window: super::window_ms(options),
            max_waiters: options.max_waiters,
            way_back,
        }
    }

    pub(crate) fn way_back(&self) -> &str {
        &self.way_back
    }

    /// The lock's name in the server.
    fn name<'a>(&self, key: &'a Key) -> Cow<'a, [u8]> {
        if self.prefix.is_empty() {
            Cow::Borrowed(key.as_bytes())
        } else {
            Cow::Owned([self.prefix.as_slice(), key.as_bytes()].concat())
        }
    }

    /// The call that makes this step alone.
    pub(crate) fn call(&self, step: &Step) -> Call {
        let script = match step.want {
            Want::Release => &RELEASE,
            Want::Acquire(_) => &ACQUIRE,
        };
        let mut call = script.call(4);
        push_keys(&mut call, &self.name(&step.key), self.tags);
        call.push(&step.token.to_hex());
        match step.want {
            Want::Release => call.push(self.claim_window),
            Want::Acquire(terms) => {
                call.push(&terms.holder.to_hex());
                call.push(terms.ttl.as_millis());
                call.push(self.rest(terms));
            }
        }
        call
    }

    /// What a lock that is free need not read: see acquire.lua.
    fn rest(&self, terms: Terms) -> String {
        let channel = if terms.is_heard { self.way_back() } else { "" };
        let (keep_ms, window_ms) = (terms.keep.as_millis(), self.claim_window);
        let most = self.max_waiters;
        format!("{keep_ms} {window_ms} {most} {channel}")
    }

    /// How large a step is in a request.
    pub(crate) fn size(&self, step: &Step) -> usize {
        self.prefix.len() + step.key.as_bytes().len() + EACH
    }

    /// The request that makes these steps in one go: first the releases, then the acquisitions.
    /// With the script's text if the server does not have it.
    pub(crate) fn request<'a>(
        &self,
        releases: &(impl ExactSizeIterator<Item = &'a Step> + Clone),
        acquisitions: &(impl ExactSizeIterator<Item = &'a Step> + Clone),
        brings_script: bool,
    ) -> Cmd {
        let (first, count) = (releases.len(), releases.len() + acquisitions.len());
        let all = || releases.clone().chain(acquisitions.clone());
        let bytes = all().map(|step| self.size(step)).sum::<usize>();
        let mut cmd = BATCH.begin(brings_script, count + 8, bytes + HEADS);
        cmd.arg(count);
        let mut marks = Vec::with_capacity(36 * count);
        for step in all() {
            let name = self.name(&step.key);
            cmd.arg(&*name);
            marks.extend_from_slice(b"tn1:");
            marks.extend_from_slice(&step.token.to_hex());
        }
        cmd.arg(first).arg(self.claim_window).arg(marks).arg(OF_ALL);
        let mut terms = acquisitions.clone().filter_map(Step::terms);
        let usual = terms.next();
        let are_usual = terms.all(|terms| Some(terms) == usual);
        let written = if are_usual { 1 } else { acquisitions.len() };
        let terms = acquisitions.clone().filter_map(Step::terms);
        for terms in terms.take(written) {
            self.add_terms(&mut cmd, terms);
        }
        if usual.is_none() {
            // Read by nobody; so the script can tell one set of terms from one for each.
            cmd.arg("").arg("").arg("");
        }
        cmd
    }

    fn add_terms(&self, cmd: &mut Cmd, terms: Terms) {
        cmd.arg(&terms.holder.to_hex())
            .arg(terms.ttl.as_millis())
            .arg(self.rest(terms));
    }
}

/// The scripts of a pair that waits in line, as a store runs them, on a lock called `name`.
#[cfg(feature = "bare")]
pub(crate) fn pair_of_calls(
    (name, tags): (&[u8], Tags),
    token: &str,
    holder: &str,
    channel: &str,
) -> [Call; 2] {
    let window = 2_000;
    let mut acquire = super::on_keys(name, tags, &ACQUIRE)
        .arg(token)
        .arg(holder)
        .arg(10_000);
    let most = crate::options::MAX_WAITERS;
    acquire.push_text(format_args!("15000 {window} {most} {channel}"));
    let release = super::on_keys(name, tags, &RELEASE).arg(token).arg(window);
    [acquire, release]
}

/// The texts of those scripts.
#[cfg(feature = "bare")]
pub(crate) fn pair_of_texts() -> [&'static str; 2] {
    [ACQUIRE.text(), RELEASE.text()]
}
