//! Numbers of which only the order matters.

/// Collects numbers, and says of each how many different ones are smaller. Zero stays zero.
///
/// Worlds that differ only in how great such numbers are become one, and a search ends although
/// the numbers grow for ever.
#[derive(Debug)]
pub(crate) struct Ranks {
    /// Which numbers occur: a bit each.
    known: u64,
}

impl Ranks {
    pub(crate) fn new() -> Self {
        Self { known: 1 }
    }

    pub(crate) fn note(&mut self, number: u8) {
        self.known |= 1 << number;
    }

    pub(crate) fn of(&self, number: u8) -> u8 {
        let smaller = self.known & ((1 << number) - 1);
        // At most 63.
        smaller.count_ones().to_le_bytes()[0]
    }
}
