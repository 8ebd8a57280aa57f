//! `ward-broker`: hands over to the library. It decides nothing.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

fn main() -> ExitCode {
    ward_broker::server::main(std::env::args().skip(1))
}
