//! Checks what holders of leases saw, while it happens or afterwards.
//!
//! Everybody writes down what they do: that a request is about to leave, that a grant came back,
//! that a holder stops acting on it, that somebody is about to end a lease from outside. From that
//! order alone [`LeaseHistory`] tells whether two holders acted at once and whether fences grew. It
//! knows no store and no lock, so the torture of stores, of locks and of the simulator share it.
//!
//! The rules are exact: a history that a correct store can produce is never refused. What they need
//! is that records are pushed in the order in which things happened, which one mutex gives.

use std::collections::{BTreeMap, HashMap};

use tenure_core::{Fence, Fences, Key, Moment, Token};

/// Something that somebody did or learned about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, by the clock that all who write to this history share.
    pub at: Moment,
    /// The key.
    pub key: Key,
    /// What.
    pub step: Step,
}

/// What a [`Record`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A request is about to leave, the first one or a resend.
    Asked {
        /// Whose.
        token: Token,
    },
    /// An answer said that the lease is this token's. A pushed grant counts once a request has
    /// confirmed it.
    Granted {
        /// Whose.
        token: Token,
        /// With which fence.
        fence: Fence,
        /// Until when the holder acts on it without another answer. `None`: until it gives up.
        until: Option<Moment>,
    },
    /// An answer said that the lease is not this token's.
    Lost {
        /// Whose.
        token: Token,
    },
    /// The holder no longer acts on the lease: it is about to release it.
    GaveUp {
        /// Whose.
        token: Token,
    },
    /// Somebody is about to end whatever lease is on the key: an operator, a fault.
    Disturbed,
    /// That has been done.
    Settled,
}

/// What a correct store would not have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Two holders acted on one key at once.
    Overlap {
        /// The fence of the holder that was there.
        first: Fence,
        /// The fence of the one that was granted the key too.
        second: Fence,
    },
    /// A grant's fence is not greater than one that was known when it was asked for.
    FenceFell {
        /// The greatest fence known before.
        known: Fence,
        /// The fence that was granted.
        granted: Fence,
    },
    /// Two acquisitions have the same fence.
    FenceRepeated {
        /// The fence.
        fence: Fence,
    },
    /// The fence of a lease changed although nothing had ended it.
    FenceChanged {
        /// The fence the lease had.
        from: Fence,
        /// The fence it was granted again with.
        to: Fence,
    },
    /// A lease ended although its time was not over, nobody had ended it, and its holder had not
    /// given it up.
    LostForNoReason {
        /// The fence of the lease.
        fence: Fence,
    },
    /// A fence that some readers of JSON or Lua cannot keep exactly, or zero; or any fence of a
    /// store that declares none.
    FenceOutOfRange {
        /// The fence.
        fence: Fence,
    },
}

/// The records of a run, checked one by one.
#[derive(Debug, Default)]
pub struct LeaseHistory {
    keys: HashMap<Key, KeyHistory>,
    grants: usize,
    /// Grants carry no fence, which the store declares.
    unfenced: bool,
}

#[derive(Debug, Default)]
struct KeyHistory {
    /// Who was granted which fence.
    fences: BTreeMap<Fence, Token>,
    /// What is known of those who have asked and not given up.
    present: HashMap<Token, Presence>,
    disturbances: u64,
    disturbers: u32,
    unfenced: bool,
}

#[derive(Debug, Default)]
struct Presence {
    /// The greatest fence known when the last request left.
    known: Option<Fence>,
    /// How many disturbances had begun when it left, if none was going on.
    calm_since: Option<u64>,
    hold: Option<Hold>,
}

#[derive(Debug)]
struct Hold {
    fence: Fence,
    until: Option<Moment>,
    /// Nothing may have ended it from outside.
    certain: bool,
}

impl Hold {
    fn is_acted_on(&self, at: Moment) -> bool {
        self.certain && self.until.is_none_or(|until| until > at)
    }
}

/// Fences stay below this number.
const FENCE_END: u64 = 1 << 53;

impl LeaseHistory {
    /// Of a store that promises these fences.
    #[must_use]
    pub fn of(fences: Fences) -> Self {
        Self {
            unfenced: fences == Fences::None,
            ..Self::default()
        }
    }

    /// Checks a whole history.
    ///
    /// # Errors
    /// The first [`Violation`], and the number of the record that shows it.
    pub fn check(
        records: impl IntoIterator<Item = Record>,
    ) -> Result<LeaseHistory, (usize, Violation)> {
        let mut history = LeaseHistory::default();
        for (number, record) in records.into_iter().enumerate() {
            history
                .push(record)
                .map_err(|violation| (number, violation))?;
        }
        Ok(history)
    }

