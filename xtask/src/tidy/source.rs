//! Rust text with its comments and strings blanked out, so that words and braces can be counted.

/// The same text, line for line, with spaces for everything inside comments, strings and
/// characters.
pub(crate) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut index = 0;
    while index < chars.len() {
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => line_end(&chars, index),
            ('/', '*') => block_end(&chars, index),
            ('"', _) => string_end(&chars, index + 1),
            ('r', '"' | '#') if !is_word(at(index.wrapping_sub(1))) => raw_end(&chars, index),
            ('\'', _) => char_end(&chars, index),
            _ => index,
        };
        if end == index {
            code.push(at(index));
            index += 1;
        } else {
            code.extend((index..end).map(|at_| if at(at_) == '\n' { '\n' } else { ' ' }));
            index = end;
        }
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], from: usize) -> usize {
    chars
        .iter()
        .skip(from)
        .position(|c| *c == '\n')
        .map_or(chars.len(), |length| from + length)
}

fn block_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut index = from;
    while index < chars.len() {
        match (chars.get(index), chars.get(index + 1)) {
            (Some('/'), Some('*')) => (depth, index) = (depth + 1, index + 2),
            (Some('*'), Some('/')) => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index.min(chars.len())
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut index = from;
    while let Some(c) = chars.get(index) {
        match c {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    chars.len()
}

/// The end of `r"…"` or `r#"…"#`; `from` itself if it is something else, such as `r#match`.
fn raw_end(chars: &[char], from: usize) -> usize {
    let hashes = chars
        .iter()
        .skip(from + 1)
        .take_while(|c| **c == '#')
        .count();
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let mut index = from + 2 + hashes;
    while index < chars.len() {
        let closes = chars.get(index) == Some(&'"')
            && chars
                .iter()
                .skip(index + 1)
                .take_while(|c| **c == '#')
                .count()
                >= hashes;
        index += 1;
        if closes {
            return index + hashes;
        }
    }
    chars.len()
}

/// The end of a character such as `'a'` or `'\n'`; `from` itself for a lifetime.
fn char_end(chars: &[char], from: usize) -> usize {
    if chars.get(from + 1) == Some(&'\\') {
        let rest = chars.iter().skip(from + 3).position(|c| *c == '\'');
        return rest.map_or(from, |length| from + 3 + length + 1);
    }
    if chars.get(from + 2) == Some(&'\'') {
        from + 3
    } else {
        from
    }
}

/// The lines of code before the tests, numbered from 1; blank lines and comments are left out.
pub(crate) fn product_lines(text: &str) -> Vec<(usize, String)> {
    let code = code_of(text);
    let mut lines = Vec::new();
    for (number, line) in code.lines().enumerate() {
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        if !line.trim().is_empty() {
            lines.push((number + 1, line.to_owned()));
        }
    }
    lines
}

/// The first line and the number of code lines of each function before the tests.
pub(crate) fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines = product_lines(text);
    let mut found = Vec::new();
    for (at, (number, line)) in lines.iter().enumerate() {
        let is_function = line.split(|c: char| !is_word(c)).any(|word| word == "fn")
            && !line.contains("fn(")
            && !line.contains("Fn(");
        if is_function {
            found.extend(body_length(&lines, at).map(|length| (*number, length)));
        }
    }
    found
}

/// How many lines of code a function has from its first line to its closing brace.
fn body_length(lines: &[(usize, String)], from: usize) -> Option<usize> {
    let (mut depth, mut begun) = (0_i32, false);
    for (length, (_, line)) in lines.iter().skip(from).enumerate() {
        for c in line.chars() {
            match c {
                '{' => (depth, begun) = (depth + 1, true),
                '}' => depth -= 1,
                ';' if !begun => return None,
                _ => {}
            }
            if begun && depth == 0 {
                return Some(length + 1);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_blanked_and_lines_kept() {
        let text = "a // b\n\"c{\\\"\" d r#\"e\"}\"# 'f' '\\'' &'g h /* i /* j */ k */ l";
        let code = code_of(text);
        assert_eq!(code.lines().count(), 2);
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["a", "d", "&'g", "h", "l"]
        );
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace_without_blank_lines() {
        let text =
            "trait T {\n    fn declared(&self);\n}\nfn a() {\n\n    // no\n    if x { y() }\n}\n";
        assert_eq!(functions(text), [(4, 3)]);
        let text = "#[cfg(test)]\nmod tests { fn long() { } }";
        assert!(functions(text).is_empty());
    }
}
