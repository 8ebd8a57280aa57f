//! Limits of stream tickets: how long one lives, how far clocks may differ, how many are remembered.
//!
//! It never decides what happens at a limit: [`crate::ticket`] does.

use std::time::Duration;

/// The longest life of a ticket. Twilio dials within a second or two of the `TwiML` that carries it.
pub const TICKET_LIFE_MAX: Duration = Duration::from_secs(60);
/// The life of a ticket that Ward's responders issue: Twilio's slowest dial seen was a few seconds, its connect
/// deadline is five, and what is left is for clocks that differ.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);
/// How far ahead the responder's clock may be. A media server that has just started refuses tickets issued up to this
/// long after its start: a process before it may have taken them.
pub const TICKET_SKEW_MAX: Duration = Duration::from_secs(2);
/// Tickets that were used and can still come again, of one process: a thousand calls a second for as long as a ticket
/// can live. Past it newcomers are refused by name. 16 bytes each, and what a tree of them needs beside: under 4 MiB.
pub const TICKETS_REMEMBERED_MAX: usize = 65_536;
/// Keys whose tickets are taken: the current one and the next, for two responders.
pub const TICKET_KEYS_MAX: usize = 4;
/// Streams of one worker that have shown neither signature nor ticket yet, and have [`super::START_DEADLINE`] to show
/// the latter: strangers can take these places and no others.
pub const UNPROVEN_STREAMS_MAX: usize = 64;
/// And no more than one part in this of a worker's calls, but one: a small worker is not a stranger's to fill.
pub const UNPROVEN_STREAMS_PARTS: usize = 4;

// The figures agree with each other, or nothing compiles.
const _: () = {
    assert!(TICKET_LIFE.as_secs() <= TICKET_LIFE_MAX.as_secs());
    assert!(TICKET_SKEW_MAX.as_secs() < TICKET_LIFE.as_secs());
};
