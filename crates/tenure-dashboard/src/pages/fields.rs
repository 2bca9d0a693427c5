//! The fields of a query or of a form that was sent.
//!
//! Names of locks are bytes, so values are kept as bytes until somebody asks for text. Of two
//! fields of one name the first counts. Nothing here fails: what cannot be read is not there.

use percent_encoding::percent_decode;

/// How many fields are read of one query or form.
const MOST: usize = 50;

/// Named values.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    /// What `application/x-www-form-urlencoded` text says.
    pub(super) fn parse(text: &[u8]) -> Self {
        let pairs = text
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty());
        let pairs = pairs.take(MOST).map(|pair| {
            let at = pair
                .iter()
                .position(|byte| *byte == b'=')
                .unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            (decoded(name), decoded(value.get(1..).unwrap_or_default()))
        });
        Self(pairs.collect())
    }

    /// A value as it was sent.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }

    /// A value that is text; `None` also if it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(self.bytes(name)?).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

fn decoded(part: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = part
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_forms_write_them() {
        let fields = Fields::parse(b"name=a%2Fb+c&key=%FF%00&empty=&name=other&flag");
        assert_eq!(fields.text("name"), Some("a/b c"));
        assert_eq!(fields.bytes("key"), Some(&[0xff, 0][..]));
        assert_eq!(fields.text("key"), None);
        assert_eq!(
            (fields.text("empty"), fields.bytes("flag")),
            (None, Some(&[][..]))
        );
        assert_eq!(fields.text("none"), None);
    }

    #[test]
    fn e96_nonsense_is_read_as_what_it_is() {
        for nonsense in ["", "&&&", "=", "%", "%zz=%", "a=%C0%AE"] {
            let fields = Fields::parse(nonsense.as_bytes());
            assert_eq!(fields.text("a"), None, "{nonsense}");
        }
        let many = "x=1&".repeat(10_000);
        assert_eq!(Fields::parse(many.as_bytes()).0.len(), MOST);
    }
}
