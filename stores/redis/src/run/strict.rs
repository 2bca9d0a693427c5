//! Steps after which user code runs, under strict safety: a claim, a take, a start.
//!
//! Such a step counts when a majority has it; before that its sender is told that the outcome is
//! unknown, and asks again with the same token. And a server in a new life lets nobody claim or
//! take for a while, so that nodes can put back what it forgot before anybody wins it again. Under
//! plain safety everything here is an ordinary request.

use redis::Value;
use tenure_core::{StoreError, StoreErrorKind, format_duration};

use crate::link::Call;
use crate::reply::Reply;
use crate::safety::begins_with;
use crate::store::RedisStore;

/// How many lives of a server one request may meet.
const MOST_LIVES: usize = 3;

/// What stands before a script that claims or takes.
macro_rules! guarded {
    ($doing:literal, $($part:expr),+ $(,)?) => {
        $crate::link::Script::new(
            $doing,
            &[$crate::safety::LIFE, $crate::safety::GUARD, $($part),+],
        )
        .with_last($crate::safety::LIFE_KEYS)
    };
}

/// What stands before a script that says again what was done before: a `WAIT` that follows waits
/// for that too.
macro_rules! touching {
    ($doing:literal, $($part:expr),+ $(,)?) => {
        $crate::link::Script::new(
            $doing,
            &[include_str!("../scripts/strict_touch.lua"), $($part),+],
        )
        .with_last(1)
    };
}

pub(super) use {guarded, touching};

impl RedisStore {
    /// One of two scripts, whichever goes with the safety that is in force.
    pub(super) fn by_safety<T>(&self, plain: T, strict: T) -> T {
        if self.shared.strict.is_some() {
            strict
        } else {
            plain
        }
    }

    /// The keys that a guarded script has behind its own.
    pub(super) fn guards(&self) -> Vec<String> {
        let name = self.run_names().of("meta");
        let strict = self.shared.strict.as_ref();
        strict.map_or_else(Vec::new, |strict| {
            let lock = name.as_bytes();
            vec![strict.key("life", lock), strict.key("claims", lock)]
        })
    }

    /// The key that a touching script has behind its own.
    pub(super) fn touches(&self) -> Vec<String> {
        let name = self.run_names().of("meta");
        let strict = self.shared.strict.as_ref();
        strict.map_or_else(Vec::new, |strict| {
            vec![strict.key("touch", name.as_bytes())]
        })
    }

    /// The last argument of a guarded script.
    pub(super) fn push_settings(&self, call: &mut Call) {
        if let Some(strict) = &self.shared.strict {
            call.push(strict.terms.settings());
        }
    }

    /// Sends a step, and if its answer `counts`, user code may run because of it: then a majority
    /// must have it.
    pub(super) async fn send_to_count(
        &self,
        call: Call,
        counts: impl Fn(&Value) -> bool,
    ) -> Result<Value, StoreError> {
        let Some(strict) = &self.shared.strict else {
            return self.send(call).await;
        };
        let doing = call.doing;
        let name = self.run_names().of("meta");
        let copies = strict.terms.copies_within(self.shared.options.timeout);
        for _ in 0..MOST_LIVES {
            let sending = strict
                .lanes
                .run(name.as_bytes(), call.clone(), &counts, &copies);
            let mut kept = sending.await?;
            let answer = std::mem::replace(&mut kept.answer, Value::Nil);
            if begins_with(&answer, &["unmarked"]) {
                // The connection is needed for what comes next.
                drop(kept);
                strict.install(name.as_bytes()).await?;
            } else if begins_with(&answer, &["quarantined"]) {
                let mut reply = Reply::new(doing, answer)?;
                let (_, _) = (reply.text()?, reply.timestamp()?);
                return Err(kept_back(doing, reply.number()?));
            } else if begins_with(&answer, &["other"]) {
                let mut reply = Reply::new(doing, answer)?;
                let _ = reply.text()?;
                return Err(strict.terms.disagreement(&reply.text()?));
            } else if kept.has_majority() || !counts(&answer) {
                return Ok(answer);
            } else {
                let error = strict.no_quorum(doing, kept.copies);
                self.look_for_the_primary(strict, name.as_bytes(), &kept);
                return Err(error.with_unknown_outcome());
            }
        }
        let message = format!("{doing}: the server changed while it was asked; try again");
        Err(StoreError::new(StoreErrorKind::Unavailable, message))
    }
}

/// The error while nodes put back what a server may have forgotten.
fn kept_back(doing: &str, left_ms: u64) -> StoreError {
    let left = format_duration(std::time::Duration::from_millis(left_ms));
    let message = format!(
        "{doing}: nothing is claimed for another {left}: the server began a new life, by a restart \
         or a fail-over, and nodes put back what it may have forgotten"
    );
    StoreError::new(StoreErrorKind::Unavailable, message)
}
