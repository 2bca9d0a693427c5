//! Until when an answer may be relied on: the arithmetic of the trust window.
//!
//! Pure: it is given moments and says moments. It relies on two assumptions only, that clock rates
//! differ by less than one in a hundred and that a moment was read before the request left.

use std::time::Duration;

use tenure_core::{Grant, Moment, Timestamp};

/// What a span is shortened by for clocks that run at different rates: one part of this many.
const DRIFT: u32 = 100;
/// What a span is shortened by for reading clocks that count in milliseconds.
const MARGIN: Duration = Duration::from_millis(2);

/// How long a lease of `span` may be trusted, counted from before it was asked for.
pub(crate) fn window(span: Duration) -> Duration {
    span.saturating_sub(span / DRIFT).saturating_sub(MARGIN)
}

/// Until when the answer to a request that was sent at `asked_at` may be trusted.
///
/// Never more than what was asked for: a store that says more has misread its clock.
pub(crate) fn trust_end(asked_at: Moment, grant: &Grant, ttl: Duration) -> Moment {
    asked_at + window(grant.expires_at.since(grant.now).min(ttl))
}

/// One reading of both clocks: the store evaluated `store_now` after `asked_at`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    pub(crate) asked_at: Moment,
    pub(crate) store_now: Timestamp,
}

impl Anchor {
    /// Until when a grant that was pushed to us may be trusted.
    ///
    /// `None` if both clocks cannot be right: the store's was stepped since the anchor was taken,
    /// and only a new question tells how long the lease lasts.
    pub(crate) fn trust_end(self, grant: &Grant, received_at: Moment) -> Option<Moment> {
        let span = grant.expires_at.since(grant.now);
        let end = self.asked_at + window(grant.expires_at.since(self.store_now));
        (end <= received_at + span).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::Fence;

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(ms))
    }

    fn grant(now: i64, expires_at: i64) -> Grant {
        let ms = Timestamp::from_millis;
        Grant::new(Fence::new(1), ms(now), ms(expires_at))
    }

    #[test]
    fn r15_trust_is_counted_from_before_the_request_less_one_percent_and_two_milliseconds() {
        for (span_ms, trusted_ms) in [(10_000, 9_898), (1_000, 988), (50, 47), (2, 0), (0, 0)] {
            let end = trust_end(at(500), &grant(7, 7 + span_ms), Duration::from_secs(10));
            let left = end.since(at(500));
            assert!(
                left <= Duration::from_millis(trusted_ms + 1),
                "{span_ms}: {left:?}"
            );
            assert!(
                left >= Duration::from_millis(trusted_ms),
                "{span_ms}: {left:?}"
            );
        }
    }

    #[test]
    fn r15_a_store_that_claims_more_than_was_asked_for_is_not_believed() {
        let end = trust_end(at(0), &grant(0, 3_600_000), Duration::from_secs(1));
        assert_eq!(end, at(988));
    }

    #[test]
    fn r15_a_pushed_grant_is_counted_from_the_anchor() {
        let anchor = Anchor {
            asked_at: at(1_000),
            store_now: Timestamp::from_millis(50_000),
        };
        // Granted 3 s after the anchor by the store's clock, for 2 s: at most 5 s after the anchor.
        let end = anchor.trust_end(&grant(53_000, 55_000), at(4_020)).unwrap();
        assert_eq!(end, at(1_000 + 4_948));
    }

    #[test]
    fn r15_a_push_after_a_step_of_the_store_clock_is_not_believed() {
        let anchor = Anchor {
            asked_at: at(1_000),
            store_now: Timestamp::from_millis(50_000),
        };
        let forward = grant(3_653_000, 3_655_000);
        assert_eq!(anchor.trust_end(&forward, at(4_020)), None);
        let backward = anchor.trust_end(&grant(40_000, 42_000), at(4_020)).unwrap();
        assert!(backward <= at(1_000), "already over: {backward:?}");
    }
}
