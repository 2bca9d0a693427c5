//! Tokens for programs: each with a name, a right and perhaps an end, kept as a digest only.
//!
//! A list of them may be exchanged while the dashboard is served: whoever comes with a token that
//! is no longer in it is nobody, and so are the sessions that began with it. A line of text stands
//! for a token without telling its secret, so a list of them can be kept in a file.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tenure_core::{Timestamp, Token};

use super::access::AccessError;
use super::visitor::{Right, Visitor};

/// The shortest token that is taken.
pub(super) const MIN_TOKEN: usize = 16;
/// What tokens that are drawn here begin with, so that programs that look for secrets in the wrong
/// places know them.
const PREFIX: &str = "tenure_";
/// The longest name of a token.
const MOST_NAME: usize = 100;

/// The digest by which a secret is kept and compared. It does not show in `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Whether they are the same; takes the same time whichever they are.
    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A token that opens the dashboard, as its keeper knows it: without the secret.
///
/// As text it is a line: name, right, the secret's SHA-256 in hexadecimal, and, if it ends, until
/// when it counts.
///
/// ```
/// # use tenure_dashboard::{AccessError, ApiToken, Right};
/// let (token, secret) = ApiToken::random("deploys", Right::Change)?;
/// let token = token.until("2027-01-01T00:00:00Z".parse().expect("an instant"));
/// assert!(secret.starts_with("tenure_"));
/// assert!(token.to_string().starts_with("deploys change "));
/// assert_eq!(token.to_string().parse::<ApiToken>()?, token);
/// # Ok::<(), AccessError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    name: String,
    right: Right,
    digest: Digest,
    until: Option<Timestamp>,
}

impl ApiToken {
    /// Draws a token of 128 random bits, and tells its secret: it is kept nowhere else.
    ///
    /// # Errors
    /// [`AccessError::TokenName`] for a name that is empty, too long or not one word.
    pub fn random(name: &str, right: Right) -> Result<(Self, String), AccessError> {
        let secret = format!("{PREFIX}{}", Token::random());
        Ok((Self::new(name, &secret, right)?, secret))
    }

    /// The token with this secret.
    ///
    /// # Errors
    /// [`AccessError::ShortToken`] for a secret under 16 characters, [`AccessError::TokenName`] for
    /// a name that is empty, too long or not one word.
    pub fn new(name: &str, secret: &str, right: Right) -> Result<Self, AccessError> {
        let secret = secret.trim();
        let length = secret.chars().count();
        if length < MIN_TOKEN {
            return Err(AccessError::ShortToken { length });
        }
        let is_bad = |c: char| c.is_whitespace() || c.is_control();
        if name.is_empty() || name.chars().count() > MOST_NAME || name.contains(is_bad) {
            let name = name.escape_debug().to_string();
            return Err(AccessError::TokenName { name });
        }
        Ok(Self::unnamed(name, secret, right))
    }

    /// One whose name may be words, and whose secret was looked at.
    pub(super) fn unnamed(name: &str, secret: &str, right: Right) -> Self {
        Self {
            name: name.to_owned(),
            right,
            digest: Digest::of(secret),
            until: None,
        }
    }

    /// Counts before this instant only, by this machine's wall clock. Without it, it does not end.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// Reads tokens, a line each. Empty lines, and what follows a `#`, are left out.
    ///
    /// # Errors
    /// [`AccessError::TokenLine`] for the first line that is none.
    pub fn read_all(text: &str) -> Result<Vec<Self>, AccessError> {
        let lines = text.lines().zip(1..).filter_map(|(line, number)| {
            let line = line.split('#').next().unwrap_or_default().trim();
            (!line.is_empty()).then_some((line, number))
        });
        lines
            .map(|(line, number)| {
                let read = line.parse::<Self>();
                read.map_err(|error| AccessError::TokenLine {
                    line: number,
                    reason: error.to_string(),
                })
            })
            .collect()
    }

    fn counts_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    fn visitor(&self) -> Visitor {
        let visitor = Visitor::new(self.name.as_str(), self.right).by("token");
        visitor.with_token(self.digest)
    }
}

