//! Reads YAML event by event, so that a value is kept as it is written.
//!
//! Readers that make numbers of numbers would turn the password `0123` into `123`; that rules out
//! serde for this format, and with it most crates (two of the known ones have advisories besides).
//! `saphyr-parser` gives events, is kept, and needs one small crate more. Aliases are refused: a
//! few lines of them can stand for gigabytes, and a configuration does without.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::flat::Flat;
use super::{ConfigError, ConfigParams};

const FORMAT: &str = "YAML";

pub(super) fn read(text: &str) -> Result<ConfigParams, ConfigError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        flat: Flat::default(),
    };
    reader.document()?;
    Ok(reader.flat.into_config())
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    flat: Flat,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<(), ConfigError> {
        let mut has_document = false;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(_) if has_document => {
                    return Err(refused(span, "a second document begins"));
                }
                Event::DocumentStart(_) => has_document = true,
                Event::MappingStart(..) => self.mapping()?,
                // A file of comments alone is an empty one.
                Event::Scalar(text, style, ..) if is_null(&text, style) => {}
                _ => return Err(ConfigError::NotATable { format: FORMAT }),
            }
        }
    }

    fn mapping(&mut self) -> Result<(), ConfigError> {
        loop {
            match self.next()? {
                (Event::MappingEnd, _) => return Ok(()),
                (Event::Scalar(name, ..), _) => {
                    self.flat.enter(name)?;
                    let (event, span) = self.next()?;
                    self.value(event, span)?;
                    self.flat.leave();
                }
                (_, span) => return Err(refused(span, "a key is not a plain text")),
            }
        }
    }

    fn sequence(&mut self) -> Result<(), ConfigError> {
        let mut at = 0_usize;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(());
            }
            self.flat.enter(at.to_string())?;
            self.value(event, span)?;
            self.flat.leave();
            at += 1;
        }
    }

    fn value(&mut self, event: Event<'t>, span: Span) -> Result<(), ConfigError> {
        match event {
            Event::Scalar(text, style, ..) if is_null(&text, style) => Ok(()),
            Event::Scalar(text, ..) => self.flat.put(&text),
            Event::MappingStart(..) => self.mapping(),
            Event::SequenceStart(..) => self.sequence(),
            Event::Alias(_) => Err(refused(span, "aliases are not allowed; write the value")),
            _ => Err(refused(span, "a value is expected here")),
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), ConfigError> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }
}

fn is_null(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn refused(span: Span, reason: &str) -> ConfigError {
    ConfigError::Syntax {
        format: FORMAT,
        line: span.start.line(),
        column: span.start.col() + 1,
        reason: reason.to_owned(),
    }
}

// The reader's own words may quote the text, so only the place is passed on.
fn syntax(error: &ScanError) -> ConfigError {
    ConfigError::Syntax {
        format: FORMAT,
        line: error.marker().line(),
        column: error.marker().col() + 1,
        reason: "something else is expected here".to_owned(),
    }
}
