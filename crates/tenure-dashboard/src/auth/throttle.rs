//! Slows down those who guess: so many failures a minute from one address, then none is heard.
//!
//! Only addresses are held up, never accounts: nobody can lock somebody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{Clock, Moment};

const WINDOW: Duration = Duration::from_secs(60);
const FAILURES: u32 = 10;
/// How many addresses are remembered; beyond that all that is known is forgotten, which costs a
/// guesser with so many addresses nothing anyway.
const MOST: usize = 10_000;

/// Failed credentials by address; `None` stands for all whose address is not known.
#[derive(Debug)]
pub(crate) struct Throttle {
    clock: Arc<dyn Clock>,
    failed: Mutex<HashMap<Option<IpAddr>, (Moment, u32)>>,
}

impl Throttle {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            failed: Mutex::default(),
        }
    }

    /// How long an address has to wait, if it has to.
    pub(crate) fn wait(&self, from: Option<IpAddr>) -> Option<Duration> {
        let now = self.clock.now();
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = failed.get(&whole(from))?;
        let passed = now.since(*since);
        (*count >= FAILURES && passed < WINDOW).then(|| WINDOW.saturating_sub(passed))
    }

    /// Remembers a failure.
    pub(crate) fn failed(&self, from: Option<IpAddr>) {
        let now = self.clock.now();
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MOST {
            failed.clear();
        }
        let entry = failed.entry(whole(from)).or_insert((now, 0));
        if now.since(entry.0) >= WINDOW {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

/// Of IPv6, a subscriber has a whole network of addresses.
fn whole(from: Option<IpAddr>) -> Option<IpAddr> {
    from.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    })
}

#[cfg(test)]
mod tests {
    use tenure_core::ManualClock;

    use super::*;

    #[test]
    fn f25_an_address_that_guesses_waits_and_no_other_does() {
        let clock = Arc::new(ManualClock::default());
        let throttle = Throttle::new(clock.clone());
        let (guesser, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        for _ in 0..FAILURES {
            assert_eq!(throttle.wait(guesser), None);
            throttle.failed(guesser);
        }
        assert_eq!(throttle.wait(guesser), Some(WINDOW));
        assert_eq!(throttle.wait(other), None);
        clock.advance(WINDOW);
        assert_eq!(throttle.wait(guesser), None);
        throttle.failed(guesser);
        assert_eq!(throttle.wait(guesser), None);
    }

    #[test]
    fn f25_what_is_remembered_is_bounded() {
        let throttle = Throttle::new(Arc::new(ManualClock::default()));
        for number in 0..=u32::try_from(MOST).unwrap() {
            throttle.failed(Some(IpAddr::V4(number.into())));
        }
        assert!(throttle.failed.lock().unwrap().len() <= MOST);
    }
}
