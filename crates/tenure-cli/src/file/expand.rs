//! Puts environment variables into values: `${NAME}`.
//!
//! Done in `store`, `dir` and `env` only. Commands are left alone: in a shell's text `${NAME}` is
//! the shell's, and an argument array means what it says. No value ever gets into a message.

use super::source::Source;

/// One file as it is being read.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) file: usize,
    pub(crate) source: &'a Source,
    pub(crate) variables: &'a dyn Fn(&str) -> Option<String>,
}

/// A text with its variables put in, and which they were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    pub(crate) variables: Vec<String>,
}

/// Why a text could not be expanded; the names are as written in the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("environment variable `{0}` is not set")]
    Unset(String),
    #[error("`${{` without a closing `}}`")]
    Unclosed,
    #[error("`${{…}}` cannot be nested")]
    Nested,
    #[error("`{0}` is not the name of an environment variable")]
    Name(String),
}

/// Replaces each `${NAME}`; `$${` stands for `${` itself.
pub(crate) fn expand(
    text: &str,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, ExpandError> {
    let mut expanded = Expanded {
        text: String::with_capacity(text.len()),
        variables: Vec::new(),
    };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.text.push_str(before);
            expanded.text.push_str("${");
            rest = after;
            continue;
        }
        expanded.text.push_str(before);
        let (name, after) = after.split_once('}').ok_or(ExpandError::Unclosed)?;
        if name.contains("${") {
            return Err(ExpandError::Nested);
        }
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !is_name {
            return Err(ExpandError::Name(crate::text::shown(name)));
        }
        let value = variables(name).ok_or_else(|| ExpandError::Unset(name.to_owned()))?;
        expanded.text.push_str(&value);
        expanded.variables.push(name.to_owned());
        rest = after;
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e57_variables_are_put_in_or_named() {
        let set = |name: &str| (name == "A").then(|| "1".to_owned());
        for (text, expected) in [
            ("x${A}y${A}", Ok("x1y1")),
            ("$A $ {A} $${A}", Ok("$A $ {A} ${A}")),
            ("${B}", Err("environment variable `B` is not set")),
            ("${A", Err("`${` without a closing `}`")),
            ("${A${A}}", Err("`${…}` cannot be nested")),
            ("${}", Err("`` is not the name")),
            ("${A:-x}", Err("`A:-x` is not the name")),
        ] {
            match (expand(text, &set), expected) {
                (Ok(expanded), Ok(expected)) => assert_eq!(expanded.text, expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
