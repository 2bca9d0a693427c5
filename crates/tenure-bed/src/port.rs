//! Finds ports that are free.
//!
//! Whoever asks must still prove that its server got the port: between the look and the start
//! somebody else may take it.

use std::net::{Ipv4Addr, TcpListener};

/// Below the ports that systems give to outgoing connections. A client that keeps asking for a
/// server that is down would otherwise come, sooner or later, from that very port, and be connected
/// to itself; and any connection of another test could take the port of a server that restarts.
const RANGE: std::ops::Range<u16> = 12_000..32_000;
const TRIES: usize = 200;

/// A port of this machine on which nobody listened a moment ago.
pub(crate) fn free() -> u16 {
    for _ in 0..TRIES {
        let port = fastrand::u16(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port among {TRIES} tried in {RANGE:?}");
}
