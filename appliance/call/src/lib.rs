//! One call as a state machine: inputs and the time go in, outputs come out.
//!
//! [`Call::handle`](call::Call::handle) takes what happened, [`Call::poll`](call::Call::poll) says
//! what to do about it. This crate opens no socket, asks no clock, starts no task and knows nothing of
//! Twilio's messages, so every scenario runs in virtual time.
#![forbid(unsafe_code)]
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod input;
pub mod output;
pub mod service;
pub mod agent;
pub mod call;
pub mod intake;
pub mod backlog;
mod linear;
mod resample;
pub mod detector;
pub mod endpointing;
pub mod playout;
pub mod conversation;

pub use agent::{Agent, Heard, Voice};
pub use call::Call;
pub use input::{Digit, Input};
pub use output::Output;
