//! Keeps the beginning and the end of what a command prints, and counts the rest.
//!
//! However much comes, memory stays bounded, and what is kept fits into a store's record.

use std::collections::VecDeque;

/// How much is kept of the beginning, in bytes. With the end and the line between them it is what
/// a record may hold.
const HEAD: usize = 64 * 1024;
/// How much is kept of the end.
const TAIL: usize = 64 * 1024;

/// The first and the last 64 KiB of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Capture {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        // Of a piece longer than the tail only its end can stay.
        let (gone, rest) = rest.split_at(rest.len().saturating_sub(TAIL));
        let surplus = (self.tail.len() + rest.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
        self.left_out += (gone.len() + surplus) as u64;
    }

    /// What is kept, as text; `None` if nothing was printed. Bytes that are not text are replaced.
    pub(crate) fn into_text(mut self) -> Option<String> {
        if self.head.is_empty() {
            return None;
        }
        if self.left_out == 0 {
            self.head.extend(&self.tail);
            return Some(within(&text(&self.head), HEAD + TAIL).to_owned());
        }
        let head = text(&self.head);
        let tail = text(self.tail.make_contiguous());
        // Replacing a byte makes three of it, so both ends are measured again.
        let head = within(&head, HEAD);
        let tail = last_within(&tail, TAIL);
        Some(format!(
            "{head}\n… {} bytes left out …\n{tail}",
            self.left_out
        ))
    }
}

/// Stores keep text; a NUL is none to some of them.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

fn within(text: &str, limit: usize) -> &str {
    text.split_at_checked(text.floor_char_boundary_at(limit))
        .map_or(text, |(first, _)| first)
}

fn last_within(text: &str, limit: usize) -> &str {
    let start = text.len().saturating_sub(limit);
    let start = (start..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// `str::floor_char_boundary` is newer than the oldest compiler we support.
trait FloorBoundary {
    fn floor_char_boundary_at(&self, limit: usize) -> usize;
}

impl FloorBoundary for str {
    fn floor_char_boundary_at(&self, limit: usize) -> usize {
        let limit = limit.min(self.len());
        (0..=limit)
            .rev()
            .find(|at| self.is_char_boundary(*at))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use tenure::core::Finish;

    use super::*;

    #[test]
    fn s42_short_output_is_kept_whole() {
        let mut capture = Capture::default();
        assert_eq!(Capture::default().into_text(), None);
        capture.push(b"one\n");
        capture.push(b"two\n");
        assert_eq!(capture.into_text().unwrap(), "one\ntwo\n");
    }

    #[test]
    fn s42_of_long_output_both_ends_are_kept_and_the_rest_is_counted() {
        for piece in [1, 7, 4096, 300_000] {
            let all: Vec<u8> = (0u32..1_000_000).map(|i| b'a' + (i % 26) as u8).collect();
            let mut capture = Capture::default();
            for part in all.chunks(piece) {
                capture.push(part);
            }
            let left_out = all.len() - HEAD - TAIL;
            let kept = capture.into_text().unwrap();
            assert!(kept.len() <= Finish::MAX_OUTPUT);
            assert!(kept.starts_with("abcdef"));
            assert!(kept.contains(&format!("\n… {left_out} bytes left out …\n")));
            let end = std::str::from_utf8(&all[all.len() - 1000..]).unwrap();
            assert!(kept.ends_with(end), "pieces of {piece}");
        }
    }

    #[test]
    fn s42_output_that_is_no_text_still_fits() {
        let mut capture = Capture::default();
        capture.push(&vec![0xff; 100_000]);
        capture.push(&vec![0; 100_000]);
        let kept = capture.into_text().unwrap();
        assert!(kept.len() <= Finish::MAX_OUTPUT && !kept.contains('\0'));
    }
}
