//! `ward-media` with the system's own allocator: what is freed is not wiped. The negative control of the scans.
//!
//! It is the server's `main` without its allocator, and changes nothing else.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ward_media::server::main(std::env::args().skip(1))
}