    /// Adds what happened next.
    ///
    /// # Errors
    /// The [`Violation`] that it shows.
    pub fn push(&mut self, record: Record) -> Result<(), Violation> {
        let key = self.keys.entry(record.key).or_default();
        key.unfenced = self.unfenced;
        match record.step {
            Step::Asked { token } => key.asked(token),
            Step::Granted {
                token,
                fence,
                until,
            } => {
                self.grants += 1;
                return key.granted(record.at, token, fence, until);
            }
            Step::Lost { token } => return key.lost(record.at, token),
            Step::GaveUp { token } => {
                key.present.remove(&token);
            }
            Step::Disturbed => key.disturbed(),
            Step::Settled => key.disturbers = key.disturbers.saturating_sub(1),
        }
        Ok(())
    }

    /// How many grants were checked, so that a run that proved nothing is noticed.
    #[must_use]
    pub fn grants(&self) -> usize {
        self.grants
    }
}

impl KeyHistory {
    fn asked(&mut self, token: Token) {
        let known = self.fences.last_key_value().map(|(fence, _)| *fence);
        let calm_since = (self.disturbers == 0).then_some(self.disturbances);
        let presence = self.present.entry(token).or_default();
        presence.known = known;
        presence.calm_since = calm_since;
    }

    fn lost(&mut self, at: Moment, token: Token) -> Result<(), Violation> {
        match self.present.remove(&token).and_then(|p| p.hold) {
            Some(hold) if hold.is_acted_on(at) => {
                Err(Violation::LostForNoReason { fence: hold.fence })
            }
            _ => Ok(()),
        }
    }

    fn disturbed(&mut self) {
        self.disturbers += 1;
        self.disturbances += 1;
        for hold in self.present.values_mut().filter_map(|p| p.hold.as_mut()) {
            hold.certain = false;
        }
    }

    fn granted(
        &mut self,
        at: Moment,
        token: Token,
        fence: Fence,
        until: Option<Moment>,
    ) -> Result<(), Violation> {
        let presence = self.present.remove(&token).unwrap_or_default();
        self.check_fence(at, token, fence, &presence)?;
        for hold in self.present.values().filter_map(|p| p.hold.as_ref()) {
            if hold.is_acted_on(at) {
                return Err(Violation::Overlap {
                    first: hold.fence,
                    second: fence,
                });
            }
        }
        self.fences.insert(fence, token);
        // A lapse that was going on while the request was may have ended what it was granted.
        let certain = presence.calm_since == Some(self.disturbances);
        self.present.insert(
            token,
            Presence {
                hold: Some(Hold {
                    fence,
                    until,
                    certain,
                }),
                ..presence
            },
        );
        Ok(())
    }

