//! `ward-broker` whose keys lie in memory that a scan can read: locked, where the broker that ships has `memfd_secret`. So
//! that what is not found after it was replaced can be shown to have been there before.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

fn main() -> ExitCode {
    ward_sys::secret::use_memory_that_can_be_searched();
    ward_broker::server::main(std::env::args().skip(1))
}
