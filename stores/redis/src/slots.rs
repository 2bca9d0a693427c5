//! Where a key lives in a cluster, and a short text that lives in the same place.
//!
//! A script's keys must share one hash slot. Our own records about a lock are therefore named with
//! a tag in braces that hashes to the slot of the lock's key, whatever that key is called: braces
//! in a user's name cannot break this, and there are never more than [`SLOTS`] fence counters.
//!
//! # Sources
//! Redis Cluster specification, "Key distribution model" and "Hash tags".

use std::sync::LazyLock;

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16384;

/// The tag of each slot: the first number, counted in base 36, that hashes to it. The table is part
/// of the format of the records and must never change.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut tags = vec![String::new(); usize::from(SLOTS)];
    let mut missing = SLOTS;
    let mut number = 0_u32;
    while missing > 0 {
        let tag = base_36(number);
        if let Some(empty) = tags
            .get_mut(usize::from(checksum(tag.as_bytes()) % SLOTS))
            .filter(|tag| tag.is_empty())
        {
            *empty = tag;
            missing -= 1;
        }
        number += 1;
    }
    tags
});

/// What stands in the braces of our own records' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    /// Always the same, where all keys are in one server: so locks share one fence counter, and
    /// steps of many locks read and write it once.
    One,
    /// Of the slot of the lock, as a cluster needs it.
    OfSlots,
}

impl Tags {
    /// The tag of the records of the lock that is called `name`.
    pub(crate) fn of(self, name: &[u8]) -> &'static str {
        match self {
            Self::One => ONE,
            Self::OfSlots => tag_of(name),
        }
    }
}

/// The tag of [`Tags::One`]; part of the format of the records.
const ONE: &str = "0";

/// The tag whose slot is that of `key`.
pub(crate) fn tag_of(key: &[u8]) -> &'static str {
    tag_at(slot_of(key))
}

/// The tag of a slot.
pub(crate) fn tag_at(slot: u16) -> &'static str {
    TAGS.get(usize::from(slot)).map_or("", String::as_str)
}

/// The slot of a key: of what stands between the first `{` and the next `}`, if anything does.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let tag = key
        .iter()
        .position(|byte| *byte == b'{')
        .and_then(|open| key.get(open + 1..))
        .and_then(|behind| {
            let close = behind.iter().position(|byte| *byte == b'}')?;
            behind.get(..close)
        })
        .filter(|tag| !tag.is_empty());
    checksum(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM, as the cluster specification wants it. With a table, because every request on a
/// lock needs it.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        let row = BYTES.get(usize::from(high ^ byte)).copied().unwrap_or(0);
        (u16::from(low) << 8) ^ row
    })
}

/// The checksum of each single byte.
#[expect(
    clippy::indexing_slicing,
    reason = "an index that is wrong here does not compile"
)]
static BYTES: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

fn base_36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = number % 36;
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r48_slots_are_those_of_the_specification() {
        assert_eq!(checksum(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
    }

    #[test]
    fn r48_r65_every_slot_has_a_tag_and_the_table_is_fixed() {
        for (slot, tag) in (0..SLOTS).zip(TAGS.iter()) {
            assert_eq!(slot_of(tag.as_bytes()), slot);
            assert_eq!(slot_of(format!("tenure:{{{tag}}}:f").as_bytes()), slot);
        }
        let all = TAGS.concat();
        assert_eq!((all.len(), checksum(all.as_bytes())), (48111, 18299));
    }
}
