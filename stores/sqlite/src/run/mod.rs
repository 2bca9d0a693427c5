//! The run half of the contract.

mod note;

pub(crate) use note::add_note;
