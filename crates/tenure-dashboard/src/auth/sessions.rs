//! Who has logged in: a random name in a cookie, and who it stands for, kept by this process only.
//!
//! A session ends after twelve hours without a request, after seven days, at the logout, and with
//! the process. The names are kept as digests, so that a look into memory opens no door.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{Clock, Moment, Token};

use super::tokens::Digest;
use super::visitor::Visitor;

const IDLE: Duration = Duration::from_secs(12 * 3600);
const WHOLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a password that was right counts without another check.
const CHECKED: Duration = Duration::from_secs(300);
/// How many there are at most; the one that was idle longest goes first.
const MOST: usize = 1000;

#[derive(Debug)]
struct Session {
    visitor: Visitor,
    began: Moment,
    seen: Moment,
}

/// The sessions of this process.
#[derive(Debug)]
pub(crate) struct Sessions {
    clock: Arc<dyn Clock>,
    all: Mutex<HashMap<Digest, Session>>,
    /// Passwords that were right lately, as digests under a salt of this process: a program that
    /// sends one with every request is not made to wait for the slow check each time.
    checked: Mutex<HashMap<Digest, (Moment, Visitor)>>,
    salt: Token,
}

impl Sessions {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            all: Mutex::default(),
            checked: Mutex::default(),
            salt: Token::random(),
        }
    }

    /// The user whose password was found right a short while ago.
    pub(super) fn checked(&self, name: &str, password: &str) -> Option<Visitor> {
        let now = self.clock.now();
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, visitor) = checked.get(&self.mark(name, password))?;
        (now.since(*at) < CHECKED).then(|| visitor.clone())
    }

    /// Keeps that a password was right.
    pub(super) fn remember(&self, name: &str, password: &str, visitor: &Visitor) {
        let now = self.clock.now();
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= MOST {
            checked.clear();
        }
        checked.insert(self.mark(name, password), (now, visitor.clone()));
    }

    fn mark(&self, name: &str, password: &str) -> Digest {
        Digest::of(&format!("{}:{name}:{password}", self.salt))
    }

    /// Begins a session and names it.
    pub(crate) fn begin(&self, visitor: &Visitor) -> String {
        let name = Token::random().to_string();
        let now = self.clock.now();
        let digest = Digest::of(&name);
        let visitor = visitor.clone().by("session");
        let visitor = visitor.in_session(digest, Token::random().to_string());
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| session.is_live(now));
        if all.len() >= MOST {
            let idlest = all.iter().min_by_key(|(_, session)| session.seen);
            if let Some(idlest) = idlest.map(|(name, _)| *name) {
                all.remove(&idlest);
            }
        }
        let session = Session {
            visitor,
            began: now,
            seen: now,
        };
        all.insert(digest, session);
        name
    }

    /// Who a session stands for, while it lasts.
    pub(crate) fn visitor(&self, name: &str) -> Option<Visitor> {
        let now = self.clock.now();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let session = all.get_mut(&Digest::of(name))?;
        if !session.is_live(now) {
            return None;
        }
        session.seen = now;
        Some(session.visitor.clone())
    }

    /// Whether a session still lasts. Asking does not make it last longer.
    pub(crate) fn lasts(&self, session: &Digest) -> bool {
        let now = self.clock.now();
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(session).is_some_and(|session| session.is_live(now))
    }

    pub(crate) fn end(&self, name: &str) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&Digest::of(name));
    }
}

impl Session {
    fn is_live(&self, now: Moment) -> bool {
        now.since(self.seen) < IDLE && now.since(self.began) < WHOLE
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::ManualClock;

    use super::*;
    use crate::auth::Right;

    #[test]
    fn f20_sessions_end_by_idleness_by_age_and_by_logout() {
        let clock = Arc::new(ManualClock::default());
        let sessions = Sessions::new(clock.clone());
        let ann = Visitor::new("ann", Right::Read);
        let (idle, old, out) = (
            sessions.begin(&ann),
            sessions.begin(&ann),
            sessions.begin(&ann),
        );
        sessions.end(&out);
        assert_eq!(sessions.visitor(&out), None);
        for _ in 0..13 {
            assert!(sessions.visitor(&old).is_some());
            clock.advance(Duration::from_secs(11 * 3600));
        }
        assert_eq!(sessions.visitor(&idle), None);
        for _ in 0..2 {
            assert!(sessions.visitor(&old).is_some());
            clock.advance(Duration::from_secs(11 * 3600));
        }
        assert!(sessions.visitor(&old).is_some());
        clock.advance(Duration::from_secs(4 * 3600));
        assert_eq!(sessions.visitor(&old), None);
    }

    #[test]
    fn f20_the_number_of_sessions_is_bounded() {
        let clock = Arc::new(ManualClock::default());
        let sessions = Sessions::new(clock.clone());
        let first = sessions.begin(&Visitor::new("ann", Right::Read));
        for _ in 0..MOST {
            clock.advance(Duration::from_secs(1));
            sessions.begin(&Visitor::new("bob", Right::Read));
        }
        assert_eq!(sessions.visitor(&first), None);
        assert_eq!(sessions.all.lock().unwrap().len(), MOST);
    }
}
