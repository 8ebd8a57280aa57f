//! The roles beside the servers: small processes that each hold one thing.
//!
//! `sign` holds the TLS private key, so that no process that talks to the internet does. It accepts no
//! connection, knows no caller and decides nothing.
#![forbid(unsafe_code)]

pub mod sign;
