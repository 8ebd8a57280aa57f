//! The operator's tool: everything a person does with Ward, and the Twilio stand-in that tests use.
//!
//! It never ships in the image. It is the launcher: it opens what the servers need and hands it down, so
//! they open nothing themselves.
#![forbid(unsafe_code)]

pub mod console;
pub mod settings;
pub mod check_config;
pub mod vendors;
pub mod events;
pub mod metrics;
pub mod development_ca;
pub mod log_lines;
pub mod launch;
pub mod run;
pub mod stage;
pub mod report;
pub mod client;
pub mod wav;
pub mod caller;
pub mod call;
pub mod deployment;
pub mod conversation;
pub mod rehearsal;
pub mod demo;
pub mod local_vendors;
pub mod signature;
pub mod verify_image;
