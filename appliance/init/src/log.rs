//! `log`: the one writer of the log. It reads what every role writes, judges each line, and chains it.
//!
//! A role that was taken over can write anything into its pipe. Nothing it writes stops this process, grows
//! without bound, or passes for another role's words; what is not by the book is refused and counted, and
//! never repeated. Each line that goes out carries the digest of the one before, so that a line that is
//! missing, changed or moved shows.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use ward_edge::allowance::Allowance;
use ward_edge::cell;
use ward_edge::clock::Clock;
use ward_edge::handed::Handed;
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::start::{StartError, exit_code};
use ward_policy::audit::{Event, Role};
use ward_policy::fault::LineFault;
use ward_policy::line::judge;
use ward_policy::{limit, scrub};
use ward_sys::process::leave;

use crate::chain::Chain;

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
    let entered = cell::enter(Role::Log, target, &handed, &[], &log)?;
    let sink = handed.sink.take().ok_or(StartError::Handed)?;
    let chain = Chain::new().map_err(|_random| StartError::System)?;
    let pipes = std::mem::take(&mut handed.pipes);
    let mut pipes: Vec<Pipe> = pipes.into_iter().map(Pipe::new).collect();
    entered.seal(&log)?;
    log.record(&Event::Started { workers: 1 });
    let mut writer = Writer { chain, sink, log, clock };
    let mut metrics_at = limit::METRICS_INTERVAL;
    while pipes.iter().any(|pipe| pipe.role != Role::Log) {
        let is_ready = wait(&pipes, metrics_at.saturating_sub(clock.now()));
        if clock.now() >= metrics_at {
            writer.log.record_metrics();
            metrics_at = clock.now().saturating_add(limit::METRICS_INTERVAL);
        }
        let mut is_ready = is_ready.into_iter();
        pipes.retain_mut(|pipe| {
            !is_ready.next().unwrap_or(false) || pipe.read(|pipe, line| writer.take(pipe, line))
        });
    }
    leave(0)
}

/// Waits until one of the pipes has something to read, or has ended, at most `patience`; which.
fn wait(pipes: &[Pipe], patience: Duration) -> Vec<bool> {
    let mut all: Vec<PollFd<'_>> =
        pipes.iter().map(|pipe| PollFd::new(&pipe.source, PollFlags::IN)).collect();
    let patience = Timespec::try_from(patience).ok();
    match poll(&mut all, patience.as_ref()) {
        Ok(_) => all.iter().map(|one| !one.revents().is_empty()).collect(),
        // A signal; the next wait tells.
        Err(_interrupted) => Vec::new(),
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
}

impl Writer {
    fn take(&mut self, pipe: &mut Pipe, line: &[u8]) {
        if cfg!(not(negative_control)) && !self.lets_pass(pipe, line) {
            return;
        }
        let mut rest = self.chain.link(line);
        while !rest.is_empty() {
            match write(&self.sink, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // Nobody reads any more; the roles must not notice.
                Err(_gone) => return,
            }
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
        let mut writer = Writer { chain: Chain::new().unwrap(), sink: sink.into(), log, clock };
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
