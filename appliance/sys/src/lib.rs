//! The only crate that may contain `unsafe`.
//!
//! What the servers need from the operating system and cannot get safely elsewhere: an allocator
//! that wipes memory when it is freed, a way to overwrite dead stack, ownership of descriptors that a launcher handed down, and the
//! layers of a cell. It never parses, never logs, and decides nothing but what `policy` says.
#![expect(unsafe_code, reason = "this is the crate that fences it in; every block argues its case")]

pub mod alloc;
pub mod stack;
pub mod descriptor;
pub mod cell;
pub mod seccomp;
pub mod secret;
pub mod readiness;
pub mod process;
pub mod packet;
pub mod machine;
pub mod signals;
mod namespace;
mod capability;
mod confinement;
