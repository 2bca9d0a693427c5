//! Names components: `group:type:kind:name:version`, with `*` for any.

use std::fmt;
use std::str::FromStr;

use crate::error::shown;

/// What a component is and which: `group:type:kind:name:version`.
///
/// A part that is `*` stands for any. The same type names a component, where parts are usually
/// given, and says what is looked for, where some are not.
///
/// ```
/// use tenure_component::Descriptor;
///
/// # fn main() -> Result<(), tenure_component::InvalidDescriptor> {
/// let redis: Descriptor = "billing:lock:redis:main:1.0".parse()?;
/// assert!(redis.matches(&"*:lock:*:*:1.0".parse()?));
/// assert!(!redis.matches(&"*:lock:memory:*:1.0".parse()?));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Descriptor {
    parts: [Option<String>; 5],
}

impl Descriptor {
    /// A descriptor from its parts; an empty one and `*` stand for any.
    #[must_use]
    pub fn new(group: &str, kind_of: &str, kind: &str, name: &str, version: &str) -> Self {
        Self {
            parts: [group, kind_of, kind, name, version].map(part),
        }
    }

    /// Who made the component, such as `billing`. `None` for any.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.part(0)
    }

    /// What it is for, such as `lock` or `discovery`. `None` for any.
    #[must_use]
    pub fn component_type(&self) -> Option<&str> {
        self.part(1)
    }

    /// How it does that, such as `redis`. `None` for any.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.part(2)
    }

    /// Which one it is, such as `main`. `None` for any.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.part(3)
    }

    /// The version of its interface, such as `1.0`. `None` for any.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.part(4)
    }

    /// Whether the two can mean the same component: each pair of parts is equal, or one of the two
    /// stands for any.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let pairs = self.parts.iter().zip(&other.parts);
        pairs
            .map(|(one, two)| one.as_ref().zip(two.as_ref()))
            .all(|pair| pair.is_none_or(|(one, two)| one == two))
    }

    /// Whether every part is given.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(Option::is_some)
    }

    fn part(&self, at: usize) -> Option<&str> {
        self.parts.get(at).and_then(Option::as_deref)
    }
}

fn part(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "*").then(|| text.to_owned())
}

/// Reads `group:type:kind:name:version`; all five must be there.
impl FromStr for Descriptor {
    type Err = InvalidDescriptor;

    fn from_str(text: &str) -> Result<Self, InvalidDescriptor> {
        let fail = || InvalidDescriptor { text: shown(text) };
        let mut pieces = text.split(':');
        let mut parts: [Option<String>; 5] = Default::default();
        for place in &mut parts {
            let piece = pieces.next().map(str::trim).filter(|it| !it.is_empty());
            *place = part(piece.ok_or_else(fail)?);
        }
        if pieces.next().is_some() {
            return Err(fail());
        }
        Ok(Self { parts })
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                f.write_str(":")?;
            }
            f.write_str(&part.as_deref().map_or_else(|| "*".to_owned(), shown))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Descriptor({self})")
    }
}

/// A text that is no descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a descriptor: write group:type:kind:name:version, with * for any, such as \
     *:lock:redis:*:1.0"
)]
pub struct InvalidDescriptor {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Descriptor {
        text.parse().unwrap()
    }

    #[test]
    fn b_descriptor_a_star_matches_anything_on_either_side() {
        let redis = read("billing:lock:redis:main:1.0");
        for (pattern, expected) in [
            ("billing:lock:redis:main:1.0", true),
            ("*:lock:redis:*:1.0", true),
            ("*:*:*:*:*", true),
            ("*:lock:memory:*:1.0", false),
            ("*:discovery:*:*:1.0", false),
            ("other:lock:redis:main:1.0", false),
            ("*:lock:redis:*:2.0", false),
            ("*:Lock:redis:*:1.0", false),
        ] {
            assert_eq!(redis.matches(&read(pattern)), expected, "{pattern}");
            assert_eq!(read(pattern).matches(&redis), expected, "{pattern}");
        }
        assert!(redis.is_complete());
        assert!(!read("*:lock:redis:main:1.0").is_complete());
    }

    #[test]
    fn b_descriptor_is_written_as_it_is_read() {
        let text = "billing:lock:redis:*:1.0";
        assert_eq!(read(text).to_string(), text);
        assert_eq!(
            read(text),
            Descriptor::new("billing", "lock", "redis", "*", "1.0")
        );
        assert_eq!(read(text).component_type(), Some("lock"));
        assert_eq!(read(text).kind(), Some("redis"));
        assert_eq!(read(text).name(), None);
        assert_eq!(
            (read(text).group(), read(text).version()),
            (Some("billing"), Some("1.0"))
        );
    }

    #[test]
    fn b_descriptor_other_texts_are_refused_with_an_example() {
        for text in [
            "",
            "lock",
            "a:b:c:d",
            "a:b:c:d:e:f",
            "a::c:d:e",
            "a: :c:d:e",
        ] {
            let error = text.parse::<Descriptor>().unwrap_err().to_string();
            assert!(error.contains("*:lock:redis:*:1.0"), "{error}");
        }
    }
}
