//! One lock taken or given back, as it is asked for alone and beside others.
//!
//! As long as it waits to be sent, a step is a few numbers and a shared name. It becomes text once:
//! in a call of its own, or in the request of a batch, where what all have in common stands once.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::Cmd;
use tenure_core::{HolderId, Key, Token, Ttl};

use super::{
    ACQUIRE, ACQUIRE_PACKED, ACQUIRE_PARTS, RELEASE, RELEASE_PACKED, RELEASE_PARTS, push_keys,
};
use crate::link::{BatchScript, Call, Member, Script};
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
/// How many texts a packed request has, and how many bytes besides the lock's name and the terms.
const PARTS: usize = 5;
const PACKED: usize = 160;
/// What [`Wording::naming`] may be. A lock whose name happens to be in the slot of all others'
/// records proves nothing; then the next one is refused before anything is done.
const UNPROVEN: u8 = 0;
const PROVEN: u8 = 1;
const REFUSED: u8 = 2;
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
    /// What is known of the server and of keys that a request does not name.
    naming: AtomicU8,
    /// What stands behind the token in the request of a release that goes alone.
    behind_token: Vec<u8>,
    /// The latest terms of an acquisition that went alone, as they stand in its request: others
    /// nearly always have the same.
    latest: Mutex<Option<(Terms, Arc<[u8]>)>>,
}

impl Wording {
    pub(crate) fn new(options: &RedisOptions, way_back: String) -> Self {
        let claim_window = super::window_ms(options);
        Self {
            prefix: options.prefix.as_bytes().to_vec(),
            tags: options.tags(),
            claim_window,
            max_waiters: options.max_waiters,
            way_back,
            naming: AtomicU8::new(UNPROVEN),
            behind_token: format!(": {claim_window}").into_bytes(),
            latest: Mutex::default(),
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
        if self.tags == Tags::One {
            return self.packed(step);
        }
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

    /// Something that names keys of several slots was done: one server has them all.
    pub(crate) fn prove(&self) {
        if self.naming.load(Ordering::Relaxed) == UNPROVEN {
            // Unless another request was just refused.
            let (known, now) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.naming.compare_exchange(UNPROVEN, PROVEN, known, now);
        }
    }

    fn is_proven(&self) -> bool {
        self.naming.load(Ordering::Relaxed) == PROVEN
    }

    /// The server does not do this request because it names too few keys: the same with all of
    /// them, as all others from now on.
    pub(crate) fn named(&self, call: &Call) -> Call {
        self.naming.store(REFUSED, Ordering::Relaxed);
        let name = call.first_key();
        call.on_keys(4, |call| push_keys(call, &name, self.tags))
    }

    /// The same with one key and one text, where one server has all keys. Until that is proven, the
    /// keys that the script makes itself are named as well: a node of a cluster, or a proxy before
    /// one, then refuses the first request, before anything is done.
    fn packed(&self, step: &Step) -> Call {
        let name = self.name(&step.key);
        let token = step.token.to_hex();
        let bytes = name.len() + PACKED;
        let begun = |script: &'static Script, bytes| {
            if self.is_proven() {
                let mut call = script.sized_call(1, PARTS, bytes).packed();
                call.push(&*name);
                return call;
            }
            super::on_keys(&name, self.tags, script)
        };
        match step.want {
            Want::Release => {
                let mut call = begun(&RELEASE_PACKED, bytes);
                call.push_joined(&[b"tn1:", &token, &self.behind_token]);
                call
            }
            Want::Acquire(terms) => {
                let written = self.written(terms);
                let mut call = begun(&ACQUIRE_PACKED, bytes + written.len());
                call.push_joined(&[b"tn1:", &token, b"::", &written]);
                call
            }
        }
    }

    /// What stands behind the token in the request of an acquisition that goes alone.
    fn written(&self, terms: Terms) -> Arc<[u8]> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, written)) = &*latest
            && *known == terms
        {
            return written.clone();
        }
        let ttl = terms.ttl.as_millis();
        let text = format!(" {ttl} {}", self.rest(terms));
        let written: Arc<[u8]> = [terms.holder.to_hex().as_slice(), text.as_bytes()]
            .concat()
            .into();
        *latest = Some((terms, written.clone()));
        written
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

/// The requests of a pair that waits in line, as this store writes them, on the lock `name`.
#[cfg(feature = "bare")]
pub(crate) fn pair_of_calls(wording: &Wording, key: &Key, terms: (HolderId, Ttl)) -> [Call; 2] {
    let (token, keep) = (Token::random(), Duration::from_secs(15));
    let acquire = Step::acquire(key, token, terms, keep, true);
    [acquire, Step::release(key, token)].map(|step| wording.call(&step))
}

/// The scripts that such requests may name.
#[cfg(feature = "bare")]
pub(crate) fn pair_of_texts() -> [&'static str; 4] {
    [
        ACQUIRE.text(),
        RELEASE.text(),
        ACQUIRE_PACKED.text(),
        RELEASE_PACKED.text(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wording: &Wording, step: &Step) -> usize {
        // A script, its digest, how many keys, and one text behind them.
        wording.call(step).cmd().args_iter().count() - 4
    }

    #[test]
    fn r48_a_request_names_four_keys_until_one_server_is_known_to_have_all_and_then_one() {
        let options = RedisOptions::from_url("redis://127.0.0.1:1").unwrap();
        let wording = Wording::new(&options, String::new());
        let (key, token) = (Key::new("k").unwrap(), Token::random());
        let terms = (
            HolderId::random(),
            Ttl::new(Duration::from_secs(1)).unwrap(),
        );
        let acquire = Step::acquire(&key, token, terms, Duration::ZERO, false);
        let release = Step::release(&key, token);
        assert_eq!(
            [&acquire, &release].map(|step| names(&wording, step)),
            [4, 4]
        );
        wording.prove();
        assert_eq!(
            [&acquire, &release].map(|step| names(&wording, step)),
            [1, 1]
        );
        // What the server refused for its keys is asked again with all of them, and so are others.
        let refused = wording.call(&release);
        let (named, again) = (wording.named(&refused), wording.call(&release));
        assert_eq!(
            named.cmd().get_packed_command(),
            again.cmd().get_packed_command()
        );
        wording.prove();
        assert_eq!(
            [&acquire, &release].map(|step| names(&wording, step)),
            [4, 4]
        );
    }
}