impl fmt::Display for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.name, self.right)?;
        for byte in self.digest.0 {
            write!(f, "{byte:02x}")?;
        }
        match self.until {
            Some(until) => write!(f, " {until}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ApiToken {
    type Err = AccessError;

    fn from_str(line: &str) -> Result<Self, AccessError> {
        let refused = |reason: &str| AccessError::TokenLine {
            line: 1,
            reason: reason.to_owned(),
        };
        let mut words = line.split_whitespace();
        let (Some(name), Some(right), Some(digest)) = (words.next(), words.next(), words.next())
        else {
            return Err(refused("expected NAME RIGHT SHA256 and perhaps UNTIL"));
        };
        let right = right
            .parse()
            .map_err(|()| refused("a right is `read`, `change` or `force`"))?;
        let digest =
            digest_in(digest).ok_or_else(|| refused("a SHA-256 has 64 hexadecimal digits"))?;
        let until = words.next().map(str::parse).transpose();
        let until =
            until.map_err(|_| refused("an end is an instant such as 2027-01-01T00:00:00Z"))?;
        if words.next().is_some() {
            return Err(refused("there is something behind the end"));
        }
        Ok(Self {
            name: name.to_owned(),
            right,
            digest,
            until,
        })
    }
}

fn digest_in(text: &str) -> Option<Digest> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Digest(digest))
}

/// Tokens that may be exchanged while the dashboard is served. Clones share them.
#[derive(Clone, Default)]
pub struct TokenList {
    tokens: Arc<RwLock<Arc<[ApiToken]>>>,
}

impl fmt::Debug for TokenList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.tokens().len();
        f.debug_struct("TokenList").field("count", &count).finish()
    }
}

impl TokenList {
    /// These tokens.
    #[must_use]
    pub fn new(tokens: Vec<ApiToken>) -> Self {
        Self {
            tokens: Arc::new(RwLock::new(tokens.into())),
        }
    }

    /// From now on these tokens count and no others. Sessions that began with one that is not
    /// among them end.
    pub fn replace(&self, tokens: Vec<ApiToken>) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens.into();
    }

    fn tokens(&self) -> Arc<[ApiToken]> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        tokens.clone()
    }

    /// Whoever has a token with this digest. Takes the same time whichever it is, and whether it
    /// has ended.
    pub(super) fn visitor(&self, digest: &Digest, now: Timestamp) -> Option<Visitor> {
        let tokens = self.tokens();
        let mut found = None;
        for token in tokens.iter() {
            let fits = token.digest.is(digest) & token.counts_at(now);
            if fits {
                found = Some(token);
            }
        }
        found.map(ApiToken::visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn f29_a_token_is_known_by_its_digest_has_one_right_and_ends() {
        let (token, secret) = ApiToken::random("ci", Right::Read).unwrap();
        assert!(
            secret.starts_with("tenure_") && secret.len() == 39,
            "{secret}"
        );
        let token = token.until(at("2026-12-31T00:00:00Z"));
        let line = token.to_string();
        assert!(!line.contains(&secret["tenure_".len()..]), "{line}");
        assert!(line.ends_with(" 2026-12-31T00:00:00.000Z"), "{line}");
        let list = TokenList::new(ApiToken::read_all(&format!("# ours\n\n{line} # ci\n")).unwrap());
        let digest = Digest::of(&secret);
        let known = list
            .visitor(&digest, at("2026-12-30T23:59:59.999Z"))
            .unwrap();
        assert_eq!(known.name(), Some("ci"));
        assert!(known.may(Right::Read) && !known.may(Right::Change));
        assert_eq!(list.visitor(&digest, at("2026-12-31T00:00:00Z")), None);
        assert_eq!(list.visitor(&Digest::of(&line), Timestamp::EPOCH), None);
        list.replace(Vec::new());
        assert_eq!(list.visitor(&digest, Timestamp::EPOCH), None);
    }

    #[test]
    fn f29_lines_that_are_no_tokens_are_told_with_their_number() {
        let digest = "0".repeat(64);
        for (line, reason) in [
            ("ci".to_owned(), "expected NAME RIGHT SHA256"),
            (format!("ci write {digest}"), "a right is"),
            ("ci read 12".to_owned(), "64 hexadecimal digits"),
            (
                format!("ci read {}g", &digest[1..]),
                "64 hexadecimal digits",
            ),
            (format!("ci read {digest} tomorrow"), "an instant such as"),
            (
                format!("ci read {digest} 2027-01-01T00:00:00Z x"),
                "behind the end",
            ),
        ] {
            let error = ApiToken::read_all(&format!("\n{line}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("line 2") && error.contains(reason),
                "{error}"
            );
        }
        for name in ["", "a b", "a\n", &"x".repeat(101)] {
            assert!(ApiToken::random(name, Right::Read).is_err(), "{name}");
        }
    }
}
