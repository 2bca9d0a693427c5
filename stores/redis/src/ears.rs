//! Who is told of what the servers push: those who wait for leases, and those who wait for runs.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Fence, Grant, Key, Timestamp, Token, WakeRegistry};

use crate::lease::{Sharers, Unheard};
use crate::link::Hears;
use crate::quorum::Told;

/// The listeners of a store.
#[derive(Debug)]
pub(crate) struct Ears {
    /// Those who wait for leases.
    pub(crate) leases: WakeRegistry,
    /// Those who wait for runs.
    pub(crate) runs: WakeRegistry,
    /// The channel on which hints about runs come.
    pub(crate) runs_channel: String,
    prefix: String,
    /// A pushed grant is an answer. If not, it is a reason to ask: nobody waited for replicas.
    pub(crate) trusts_pushes: bool,
    /// What becomes of grants that nobody here waits for.
    pub(crate) unheard: Unheard,
    /// Who waits for a share of a lock. Handed a lock as a whole, it has to ask, which opens it to
    /// those behind it.
    pub(crate) sharers: Sharers,
    /// Of a server of a quorum: its number, and those who wait for a majority's word.
    quorum: Option<(usize, Arc<Told>)>,
}

impl Ears {
    pub(crate) fn new(prefix: &str, runs_channel: String) -> Self {
        Self {
            leases: WakeRegistry::default(),
            runs: WakeRegistry::default(),
            runs_channel,
            prefix: prefix.to_owned(),
            trusts_pushes: true,
            unheard: Unheard::default(),
            sharers: Sharers::default(),
            quorum: None,
        }
    }

    /// The ears for the server with this number in a quorum.
    pub(crate) fn of_quorum(mut self, server: usize, told: Arc<Told>) -> Self {
        self.quorum = Some((server, told));
        self
    }

    /// The key that is written under this name, if it is one of ours.
    pub(crate) fn key_of(&self, name: &[u8]) -> Option<Key> {
        Key::from_bytes(name.strip_prefix(self.prefix.as_bytes())?).ok()
    }
}

impl Hears for Ears {
    fn message(&self, channel: &[u8], payload: &[u8]) {
        if channel == self.runs_channel.as_bytes() {
            self.runs.changed_everywhere();
            return;
        }
        if channel == TAKEN.as_bytes() {
            self.taken(payload);
            return;
        }
        if let (Some((server, told)), Some((waiter, lease, name))) =
            (&self.quorum, read_freed(payload))
        {
            if let Some(key) = self.key_of(name) {
                told.freed(*server, &key, waiter, lease);
            }
            return;
        }
        let Some((token, grant, name)) = read_grant(payload) else {
            // Anybody may publish on a channel; what is not a grant is not acted upon.
            tracing::debug!("a message that is no grant was ignored");
            return;
        };
        if let Some(key) = self.key_of(name) {
            let is_as_wanted = payload.starts_with(b"j") || !self.sharers.has(token);
            let is_heard = if self.trusts_pushes && is_as_wanted {
                self.leases.grant(&key, token, &grant)
            } else {
                self.leases.changed_for(&key, token)
            };
            tracing::trace!(%key, fence = %grant.fence, is_heard, "granted by push");
            if !is_heard {
                self.unheard.pass_on(&key, token, &grant);
            }
        }
    }

    fn invalidated(&self, name: Option<&[u8]>) {
        match name {
            Some(name) => {
                if let Some(key) = self.key_of(name) {
                    self.leases.changed(&key);
                }
            }
            None => self.leases.changed_everywhere(),
        }
    }

    fn reconnected(&self) {
        self.leases.changed_everywhere();
        self.runs.changed_everywhere();
        if let Some((_, told)) = &self.quorum {
            told.reconnected();
        }
    }

    fn is_idle(&self) -> bool {
        let leases = match &self.quorum {
            Some((_, told)) => told.leases(),
            None => &self.leases,
        };
        leases.is_empty() && leases.resting().is_empty() && self.runs.is_empty()
    }
}

/// The channel on which all clients hear that a lock was taken from its holder.
pub(crate) const TAKEN: &str = "tenure:taken";

