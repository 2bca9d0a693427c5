//! A second connection, for what a server pushes to clients that know no more than RESP2.
//!
//! There a connection that hears channels takes no other requests, so requests keep the first. Both
//! lead to the same server and live together: whoever loses the second has missed pushes, and makes
//! both anew. That a watched key changed is not told here; who must know asks.

use std::sync::{Arc, Weak};

use futures_util::StreamExt as _;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Hears;
use super::dial::Dial;
use super::direct::Direct;
use crate::ears::TAKEN;

/// The connection; dropping it closes it.
pub(super) struct Second {
    sink: Mutex<PubSubSink>,
    hearing: JoinHandle<()>,
}

impl Second {
    /// Hears `channels` at the server that messages call `at`, on behalf of the connection `of`.
    /// `None` if the server does not let us, or is another by now.
    pub(super) async fn open(
        (dial, at): (&Dial, &str),
        channels: &[String],
        of: (Weak<Direct>, u64),
        hears: Arc<dyn Hears>,
        deadline: Instant,
    ) -> Option<Arc<Self>> {
        let opening = async {
            let (pubsub, here) = dial.listen().await.ok()?;
            let (mut sink, stream) = pubsub.split();
            sink.subscribe(channels).await.ok()?;
            // Apart from the others: a user may have the right to those alone.
            let _ = sink.subscribe(TAKEN).await;
            (*here == *at).then_some((sink, stream))
        };
        let (sink, stream) = timeout_at(deadline, opening).await.ok()??;
        Some(Arc::new(Self {
            sink: Mutex::new(sink),
            hearing: tokio::spawn(hear(stream, of, hears)),
        }))
    }

    /// Hears another channel as well. False if the server does not let us.
    pub(super) async fn subscribe(&self, channel: &str) -> bool {
        self.sink.lock().await.subscribe(channel).await.is_ok()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

/// Passes on what comes, until the connection breaks.
async fn hear(
    mut stream: PubSubStream,
    (direct, number): (Weak<Direct>, u64),
    hears: Arc<dyn Hears>,
) {
    while let Some(message) = stream.next().await {
        hears.message(
            message.get_channel_name().as_bytes(),
            message.get_payload_bytes(),
        );
    }
    if let Some(direct) = direct.upgrade() {
        direct.lost(number);
    }
}
