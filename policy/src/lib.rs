//! What is allowed: data and decisions, in reading order.
//!
//! Every maximum and deadline, the headers of every response, what a log line may say, and the types
//! that keep patients' data and secrets from leaving by accident. This crate does no I/O, starts no
//! task, asks no clock and contains no `unsafe`.
#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

pub mod limit;
pub mod header;
pub mod phi;
pub mod redact;
pub mod fault;
pub mod ticket;
pub mod proof;
pub mod count;
pub mod credential;
pub mod date;
pub mod address;
pub mod data_class;
pub mod service;
pub mod connector;
pub mod log_sink;
pub mod tls;
pub mod certificate;
pub mod ledger;
pub mod vendor_id;
#[cfg(feature = "vendors")]
pub mod vendor;
pub mod audit;
mod spoken;
pub mod scrub;
pub mod phrase;
#[cfg(feature = "gate")]
pub mod gate;
pub mod cell;
pub mod setting;
pub mod boot;
pub mod line;
pub mod metric;
pub mod syscall;