impl Ears {
    /// Somebody took a lock by force. Its holder, if it is here, asks what became of it.
    fn taken(&self, payload: &[u8]) {
        let Some((token, name)) = read_taken(payload) else {
            return;
        };
        if let Some(key) = self.key_of(name) {
            let leases = match &self.quorum {
                Some((_, told)) => told.leases(),
                None => &self.leases,
            };
            let is_heard = leases.changed_for(&key, token);
            tracing::trace!(%key, is_heard, "taken by force");
        }
    }
}

/// Reads `t TOKEN NAME`, as the scripts write it that take a lock by force.
fn read_taken(payload: &[u8]) -> Option<(Token, &[u8])> {
    let mut parts = payload.splitn(3, |byte| *byte == b' ');
    if parts.next()? != b"t" {
        return None;
    }
    let token = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    Some((token, parts.next()?))
}

/// Reads `f WAITER LEASE NAME`, as a quorum's scripts write it when a lease ended.
fn read_freed(payload: &[u8]) -> Option<(Token, &[u8], &[u8])> {
    let mut parts = payload.splitn(4, |byte| *byte == b' ');
    if parts.next()? != b"f" {
        return None;
    }
    let waiter = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    Some((waiter, parts.next()?, parts.next()?))
}

/// Reads `h TOKEN FENCE TTL_MS NAME`, as a release writes it that hands on as usual, where the
/// fence is the server's clock in microseconds; or `g TOKEN FENCE NOW_MS EXPIRES_MS NAME`, as
/// everything else does, with `j` for a share of the lock.
fn read_grant(payload: &[u8]) -> Option<(Token, Grant, &[u8])> {
    let is_short = match payload.get(..2)? {
        b"h " => true,
        b"g " | b"j " => false,
        _ => return None,
    };
    let mut parts = payload
        .get(2..)?
        .splitn(if is_short { 4 } else { 5 }, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let token = text()?.parse().ok()?;
    let fence: u64 = text()?.parse().ok()?;
    let (now, expires_at) = if is_short {
        let now = Timestamp::from_millis(i64::try_from(fence / 1000).ok()?);
        let ttl: u32 = text()?.parse().ok()?;
        (now, now + Duration::from_millis(ttl.into()))
    } else {
        let now = Timestamp::from_millis(text()?.parse().ok()?);
        (now, Timestamp::from_millis(text()?.parse().ok()?))
    };
    let grant = Grant::new(Fence::new(fence), now, expires_at);
    Some((token, grant, parts.next()?))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tenure_core::Wake;

    use super::*;

    #[test]
    fn f38_only_whole_grants_for_our_names_reach_a_waiter() {
        let ears = Ears::new("p:", "tenure:{n}:runs".to_owned());
        let key = Key::from_bytes(b"a b\xff").unwrap();
        let token = Token::random();
        let mut wakes = ears.leases.listen(&key, token);
        let mut next = |payload: Vec<u8>| {
            ears.message(b"tenure:c:x", &payload);
            let mut waiting = pin!(wakes.next());
            waiting
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
        let grant = |head: String| [head.as_bytes(), b"p:a b\xff"].concat();
        for wrong in [
            Vec::new(),
            b"g".to_vec(),
            grant(format!("g {token} 7 1000 ")),
            grant(format!("g {token} -7 1000 2000 ")),
            grant(format!("g {token} 7 1000 99999999999999999999 ")),
            grant(format!("h {token} 7 1000 2000 ")),
            format!("g {token} 7 1000 2000 other").into_bytes(),
            format!("g {token} 7 1000 2000 p:").into_bytes(),
            grant(format!("h {token} 1000007 ")),
            grant(format!("h {token} 1000007 99999999999 ")),
            format!("h {token} 1000007 1000 other").into_bytes(),
        ] {
            assert_eq!(next(wrong), Poll::Pending);
        }
        for (whole, fence) in [
            (format!("g {token} 7 1000 2000 "), 7),
            (format!("j {token} 7 1000 2000 "), 7),
            (format!("h {token} 1000007 1000 "), 1_000_007),
        ] {
            let expected = Grant::new(
                Fence::new(fence),
                Timestamp::from_millis(1000),
                Timestamp::from_millis(2000),
            );
            assert_eq!(next(grant(whole)), Poll::Ready(Wake::Granted(expected)));
        }
    }
}
