//! `log`: the one writer of the log. It reads what every role writes, judges each line, and chains it.
//!
//! A role that was taken over can write anything into its pipe. Nothing it writes stops this process, grows
//! without bound, or passes for another role's words; what is not by the book is refused and counted, and
//! never repeated. Each line that goes out carries the digest of the one before, so that a line that is
//! missing, changed or moved shows. Where a log sink is named, each also goes there: `log/ship.rs`. The sink is never
//! waited for.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use ward_edge::allowance::Allowance;
use ward_edge::cell;
use ward_edge::clock::Clock;
use ward_edge::handed::{Handed, read_document};
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::start::{StartError, exit_code};
use ward_policy::audit::{Event, Role};
use ward_policy::fault::LineFault;
use ward_policy::line::judge;
use ward_policy::log_sink::SinkPlan;
use ward_policy::{limit, scrub};
use ward_sys::process::leave;

use crate::chain::Chain;
use ship::Shipper;
use spool::{Gap, Spool};

mod answer;
mod batch;
mod connection;
mod ship;
mod spool;

/// Runs the role until nobody is left who could write.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    exit_code(start(arguments))
}

fn start(arguments: impl Iterator<Item = String>) -> Result<Infallible, StartError> {
    let mut handed = Handed::adopt(arguments).map_err(|_handed| StartError::Handed)?;
    // Its own words take the same way as everyone's.
    let own = handed.log.take().ok_or(StartError::Handed)?;
    let clock = Clock::start();
    let log = Log::new(Role::Log, clock, own);
    install(Strategy::Abort, log.clone());
    let target = handed.target.ok_or(StartError::Handed)?;
    // Before the layers are on: memory for secrets is a file that grows, once.
    let shipping = shipping(&mut handed)?;
    let entered = cell::enter(Role::Log, target, &handed, &[], &log)?;
    let sink = handed.sink.take().ok_or(StartError::Handed)?;
    let chain = Chain::new().map_err(|_random| StartError::System)?;
    let pipes = std::mem::take(&mut handed.pipes);
    let mut pipes: Vec<Pipe> = pipes.into_iter().map(Pipe::new).collect();
    entered.seal(&log)?;
    log.record(&Event::Started { workers: 1 });
    let mut writer = Writer { chain, sink, log, clock, shipping };
    let mut metrics_at = limit::METRICS_INTERVAL;
    while pipes.iter().any(|pipe| pipe.role != Role::Log) {
        let until = writer.wake_at().map_or(metrics_at, |at| at.min(metrics_at));
        let is_ready = wait(&pipes, &writer, until.saturating_sub(clock.now()));
        if clock.now() >= metrics_at {
            writer.log.record_metrics();
            writer.write_head();
            metrics_at = clock.now().saturating_add(limit::METRICS_INTERVAL);
        }
        writer.ship(is_ready.shipper);
        let mut is_ready = is_ready.pipes.into_iter();
        pipes.retain_mut(|pipe| {
            !is_ready.next().unwrap_or(false) || pipe.read(|pipe, line| writer.take(pipe, line))
        });
    }
    writer.close(&mut pipes);
    leave(0)
}

/// What is needed for the log sink, where one is named.
fn shipping(handed: &mut Handed) -> Result<Option<(Spool, Shipper)>, StartError> {
    let Some(document) = handed.log_sink.take() else { return Ok(None) };
    let document = read_document(Some(document), "log-sink").map_err(|_long| StartError::Handed)?;
    let plan = SinkPlan::parse(document.expose()).ok_or(StartError::Settings)?;
    let channel = handed.broker.pop().ok_or(StartError::Handed)?;
    let spool = Spool::new(plan.sink.spool_bytes);
    Ok(Some((spool, Shipper::new(plan, channel)?)))
}

/// Who has something to read, or has ended.
#[derive(Debug, Default)]
struct Ready {
    pipes: Vec<bool>,
    shipper: bool,
}

/// Waits for one of the pipes, or for what the log sink or the broker says, at most `patience`.
fn wait(pipes: &[Pipe], writer: &Writer, patience: Duration) -> Ready {
    let mut all: Vec<PollFd<'_>> =
        pipes.iter().map(|pipe| PollFd::new(&pipe.source, PollFlags::IN)).collect();
    all.extend(writer.shipping.as_ref().and_then(|(_spool, shipper)| shipper.awaited()));
    let patience = Timespec::try_from(patience).ok();
    match poll(&mut all, patience.as_ref()) {
        Ok(_) => {
            let mut all = all.iter().map(|one| !one.revents().is_empty());
            Ready { pipes: all.by_ref().take(pipes.len()).collect(), shipper: all.any(|one| one) }
        }
        // A signal; the next wait tells.
        Err(_interrupted) => Ready::default(),
    }
}

