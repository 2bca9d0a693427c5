//! The credentials that open the dashboard, and how each is checked.
//!
//! Tokens are kept as digests and compared in constant time; passwords are Argon2 hashes that the
//! operator gives. No secret shows in `Debug`, in an error or in a log.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use tenure_core::Timestamp;

use super::tokens::{ApiToken, Digest, MIN_TOKEN, TokenList};
use super::visitor::{Right, Visitor};

/// A hash of nothing that anybody knows: checked where there is no such user, so that it takes as
/// long to say so.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$dGVudXJlLW5vYm9keQ$\
                      EEvhhXvN5SXXJwfNrLfVCbVn5mE7mTvKqMxKmBFO3GM";

/// Why credentials cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A token that can be guessed.
    #[error("a token must have at least {MIN_TOKEN} characters, this one has {length}")]
    ShortToken {
        /// How many it has.
        length: usize,
    },
    /// A name that a token cannot have.
    #[error("`{name}` cannot name a token: a name is one word of at most 100 characters")]
    TokenName {
        /// The name.
        name: String,
    },
    /// A line that stands for no token.
    #[error("line {line} is no token: {reason}")]
    TokenLine {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A password hash that cannot be read.
    #[error("the password hash of user `{user}` is none of Argon2 in the PHC format: {reason}")]
    Hash {
        /// Whose.
        user: String,
        /// What is wrong.
        reason: String,
    },
    /// A user's name that HTTP's basic authentication cannot carry.
    #[error("the user name `{user}` must not be empty or hold a colon or a control character")]
    User {
        /// The name.
        user: String,
    },
    /// A header's name that is none.
    #[error("`{header}` cannot be the name of a header")]
    Header {
        /// The name.
        header: String,
    },
    /// A proxy that could be anybody.
    #[error("a proxy's header needs the addresses of the proxies that may set it")]
    NoPeers,
    /// An address or network that cannot be read.
    #[error("`{text}` is neither an address nor a network such as 10.0.0.0/8")]
    Peer {
        /// The text.
        text: String,
    },
}

/// Who may use the dashboard.
#[derive(Debug, Clone)]
pub struct Access {
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Whoever reaches it may do this; nobody is asked.
    Open(Right),
    /// The application's own layer lets in whom it wants, and may say who it is.
    Outside,
    /// By credentials.
    Asked(Box<Credentials>),
}

impl Access {
    /// The application has a login of its own around the router: whoever gets through may change
    /// everything, unless the application says otherwise by a [`Visitor`].
    #[must_use]
    pub fn outside() -> Self {
        let kind = Kind::Outside;
        Self { kind }
    }

    /// Whoever reaches the dashboard has this right. Only for addresses that nobody else reaches:
    /// a server refuses it beyond loopback.
    #[must_use]
    pub fn open(right: Right) -> Self {
        let kind = Kind::Open(right);
        Self { kind }
    }

    /// Only with credentials.
    #[must_use]
    pub fn asked(credentials: Credentials) -> Self {
        let kind = Kind::Asked(Box::new(credentials));
        Self { kind }
    }

    /// Whether anybody could come in without a credential: a server refuses it beyond loopback.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.kind {
            Kind::Open(_) => true,
            Kind::Outside => false,
            Kind::Asked(credentials) => credentials.is_empty(),
        }
    }
}

/// What opens the dashboard. Any of them is enough; without any, nobody gets in.
#[derive(Clone, Default)]
pub struct Credentials {
    tokens: Vec<TokenList>,
    users: Vec<User>,
    proxy: Option<Proxy>,
}

#[derive(Clone)]
struct User {
    name: String,
    hash: PasswordHash,
    right: Right,
}

#[derive(Debug, Clone)]
struct Proxy {
    header: String,
    peers: Peers,
    right: Right,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("tokens", &self.tokens)
            .field("users", &self.users.len())
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is sent as `Authorization: Bearer …`, or typed into the login page.
    ///
    /// # Errors
    /// [`AccessError::ShortToken`] for one under 16 characters.
    pub fn token(mut self, token: &str, right: Right) -> Result<Self, AccessError> {
        let name = match right {
            Right::Read => "holder of a read token",
            Right::Change => "holder of a change token",
            Right::Force => "holder of a force token",
        };
        // Looked at under a name that a token may have; it is told by words.
        ApiToken::new("token", token, right)?;
        self.tokens.push(TokenList::new(vec![ApiToken::unnamed(
            name,
            token.trim(),
            right,
        )]));
        Ok(self)
    }

