//! The process that opens sockets: it dials vendors of the registry, and nobody else.
//!
//! Media asks for a vendor by its id; the answer is a connected descriptor and a short-lived token, or a reason.
//! It holds the vendors' keys and never sees a byte that goes over a connection that it gives away: media does the TLS.
//! What it says itself, to whoever mints a vendor's tokens and to whoever issues this host's certificates, is never about a call. It
//! opens no file and takes no connection.
#![forbid(unsafe_code)]

pub mod server;
pub mod settings;
mod acme;
mod answer;
mod dial;
mod exchange;
mod inventory;
pub mod keys;
mod live;
mod mint;
pub mod sigv4;
mod source;
mod token;
