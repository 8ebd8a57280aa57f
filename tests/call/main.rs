//! One call, hop by hop: every edge case that the documentation of the wire protocol leaves open.
//!
//! Tests are named after what is true when they pass; each writes a row for the edge-case report.

mod upgrade;
mod http;
mod frames;
mod envelope;
mod audio;
mod speaking;
mod ending;
