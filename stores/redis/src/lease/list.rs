//! Listing locks: a scan on demand, so that taking a lock writes no index.

use std::collections::BTreeSet;

use redis::Value;
use tenure_core::{Key, LeasePage, ListQuery, StoreError};

use super::view::view_of;
use crate::link::Call;
use crate::reply::{Reply, bytes_of};
use crate::store::RedisStore;

/// How many names the server looks at in one step.
const STRIDE: u32 = 1000;

impl RedisStore {
    pub(super) async fn list_leases(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        let (names, more) = self.list_names(query).await?;
        let mut leases = Vec::with_capacity(names.len());
        for key in names {
            if let Some(raw) = self.look(&key, 0).await? {
                leases.push(view_of(self, key, raw).await);
            }
        }
        Ok(LeasePage::new(leases, more))
    }

    /// The first keys that are held or waited for, and whether there are more.
    pub(crate) async fn list_names(
        &self,
        query: &ListQuery,
    ) -> Result<(Vec<Key>, bool), StoreError> {
        let limit = query.limit.clamp(1, 1000);
        let mut names = BTreeSet::new();
        self.scan(query, &mut names, limit).await?;
        let more = names.len() > limit;
        Ok((names.into_iter().take(limit).collect(), more))
    }

    /// Gathers the first names of locks and of queues, one more than `limit`.
    async fn scan(
        &self,
        query: &ListQuery,
        names: &mut BTreeSet<Key>,
        limit: usize,
    ) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let prefix = [shared.options.prefix.as_bytes(), &query.prefix].concat();
        let mut keep = |key: Key| {
            if query.after.as_ref().is_none_or(|after| key > *after) {
                names.insert(key);
                if names.len() > limit + 1 {
                    names.pop_last();
                }
            }
        };
        let queues = [b"tenure:{*}:q:".as_slice(), &escaped(&prefix), b"*"].concat();
        for name in self.scan_all(&queues, "zset").await? {
            let behind = name
                .windows(4)
                .position(|four| four == b"}:q:")
                .and_then(|at| name.get(at + 4..));
            if let Some(key) = behind.and_then(|name| shared.ears.key_of(name)) {
                keep(key);
            }
        }
        let locks = [escaped(&prefix).as_slice(), b"*"].concat();
        let candidates = self.scan_all(&locks, "string").await?;
        for some in candidates.chunks(512) {
            // Most names of a busy database are not locks; four bytes tell.
            let head = |name: &Vec<u8>| {
                Call::command("list locks", "GETRANGE")
                    .arg(name)
                    .arg(0)
                    .arg(3)
            };
            let heads = shared.link.run_all(some.iter().map(head).collect()).await;
            for (name, head) in some.iter().zip(heads) {
                let marks: [&[u8]; 2] = [b"tn1:", b"tns1"];
                let is_lock = matches!(
                    head,
                    Ok(Value::BulkString(head)) if marks.contains(&head.as_slice())
                );
                if let Some(key) = shared.ears.key_of(name).filter(|_| is_lock) {
                    keep(key);
                }
            }
        }
        Ok(())
    }

    async fn scan_all(&self, pattern: &[u8], kind: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let doing = "list locks";
        let mut found = Vec::new();
        for node in self.shared.link.nodes().await? {
            let mut cursor = "0".to_owned();
            loop {
                let call = Call::command(doing, "SCAN")
                    .arg(&cursor)
                    .arg("MATCH")
                    .arg(pattern)
                    .arg("COUNT")
                    .arg(STRIDE)
                    .arg("TYPE")
                    .arg(kind);
                let answer = self.shared.link.run_at(&node, call).await?;
                let mut reply = Reply::new(doing, answer)?;
                cursor = reply.text()?;
                for name in reply.nested()?.rest() {
                    found.push(bytes_of(doing, name)?);
                }
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// The bytes as a pattern that matches nothing else.
pub(crate) fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if b"*?[]\\^".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}
