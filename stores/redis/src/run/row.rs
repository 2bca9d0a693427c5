//! Reads records as the scripts write them; `scripts/run_record.lua` says how that is.
//!
//! A record comes from the server and may be anything. Whatever cannot be read is told with the key
//! it stands under and what to do.

#![expect(
    clippy::option_option,
    reason = "the outer says whether a field can be read, the inner whether it has a value"
)]

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use tenure_core::{
    AttemptRecord, Claim, Fence, Generation, Holder, OnCrash, Refusal, RunKey, RunKind, RunRecord,
    RunRef, RunState, StoreError, StoreErrorKind, Timestamp, Token,
};

use super::rule::Rule;
use super::state::state_of;
use crate::error::shown;

/// The longest record that is looked at.
const MOST_BYTES: usize = 1 << 20;

/// A node as records name it.
pub(super) type NodeNumber = u64;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) state: RunState,
    pub(super) attempt: u32,
    /// Of the current attempt; nothing once a recovery took it away.
    pub(super) token: Option<Token>,
    pub(super) node: Option<NodeNumber>,
    pub(super) has_output: bool,
    /// What keeps a run back that waits, or that was left out by overlap or a limit.
    pub(super) kept_back: Option<Refusal>,
    pub(super) since: Timestamp,
    claimed: Option<Timestamp>,
    started: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    due: Option<Timestamp>,
    fence: Option<Fence>,
    generation: Option<Generation>,
    on_crash: OnCrash,
    exit_code: Option<i32>,
    asked: Option<String>,
    reason: Option<String>,
    attempts: Vec<AttemptRow>,
}

/// An attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AttemptRow {
    attempt: u32,
    state: RunState,
    node: Option<NodeNumber>,
    started: Option<Timestamp>,
    ended: Timestamp,
    reason: Option<String>,
}

/// The parts of a line, each of which must be there.
struct Parts<'t>(std::str::SplitN<'t, char>);

impl<'t> Parts<'t> {
    fn next(&mut self) -> Option<&'t str> {
        self.0.next()
    }

    fn parse<T: FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    /// A part that is `*` if there is nothing.
    fn maybe<T: FromStr>(&mut self) -> Option<Option<T>> {
        match self.next()? {
            "*" => Some(None),
            text => text.parse().ok().map(Some),
        }
    }

    fn maybe_time(&mut self, equal: Option<Timestamp>) -> Option<Option<Timestamp>> {
        read_time(self.next()?, equal)
    }

    fn maybe_with<T>(&mut self, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
        match self.next()? {
            "*" => Some(None),
            text => read(text).map(Some),
        }
    }
}

impl Row {
    /// Reads the record of `key`, which stands under `bucket`.
    pub(super) fn read(key: &RunKey, bucket: &str, value: &[u8]) -> Result<Self, StoreError> {
        let text = std::str::from_utf8(value).ok();
        let text = text.filter(|text| text.len() <= MOST_BYTES);
        text.and_then(|text| Self::parse(key, text))
            .ok_or_else(|| unreadable("the record", bucket, key))
    }

    fn parse(key: &RunKey, text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let mut parts = Parts(lines.next()?.splitn(16, ' '));
        let state = state_of(parts.next()?)?;
        let ended = parts.next()?;
        let due = parts.maybe_time(None)?;
        let exit_code = parts.maybe()?;
        let has_output = match parts.next()? {
            "*" => false,
            "o" => true,
            _ => return None,
        };
        let node = parts.maybe()?;
        let since = Timestamp::from_millis(parts.parse()?);
        let ended = read_time(ended, Some(since))?;
        let attempt = parts.parse()?;
        let claimed = parts.maybe_time(Some(since))?;
        let started = parts.maybe_time(claimed)?;
        let fence = read_fence(parts.next()?)?;
        let token = parts.maybe()?;
        let generation = parts.maybe_with(|text| Generation::new(text).ok())?;
        let on_crash = read_crash(parts.next()?)?;
        let rule = Rule::read(parts.next()?)?;
        let kept_back = parts.maybe_with(|word| rule.kept_back(key, word))?;
        let reason = match lines.next() {
            Some(line) => read_reason(line)?,
            None => None,
        };
        let mut attempts: Vec<AttemptRow> = lines.map(AttemptRow::parse).collect::<Option<_>>()?;
        let is_asked = attempts.first().is_some_and(|first| first.attempt == 0);
        let asked = is_asked.then(|| attempts.remove(0).reason).flatten();
        let (asked, reason) = match (asked, reason) {
            (None, Some(reason)) if says_who_asked(key, &reason) => (Some(reason), None),
            other => other,
        };
        Some(Self {
            state,
            attempt,
            token,
            node,
            has_output,
            kept_back,
            since,
            claimed,
            started,
            ended,
            due,
            fence,
            generation,
            on_crash,
            exit_code,
            asked,
            reason,
            attempts,
        })
    }

