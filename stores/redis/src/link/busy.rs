//! Busy polling: to go on looking for a reply that is about to come, instead of going to sleep.
//!
//! To wake a thread takes tens of microseconds, on a virtual machine more than a server that is
//! near takes to answer. Whoever waits for a reply can instead let the runtime do whatever else
//! there is and look again, for a short while. Whether that gains anything depends on where the
//! server is, on free processors and on the system.
//!
//! - For lone requests it is measured, sixteen at a time: they are waited for in the way that has
//!   been faster, and now and then a few in the other way. Sleep is preferred unless looking saves
//!   an eighth of the time.
//! - A batch costs many callers one look, and shares its time with others, so that nobody can say
//!   what one look gained. Batches look unless they are full, which is where processors are busy
//!   and nobody sleeps anyway. One that looked in vain has some of the next ones sleep, and twice
//!   as many each time, so where the server is far next to none look.
//!
//! # Sources
//! Busy polling of sockets in Linux (`net.core.busy_read`), and its polling before a virtual
//! processor is halted (`halt_poll_ns`), which grows and shrinks by what it gains.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tenure_core::{Clock as _, Moment, SystemClock};

/// How many lone requests are measured together, and how many of them count: those that took
/// longest were disturbed.
const MEASURED: usize = 16;
const COUNTED: usize = 12;
/// How many measurements lie between two of the other way.
const GAP: u32 = 16;
/// As [`GAP`], at the beginning, when a measurement is not worth much.
const FIRST_GAP: u32 = 2;
/// As [`GAP`], where looking has gained nothing for long; for batches likewise.
const WIDEST_GAP: u32 = 1024;

/// How the requests of one connection wait for their replies.
pub(super) struct BusyPoll {
    /// For how long one looks; zero for not at all.
    span: Duration,
    alone: Mutex<Alone>,
}

#[derive(Debug)]
struct Alone {
    tally: Tally,
    /// Whether requests look, for the time being.
    looks: bool,
    /// How many nanoseconds the latest of them took.
    latest: Vec<u64>,
    /// One at a time is enough to keep the runtime awake.
    is_looking: bool,
    /// How many have looked.
    looked: u64,
}

/// How the batches of one connection wait for their replies: one of those under way looks for its
/// own. After one that looked in vain some sleep, and twice as many after the next.
#[derive(Debug, Default)]
pub(super) struct Together {
    /// How many more are to sleep.
    asleep: u32,
    /// How many slept after the latest that looked in vain.
    gap: u32,
    /// One at a time is enough to keep the runtime awake.
    is_looking: bool,
}

/// How many nanoseconds a request usually takes.
#[derive(Debug, Clone, Copy)]
enum Usual {
    Unknown,
    /// One measurement, which may have been disturbed.
    Once(u64),
    Known(u64),
}

impl Usual {
    /// The smaller one of the first two, and from then on a moving average, in which nothing counts
    /// for more than five quarters of the usual.
    fn add(&mut self, nanos: u64) {
        *self = match *self {
            Self::Unknown => Self::Once(nanos),
            Self::Once(first) => Self::Known(first.min(nanos)),
            Self::Known(usual) => {
                let nanos = nanos.min(usual + usual / 4);
                Self::Known(usual - usual / 8 + nanos / 8)
            }
        };
    }
}

/// What has been measured.
#[derive(Debug)]
struct Tally {
    /// Of requests that slept.
    slept: Usual,
    /// Of those that looked.
    looked: Usual,
    /// How many more requests are waited for in the better way.
    until_test: u32,
    gap: u32,
}

impl Tally {
    const fn new() -> Self {
        Self {
            slept: Usual::Unknown,
            looked: Usual::Unknown,
            until_test: FIRST_GAP,
            gap: FIRST_GAP,
        }
    }

    /// Whether looking has been faster, by enough to be worth a processor.
    fn prefers_looking(&self) -> bool {
        match (self.slept, self.looked) {
            (Usual::Known(slept), Usual::Known(looked)) => looked < slept / 8 * 7,
            _ => false,
        }
    }

    /// Whether the next is to look.
    fn next(&mut self) -> bool {
        let is_test = self.until_test == 0;
        let looks = self.prefers_looking() != is_test;
        self.until_test = if is_test {
            self.gap
        } else {
            self.until_test - 1
        };
        looks
    }

