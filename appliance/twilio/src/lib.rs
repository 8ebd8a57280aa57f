//! Twilio's wire format, and the only crate that knows it.
//!
//! Bytes in, types out, and back: SIDs, webhook signatures, stream tickets, the webhook's form, TwiML, the Media
//! Streams envelope, µ-law. It opens no socket, asks no clock, logs nothing, and never shows what it
//! was given in an error.
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

pub mod sid;
pub mod url;
pub mod form;
pub mod signature;
pub mod ticket;
pub mod handshake;
pub mod webhook;
pub mod twiml;
pub mod envelope;
pub mod mulaw;
