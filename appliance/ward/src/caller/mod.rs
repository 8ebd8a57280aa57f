//! The Twilio stand-in: signs and posts the webhook, reads the TwiML, then is the other end of the
//! stream, as far as Twilio's pages describe it.

pub mod webhook;
pub mod speaker;
pub mod talker;
pub mod lines;
pub(crate) mod leg;
mod frames;
pub mod stream;
pub mod packets;