/// What one role writes into.
#[derive(Debug)]
struct Pipe {
    role: Role,
    source: OwnedFd,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    allowance: Allowance,
}

impl Pipe {
    fn new((role, source): (Role, OwnedFd)) -> Self {
        let allowance = Allowance::new(
            limit::LOG_LINES_BURST_MAX,
            limit::LOG_LINES_PER_SECOND_MAX,
            Duration::ZERO,
        );
        Self { role, source, line: Vec::with_capacity(limit::LOG_LINE_BYTES_MAX), allowance }
    }

    /// Takes what is there, line by line; false when nobody can write any more.
    ///
    /// Of a line that is too long only the beginning is kept, to be refused.
    fn read(&mut self, mut take: impl FnMut(&mut Self, &[u8])) -> bool {
        let mut chunk = [0; 4_096];
        let count = match read(&self.source, &mut chunk) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_broken) => 0,
        };
        for byte in chunk.iter().take(count) {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                take(self, &line);
                self.line = line;
                self.line.clear();
            } else if self.line.len() <= limit::LOG_LINE_BYTES_MAX {
                self.line.push(*byte);
            }
        }
        count > 0
    }
}

/// Judges lines and writes those that are by the book.
#[derive(Debug)]
struct Writer {
    chain: Chain,
    sink: OwnedFd,
    log: Log,
    clock: Clock,
    shipping: Option<(Spool, Shipper)>,
}

/// Whether a record may find no room in the spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Room {
    IfThereIs,
    Always,
}

impl Writer {
    fn take(&mut self, pipe: &mut Pipe, line: &[u8]) {
        if cfg!(not(negative_control)) && !self.lets_pass(pipe, line) {
            return;
        }
        self.name_gap(false);
        self.write(line, Room::IfThereIs);
    }

    /// Puts one line into the chain, and into the spool.
    fn write(&mut self, line: &[u8], room: Room) {
        let (sequence, before) = self.chain.next();
        let mut rest = self.chain.link(line);
        match &mut self.shipping {
            Some((spool, _shipper)) if room == Room::Always => spool.keep(rest),
            Some((spool, _shipper)) => spool.push(sequence, before, rest),
            None => {}
        }
        while !rest.is_empty() {
            match write(&self.sink, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // Nobody reads any more; the roles must not notice.
                Err(_gone) => return,
            }
        }
    }

    /// Writes an event of the log's own at once, so that nothing comes between.
    fn write_own(&mut self, event: &Event, room: Room) {
        let mut line = String::new();
        self.log.render(event, &mut line);
        self.write(line.trim_ascii_end().as_bytes(), room);
    }

    /// Names what the spool had no room for, once it has some again, or if this is the end.
    fn name_gap(&mut self, is_last: bool) {
        let gap = self.shipping.as_mut().and_then(|(spool, _shipper)| spool.take_gap(is_last));
        if let Some(Gap { first, last, before }) = gap {
            self.write_own(&Event::LogGap { first, last, before }, Room::Always);
        }
    }

    /// Says how the log stands with its sink, where there is one.
    fn write_head(&mut self) {
        let Some((spool, _shipper)) = &self.shipping else { return };
        let waiting_bytes = u64::try_from(spool.bytes()).unwrap_or(u64::MAX);
        let (waiting, lost) = (spool.waiting(), spool.lost());
        self.write_own(&Event::LogHead { waiting, waiting_bytes, lost }, Room::IfThereIs);
    }

    /// When there is something to do for the log sink.
    fn wake_at(&self) -> Option<Duration> {
        self.shipping.as_ref().map(|(spool, shipper)| shipper.wake_at(spool))
    }

    /// Does what can be done for the log sink without waiting.
    fn ship(&mut self, is_ready: bool) {
        let Some((spool, shipper)) = &mut self.shipping else { return };
        if let Some(event) = shipper.turn(self.clock.now(), is_ready, spool) {
            self.log.record(&event);
        }
        self.name_gap(false);
    }

