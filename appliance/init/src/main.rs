//! `ward-init`: plays the role that its first argument names. It decides nothing.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

/// As for a command line that cannot be followed: `ward_edge::start::StartError::Handed`.
const EXIT_ARGUMENTS: u8 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("supervise") => ward_init::supervise::main(arguments),
        Some("net") => ward_init::net::main(arguments),
        Some("log") => ward_init::log::main(arguments),
        Some("sign") => ward_init::sign::main(arguments),
        _ => ExitCode::from(EXIT_ARGUMENTS),
    }
}
