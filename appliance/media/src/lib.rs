//! The media server: the one process that hears patients.
//!
//! In the order of a call: settings, start-up, the upgrade request and what it is believed for, the registry of
//! live calls, the WebSocket, the session that joins Twilio's messages to the call, the agents, and the way to vendors through
//! the broker. It opens no file
//! and no connection of its own; everything it uses was handed down.
#![forbid(unsafe_code)]

// Third-party log records are compiled out by this crate's features; nothing is ever logged with it.
use log as _;

pub mod settings;
pub mod server;
pub mod upgrade;
pub mod admission;
pub mod slot;
pub mod registry;
pub mod socket;
mod strikes;
pub mod session;
pub mod agent;
pub mod broker;
pub mod vendor;
