//! The SQLite tenure store: several processes on one machine, nothing to install.
