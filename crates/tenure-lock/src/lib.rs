//! Distributed locks over any tenure store: lock, guard, renewal, waiting, loss.
