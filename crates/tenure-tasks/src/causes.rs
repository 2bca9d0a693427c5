//! An error with what is behind it, in one line. Stores put a server's words into their own, so
//! what a cause says is often said already.

use std::error::Error;

/// A chain is short in practice; the bound keeps a cycle from hanging whoever tells it.
const MOST: usize = 16;

/// The error and its causes, each of them only if nothing before it says the same.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    for _ in 0..MOST {
        let Some(cause) = next else { break };
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use tenure_core::{StoreError, StoreErrorKind};

    use super::*;

    #[test]
    fn e27_what_a_cause_says_is_told_once() {
        let refused = || io::Error::other("Connection refused (os error 111)");
        for (message, expected) in [
            (
                "beat: no connection to h:1: Connection refused (os error 111)",
                "beat: no connection to h:1: Connection refused (os error 111)",
            ),
            (
                "beat: no connection to h:1",
                "beat: no connection to h:1: Connection refused (os error 111)",
            ),
        ] {
            let cause = io::Error::other(refused());
            let error = StoreError::new(StoreErrorKind::Unavailable, message).with_source(cause);
            assert_eq!(with_causes(&error), expected);
        }
    }
}
