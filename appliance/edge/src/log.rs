//! The only writer of log lines: one event, one line, one write.
//!
//! It takes [`Event`]s and nothing else. It never blocks: when the reader at the other end is slow,
//! lines are dropped and counted. Events that strangers can cause at will are limited per second, so
//! the log cannot be flooded from outside. What is not written is counted in the metrics all the same.

mod held;
#[cfg(negative_control)]
pub mod leak;

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ward_policy::audit::{Event, Role};
use ward_policy::limit;
use ward_policy::metric::Metrics;

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
    metrics: Metrics,
    held: held::Held,
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
            metrics: Metrics::default(),
            held: held::Held::default(),
            line: String::with_capacity(512),
        };
        let log = Self(Arc::new(Shared { role, clock, sink, state: Mutex::new(state) }));
        #[cfg(negative_control)]
        leak::begin(&log);
        log
    }

    /// Counts one event and writes it, unless strangers cause too many or the reader is slow.
    pub fn record(&self, event: &Event) {
        let shared = &*self.0;
        let now = shared.clock.now();
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.metrics.note(event);
        if event.is_strangers() && !state.allowance.allows(now) {
            state.suppressed = state.suppressed.saturating_add(1);
            return;
        }
        shared.write_suppressed(&mut state, now);
        state.line.clear();
        event.render(shared.role, at_ms(now), &mut state.line);
        shared.write(&mut state);
    }

    /// Counts one event and appends it to `line`, for the one who writes the log itself.
    pub fn render(&self, event: &Event, line: &mut String) {
        let shared = &*self.0;
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.metrics.note(event);
        event.render(shared.role, at_ms(shared.clock.now()), line);
    }

    /// Writes what has been counted since the process started.
    pub fn record_metrics(&self) {
        let shared = &*self.0;
        let now = shared.clock.now();
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        shared.write_suppressed(&mut state, now);
        let State { metrics, line, .. } = &mut *state;
        line.clear();
        metrics.render(shared.role, at_ms(now), line);
        shared.write(&mut state);
    }

    /// Writes the metrics every [`limit::METRICS_INTERVAL`], for as long as it is polled.
    pub async fn keep_metrics(&self) -> Infallible {
        loop {
            tokio::time::sleep(limit::METRICS_INTERVAL).await;
            self.record_metrics();
        }
    }
}

impl Shared {
    /// Says how many lines were not written, if there are any; when that cannot be written either, they stay
    /// to be said.
    fn write_suppressed(&self, state: &mut State, now: Duration) {
        if state.suppressed == 0 {
            return;
        }
        let event = Event::Suppressed { events: state.suppressed };
        state.line.clear();
        event.render(self.role, at_ms(now), &mut state.line);
        if self.takes(&state.line) {
            state.metrics.note(&event);
            state.suppressed = 0;
        }
    }

    /// Writes every line that has been rendered; counts those that the reader is too slow to take.
    fn write(&self, state: &mut State) {
        for line in state.line.split_inclusive('\n') {
            if !self.takes(line) {
                state.suppressed = state.suppressed.saturating_add(1);
            }
        }
    }

    /// `false` when the reader is too slow to take the line.
    fn takes(&self, line: &str) -> bool {
        // Lines are shorter than PIPE_BUF (4,096), so a pipe takes each whole or not at all.
        rustix::io::write(&self.sink, line.as_bytes()).is_ok()
    }
}

fn at_ms(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use ward_policy::fault::Refusal;

    const STRANGER: Event = Event::Refused { status: 403, reason: Refusal::SignatureWrong };

    /// What is written while `work` goes on.
    pub(super) async fn lines_of(work: impl AsyncFnOnce(Log)) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        work(Log::new(Role::Media, Clock::start(), writer.into())).await;
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

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

    fn text(reader: &mut impl std::io::Read, log: Log) -> String {
        drop(log);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_are_not_written_are_counted_all_the_same() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Role::Media, Clock::start(), writer.into());
        let burst = u64::from(limit::PEER_EVENTS_BURST_MAX);
        for _ in 0..burst + 10 {
            log.record(&STRANGER);
        }
        log.record_metrics();
        let text = text(&mut reader, log);
        let written =
            text.lines().filter(|line| line.contains("signature_wrong\",\"fault")).count();
        assert_eq!(u64::try_from(written).unwrap(), burst);
        let expected = format!("\"refused\":{{\"signature_wrong\":{}}}", burst + 10);
        let last = text.lines().last().unwrap();
        assert!(last.contains(&expected) && last.contains("\"lines_suppressed\":10,"), "{last}");
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_are_written_once_a_minute_and_not_between() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Role::Media, Clock::start(), writer.into());
        log.record(&Event::Started { workers: 1 });
        let patience = limit::METRICS_INTERVAL.mul_f64(3.5);
        tokio::time::timeout(patience, log.keep_metrics()).await.unwrap_err();
        let text = text(&mut reader, log);
        let metrics = text.lines().filter(|line| line.contains("\"event\":\"metrics\""));
        let at: Vec<&str> = metrics.map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(at, ["{\"at_ms\":60000", "{\"at_ms\":120000", "{\"at_ms\":180000"], "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_that_the_reader_does_not_take_are_suppressed_lines_too() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Role::Media, Clock::start(), writer.into());
        let mut filled = 0_u64;
        while log.0.state.lock().unwrap().suppressed == 0 {
            log.record(&Event::Stopped);
            filled += 1;
        }
        log.record_metrics();
        assert_eq!(log.0.state.lock().unwrap().suppressed, 2);
        let mut taken = vec![0; 1 << 20];
        let _bytes = { &reader }.read(&mut taken).unwrap();
        log.record_metrics();
        let text = text(&mut reader, log);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("\"event\":\"suppressed\",\"events\":2}"), "{text}");
        let expected = format!(
            "\"lines_suppressed\":2,\"events\":{{\"suppressed\":1,\"stopped\":{filled}}}}}"
        );
        assert!(lines[1].ends_with(&expected), "{text}");
        assert_eq!(lines.len(), 2);
    }
}
