//! Text from outside, made safe to show: what acts on a terminal or on the reading direction is
//! escaped. Knows nothing of HTML.

/// The whole text with control and invisible characters escaped.
///
/// ```
/// assert_eq!(tenure_core::visible("a\u{1b}[31m"), r"a\u{1b}[31m");
/// ```
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters, and those that change the direction of text or take no room.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}
