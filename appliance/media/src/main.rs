//! `ward-media`: started by a launcher with open descriptors; see `ward_edge::handed`. It decides nothing.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

fn main() -> ExitCode {
    ward_media::server::main(std::env::args().skip(1))
}
