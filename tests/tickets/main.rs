//! Stream tickets: what is replayed is refused by name, what is rotated refuses nobody, and memory has an end.
//!
//! The servers are the release binaries. Each test that refuses has its control beside it: the same thing, rightful,
//! is taken.

mod certificate;
mod desk;
mod modes;
mod replay;
mod flood;
mod rotation;
mod signers;