    /// So long it took.
    fn record(&mut self, looked: bool, nanos: u64) {
        let usual = if looked {
            &mut self.looked
        } else {
            &mut self.slept
        };
        usual.add(nanos);
        if self.prefers_looking() {
            self.gap = GAP;
        } else if looked {
            self.gap = (2 * self.gap).min(WIDEST_GAP);
        }
    }
}

impl BusyPoll {
    pub(super) fn new(span: Duration) -> Self {
        Self {
            span,
            alone: Mutex::new(Alone {
                tally: Tally::new(),
                looks: false,
                latest: Vec::with_capacity(MEASURED),
                is_looking: false,
                looked: 0,
            }),
        }
    }

    /// Looks for the reply to a batch; `None` if it has to be slept for.
    ///
    /// # Cancel safety
    /// As that of `reply`.
    pub(super) async fn look<F>(&self, reply: Pin<&mut F>) -> Option<F::Output>
    where
        F: Future + ?Sized,
    {
        look_until(SystemClock.now() + self.span, reply).await
    }

    /// Whether anybody looks at all.
    pub(super) fn is_on(&self) -> bool {
        !self.span.is_zero()
    }

    /// Begins to wait for a reply, in one of both ways; `None` if it sleeps and is not measured:
    /// because another looks meanwhile, by which both are faster, or because this is no task of its
    /// own, but what a thread blocks on, where to look would keep nothing awake but that thread.
    pub(super) fn begin(&self) -> Option<Wait<'_>> {
        if !self.is_on() || tokio::task::try_id().is_none() {
            return None;
        }
        let mut alone = self.alone();
        if alone.is_looking {
            return None;
        }
        let looks = alone.looks;
        alone.is_looking = looks;
        alone.looked += u64::from(looks);
        let seen = alone.looked;
        drop(alone);
        Some(Wait {
            busy: self,
            looks,
            is_looking: looks,
            seen,
            began: SystemClock.now(),
        })
    }

    /// A panic elsewhere leaves figures that are as good as before.
    fn alone(&self) -> MutexGuard<'_, Alone> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alone {
    /// One more took so long, in the way of the time being.
    fn add(&mut self, nanos: u64) {
        self.latest.push(nanos);
        if self.latest.len() < MEASURED {
            return;
        }
        self.latest.sort_unstable();
        let counted = self.latest.iter().take(COUNTED).sum::<u64>() / COUNTED as u64;
        self.latest.clear();
        self.tally.record(self.looks, counted);
        self.looks = self.tally.next();
    }
}

impl Together {
    /// Whether a batch that leaves now is to look.
    pub(super) fn looks(&mut self) -> bool {
        if self.is_looking {
            return false;
        }
        self.is_looking = self.asleep == 0;
        self.asleep = self.asleep.saturating_sub(1);
        self.is_looking
    }

    /// A batch that was to look has met its reply or not; or nobody knows, as it did not look.
    pub(super) fn record(&mut self, found: Option<bool>) {
        self.is_looking = false;
        let Some(found) = found else {
            return;
        };
        self.gap = if found {
            self.gap / 2
        } else {
            (2 * self.gap).clamp(FIRST_GAP, WIDEST_GAP)
        };
        if !found {
            self.asleep = self.gap;
        }
    }
}

/// Looks for `reply` until it is there or `end` is; by a clock that goes on while the runtime's is
/// paused.
async fn look_until<F>(end: Moment, mut reply: Pin<&mut F>) -> Option<F::Output>
where
    F: Future + ?Sized,
{
    loop {
        let reply = poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = reply {
            return Some(value);
        }
        if SystemClock.now() >= end {
            return None;
        }
        tokio::task::yield_now().await;
    }
}

/// One request that is measured.
pub(super) struct Wait<'a> {
    busy: &'a BusyPoll,
    looks: bool,
    /// Whether it still does.
    is_looking: bool,
    /// How many had looked when it began.
    seen: u64,
    began: Moment,
}

