//! The in-memory tenure store: one process, for tests and as the reference model.
