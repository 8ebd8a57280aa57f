//! The only writer of log lines: one event, one line, one write.
//!
//! It takes [`Event`]s and nothing else. It never blocks: when the reader at the other end is slow,
//! lines are dropped and counted. Events that strangers can cause at will are limited per second, so
//! the log cannot be flooded from outside.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ward_policy::audit::{Event, Role};
use ward_policy::limit;

use crate::allowance::Allowance;
use crate::clock::Clock;

/// A handle on the log; clones write to the same place.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    role: Role,
    clock: Clock,
    sink: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    allowance: Allowance,
    suppressed: u64,
    line: String,
}

impl Log {
    /// A log of `role` that writes to `sink`, which is set not to block when it is a pipe.
    #[must_use]
    pub fn new(role: Role, clock: Clock, sink: OwnedFd) -> Self {
        // A terminal or file is shared with others, so its own flags stay as they are.
        let is_pipe = rustix::fs::fstat(&sink)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo());
        if is_pipe {
            // A sink that cannot be changed still works; it only blocks.
            rustix::io::ioctl_fionbio(&sink, true).unwrap_or_default();
        }
        let state = State {
            allowance: Allowance::new(
                u64::from(limit::PEER_EVENTS_BURST_MAX),
                u64::from(limit::PEER_EVENTS_PER_SECOND_MAX),
                Duration::ZERO,
            ),
            suppressed: 0,
            line: String::with_capacity(512),
        };
        Self(Arc::new(Shared { role, clock, sink, state: Mutex::new(state) }))
    }

    /// Writes one event.
    pub fn record(&self, event: &Event) {
        let shared = &*self.0;
        let now = shared.clock.now();
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if event.is_strangers() && !state.allowance.allows(now) {
            state.suppressed = state.suppressed.saturating_add(1);
            return;
        }
        let events = state.suppressed;
        if events > 0 && shared.write(&mut state, &Event::Suppressed { events }, now) {
            state.suppressed = 0;
        }
        if !shared.write(&mut state, event, now) {
            state.suppressed = state.suppressed.saturating_add(1);
        }
    }
}

impl Shared {
    /// `false` when the reader is too slow to take the line.
    fn write(&self, state: &mut State, event: &Event, now: Duration) -> bool {
        let at_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        state.line.clear();
        event.render(self.role, at_ms, &mut state.line);
        // Lines are shorter than PIPE_BUF (4,096), so a pipe takes each whole or not at all.
        rustix::io::write(&self.sink, state.line.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use ward_policy::fault::Refusal;

    const STRANGER: Event = Event::Refused { status: 403, reason: Refusal::SignatureWrong };

    fn lines(events: &[Event]) -> Vec<String> {
        let (reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Role::Media, Clock::start(), writer.into());
        for event in events {
            log.record(event);
        }
        drop(log);
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_becomes_one_line() {
        let found = lines(&[Event::Stopped]);
        assert_eq!(found, [r#"{"at_ms":0,"role":"media","event":"stopped"}"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_cannot_flood_the_log_and_others_are_not_held_up() {
        let burst = usize::try_from(limit::PEER_EVENTS_BURST_MAX).unwrap();
        let mut events = vec![STRANGER; burst + 10];
        events.push(Event::Stopped);
        let found = lines(&events);
        assert_eq!(found.len(), burst + 2);
        assert!(found[burst].contains(r#""event":"suppressed","events":10"#));
        assert!(found[burst + 1].contains("stopped"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_pipe_never_blocks() {
        let (reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Role::Twiml, Clock::start(), writer.into());
        for _ in 0..10_000 {
            log.record(&Event::Stopped);
        }
        let suppressed = log.0.state.lock().unwrap().suppressed;
        assert!(suppressed > 0);
        let mut taken = vec![0; 1 << 20];
        let bytes = { &reader }.read(&mut taken).unwrap();
        let written = taken[..bytes].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(u64::try_from(written).unwrap() + suppressed, 10_000, "each line or its count");
        log.record(&Event::NotReady);
        let bytes = { &reader }.read(&mut taken).unwrap();
        let text = String::from_utf8_lossy(&taken[..bytes]);
        assert!(text.contains(&format!("\"events\":{suppressed}}}")), "{text}");
        assert!(text.contains("not_ready"));
    }
}