    /// Tokens that may be exchanged while the dashboard is served, each with a name, a right and
    /// perhaps an end. An empty list opens nothing.
    #[must_use]
    pub fn tokens(mut self, tokens: &TokenList) -> Self {
        self.tokens.push(tokens.clone());
        self
    }

    /// A user with a password, given as an Argon2 hash in the PHC format (`$argon2id$…`), for
    /// HTTP's basic authentication and for the login page.
    ///
    /// # Errors
    /// [`AccessError::User`] or [`AccessError::Hash`] for what cannot be used.
    pub fn user(mut self, name: &str, hash: &str, right: Right) -> Result<Self, AccessError> {
        let user = name.to_owned();
        if name.is_empty() || name.contains(|c: char| c == ':' || c.is_control()) {
            return Err(AccessError::User { user });
        }
        let parsed = PasswordHash::new(hash.trim()).map_err(|error| error.to_string());
        let parsed = parsed.and_then(|hash| {
            if hash.algorithm.as_str().starts_with("argon2") && hash.hash.is_some() {
                return Ok(hash);
            }
            Err("another kind of hash".to_owned())
        });
        let hash = parsed.map_err(|reason| AccessError::Hash {
            user: user.clone(),
            reason,
        })?;
        self.users.push(User {
            name: user,
            hash,
            right,
        });
        Ok(self)
    }

    /// A header in which a proxy names the user it has let in. It counts only in requests from
    /// `peers`: from anywhere else it is ignored.
    ///
    /// # Errors
    /// [`AccessError::Header`] for a name that is none, [`AccessError::NoPeers`] without a proxy.
    pub fn proxy_header(
        mut self,
        header: &str,
        peers: Peers,
        right: Right,
    ) -> Result<Self, AccessError> {
        if axum::http::HeaderName::from_str(header).is_err() {
            let header = header.to_owned();
            return Err(AccessError::Header { header });
        }
        if peers.networks.is_empty() {
            return Err(AccessError::NoPeers);
        }
        self.proxy = Some(Proxy {
            header: header.to_owned(),
            peers,
            right,
        });
        Ok(self)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.users.is_empty() && self.proxy.is_none()
    }

    /// Whether somebody can type something into the login page.
    pub(crate) fn has_login(&self) -> bool {
        !self.tokens.is_empty() || !self.users.is_empty()
    }

    pub(crate) fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Whoever has this token at this instant. Takes the same time whichever it is.
    pub(crate) fn by_token(&self, token: &str, now: Timestamp) -> Option<Visitor> {
        self.by_digest(&Digest::of(token.trim()), now)
    }

    fn by_digest(&self, digest: &Digest, now: Timestamp) -> Option<Visitor> {
        let found = self.tokens.iter().map(|list| list.visitor(digest, now));
        // All are asked, so that nobody learns from the time it took.
        found.fold(None, |found, one| match (found, one) {
            (Some(a), Some(b)) => Some(if b.right() > a.right() { b } else { a }),
            (a, b) => a.or(b),
        })
    }

    /// Whether what somebody was known by still counts: a token may have ended or be gone.
    pub(crate) fn still_admits(&self, visitor: &Visitor, now: Timestamp) -> bool {
        let known = visitor.token().map(|token| self.by_digest(token, now));
        known.is_none_or(|known| known.is_some_and(|known| known.right() >= visitor.right()))
    }

    /// The user with this password. Works for tens of milliseconds on a core, on purpose, also if
    /// there is no such user: not to be called where other tasks wait.
    pub(crate) fn by_password(&self, name: &str, password: &str) -> Option<Visitor> {
        let user = self.users.iter().find(|user| user.name == name);
        let nobody = PasswordHash::new(NOBODY).ok();
        let hash = user.map(|user| &user.hash).or(nobody.as_ref())?;
        let is_right = Argon2::default().verify_password(password.as_bytes(), hash);
        let user = user.filter(|_| is_right.is_ok())?;
        Some(Visitor::new(user.name.as_str(), user.right).by("password"))
    }

