//! The random name of one acquisition, by which a store knows its requests again.

use std::fmt;
use std::str::FromStr;

/// 128 random bits, drawn for each acquisition, claim or take.
///
/// A request that is sent again with its token gets the answer of the first one, so a lost reply is
/// harmless. Ownership is decided by the token alone: never by process, thread or host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; 16]);

impl Token {
    /// A new token from the operating system's generator.
    ///
    /// Should the generator fail (it does not on a running system), the token is made of the
    /// process, a counter and the clock: unique still, though no longer unpredictable.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        if getrandom::fill(&mut bytes).is_err() {
            bytes = weak_bytes();
        }
        Self(bytes)
    }

    /// So many new tokens, each as [`Token::random`] draws it, for one call of the system in all.
    ///
    /// ```
    /// # use tenure_core::Token;
    /// let tokens = Token::many(3);
    /// assert_eq!(tokens.len(), 3);
    /// assert_ne!(tokens[0], tokens[1]);
    /// ```
    #[must_use]
    pub fn many(count: usize) -> Vec<Self> {
        let mut bytes = vec![0; count.saturating_mul(16)];
        if getrandom::fill(&mut bytes).is_err() {
            return (0..count).map(|_| Self(weak_bytes())).collect();
        }
        let (tokens, _) = bytes.as_chunks();
        tokens.iter().copied().map(Self).collect()
    }

    /// A token from its bytes, for stores and for seeded simulations.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, as a store writes them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Its 32 hexadecimal digits, for stores that write it with every request: without a
    /// formatter and without memory of its own.
    #[must_use]
    pub fn to_hex(&self) -> [u8; 32] {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            // One by one: to copy a slice of two is a call each.
            if let [high, low] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 15));
            }
        }
        digits
    }
}

fn weak_bytes() -> [u8; 16] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = u128::from(COUNTER.fetch_add(1, Ordering::Relaxed));
    let nanos = u128::from(crate::clock::monotonic_nanos());
    ((u128::from(std::process::id()) << 96) ^ (count << 64) ^ nanos).to_be_bytes()
}

/// 32 hexadecimal digits.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// Reads 32 hexadecimal digits; anything else is refused.
impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidToken);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| InvalidToken)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hexadecimal digits")]
pub struct InvalidToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_tokens_do_not_repeat_and_round_trip() {
        let tokens: std::collections::HashSet<_> = (0..10_000).map(|_| Token::random()).collect();
        assert_eq!(tokens.len(), 10_000);
        let many: std::collections::HashSet<_> = Token::many(10_000).into_iter().collect();
        assert_eq!(many.union(&tokens).count(), 20_000);
        for token in tokens.iter().take(100) {
            assert_eq!(token.to_string().parse(), Ok(*token));
            assert_eq!(token.to_string().as_bytes(), token.to_hex());
        }
        let known = Token::from_bytes(*b"\0\x01\x09\x0a\x10\x7f\x80\xff01234567");
        assert_eq!(known.to_string(), "0001090a107f80ff3031323334353637");
        assert_eq!("+1".repeat(16).parse::<Token>(), Err(InvalidToken));
    }
}