    /// The last words: what the log itself has said, what was lost, and that this is the end. Then the sink gets what is
    /// still waiting, if it takes it.
    fn close(&mut self, pipes: &mut [Pipe]) {
        for pipe in pipes {
            while wait(std::slice::from_ref(pipe), self, Duration::ZERO).pipes.contains(&true) {
                if !pipe.read(|pipe, line| self.take(pipe, line)) {
                    break;
                }
            }
        }
        self.name_gap(true);
        self.write_own(&Event::LogClosed, Room::Always);
        let until = self.clock.now().saturating_add(limit::SINK_FLUSH_DEADLINE);
        while let Some((spool, shipper)) = &self.shipping {
            let now = self.clock.now();
            if spool.is_empty() || !shipper.has_hope() || now >= until {
                return;
            }
            let patience = shipper.wake_at(spool).min(until).saturating_sub(now);
            let is_ready = wait(&[], self, patience).shipper;
            let Some((spool, shipper)) = &mut self.shipping else { return };
            // There is nobody left who could be told.
            let _unsaid = shipper.turn(self.clock.now(), is_ready, spool);
        }
    }

    /// Whether a line may go out; one that may not is an event of its own.
    fn lets_pass(&self, pipe: &mut Pipe, line: &[u8]) -> bool {
        let from = pipe.role;
        let is_flood = !pipe.allowance.allows(self.clock.now());
        let judged = if is_flood { Err(LineFault::Flood) } else { judge(from, line) };
        if let Err(reason) = judged {
            self.log.record(&Event::LineRefused { from, reason });
            return false;
        }
        // The last wall: by the book, and yet as if an identifier were in it.
        let hits = scrub::scan(line);
        hits.iter().for_each(|class| self.log.record(&Event::ScrubberAlarm { from, class }));
        hits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    const FINE: &str = r#"{"at_ms":7,"role":"media","event":"stopped"}"#;

    /// What comes out when `bytes` are written into media's pipe: the lines, and how many were refused.
    fn check(bytes: &[u8]) -> (Vec<String>, usize) {
        let ((source, mut role), (mut out, sink)) =
            (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let (mut own, own_writer) = std::io::pipe().unwrap();
        let clock = Clock::start();
        let log = Log::new(Role::Log, clock, own_writer.into());
        let mut writer =
            Writer { chain: Chain::new().unwrap(), sink: sink.into(), log, clock, shipping: None };
        let mut pipe = Pipe::new((Role::Media, source.into()));
        let bytes = bytes.to_vec();
        let writing = std::thread::spawn(move || role.write_all(&bytes).unwrap());
        while pipe.read(|pipe, line| writer.take(pipe, line)) {}
        writing.join().unwrap();
        drop(writer);
        let (mut lines, mut refused) = (String::new(), String::new());
        out.read_to_string(&mut lines).unwrap();
        own.read_to_string(&mut refused).unwrap();
        (lines.lines().map(str::to_owned).collect(), refused.matches("line_refused").count())
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_role_writes_by_the_book_is_chained_and_written() {
        let (lines, refused) = check(format!("{FINE}\n{FINE}\n").as_bytes());
        assert_eq!((lines.len(), refused), (2, 0));
        assert!(lines.iter().all(|line| line.ends_with(FINE.trim_start_matches('{'))), "{lines:?}");
        assert!(lines[0].contains("\"seq\":0,") && lines[1].contains("\"seq\":1,"));
    }

    #[tokio::test(start_paused = true)]
    async fn everything_else_is_refused_and_reading_goes_on() {
        let long = format!("{}{}\n", FINE.trim_end_matches('}'), "x".repeat(1_000_000));
        for wrong in [
            &b"\xff\n"[..],
            b"\n",
            b"free text\n",
            b"{\"at_ms\":7,\"role\":\"sign\",\"event\":\"started\"}\n",
            b"{\"at_ms\":7,\"role\":\"media\",\"event\":\"\x1b[2J\"}\n",
            b"{\"at_ms\":x,\"role\":\"media\",\"event\":\"stopped\"}\n",
            long.as_bytes(),
        ] {
            let all = [wrong, FINE.as_bytes(), b"\n"].concat();
            let (lines, refused) = check(&all);
            let name = wrong.get(..40).unwrap_or(wrong).escape_ascii().to_string();
            assert_eq!((lines.len(), refused), (1, 1), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_never_stops_writing_is_limited() {
        let burst = usize::try_from(limit::LOG_LINES_BURST_MAX).unwrap();
        // The reader of what is let through is not there to empty the pipe: so few that they fit in it.
        let (mut pipe, now) =
            (Pipe::new((Role::Media, std::io::pipe().unwrap().0.into())), Duration::from_secs(1));
        let allowed = (0..burst * 2).filter(|_| pipe.allowance.allows(now)).count();
        assert_eq!(allowed, burst);
    }
}
