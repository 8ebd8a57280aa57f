//! `ward-media`, taken over in its first life: it does to its descriptors whatever its filter would let it do, and
//! ends as if it had been told to. In every later life it is the server that ships.
//!
//! Which life it is, a file in the temporary folder tells, named after the supervisor.

use std::process::ExitCode;
use std::time::Duration;

use rustix::net::{SendFlags, Shutdown, send, shutdown};
use ward_sys::descriptor::adopt;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

fn main() -> ExitCode {
    let supervisor = rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid);
    let mark = std::env::temp_dir().join(format!("ward-saboteur-{supervisor}"));
    let is_first = std::fs::File::options().write(true).create_new(true).open(mark).is_ok();
    if !is_first {
        return ward_media::server::main(std::env::args().skip(1));
    }
    let names = std::env::args().skip(1);
    let numbers = names.filter_map(|argument| argument.split_once('=')?.1.parse().ok());
    let all: Vec<_> = numbers.filter_map(|number| adopt(number).ok()).collect();
    for descriptor in &all {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // Until the channel is full; what cannot be sent to is another kind of descriptor.
        while send(descriptor, &[1; 9], flags).is_ok() {}
        // What does not work is no harm done.
        send(descriptor, b"", flags).map(drop).unwrap_or_default();
        shutdown(descriptor, Shutdown::Write).unwrap_or_default();
    }
    std::thread::sleep(Duration::from_millis(500));
    ExitCode::SUCCESS
}
