//! Keeps the machine's clock: asks the hypervisor's, or servers in turn, and moves it as [`super::sntp::judge`] allows.
//!
//! It asks the clock, which the rest of this role never does.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::{ClockId, DynamicClockId, clock_gettime, clock_gettime_dynamic, clock_settime};
use ward_policy::limit;

use super::kernel::socket_to;
use super::news::{News, Source};
use super::refusal::Refusal;
use super::sntp::{self, Move, Sample};

/// Since the machine started, the time it slept included.
pub(crate) fn boot_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Nanoseconds since 1970, as the machine's clock has them.
fn date_ns() -> i64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// A number that nobody can guess.
pub(crate) fn random() -> u32 {
    u32::from_ne_bytes(random_bytes())
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // PID 1 has waited for the kernel's generator, which does not fail after that; without it the number of a question is guessed by
    // anyone, who then answers within the same bounds as a server.
    SystemRandom::new().fill(&mut bytes).unwrap_or_default();
    bytes
}

pub(crate) struct TimeKeeper {
    hypervisor: Option<OwnedFd>,
    /// The operator's choice, which is not added to.
    chosen: Vec<Ipv4Addr>,
    servers: Vec<Ipv4Addr>,
    next: usize,
    due: Duration,
    /// Whether others go by the clock already.
    is_set: bool,
}

impl TimeKeeper {
    pub(crate) fn new(
        hypervisor: Option<OwnedFd>,
        chosen: Vec<Ipv4Addr>,
        is_set: bool,
        now: Duration,
    ) -> Self {
        Self { hypervisor, servers: chosen.clone(), chosen, next: 0, due: now, is_set }
    }

    /// When [`Self::tick`] is to be called; never, while nobody can be asked.
    pub(crate) fn due(&self, has_address: bool) -> Duration {
        if self.hypervisor.is_none() && !has_address { Duration::MAX } else { self.due }
    }

    /// Servers that a lease names.
    pub(crate) fn learn(&mut self, servers: &[Ipv4Addr]) {
        if self.chosen.is_empty() && self.servers != servers {
            self.servers = servers.to_vec();
            if !self.is_set {
                self.due = boot_time();
            }
        }
    }

    /// Asks, if it is time to.
    pub(crate) fn tick(&mut self, has_address: bool) -> Option<News> {
        if boot_time() < self.due(has_address) {
            return None;
        }
        let measured = self.measure();
        let (is_known, news) = match measured {
            None => (false, News::ClockUnknown),
            Some((source, measured)) => match measured.and_then(|sample| self.correct(sample)) {
                Ok((moved_ms, unsure_us)) => (true, News::Clock { source, moved_ms, unsure_us }),
                Err(refusal) => (false, News::ClockRefused { source, refusal }),
            },
        };
        let pause = if is_known { limit::CLOCK_INTERVAL } else { limit::CLOCK_RETRY };
        self.due = boot_time().saturating_add(pause);
        Some(news)
    }

    /// From the hypervisor, or the best sample of one server.
    fn measure(&mut self) -> Option<(Source, Result<Sample, Refusal>)> {
        if let Some(clock) = &self.hypervisor {
            return Some((Source::Hypervisor, ask_hypervisor(clock)));
        }
        let server = *self.servers.get(self.next % self.servers.len().max(1))?;
        let mut best: Result<Sample, Refusal> = Err(Refusal::Silent);
        for _ in 0..limit::SNTP_SAMPLES {
            let sample = ask_server(server);
            let is_better = match (&best, &sample) {
                (Ok(best), Ok(sample)) => sample.round_trip_ns < best.round_trip_ns,
                (Ok(_), Err(_)) => false,
                (Err(_), _) => true,
            };
            // Who does not answer once is not waited for three times more.
            let is_silent = sample == Err(Refusal::Silent);
            if is_better {
                best = sample;
            }
            if is_silent {
                break;
            }
        }
        if best.is_err() {
            self.next = self.next.wrapping_add(1);
        }
        Some((Source::Server(server), best))
    }

    /// Moves the clock; by how many milliseconds, and how unsure it is in microseconds.
    fn correct(&mut self, sample: Sample) -> Result<(i64, u32), Refusal> {
        let unsure_us = u32::try_from(sample.round_trip_ns / 2_000).unwrap_or(u32::MAX);
        match sntp::judge(date_ns(), sample.offset_ns, self.is_set)? {
            Move::Nothing => {}
            // It has the power to, which its cell leaves it; a kernel that refuses leaves the clock as it is, and the next look says so.
            Move::Slew(micros) => ward_sys::machine::slew_clock(micros).unwrap_or_default(),
            Move::Set(to) => {
                let (tv_sec, tv_nsec) =
                    (to.div_euclid(1_000_000_000), to.rem_euclid(1_000_000_000));
                let set = clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec });
                set.map_err(|_power| Refusal::Unsure)?;
            }
        }
        self.is_set = true;
        Ok((sample.offset_ns / 1_000_000, unsure_us))
    }
}

/// The hypervisor's clock between two looks at ours.
fn ask_hypervisor(clock: &OwnedFd) -> Result<Sample, Refusal> {
    let before = date_ns();
    let there = clock_gettime_dynamic(DynamicClockId::Dynamic(clock.as_fd()));
    let there = nanoseconds(there.map_err(|_gone| Refusal::Silent)?);
    let round_trip_ns = date_ns().saturating_sub(before).max(0);
    let here = before.saturating_add(round_trip_ns / 2);
    Ok(Sample { offset_ns: there.saturating_sub(here), round_trip_ns })
}

fn ask_server(server: Ipv4Addr) -> Result<Sample, Refusal> {
    let number = random_bytes();
    let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    let socket = socket_to(from, SocketAddrV4::new(server, 123));
    let socket = socket.map_err(|_unreachable| Refusal::Silent)?;
    let (sent_ns, began) = (date_ns(), boot_time());
    let sent = send(&socket, &sntp::question(number), SendFlags::NOSIGNAL);
    sent.map_err(|_unreachable| Refusal::Silent)?;
    let mut buffer = [0; 512];
    let mut refusal = Refusal::Silent;
    loop {
        let left = limit::SNTP_DEADLINE.saturating_sub(boot_time().saturating_sub(began));
        let patience = Timespec::try_from(left).ok();
        let mut all = [PollFd::new(&socket, PollFlags::IN)];
        if left.is_zero() || poll(&mut all, patience.as_ref()).unwrap_or(0) == 0 {
            return Err(refusal);
        }
        let took = boot_time().saturating_sub(began);
        let heard = recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT);
        let Ok((bytes, _)) = heard else { return Err(refusal) };
        match sntp::answer(buffer.get(..bytes).unwrap_or_default(), number, sent_ns, took) {
            Ok(sample) => return Ok(sample),
            // Somebody may be guessing; the right answer may still come.
            Err(Refusal::Number) => refusal = Refusal::Number,
            Err(other) => return Err(other),
        }
    }
}