    fn check_fence(
        &self,
        at: Moment,
        token: Token,
        fence: Fence,
        presence: &Presence,
    ) -> Result<(), Violation> {
        if self.unfenced && fence == Fence::NONE {
            return Ok(());
        }
        if self.unfenced || fence == Fence::NONE || fence.get() >= FENCE_END {
            return Err(Violation::FenceOutOfRange { fence });
        }
        match self.fences.get(&fence) {
            Some(first) if *first != token => return Err(Violation::FenceRepeated { fence }),
            Some(_) => {
                // A resend. If a greater fence was known already, this lease had ended.
                return match presence.known {
                    Some(known) if known > fence => Err(Violation::FenceFell {
                        known,
                        granted: fence,
                    }),
                    _ => Ok(()),
                };
            }
            None => {}
        }
        if let Some(known) = presence.known.filter(|known| *known > fence) {
            return Err(Violation::FenceFell {
                known,
                granted: fence,
            });
        }
        match &presence.hold {
            Some(hold) if hold.is_acted_on(at) => Err(Violation::FenceChanged {
                from: hold.fence,
                to: fence,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: Token = Token::from_bytes([1; 16]);
    const B: Token = Token::from_bytes([2; 16]);

    fn at(ms: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(ms))
    }

    fn asked(token: Token) -> Step {
        Step::Asked { token }
    }

    fn granted(token: Token, fence: u64) -> Step {
        let fence = Fence::new(fence);
        Step::Granted {
            token,
            fence,
            until: None,
        }
    }

    fn granted_until(token: Token, fence: u64, until: u64) -> Step {
        Step::Granted {
            token,
            fence: Fence::new(fence),
            until: Some(at(until)),
        }
    }

    fn gave_up(token: Token) -> Step {
        Step::GaveUp { token }
    }

    /// One record each 10 ms, all of one key.
    fn check(steps: impl IntoIterator<Item = Step>) -> Result<(), Violation> {
        let records = steps.into_iter().zip(0..).map(|(step, number)| Record {
            at: at(10 * number),
            key: Key::new("k").unwrap(),
            step,
        });
        LeaseHistory::check(records)
            .map(|_| ())
            .map_err(|(_, violation)| violation)
    }

    #[test]
    fn c1_c3_what_a_correct_store_does_passes() {
        use Step::{Disturbed, Settled};
        for steps in [
            // One after the other; a resend; a hand-off that was asked for before the release.
            vec![
                asked(A),
                granted(A, 1),
                asked(A),
                granted(A, 1),
                asked(B),
                gave_up(A),
                asked(B),
                granted(B, 2),
            ],
            // The first holder's own time has run out.
            vec![asked(A), granted_until(A, 1, 20), asked(B), granted(B, 5)],
            // A lapse that was forced before, during and after the answer.
            vec![asked(A), granted(A, 1), Disturbed, asked(B), granted(B, 2)],
            vec![
                asked(A),
                Disturbed,
                granted(A, 1),
                Settled,
                asked(B),
                granted(B, 2),
            ],
            vec![
                asked(A),
                Disturbed,
                Settled,
                granted(A, 1),
                asked(B),
                granted(B, 2),
            ],
            // Its time was over, or somebody ended it.
            vec![asked(A), granted_until(A, 1, 15), Step::Lost { token: A }],
            vec![asked(A), granted(A, 1), Disturbed, Step::Lost { token: A }],
            // The same token after its lease lapsed.
            vec![
                asked(A),
                granted(A, 1),
                Disturbed,
                Settled,
                asked(A),
                granted(A, 3),
            ],
            // A grant that lapsed before its reply came: the smaller fence arrives later.
            vec![
                asked(A),
                asked(B),
                Disturbed,
                Settled,
                granted(B, 2),
                granted(A, 1),
            ],
        ] {
            assert_eq!(check(steps.clone()), Ok(()), "{steps:?}");
        }
    }

    #[test]
    fn c1_planted_overlaps_are_found() {
        use Step::{Disturbed, Settled};
        let overlap = Err(Violation::Overlap {
            first: Fence::new(1),
            second: Fence::new(2),
        });
        for steps in [
            vec![asked(A), granted(A, 1), asked(B), granted(B, 2)],
            vec![
                asked(B),
                asked(A),
                granted_until(A, 1, 31),
                granted_until(B, 2, 100),
            ],
            // A disturbance that was over before excuses nothing.
            vec![
                Disturbed,
                Settled,
                asked(A),
                granted(A, 1),
                asked(B),
                granted(B, 2),
            ],
        ] {
            assert_eq!(check(steps.clone()), overlap, "{steps:?}");
        }
    }

    #[test]
    fn c3_planted_faults_of_fences_and_losses_are_found() {
        let fence = Fence::new;
        for (steps, violation) in [
            (
                vec![asked(A), granted(A, 2), gave_up(A), asked(B), granted(B, 1)],
                Violation::FenceFell {
                    known: fence(2),
                    granted: fence(1),
                },
            ),
            (
                vec![asked(A), granted(A, 2), gave_up(A), asked(B), granted(B, 2)],
                Violation::FenceRepeated { fence: fence(2) },
            ),
            (
                vec![asked(A), granted(A, 2), asked(A), granted(A, 3)],
                Violation::FenceChanged {
                    from: fence(2),
                    to: fence(3),
                },
            ),
            // A lease that had ended is answered as if it were still there.
            (
                vec![
                    asked(A),
                    granted_until(A, 1, 20),
                    asked(B),
                    granted_until(B, 2, 40),
                    asked(A),
                    granted(A, 1),
                ],
                Violation::FenceFell {
                    known: fence(2),
                    granted: fence(1),
                },
            ),
            (
                vec![asked(A), granted(A, 1), Step::Lost { token: A }],
                Violation::LostForNoReason { fence: fence(1) },
            ),
            (
                vec![asked(A), granted(A, 0)],
                Violation::FenceOutOfRange { fence: fence(0) },
            ),
            (
                vec![asked(A), granted(A, 1 << 53)],
                Violation::FenceOutOfRange {
                    fence: fence(1 << 53),
                },
            ),
        ] {
            assert_eq!(check(steps.clone()), Err(violation), "{steps:?}");
        }
    }

    #[test]
    fn the_number_of_the_record_that_shows_the_violation_is_told() {
        let steps = [asked(A), granted(A, 1), asked(B), granted(B, 2)];
        let records = steps.into_iter().map(|step| Record {
            at: at(0),
            key: Key::new("k").unwrap(),
            step,
        });
        assert_eq!(LeaseHistory::check(records).unwrap_err().0, 3);
    }

    #[test]
    fn keys_have_nothing_to_do_with_each_other() {
        let steps = [asked(A), granted(A, 2), asked(B), granted(B, 1)];
        let records = steps
            .into_iter()
            .zip(["a", "a", "b", "b"])
            .map(|(step, key)| Record {
                at: at(0),
                key: Key::new(key).unwrap(),
                step,
            });
        assert_eq!(LeaseHistory::check(records).unwrap().grants(), 2);
    }
}
