//! The suites that every tenure store must pass.
