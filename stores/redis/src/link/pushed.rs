//! What servers send without being asked: messages of channels, and keys that changed.
//!
//! It only tells them apart. What they mean is known where they are heard.

use redis::{PushInfo, PushKind, Value};

use super::Hears;

/// Passes on what a server pushed.
pub(super) fn deliver(hears: &dyn Hears, push: &PushInfo) {
    match (&push.kind, push.data.as_slice()) {
        (
            PushKind::Message | PushKind::SMessage,
            [Value::BulkString(channel), Value::BulkString(payload), ..],
        ) => hears.message(channel, payload),
        (PushKind::Invalidate, [Value::Array(keys), ..]) => {
            for key in keys {
                if let Value::BulkString(key) = key {
                    hears.invalidated(Some(key));
                }
            }
        }
        (PushKind::Invalidate, _) => hears.invalidated(None),
        _ => {}
    }
}