    /// The claim as its node knows it; nothing for a run that nobody has in hand.
    pub(super) fn claim(&self, key: &RunKey) -> Option<Claim> {
        if !self.state.is_active() {
            return None;
        }
        let run = RunRef::new(key.clone(), self.attempt, self.token?);
        let mut claim = Claim::new(run, self.fence?, self.claimed?, self.on_crash);
        claim.asked = self.asked.as_deref().map(Arc::from);
        Some(claim)
    }

    /// The nodes that the record names.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeNumber> {
        let earlier = self.attempts.iter().filter_map(|attempt| attempt.node);
        self.node.into_iter().chain(earlier)
    }

    /// The whole record. `who` knows the nodes that are still remembered.
    pub(super) fn into_record(
        self,
        key: RunKey,
        output: Option<String>,
        who: impl Fn(NodeNumber) -> Option<Holder>,
    ) -> RunRecord {
        let mut record = RunRecord::new(key, self.state, self.since);
        record.attempt = self.attempt;
        record.fence = self.fence;
        record.node = self.node.and_then(&who);
        record.generation = self.generation;
        record.on_crash = self.on_crash;
        record.claimed_at = self.claimed;
        record.ended_at = self.ended;
        record.set_started(self.started);
        record.due_at = self.due;
        record.asked = self.asked;
        record.reason = self
            .reason
            .or_else(|| self.kept_back.as_ref().and_then(Refusal::obstacle));
        record.exit_code = self.exit_code;
        record.output = output;
        for earlier in self.attempts {
            let mut attempt = AttemptRecord::new(earlier.attempt, earlier.state, earlier.ended);
            attempt.node = earlier.node.and_then(&who);
            attempt.started_at = earlier.started;
            attempt.reason = earlier.reason;
            record.attempts.push(attempt);
        }
        record
    }
}

impl AttemptRow {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = Parts(line.splitn(7, ' '));
        let attempt = parts.parse()?;
        let state = state_of(parts.next()?)?;
        let node = parts.maybe()?;
        let started = parts.maybe_time(None)?;
        let ended = Timestamp::from_millis(parts.parse()?);
        parts.maybe::<Token>()?;
        let reason = read_reason(parts.next()?)?;
        Some(Self {
            attempt,
            state,
            node,
            started,
            ended,
            reason,
        })
    }
}

/// What a crash does, as the records say it.
pub(super) fn crash_of(on_crash: OnCrash) -> Result<String, StoreError> {
    match on_crash {
        OnCrash::Lose => Ok("l".to_owned()),
        OnCrash::Retry { max_attempts } => Ok(max_attempts.to_string()),
        other => Err(StoreError::new(
            StoreErrorKind::InvalidRequest,
            format!("this store does not know the crash rule {other:?}; upgrade tenure"),
        )),
    }
}

fn read_crash(text: &str) -> Option<OnCrash> {
    if text == "l" {
        return Some(OnCrash::Lose);
    }
    let max_attempts = text.parse().ok()?;
    Some(OnCrash::Retry { max_attempts })
}

/// Reads an instant, which may be the same as another.
fn read_time(text: &str, equal: Option<Timestamp>) -> Option<Option<Timestamp>> {
    match text {
        "*" => Some(None),
        "=" => equal.map(Some),
        text => text.parse().ok().map(|ms| Some(Timestamp::from_millis(ms))),
    }
}

