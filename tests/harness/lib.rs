//! What the black-box tests share: servers as they ship, a raw TLS wire, a raw WebSocket, virtual time.
//!
//! The servers are the release binaries, started by the same launcher as everywhere. Nothing here talks
//! to anything but loopback.
#![forbid(unsafe_code)]

pub mod binaries;
pub mod random;
pub mod logs;
pub mod servers;
pub mod tls_front;
pub mod site;
pub mod wire;
pub mod websocket;
pub mod virtual_call;
pub mod headers;
pub mod edge_cases;
pub mod spoken_call;
pub mod memory;
pub mod network;
pub mod dhcp;
pub mod vendor;
pub mod scripted;
pub mod authority;
pub mod python;
pub mod statistics;
pub mod digest;
