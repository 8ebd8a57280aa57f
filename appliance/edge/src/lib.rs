//! What both servers share, in the order a connection meets it.
//!
//! Descriptors from the launcher, workers, listeners, TLS, the request head judged before hyper sees
//! it, answers with the enforced headers, the log, the drain. It knows no route and no call.
#![forbid(unsafe_code)]

pub mod cell;
pub mod clock;
pub mod random;
pub mod handed;
pub mod following;
pub mod settings;
pub mod start;
pub mod allowance;
pub mod log;
pub mod panic;
pub mod wiped;
pub mod worker;
pub mod drain;
pub mod tcp;
pub mod signing;
pub mod kept;
pub mod order;
pub mod instruction;
pub mod certificate;
pub mod egress;
pub mod control;
pub mod tls;
pub mod vendor_tls;
pub mod connection;
pub mod head;
pub mod prefixed;
pub mod answer;
