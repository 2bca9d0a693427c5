//! The parts of this test.

mod leases;
