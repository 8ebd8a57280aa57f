//! Nothing of a call stays in the media server's memory: scans of the release binary during and after calls.
//!
//! Everything that is looked for is made of the operating system's random bytes for one call, so it is in no
//! program and no recording. Each value is found while its call is live, in the same process by the same scan,
//! before it is looked for in vain. Frames are masked with zero, which is a mask like any other: so what the
//! server has not unmasked yet is found too.
//!
//! What a scan does not cover stands in `ward_tests::memory`.

mod patient;
mod calls;
mod secrets;
mod vendor;
