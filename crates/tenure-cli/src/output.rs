//! What commands print on standard output: tables for people, JSON for programs.
//!
//! Colours appear on terminals only. When nobody reads any more, the program ends without a word.

pub(crate) mod narrow;

use std::io::{self, Write as _};

use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;
pub(crate) use tenure::core::about_duration as about;

use crate::exit::{Code, Failure, Outcome};

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

/// What a command tells that changes something: the work goes on and its status counts, whether
/// somebody reads it or not.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    failed: Option<Failure>,
}

impl Telling {
    /// Prints text, unless that has failed before.
    pub(crate) fn tell(&mut self, text: &str) {
        if self.failed.is_none() {
            self.failed = print(text).err();
        }
    }

    /// The same for JSON, an object a line.
    pub(crate) fn tell_json(&mut self, values: &[Value]) {
        if self.failed.is_none() {
            self.failed = print_json(values).err();
        }
    }

    /// The status of the work that is done; an output that could not be written is told now.
    pub(crate) fn end(self, code: Code) -> Outcome {
        match self.failed {
            Some(failure) if !failure.is_quiet() => Err(failure),
            _ => Ok(code),
        }
    }
}

/// Prints rows under a heading.
pub(crate) fn print_table(heading: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    print(&table(heading, rows))
}

/// Rows under a heading, a line each; as wide as the terminal. Where that is too narrow for columns
/// that can be read, each row stands below the one before, a line a column.
pub(crate) fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let name = name_column(heading);
    match columns() {
        Some(width) if least_width(heading, &rows, name) > width => {
            narrow::cards(heading, &rows, name, width)
        }
        _ => wide(heading, rows, name),
    }
}

/// Text whose lines are as long as they are, folded where the terminal ends; lines that go on are
/// indented deeper.
pub(crate) fn folded(text: &str) -> String {
    let Some(width) = columns() else {
        return text.to_owned();
    };
    narrow::folded(text, width)
}

/// No text is folded further than this: what is narrower nobody reads.
const LEAST_COLUMNS: usize = 20;

/// How wide the terminal is, if the output goes to one that knows: one that was made by a program
/// may say that it has no columns at all.
fn columns() -> Option<usize> {
    let width = Table::new().width().filter(|width| *width > 0)?;
    Some(usize::from(width).max(LEAST_COLUMNS))
}

/// The column by which a row is known.
fn name_column(heading: &[&str]) -> usize {
    let is_name = |text: &&str| matches!(*text, "task" | "key");
    heading.iter().position(is_name).unwrap_or(0)
}

/// Whether what stands in a column is typed into other commands, and so is never broken.
fn is_whole(heading: &[&str], at: usize, name: usize) -> bool {
    at == name || heading.get(at) == Some(&"tick")
}

/// Words that are longer may be broken.
const LONG_WORD: usize = 12;

/// How wide a table must be to be read: with names and ticks in one piece, and with most words.
fn least_width(heading: &[&str], rows: &[Vec<String>], name: usize) -> usize {
    let least = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        let cells = cells.map(String::as_str).chain(heading.get(at).copied());
        if is_whole(heading, at, name) {
            return cells.map(narrow::width_of).max().unwrap_or(0);
        }
        let words = cells.flat_map(str::split_whitespace).map(narrow::width_of);
        words.map(|it| it.min(LONG_WORD)).max().unwrap_or(0)
    };
    // Two cells between columns, and one behind the last.
    let between = (2 * heading.len()).saturating_sub(1);
    (0..heading.len()).map(least).sum::<usize>() + between
}

fn wide(heading: &[&str], rows: Vec<Vec<String>>, name: usize) -> String {
    let mut table = Table::new();
    // Without columns that are known, nothing is folded: the table would take none for no room.
    let arrangement = match columns() {
        Some(_) => ContentArrangement::Dynamic,
        None => ContentArrangement::Disabled,
    };
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(arrangement)
        .set_header((heading.iter()).map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row);
    }
    // A row of several lines keeps its columns only if nothing is taken from their left.
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        if is_whole(heading, at, name) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
        .lines()
        .flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()])
        .collect()
}