impl Wait<'_> {
    /// Looks for `reply`, if it is this one's turn to; `None` if it has to be slept for.
    ///
    /// # Cancel safety
    /// As that of `reply`.
    pub(super) async fn look<F: Future>(&mut self, reply: Pin<&mut F>) -> Option<F::Output> {
        if !self.looks {
            return None;
        }
        let found = look_until(self.began + self.busy.span, reply).await;
        self.stop();
        found
    }

    /// Lets another look.
    fn stop(&mut self) {
        if std::mem::take(&mut self.is_looking) {
            self.busy.alone().is_looking = false;
        }
    }

    /// The reply is there.
    pub(super) fn end(self) {
        let nanos = SystemClock.now().since(self.began).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX / 4);
        let mut alone = self.busy.alone();
        // Unless another has looked meanwhile, or it is not the turn of this way any more.
        if alone.looked == self.seen && alone.looks == self.looks {
            alone.add(nanos);
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `count` requests look, if one takes so many microseconds asleep and awake.
    fn looked(alone: &mut Alone, count: u32, [asleep, awake]: [u64; 2]) -> u32 {
        let (mut looked, mut noise) = (0, 1_u64);
        for at in 0..count {
            let looks = alone.looks;
            let usual = if looks { awake } else { asleep } * 1000;
            // An acquisition takes longer than a release, each up to a quarter more or less, and
            // some are disturbed.
            let usual = if at % 2 == 0 {
                usual * 4 / 3
            } else {
                usual * 2 / 3
            };
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let nanos = usual * 3 / 4 + usual / 2 * (noise >> 54) / 1024;
            let nanos = if (noise >> 33) % 10 == 3 {
                20 * nanos
            } else {
                nanos
            };
            alone.add(nanos);
            looked += u32::from(looks);
        }
        looked
    }

    #[test]
    fn who_waits_looks_where_that_is_faster_and_sleeps_where_it_is_not() {
        let new = || BusyPoll::new(Duration::ZERO).alone.into_inner().unwrap();
        let mut near = new();
        let early = looked(&mut near, 1000, [75, 45]);
        assert!(early > 700, "{early}");
        let later = looked(&mut near, 1000, [75, 45]);
        assert!(later > 900, "{later}");
        // The server moves away, or loses its processor to whoever looks.
        looked(&mut near, 1000, [40, 60]);
        let seldom = looked(&mut near, 100_000, [40, 60]);
        assert!((MEASURED..500).contains(&(seldom as usize)), "{seldom}");
        // It comes near again, which is noticed by those few.
        looked(&mut near, 200_000, [75, 45]);
        let again = looked(&mut near, 1000, [75, 45]);
        assert!(again > 900, "{again}");
        let few = looked(&mut new(), 100_000, [500, 500]);
        assert!(few < 500, "{few}");
    }

    #[test]
    fn r39_batches_look_unless_the_last_looks_were_in_vain() {
        let looked = |together: &mut Together, count: u32, found: bool| {
            let looks = (0..count).filter(|_| {
                let looks = together.looks();
                if looks {
                    together.record(Some(found));
                }
                looks
            });
            looks.count()
        };
        let mut together = Together::default();
        assert_eq!(looked(&mut together, 1000, true), 1000);
        // The server moves away: one of a thousand finds out, in time, whether it still is.
        assert!(looked(&mut together, 2000, false) <= 10);
        let far = looked(&mut together, 10 * (WIDEST_GAP + 1), false);
        assert_eq!(far, 10);
        // It comes near again.
        looked(&mut together, WIDEST_GAP, true);
        assert_eq!(looked(&mut together, 1000, true), 1000);
        // One reply of many that is late costs two batches their look, however it was before.
        assert_eq!(looked(&mut together, 1, false), 1);
        assert_eq!(looked(&mut together, 100, true), 100 - FIRST_GAP as usize);
    }

    #[test]
    fn r39_one_batch_at_a_time_looks() {
        let mut together = Together::default();
        assert!(together.looks());
        assert!(!together.looks() && !together.looks());
        // It had its reply before it could look, or the runtime shuts down.
        together.record(None);
        assert!(together.looks());
        together.record(Some(false));
        let sleeping = (0..10).take_while(|_| !together.looks()).count();
        assert_eq!(sleeping, FIRST_GAP as usize);
    }

    #[tokio::test]
    async fn one_lone_request_at_a_time_looks_and_one_that_is_given_up_makes_way() {
        let busy = BusyPoll::new(Duration::from_micros(1));
        assert!(busy.begin().is_none(), "a thread that blocks only sleeps");
        let looks = async move {
            while !busy.alone().looks {
                busy.begin().unwrap().end();
            }
            let mut looking = busy.begin().unwrap();
            assert!(busy.begin().is_none());
            let never = std::pin::pin!(std::future::pending::<()>());
            assert_eq!(looking.look(never).await, None);
            // From now on it sleeps, and another may look.
            let another = busy.begin().unwrap();
            drop(looking);
            assert!(another.looks && busy.begin().is_none());
            assert!(BusyPoll::new(Duration::ZERO).begin().is_none());
        };
        tokio::spawn(looks).await.unwrap();
    }
}
