//! What a node can run, in few bytes, so that others know whose turn a run can be.
//!
//! A Bloom filter of definitions: whatever a node has is in it, and a little of what it has not may
//! seem to be. A hint like everything that says who goes first. Programs of other versions must
//! find the same bits, so the hash is written out here.
//!
//! # Sources
//! Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970); Kirsch and
//! Mitzenmacher, "Less hashing, same performance" (2006); Fowler, Noll, Vo (FNV-1a); Steele, Lea,
//! Flood, "Fast splittable pseudorandom number generators" (the mixer).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::{Generation, TaskName};

/// So many bits stand for one definition, as long as there is room.
const BITS_EACH: usize = 16;
const FEWEST_BYTES: usize = 8;
/// With more than a few hundred definitions more and more of what a node has not seems to be there.
const MOST_BYTES: usize = 512;
/// How many of its bits a definition sets.
const MARKS: u32 = 4;

/// One definition of a task, as a number by which [`Abilities`] know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ability(u64);

impl Ability {
    /// This definition of this task.
    #[must_use]
    pub fn of(task: &TaskName, generation: &Generation) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let name = task.as_str().as_bytes();
        // A name holds no NUL.
        for byte in name
            .iter()
            .chain(&[0])
            .chain(generation.as_str().as_bytes())
        {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(hash ^ (hash >> 31))
    }

    /// The places of its bits among so many bytes: byte and bit.
    fn marks(self, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
        let bits = (bytes as u64).saturating_mul(8).max(1);
        let step = (self.0 >> 32) | 1;
        (0..MARKS).map(move |n| {
            let place = self.0.wrapping_add(step.wrapping_mul(u64::from(n))) % bits;
            (usize::try_from(place / 8).unwrap_or(0), 1 << (place % 8))
        })
    }
}

/// Which definitions a node can run, as it says with its beats: for others to tell whose turn a run
/// can be, and for nothing that must be right.
///
/// # Examples
/// ```
/// use tenure_core::{Abilities, Ability, Generation, TaskName};
///
/// let generation = Generation::new("g1")?;
/// let of = |name: &str| TaskName::new(name).map(|task| Ability::of(&task, &generation));
/// let abilities = Abilities::of([of("invoices")?, of("report")?]);
/// assert!(abilities.may_have(of("report")?));
/// assert!(!abilities.may_have(of("backup")?));
/// # Ok::<(), tenure_core::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Abilities(Arc<[u8]>);

impl Abilities {
    /// All these and, of a hundred others, rarely one; of very many, more.
    #[must_use]
    pub fn of(abilities: impl IntoIterator<Item = Ability>) -> Self {
        let all: Vec<Ability> = abilities.into_iter().collect();
        let bytes = (all.len().saturating_mul(BITS_EACH) / 8).next_power_of_two();
        let mut bits = vec![0_u8; bytes.clamp(FEWEST_BYTES, MOST_BYTES)];
        for ability in all {
            for (place, mark) in ability.marks(bits.len()) {
                if let Some(byte) = bits.get_mut(place) {
                    *byte |= mark;
                }
            }
        }
        Self(bits.into())
    }

    /// What a store has kept of [`Abilities::as_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// For stores that keep bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the node said nothing, as those of earlier versions do.
    #[must_use]
    pub fn are_unsaid(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this may be among them; always, if nothing was said.
    #[must_use]
    pub fn may_have(&self, ability: Ability) -> bool {
        let mut marks = ability.marks(self.0.len());
        let has = |(place, mark): (usize, u8)| self.0.get(place).is_some_and(|it| it & mark != 0);
        self.are_unsaid() || marks.all(has)
    }
}

/// Hexadecimal digits; what is none says nothing.
impl From<String> for Abilities {
    fn from(text: String) -> Self {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = |pair: &[u8; 2]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        bytes
            .filter(|_| rest.is_empty())
            .map_or_else(Self::default, |bytes| Self(bytes.into()))
    }
}

impl From<Abilities> for String {
    fn from(abilities: Abilities) -> Self {
        let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or('0');
        let bytes = abilities.0.iter();
        bytes
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ability(n: usize, generation: &str) -> Ability {
        let task = TaskName::new(format!("task-{n}")).unwrap();
        Ability::of(&task, &Generation::new(generation).unwrap())
    }

    #[test]
    fn s47_what_a_node_has_is_always_there_and_what_it_has_not_seldom() {
        for (count, most_wrong) in [(0, 0), (1, 2), (10, 10), (250, 20), (1000, 250)] {
            let own = Abilities::of((0..count).map(|n| ability(n, "g")));
            assert!((0..count).all(|n| own.may_have(ability(n, "g"))));
            let wrong = (count..count + 1000).filter(|n| own.may_have(ability(*n, "g")));
            let wrong = wrong.count();
            assert!(wrong <= most_wrong, "{count}: {wrong} of 1000");
            let older = (0..count).filter(|n| own.may_have(ability(*n, "f")));
            assert!(older.count() <= count / 4, "another definition of a task");
            assert!(own.as_bytes().len() <= MOST_BYTES);
        }
    }

    #[test]
    fn s47_who_says_nothing_may_have_everything_and_text_and_bytes_keep_what_was_said() {
        assert!(Abilities::default().may_have(ability(1, "g")));
        let own = Abilities::of([ability(1, "g"), ability(2, "h")]);
        let text = String::from(own.clone());
        assert_eq!(text.len(), 16);
        assert_eq!(Abilities::from(text), own);
        assert_eq!(Abilities::from_bytes(own.as_bytes()), own);
        for unreadable in ["a", "zz", "é", "0g"] {
            assert!(Abilities::from(unreadable.to_owned()).are_unsaid());
        }
    }

    /// Programs of other versions look for the same bits.
    #[test]
    fn s47_the_bits_of_a_definition_never_change() {
        let own = Abilities::of([ability(1, "g")]);
        assert_eq!(String::from(own), "2000080000100004");
    }
}
