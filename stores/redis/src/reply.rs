//! Reads what scripts answer. Whatever is not as a script writes it is a protocol error, never a
//! panic: between us and the server may stand a proxy, or another version of the script.

use std::fmt::Display;
use std::str::FromStr;

use redis::Value;
use tenure_core::{StoreError, StoreErrorKind, Timestamp};

/// The parts of one answer, read in their order.
#[derive(Debug)]
pub(crate) struct Reply {
    doing: &'static str,
    parts: std::vec::IntoIter<Value>,
}

impl Reply {
    /// An answer of several parts.
    pub(crate) fn new(doing: &'static str, value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(parts) => Ok(Self {
                doing,
                parts: parts.into_iter(),
            }),
            other => Err(strange(doing, &other)),
        }
    }

    /// An answer that is one word and needs no more.
    pub(crate) fn of_word(doing: &'static str, word: &str) -> Self {
        let parts = vec![Value::SimpleString(word.to_owned())].into_iter();
        Self { doing, parts }
    }

    pub(crate) fn next(&mut self) -> Result<Value, StoreError> {
        self.parts
            .next()
            .ok_or_else(|| unexpected(self.doing, "an answer that is too short"))
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        let value = self.next()?;
        bytes_of(self.doing, value)
    }

    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        let value = self.next()?;
        text_of(self.doing, value)
    }

    pub(crate) fn number<T>(&mut self) -> Result<T, StoreError>
    where
        T: TryFrom<i64> + FromStr,
    {
        let value = self.next()?;
        match &value {
            Value::Int(number) => T::try_from(*number).ok(),
            Value::BulkString(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok()),
            _ => None,
        }
        .ok_or_else(|| strange(self.doing, &value))
    }

    pub(crate) fn timestamp(&mut self) -> Result<Timestamp, StoreError> {
        self.number().map(Timestamp::from_millis)
    }

    pub(crate) fn parse<T: FromStr>(&mut self) -> Result<T, StoreError>
    where
        T::Err: Display,
    {
        let text = self.text()?;
        text.parse()
            .map_err(|error| unexpected(self.doing, &format!("`{text:.40}`: {error}")))
    }

    pub(crate) fn nested(&mut self) -> Result<Self, StoreError> {
        let value = self.next()?;
        Self::new(self.doing, value)
    }

    pub(crate) fn rest(self) -> impl Iterator<Item = Value> {
        self.parts
    }

    /// The error for a word that no script answers.
    pub(crate) fn unknown(&self, word: &str) -> StoreError {
        unexpected(self.doing, &format!("the answer `{word:.40}`"))
    }
}

/// An answer that is one text.
pub(crate) fn text_of(doing: &'static str, value: Value) -> Result<String, StoreError> {
    let bytes = bytes_of(doing, value)?;
    String::from_utf8(bytes).map_err(|_| unexpected(doing, "an answer that is not UTF-8"))
}

/// An answer that is one string of bytes.
pub(crate) fn bytes_of(doing: &'static str, value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text.into_bytes()),
        other => Err(strange(doing, &other)),
    }
}

fn strange(doing: &str, value: &Value) -> StoreError {
    let what = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) => "a text",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    unexpected(doing, &format!("{what} where something else stands"))
}

pub(crate) fn unexpected(doing: &str, what: &str) -> StoreError {
    let message = format!("{doing}: the server answered {what}; is it a Redis or Valkey server?");
    StoreError::new(StoreErrorKind::Protocol, message).with_unknown_outcome()
}
