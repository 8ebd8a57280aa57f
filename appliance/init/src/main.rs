//! `ward-init`: PID 1 of the image; otherwise plays the role that its first argument names. It decides nothing.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

/// As for a command line that cannot be followed: `ward_edge::start::StartError::Handed`.
const EXIT_ARGUMENTS: u8 = 64;

fn main() -> ExitCode {
    // The kernel starts the first process, and nothing on a command line can make another one of it.
    if std::process::id() == 1 {
        return ward_init::boot::main();
    }
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("supervise") => ward_init::supervise::main(arguments),
        Some("net") => ward_init::net::main(arguments),
        Some("log") => ward_init::log::main(arguments),
        Some("sign") => ward_init::sign::main(arguments),
        _ => ExitCode::from(EXIT_ARGUMENTS),
    }
}
