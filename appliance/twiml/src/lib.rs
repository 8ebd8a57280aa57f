//! The TwiML-only responder: a signed webhook in, one fixed document out.
//!
//! It believes nothing that Twilio did not sign over the configured URL, and after that nothing that
//! is not shaped like a voice webhook. It keeps no state, opens no connection and never speaks
//! WebSocket.
#![forbid(unsafe_code)]

pub mod settings;
pub mod credentials;
pub mod responder;
pub mod server;
