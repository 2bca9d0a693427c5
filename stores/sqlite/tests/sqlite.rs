//! What only this store can show: several processes on one file, and files that are not what they
//! should be.

mod parts;
