//! What commands print on standard output: tables for people, JSON for programs.
//!
//! Colours appear on terminals only. When nobody reads any more, the program ends without a word.

use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use serde_json::Value;
use tenure::core::format_duration;

use crate::exit::{Code, Failure};

/// Prints text, as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::quiet(Code::OK),
            _ => Failure::new(
                Code::CANNOT_CREATE,
                format!("cannot write the output: {error}"),
            ),
        })
}

/// Prints JSON, an object a line.
pub(crate) fn print_json(values: &[Value]) -> Result<(), Failure> {
    let mut text = String::new();
    for value in values {
        text.push_str(&value.to_string());
        text.push('\n');
    }
    print(&text)
}

/// Prints rows under a heading.
pub(crate) fn print_table(heading: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header((heading.iter()).map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row);
    }
    let text: String = table
        .lines()
        .flat_map(|line| [line.trim().to_owned(), "\n".to_owned()])
        .collect();
    print(&text)
}

/// A duration as people say it: two units at most, milliseconds only below ten seconds.
pub(crate) fn about(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = match ms {
        0..10_000 => 1,
        10_000..3_600_000 => 1_000,
        3_600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    format_duration(Duration::from_millis(ms / unit * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_two_units() {
        for (ms, text) in [
            (0, "0s"),
            (9_999, "9s999ms"),
            (12_345, "12s"),
            (3_723_000, "1h2m"),
            (90_061_000, "1d1h"),
        ] {
            assert_eq!(about(Duration::from_millis(ms)), text);
        }
    }
}
