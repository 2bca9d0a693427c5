//! The steps that bring a file from any earlier version to this one.
//!
//! A step is a SQL file and is never changed once released: later versions add files.

/// Each step takes the file from version *i* to *i + 1*.
pub(crate) const STEPS: [&str; 8] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
];

/// The version this program writes.
pub(crate) const VERSION: i64 = 8;
