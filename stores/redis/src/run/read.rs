//! Reads records: by name, whole, with what they printed and who had them.

use std::collections::HashMap;

use redis::Value;
use tenure_core::{RunKey, RunRecord, StoreError};

use super::name::RunName;
use super::row::Row;
use crate::link::Call;
use crate::reply::{Reply, text_of};
use crate::store::RedisStore;

/// How many records one command reads, and how many outputs, which may be large.
const ROWS: usize = 256;
const OUTPUTS: usize = 32;

impl RedisStore {
    pub(super) async fn one_run(&self, key: &RunKey) -> Result<Option<RunRecord>, StoreError> {
        let row = self.rows(std::slice::from_ref(key)).await?.pop();
        let Some(row) = row.transpose()?.flatten() else {
            return Ok(None);
        };
        Ok(self.records(vec![(key.clone(), row)]).await?.pop())
    }

    /// Which of these runs have a record.
    pub(super) async fn known_runs(&self, keys: &[RunKey]) -> Result<Vec<bool>, StoreError> {
        let names = self.run_names();
        let bucket = |key: &RunKey| names.bucket(key.tick);
        let found = self
            .read_fields("look for runs", keys, ROWS, bucket)
            .await?;
        Ok(found.into_iter().map(|value| value != Value::Nil).collect())
    }

    /// The records of these runs, as far as there are any and each can be read.
    pub(super) async fn rows(
        &self,
        keys: &[RunKey],
    ) -> Result<Vec<Result<Option<Row>, StoreError>>, StoreError> {
        let doing = "read runs";
        let names = self.run_names();
        let bucket = |key: &RunKey| names.bucket(key.tick);
        let found = self.read_fields(doing, keys, ROWS, bucket).await?;
        let rows = keys.iter().zip(found).map(|(key, value)| match value {
            Value::BulkString(value) => Row::read(key, &bucket(key), &value).map(Some),
            _ => Ok(None),
        });
        Ok(rows.collect())
    }

    /// What the store knows of runs whose records were read.
    pub(super) async fn records(
        &self,
        found: Vec<(RunKey, Row)>,
    ) -> Result<Vec<RunRecord>, StoreError> {
        let doing = "read outputs";
        let printed = found.iter().filter(|(_, row)| row.has_output);
        let printed: Vec<RunKey> = printed.map(|(key, _)| key.clone()).collect();
        let names = self.run_names();
        let place = |key: &RunKey| names.outputs(key.tick);
        let values = self.read_fields(doing, &printed, OUTPUTS, place).await?;
        let mut outputs = HashMap::new();
        for (key, value) in printed.into_iter().zip(values) {
            if value != Value::Nil {
                outputs.insert(key, text_of(doing, value)?);
            }
        }
        let nodes = found.iter().flat_map(|(_, row)| row.nodes());
        let who = self.holders(nodes).await?;
        let records = found.into_iter().map(|(key, row)| {
            let output = outputs.remove(&key);
            row.into_record(key, output, |node| who.get(&node).cloned())
        });
        Ok(records.collect())
    }

    /// The fields of runs in hashes named after their ticks. Runs of one tick stand together.
    async fn read_fields(
        &self,
        doing: &'static str,
        keys: &[RunKey],
        most: usize,
        place: impl Fn(&RunKey) -> String,
    ) -> Result<Vec<Value>, StoreError> {
        let mut values = Vec::with_capacity(keys.len());
        for part in keys.chunks(most) {
            let mut calls: Vec<Call> = Vec::new();
            for of_tick in part.chunk_by(|a, b| a.tick == b.tick) {
                let Some(first) = of_tick.first() else {
                    continue;
                };
                let mut call = Call::command(doing, "HMGET").arg(place(first));
                for key in of_tick {
                    call.push(RunName::new(key)?.field);
                }
                calls.push(call);
            }
            for answer in self.shared.link.run_all(calls).await {
                values.extend(Reply::new(doing, answer?)?.rest());
            }
        }
        Ok(values)
    }
}
