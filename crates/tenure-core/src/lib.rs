//! Words and contracts of tenure: keys, leases, fences, runs, and what a store must promise.
