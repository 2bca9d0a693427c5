//! Rust text as tidy measures it: comments and strings blanked out, tests told from the product.

use std::ops::Range;

/// What stands for a character inside a string: neither a brace nor a word, and not blank.
const IN_STRING: char = '"';

/// A Rust file, line by line, counted from 0.
#[derive(Debug)]
pub(super) struct Source {
    code: Vec<String>,
    tests: Vec<Range<usize>>,
}

/// A function and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) lines: Range<usize>,
    /// Lines of code from its first line to its closing brace.
    pub(super) length: usize,
}

impl Source {
    pub(super) fn read(text: &str) -> Self {
        let code: Vec<String> = code_of(text).lines().map(str::to_owned).collect();
        let tests = test_modules(&code);
        Self { code, tests }
    }

    /// The code of a line: spaces for comments, quotes for what stands in strings.
    pub(super) fn code(&self, line: usize) -> &str {
        self.code.get(line).map_or("", String::as_str)
    }

    /// Whether a line stands in a `#[cfg(test)]` module.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.tests.iter().any(|module| module.contains(&line))
    }

    /// How many lines of code stand outside test modules, without blank lines and comments.
    pub(super) fn length(&self) -> usize {
        (0..self.code.len())
            .filter(|line| self.is_code(*line) && !self.is_test(*line))
            .count()
    }

    /// Every function with a body, those inside others and in tests too.
    pub(super) fn functions(&self) -> Vec<Function> {
        let starts = (0..self.code.len()).filter(|line| declares_function(self.code(*line)));
        starts
            .filter_map(|from| {
                let lines = from..body_end(&self.code, from)?;
                let length = lines.clone().filter(|line| self.is_code(*line)).count();
                Some(Function { lines, length })
            })
            .collect()
    }

    /// Whether a line runs on paused time, where nothing really sleeps: the runtime moves its clock
    /// to the next timer. Either its function says so, or the file does and no test disagrees.
    pub(super) fn is_paused(&self, line: usize) -> bool {
        const PAUSES: [&str; 2] = ["start_paused = true", "start_paused(true)"];
        let says_so = |line: &usize| PAUSES.iter().any(|words| self.code(*line).contains(words));
        let mut functions = self.functions().into_iter();
        let by_function = functions.any(|function| {
            let attributes = (0..function.lines.start).rev().take_while(|line| {
                let line = self.code(*line).trim();
                line.is_empty() || line.starts_with('#')
            });
            function.lines.contains(&line)
                && attributes
                    .chain(function.lines.clone())
                    .any(|line| says_so(&line))
        });
        let mut all = 0..self.code.len();
        let is_real = |line: &usize| self.code(*line).contains("#[tokio::test") && !says_so(line);
        by_function || (all.clone().any(|line| says_so(&line)) && !all.any(|line| is_real(&line)))
    }

    /// The modules that are files of their own and exist for tests only.
    pub(super) fn test_files(&self) -> impl Iterator<Item = &str> {
        let heads = self.tests.iter().map(|module| self.code(module.end - 1));
        heads.filter_map(|head| {
            let (_, name) = head.trim().split_once("mod ")?;
            name.strip_suffix(';')
        })
    }

    fn is_code(&self, line: usize) -> bool {
        !self.code(line).trim().is_empty()
    }
}

/// The lines of each `#[cfg(test)]` module, from its attribute to its end.
fn test_modules(code: &[String]) -> Vec<Range<usize>> {
    let mut modules = Vec::new();
    let attributes = code.iter().enumerate();
    for (from, _) in attributes.filter(|(_, line)| line.trim() == "#[cfg(test)]") {
        let item = code.iter().enumerate().skip(from + 1).find(|(_, line)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        let Some((at, head)) = item else { continue };
        if !head.split(|c: char| !is_word(c)).any(|word| word == "mod") {
            continue;
        }
        let end = if head.trim_end().ends_with(';') {
            at + 1
        } else {
            body_end(code, at).unwrap_or(code.len())
        };
        modules.push(from..end);
    }
    modules
}

/// Whether a line of code names a function, as opposed to a function's type.
fn declares_function(line: &str) -> bool {
    line.match_indices("fn ").any(|(at, word)| {
        let (before, after) = line.split_at(at);
        let name = after.get(word.len()..).unwrap_or_default().trim_start();
        !before.ends_with(is_word) && name.starts_with(|c: char| is_word(c))
    })
}

/// The line after the one that closes the first braces opened from `from` on.
///
/// `None` if what begins there has no body: a `;` comes first, as in a trait.
fn body_end(code: &[String], from: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0_i32, 0_i32);
    for (at, line) in code.iter().enumerate().skip(from) {
        for c in line.chars() {
            match c {
                '[' | '(' => brackets += 1,
                ']' | ')' => brackets -= 1,
                '{' => braces += 1,
                '}' => braces -= 1,
                // Not the `;` of an array's type.
                ';' if braces == 0 && brackets == 0 => return None,
                _ => continue,
            }
            if c == '}' && braces == 0 {
                return Some(at + 1);
            }
        }
    }
    None
}

