//! The processes around a server, each of which does one thing.
//!
//! The supervisor starts the others and starts them again. `log` is the one writer of the log. `sign` holds
//! the TLS private key, so that no process that talks to the internet does. None of them accepts a connection
//! or knows a caller.
#![forbid(unsafe_code)]

pub mod acme;
pub mod boot;
mod chain;
pub mod code;
pub mod config;
mod console;
pub mod dmi;
mod followed;
mod keys;
mod link;
pub mod disk;
pub mod launch;
pub mod net;
pub mod log;
mod post;
mod power;
pub mod sign;
pub mod supervise;
mod watchdog;