    /// Whether the proxies that may name a user have one with this address.
    pub(crate) fn believe(&self, peer: IpAddr) -> bool {
        let proxy = self.proxy.as_ref();
        proxy.is_some_and(|proxy| proxy.peers.contain(peer))
    }

    /// The user that a trusted proxy names.
    pub(crate) fn by_proxy(
        &self,
        headers: &axum::http::HeaderMap,
        peer: Option<IpAddr>,
    ) -> Option<Visitor> {
        let proxy = self.proxy.as_ref()?;
        if !proxy.peers.contain(peer?) {
            return None;
        }
        let mut named = headers.get_all(&proxy.header).iter();
        // People's names have letters of any language, which are bytes in a header.
        let name = std::str::from_utf8(named.next()?.as_bytes()).ok()?.trim();
        // Two of them: somebody slipped one in, and nobody knows which is the proxy's.
        let is_name = (1..=200).contains(&name.chars().count()) && !name.contains(char::is_control);
        if !is_name || named.next().is_some() {
            return None;
        }
        Some(Visitor::new(name, proxy.right).by("proxy"))
    }
}

/// Addresses and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    networks: Vec<(IpAddr, u8)>,
}

impl Peers {
    /// Those in `texts`, such as `10.0.0.7` or `fd00::/8`.
    ///
    /// # Errors
    /// [`AccessError::Peer`] for a text that is none.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, AccessError> {
        let networks = texts.into_iter().map(|text| network(text.as_ref()));
        let networks = networks.collect::<Result<_, _>>()?;
        Ok(Self { networks })
    }

    /// Whether an address is among them.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|(network, bits)| {
            let same = |a: u128, b: u128, whole: u32| {
                let shift = whole.saturating_sub(u32::from(*bits));
                a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
            };
            match (network, address) {
                (IpAddr::V4(network), IpAddr::V4(address)) => {
                    same(network.to_bits().into(), address.to_bits().into(), 32)
                }
                (IpAddr::V6(network), IpAddr::V6(address)) => {
                    same(network.to_bits(), address.to_bits(), 128)
                }
                _ => false,
            }
        })
    }
}

fn network(text: &str) -> Result<(IpAddr, u8), AccessError> {
    let refused = || AccessError::Peer {
        text: text.escape_debug().to_string(),
    };
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.trim().parse().map_err(|_| refused())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => bits.trim().parse().map_err(|_| refused())?,
    };
    if bits > most {
        return Err(refused());
    }
    Ok((address, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f18_tokens_that_can_be_guessed_and_hashes_that_are_none_are_refused() {
        let none = Credentials::new;
        let short = none().token("admin", Right::Read).unwrap_err();
        assert_eq!(
            short.to_string(),
            "a token must have at least 16 characters, this one has 5"
        );
        for hash in ["", "hunter2", "$2b$12$abcdefghijklmnopqrstuv", "$argon2id$"] {
            let refused = none().user("ann", hash, Right::Read).unwrap_err();
            assert!(matches!(refused, AccessError::Hash { .. }), "{refused}");
        }
        assert!(none().user("a:b", NOBODY, Right::Read).is_err());
        let debug = none().token("0123456789abcdef", Right::Read);
        assert!(!format!("{debug:?}").contains("0123456789"));
    }

    #[test]
    fn e90_the_hash_for_unknown_users_can_be_checked_and_opens_nothing() {
        PasswordHash::new(NOBODY).unwrap();
        let users = Credentials::new().user("ann", NOBODY, Right::Read).unwrap();
        assert_eq!(users.by_password("bob", "x"), None);
        assert_eq!(users.by_password("ann", ""), None);
    }

    #[test]
    fn f26_networks_are_compared_by_their_bits() {
        let peers = Peers::parse(["10.1.0.0/16", "::1", "192.0.2.7", "0.0.0.0/0"]).unwrap();
        let some = Peers::parse(["10.1.0.0/16", "::1"]).unwrap();
        for (address, is_in) in [
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("::1", true),
            ("::2", false),
            ("::ffff:10.1.0.1", true),
        ] {
            assert_eq!(some.contain(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(peers.contain("203.0.113.1".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "host", "10.0.0.0/-1", "::/129"] {
            assert!(Peers::parse([wrong]).is_err(), "{wrong}");
        }
    }
}
