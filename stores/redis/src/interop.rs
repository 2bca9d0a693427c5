//! What the origin's task scheduling writes, for fleets in which its instances and ours run side by
//! side: one plain key for each execution, taken once and left to expire.

use std::time::Duration;

use redis::Value;
use tenure_core::{StoreError, StoreErrorKind};

use crate::link::Call;
use crate::store::RedisStore;

impl RedisStore {
    /// Sets `name` to `value` for `keep`, unless it exists: `SET name value NX PX keep`. True if it
    /// did not.
    ///
    /// The key is exactly `name`; the store's prefix does not count. Nothing deletes it but its
    /// end, so of all who ask within `keep` one is told true.
    ///
    /// # Errors
    /// As every step of a store. A request whose connection broke is not sent again, because its
    /// second answer could not be told from somebody else's key: its outcome is then unknown.
    pub async fn take_name(
        &self,
        name: &[u8],
        value: &[u8],
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        if keep_ms == 0 {
            return Err(StoreError::new(
                StoreErrorKind::InvalidRequest,
                "take a name: it must be kept for 1ms at least",
            ));
        }
        let call = Call::command("take a name", "SET")
            .arg(name)
            .arg(value)
            .arg("NX")
            .arg("PX")
            .arg(keep_ms)
            .once();
        match self.shared.link.run(call).await? {
            Value::Okay => Ok(true),
            Value::Nil => Ok(false),
            other => Err(crate::reply::unexpected(
                "take a name",
                &format!("{other:?}"),
            )),
        }
    }
}
