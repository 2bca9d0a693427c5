//! Checks what holders of leases saw, while it happens or afterwards.
//!
//! Everybody writes down what they do: that a request is about to leave, that a grant came back,
//! that a holder stops acting on it, that somebody is about to end a lease from outside. From that
//! order alone [`LeaseHistory`] tells whether two holders acted at once and whether fences grew. It
//! knows no store and no lock, so the torture of stores, of locks and of the simulator share it.
//!
//! The rules are exact: a history that a correct store can produce is never refused. What they need
//! is that records are pushed in the order in which things happened, which one mutex gives.

mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use tenure_core::{Fence, Fences, Key, Moment, Token};

pub use self::record::{Record, Step, Violation};

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
