//! The same broker with an allocator that wipes nothing: the negative control of the scans for what was replaced.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ward_sys::secret::use_memory_that_can_be_searched();
    ward_broker::server::main(std::env::args().skip(1))
}