/// The same text, character for character: a space for each character of a comment, a quote for
/// each character of a string.
pub(super) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut index = 0;
    while index < chars.len() {
        // The `r` of `br"…"` and `cr"…"` begins a string, the one of `color` does not.
        let last = at(index.wrapping_sub(1));
        let is_prefix = matches!(last, 'b' | 'c') && !is_word(at(index.wrapping_sub(2)));
        let is_inside_word = is_word(last) && !is_prefix;
        let (end, blank) = match (at(index), at(index + 1)) {
            ('/', '/') => (line_end(&chars, index), ' '),
            ('/', '*') => (block_end(&chars, index), ' '),
            ('"', _) => (string_end(&chars, index + 1), IN_STRING),
            ('r', '"' | '#') if !is_inside_word => (raw_end(&chars, index), IN_STRING),
            ('\'', _) => (char_end(&chars, index), IN_STRING),
            _ => (index, ' '),
        };
        if end == index {
            code.push(at(index));
            index += 1;
        } else {
            code.extend((index..end).map(|inside| if at(inside) == '\n' { '\n' } else { blank }));
            index = end;
        }
    }
    code
}

/// Whether a character can stand in a name.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_end(chars: &[char], from: usize) -> usize {
    let length = chars.iter().skip(from).position(|c| *c == '\n');
    length.map_or(chars.len(), |length| from + length)
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
    let hashes_at = |from: usize| chars.iter().skip(from).take_while(|c| **c == '#').count();
    let hashes = hashes_at(from + 1);
    if chars.get(from + 1 + hashes) != Some(&'"') {
        return from;
    }
    let begin = from + 2 + hashes;
    let quotes = chars.iter().enumerate().skip(begin);
    let close = quotes
        .filter(|(_, c)| **c == '"')
        .find(|(at, _)| hashes_at(at + 1) >= hashes);
    close.map_or(chars.len(), |(at, _)| at + 1 + hashes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_every_character_keeps_its_place() {
        for (text, expected) in [
            ("a // b\n/* /* */ c */ d", "a     \n              d"),
            (r#"a "{\"" b '}' '\'' d"#, r#"a """"" b """ """" d"#),
            (
                "r#\"}\"# r\"\\\" a r#match",
                "\"\"\"\"\"\" \"\"\"\" a r#match",
            ),
            ("br\"\\\" color\"{\" &'a b", "b\"\"\"\" color\"\"\" &'a b"),
        ] {
            assert_eq!(code_of(text), expected, "{text}");
        }
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace_without_blank_lines() {
        for (text, expected) in [
            ("trait T {\n    fn declared(&self);\n}", None),
            ("type F = fn(u8) -> u8;", None),
            (
                "fn a() {\n\n    // no\n    if x { y() }\n}",
                Some((0..5, 3)),
            ),
            (
                "const fn a(b: [u8; 2],\n  c: impl Fn()) {\n}",
                Some((0..3, 3)),
            ),
            ("fn a() {\n    \"\n }\n\"\n}", Some((0..5, 5))),
        ] {
            let found = Source::read(text).functions();
            let expected = expected.map(|(lines, length)| Function { lines, length });
            assert_eq!(found, Vec::from_iter(expected), "{text}");
        }
    }

    #[test]
    fn only_test_modules_are_left_out_of_a_files_length() {
        for (text, expected) in [
            ("#[cfg(test)]\nmod tests {\n  fn a() {}\n}\nfn b() {}", 1),
            ("#[cfg(test)]\nmod tests;\nfn b() {}", 1),
            (
                "#[cfg(test)]\n#[path = \"x.rs\"]\npub(crate) mod x;\nfn b() {}",
                1,
            ),
            ("#[cfg(test)]\nuse a::b;\nfn b() {}", 3),
            ("// a\n\nfn b() {}", 1),
        ] {
            assert_eq!(Source::read(text).length(), expected, "{text}");
        }
        let source = Source::read("#[cfg(test)]\nmod plan;\n#[cfg(test)]\nmod tests {}");
        assert_eq!(source.test_files().collect::<Vec<_>>(), ["plan"]);
    }
}
