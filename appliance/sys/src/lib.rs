//! The only crate that may contain `unsafe`.
//!
//! What the servers need from the operating system and cannot get safely elsewhere: an allocator
//! that wipes memory when it is freed, and ownership of descriptors that a launcher handed down.
//! It never parses, never logs and never decides.
#![expect(unsafe_code, reason = "this is the crate that fences it in; every block argues its case")]

pub mod alloc;
pub mod descriptor;
