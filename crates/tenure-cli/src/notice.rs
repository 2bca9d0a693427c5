//! What the program tells people on standard error: one line each, with its name in front.

use std::fmt;
use std::io::Write as _;

/// Tells people something. A standard error that is gone is no reason to stop.
pub(crate) fn notice(text: fmt::Arguments<'_>) {
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "tenure: {text}");
}
