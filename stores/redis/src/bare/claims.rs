//! The writes of claims in one bare script a batch, without any of the questions.

use std::fmt;

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use redis::Value;
use tenure_core::{StoreError, TaskName};

use super::wire::Wire;
use super::{failed, unexpected};
use crate::link::{Call, Script};
use crate::options::RedisOptions;

static CLAIM: Script = Script::new(
    "write bare claims",
    &[include_str!("../scripts/bare_claims.lua")],
);
/// A record as long as those that claims write.
const TAIL: &str = "0123456789abcdef0123456789abcdef 0123456789abcdef l s *";

/// Writes what claims write, into names of its own.
#[derive(Clone)]
pub struct BareClaims {
    wire: Wire,
    namespace: String,
}

impl BareClaims {
    /// Connects as a store with these options would, and writes only names that begin with
    /// `tenure:{NAMESPACE}:`.
    ///
    /// # Errors
    /// What the servers said.
    pub async fn connect(options: &RedisOptions, namespace: &str) -> Result<Self, StoreError> {
        let mut wire = Wire::connect(options).await?;
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(CLAIM.text());
        wire.run(&load, |_| true)
            .await
            .map_err(failed("load a script"))?;
        Ok(Self {
            wire,
            namespace: namespace.to_owned(),
        })
    }

    /// Writes one tick of `tasks`, in batches of `size`, so many of them at once.
    ///
    /// # Errors
    /// What the servers said.
    pub async fn write(
        &self,
        tasks: &[TaskName],
        tick: i64,
        size: usize,
        at_once: usize,
    ) -> Result<(), StoreError> {
        stream::iter(tasks.chunks(size))
            .map(|some| {
                let mut wire = self.wire.clone();
                let call = self.call(some, tick);
                async move {
                    let answer = wire.run(call.cmd(), |_| true).await;
                    match answer.map_err(failed(CLAIM.doing))? {
                        Value::Int(_) => Ok(()),
                        other => Err(unexpected(CLAIM.doing, &other)),
                    }
                }
            })
            .buffered(at_once)
            .try_collect()
            .await
    }

    /// Forgets which runs are in hand, as finished runs are forgotten.
    ///
    /// # Errors
    /// What the servers said.
    pub async fn forget_slots(&self) -> Result<(), StoreError> {
        let mut gone = redis::cmd("DEL");
        gone.arg(self.name("slots"));
        let done = self.wire.clone().run(&gone, |_| true).await;
        done.map(drop).map_err(failed("delete bare slots"))
    }

    fn name(&self, what: &str) -> String {
        format!("tenure:{{{}}}:r:{what}", self.namespace)
    }

    fn call(&self, tasks: &[TaskName], tick: i64) -> Call {
        let mut call = CLAIM.call(4 + tasks.len());
        for what in [&format!("t:{tick}"), "slots", "events", "meta"] {
            call.push(self.name(what));
        }
        for task in tasks {
            call.push(self.name(&format!("x:{}", task.as_str())));
        }
        call.push(tick);
        call.push(-tick);
        call.push(format!("{tick}s@1700000000"));
        call.push(format!("{tick}/s1"));
        for (at, task) in tasks.iter().enumerate() {
            call.push(format!("s1:{}", task.as_str()));
            call.push(format!(
                "r * * * * 1700000000 {tick} 1 = = 1700000000000000+{at} {TAIL}"
            ));
        }
        call
    }
}

impl fmt::Debug for BareClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BareClaims")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
