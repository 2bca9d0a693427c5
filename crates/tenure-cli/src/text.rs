//! Shows text from outside to people: short, and without characters that act on a terminal.

use std::ffi::OsStr;

pub(crate) use tenure::core::visible;

/// At most 80 characters, control and invisible characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = visible(&text.chars().take(80).collect::<String>());
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

/// The same for what the system calls text.
pub(crate) fn shown_os(text: &OsStr) -> String {
    shown(&text.to_string_lossy())
}

/// So many of what is called so in the singular.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// Whether a character moves the cursor, turns the direction of text, or takes no room.
pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e16_what_acts_on_a_terminal_is_shown_escaped_and_long_text_is_cut() {
        assert_eq!(shown("a\u{1b}[31m\u{202e}é"), "a\\u{1b}[31m\\u{202e}é");
        assert_eq!(shown(&"x".repeat(81)).chars().count(), 81);
        assert!(shown(&"x".repeat(81)).ends_with("x…"));
    }
}
