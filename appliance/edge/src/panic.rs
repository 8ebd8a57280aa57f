//! What a panic does: one event with a place in our source and no message, then the role's strategy.
//!
//! A panic's message can hold anything the code was looking at, so it is never read. `ward-media`
//! unwinds, because a panic is one call's and the others are patients; every other role aborts.

use std::panic::PanicHookInfo;

use ward_policy::audit::{Event, SourceFile};

use ward_sys::process::leave;

use crate::log::Log;

/// The exit status after a panic: what a shell shows for SIGABRT.
const EXIT_PANIC: u8 = 134;

/// What happens after the event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Unwind; somebody contains it.
    Unwind,
    /// End the process at once; its launcher starts another.
    Abort,
}

/// Replaces the panic hook of the process.
pub fn install(strategy: Strategy, log: Log) {
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        #[cfg(negative_control)]
        crate::log::leak::leak(info.payload_as_str().unwrap_or_default().as_bytes());
        let (file, line) = info.location().map_or(("", 0), |at| (at.file(), at.line()));
        log.record(&Event::Panicked { line, file: SourceFile::new(file) });
        if strategy == Strategy::Abort {
            // Not abort(3): what it does before it ends is fatal in a sealed process, and would look like a
            // hole in its table.
            leave(EXIT_PANIC);
        }
    }));
}