/// Reads `FENCE+OFFSET`: of a batch, the records differ in the offset only.
fn read_fence(text: &str) -> Option<Option<Fence>> {
    let (fence, offset) = text.split_once('+').unwrap_or((text, "0"));
    if fence == "*" {
        return Some(None);
    }
    let (fence, offset): (u64, u64) = (fence.parse().ok()?, offset.parse().ok()?);
    fence.checked_add(offset).map(|sum| Some(Fence::new(sum)))
}

fn read_reason(line: &str) -> Option<Option<String>> {
    if line.is_empty() {
        return Some(None);
    }
    serde_json::from_str(line).ok().map(Some)
}

/// Whether the reason of a run is who asked for it, as an older tenure kept it.
fn says_who_asked(key: &RunKey, reason: &str) -> bool {
    let is_due = || reason.starts_with("due ") && reason.contains(" after the end of ");
    key.kind != RunKind::Scheduled
        && (reason.starts_with("asked for by ")
            || reason.starts_with("backfill ")
            || reason.starts_with("due at once: ")
            || is_due())
}

/// A text as records keep it: a JSON string, which holds no line break. Nothing is an empty text.
pub(super) fn write_reason(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |text| {
        serde_json::Value::from(text).to_string()
    })
}

/// The error for something of a run that cannot be read.
pub(super) fn unreadable(what: &str, bucket: &str, run: impl Display) -> StoreError {
    let run = shown(&run.to_string());
    let message = format!(
        "{what} of {run} in `{bucket}` cannot be read; upgrade tenure if a newer one wrote it, \
         otherwise remove it there with HDEL"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

/// Tells of something that cannot be read where an error would keep good answers back.
pub(super) fn report(error: &StoreError) {
    tracing::error!("{error}");
}

/// The error for a text under `place` that is not as this store writes it.
pub(super) fn not_ours(what: &str, place: &str, text: &[u8]) -> StoreError {
    let text = shown(&String::from_utf8_lossy(text));
    let message = format!(
        "{what} `{text}` in `{place}` cannot be read; upgrade tenure if a newer one wrote it, \
         otherwise remove it there"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tenure_core::TaskName;

    use super::*;

    fn key() -> RunKey {
        RunKey::scheduled(TaskName::new("t").unwrap(), Timestamp::from_millis(5), 1)
    }

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_claim_is_read_with_the_offset_of_its_fence() {
        let text = format!("r * * * * 17 1000 1 = = 500+7 {TOKEN} g1 3 s *");
        let row = Row::read(&key(), "bucket", text.as_bytes()).unwrap();
        let claim = row.claim(&key()).unwrap();
        assert_eq!(claim.fence, Fence::new(507));
        assert_eq!(claim.claimed_at, Timestamp::from_millis(1000));
        assert_eq!(claim.on_crash, OnCrash::Retry { max_attempts: 3 });
        let record = row.into_record(key(), None, |_| None);
        assert_eq!(record.started_at, Some(Timestamp::from_millis(1000)));
        assert_eq!((record.ended_at, record.due_at), (None, None));
    }

    #[test]
    fn earlier_attempts_and_reasons_are_read_as_they_were_written() {
        let reason = write_reason(Some("a \"b\"\n\0é"));
        let text = format!(
            "w * 70 -1 o 9 1 2 5 * 3+0 * g1 l a *\n{reason}\n1 f 8 2 3 {TOKEN} \n\
             2 l 9 * 4 * {reason}"
        );
        let row = Row::read(&key(), "bucket", text.as_bytes()).unwrap();
        assert_eq!(row.nodes().collect::<Vec<_>>(), [9, 8, 9]);
        assert!(row.has_output && row.claim(&key()).is_none());
        let record = row.into_record(key(), Some("out".to_owned()), |_| None);
        assert_eq!(record.reason.as_deref(), Some("a \"b\"\n\0é"));
        assert_eq!(record.exit_code, Some(-1));
        assert_eq!(record.due_at, Some(Timestamp::from_millis(70)));
        assert_eq!(record.attempts.len(), 2);
        assert_eq!(record.attempts[0].reason, None);
        assert_eq!(record.attempts[1].reason.as_deref(), Some("a \"b\"\n\0é"));
    }

    #[test]
    fn s60_who_asked_is_read_as_this_tenure_and_as_an_older_one_keep_it() {
        let id = tenure_core::RequestId::new("r1").unwrap();
        let manual = RunKey::manual(key().task, key().tick, 1, id);
        let read = |key: &RunKey, rest: &str| {
            let text = format!("f * * 3 * 9 1 1 5 = 3+0 * g1 l s *\n{rest}");
            let row = Row::read(key, "bucket", text.as_bytes()).unwrap();
            let record = row.into_record(key.clone(), None, |_| None);
            (record.asked, record.reason, record.attempts.len())
        };
        let text = |text: &str| Some(text.to_owned());
        for (key, kept, asked, reason, attempts) in [
            (
                &manual,
                "\n0 w * * 0 * \"asked for by eve\"",
                text("asked for by eve"),
                None,
                0,
            ),
            (
                &manual,
                "\"status 3\"\n0 w * * 0 * \"ann\"\n1 f 8 2 3 * \"status 2\"",
                text("ann"),
                text("status 3"),
                1,
            ),
            (
                &manual,
                "\"asked for by eve: a\"",
                text("asked for by eve: a"),
                None,
                0,
            ),
            (
                &manual,
                "\"due 5s after the end of x (lost)\"\n1 f 8 2 3 * ",
                text("due 5s after the end of x (lost)"),
                None,
                1,
            ),
            (
                &manual,
                "\"due to the weather\"",
                None,
                text("due to the weather"),
                0,
            ),
            (
                &key(),
                "\"asked for by eve\"",
                None,
                text("asked for by eve"),
                0,
            ),
        ] {
            assert_eq!(read(key, kept), (asked, reason, attempts), "{kept}");
        }
    }

    #[test]
    fn f38_a_record_that_is_none_is_told_with_its_key_and_what_to_do() {
        for value in [
            b"".as_slice(),
            b"\xff",
            b"z * * * * 1 1 1 = = 1 * g1 l s *",
            b"r * * * * 1 1 1 = = 1 * g1 l s",
            b"r * * * * -1 1 1 = = 1 * g1 l s *",
            b"r * * * * 1 x 1 = = 1 * g1 l s *",
            b"r * * * * 1 1 1 = = 1+x * g1 l s *",
            b"r * * * * 1 1 1 = = 18446744073709551615+1 * g1 l s *",
            b"r * * * * 1 1 1 = = 1 0123 g1 l s *",
            b"r * * * * 1 1 1 = = 1 * g;1 l s *",
            b"r * * * * 1 1 1 = = 1 * g1 l z *",
            b"r * * * q 1 1 1 = = 1 * g1 l s *",
            b"r * * * * 1 1 1 = = 1 * g1 l s 5q",
            b"r * = * * 1 1 1 = = 1 * g1 l s *",
            b"r * * * * 1 1 1 * = 1 * g1 l s *",
            b"r * * * * 1 1 1 = = 1 * g1 l s *\nnot json",
            b"r * * * * 1 1 1 = = 1 * g1 l s *\n\n1 f",
        ] {
            let error = Row::read(&key(), "bucket", value).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            let text = error.to_string();
            assert!(text.contains("`bucket`") && text.contains("HDEL"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn f38_no_record_breaks_the_reader(
            value in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Row::read(&key(), "bucket", &value);
        }

        #[test]
        fn f38_no_damaged_record_breaks_the_reader(at in 0_usize..90, byte in any::<u8>()) {
            let text = format!("r * * * * 17 1000 1 = = 500+7 {TOKEN} g1 3 s *\n\"why\"");
            let mut value = text.into_bytes();
            if let Some(place) = value.get_mut(at) {
                *place = byte;
            }
            let _ = Row::read(&key(), "bucket", &value);
        }
    }
}
