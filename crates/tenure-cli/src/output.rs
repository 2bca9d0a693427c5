//! What commands print on standard output: tables for people, JSON for programs.
//!
//! Colours appear on terminals only. When nobody reads any more, the program ends without a word.

use std::io::{self, Write as _};

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use serde_json::Value;
pub(crate) use tenure::core::about_duration as about;

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
    print(&table(heading, rows))
}

/// Rows under a heading, a line each; as wide as the terminal.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header((heading.iter()).map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row);
    }
    // A row of several lines keeps its columns only if nothing is taken from their left.
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
        .lines()
        .flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()])
        .collect()
}
