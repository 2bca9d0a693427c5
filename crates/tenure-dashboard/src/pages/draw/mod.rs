//! Pictures, drawn by the server as SVG: no script is needed to see them.
//!
//! Colours are classes of the style sheet, so a picture follows light and dark. Every picture
//! stands beside words that say the same: pictures are hidden from screen readers.

mod bars;
mod graph;
mod ribbon;
mod timeline;

pub(super) use bars::{herd, rates};
pub(super) use graph::{MOST as MOST_WAITS, wait_graph};
pub(super) use ribbon::ribbon;
pub(super) use timeline::{NOW_AT, in_words, timeline};

use std::fmt::Write;

/// Rectangles of one colour, as a single path.
#[derive(Debug, Default)]
struct Rects(String);

impl Rects {
    fn add(&mut self, x: i64, y: i64, width: i64, height: i64) {
        if width > 0 && height > 0 {
            // Writing to a string cannot fail.
            let _ = write!(self.0, "M{x} {y}h{width}v{height}h-{width}z");
        }
    }

    fn path(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }
}

/// A value's length on a scale; at least 1 if it is more than nothing.
fn scaled(value: u64, most: u64, length: i64) -> i64 {
    if value == 0 {
        return 0;
    }
    let length = u64::try_from(length).unwrap_or(0);
    let share = u128::from(value) * u128::from(length) / u128::from(most.max(1));
    i64::try_from(share).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_seen_and_nothing_outgrows_its_scale() {
        assert_eq!(scaled(0, 10, 100), 0);
        assert_eq!(scaled(1, 1_000_000, 100), 1);
        assert_eq!(scaled(10, 10, 100), 100);
        assert_eq!(scaled(u64::MAX, u64::MAX, 100), 100);
        assert_eq!(scaled(5, 0, 1), 5);
    }

    #[test]
    fn rectangles_without_a_size_are_left_out() {
        let mut rects = Rects::default();
        rects.add(1, 2, 0, 4);
        assert_eq!(rects.path(), None);
        rects.add(1, 2, 3, 4);
        assert_eq!(rects.path(), Some("M1 2h3v4h-3z"));
    }
}
