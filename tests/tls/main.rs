//! TLS from outside: what the servers speak and show, and whom their clients believe. Versions, suites and groups are compared with
//! `policy/src/tls.rs`; every finding has a peer beside it of which the opposite is found.

mod hello;
mod peers;
mod refused;
mod scan;
mod stated;
