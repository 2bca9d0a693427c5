//! Distributed locks and scheduled tasks: one front door for every store.
