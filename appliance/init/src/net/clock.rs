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
use super::sntp::{self, Move, Moved, Sample};

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

/// What a look at the clock takes of the world: a test has another.
pub(crate) trait World {
    fn now(&self) -> Duration;
    fn date_ns(&self) -> i64;
    fn hypervisor(&mut self, clock: &OwnedFd) -> Result<Sample, Refusal>;
    fn server(&mut self, server: Ipv4Addr) -> Result<Sample, Refusal>;
    fn make(&mut self, change: Move) -> Result<(), Refusal>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct Machine;

impl World for Machine {
    fn now(&self) -> Duration {
        boot_time()
    }

    fn date_ns(&self) -> i64 {
        date_ns()
    }

    fn hypervisor(&mut self, clock: &OwnedFd) -> Result<Sample, Refusal> {
        ask_hypervisor(clock)
    }

    fn server(&mut self, server: Ipv4Addr) -> Result<Sample, Refusal> {
        ask_server(server)
    }

    fn make(&mut self, change: Move) -> Result<(), Refusal> {
        match change {
            Move::Nothing => Ok(()),
            // It has the power to, which its cell leaves it; a kernel that refuses leaves the clock as it is, and the next look says so.
            Move::Slew(micros) => {
                ward_sys::machine::slew_clock(micros).unwrap_or_default();
                Ok(())
            }
            Move::Set(to) => {
                let (tv_sec, tv_nsec) =
                    (to.div_euclid(1_000_000_000), to.rem_euclid(1_000_000_000));
                let set = clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec });
                set.map_err(|_power| Refusal::Unsure)
            }
        }
    }
}

pub(crate) struct TimeKeeper<W: World = Machine> {
    world: W,
    hypervisor: Option<OwnedFd>,
    /// The operator's choice, which is not added to.
    chosen: Vec<Ipv4Addr>,
    servers: Vec<Ipv4Addr>,
    next: usize,
    due: Duration,
    /// Whether others go by the clock already.
    is_set: bool,
    /// How far servers have moved it lately.
    moved: Moved,
}

impl<W: World> TimeKeeper<W> {
    /// `is_set`: a role before this one has had the date confirmed.
    pub(crate) fn new(
        world: W,
        hypervisor: Option<OwnedFd>,
        chosen: Vec<Ipv4Addr>,
        is_set: bool,
    ) -> Self {
        let (due, servers) = (world.now(), chosen.clone());
        Self { world, hypervisor, servers, chosen, next: 0, due, is_set, moved: Moved::default() }
    }

    /// When [`Self::tick`] is to be called; never, while nobody can be asked.
    pub(crate) fn due(&self, has_address: bool) -> Duration {
        if self.hypervisor.is_none() && !has_address { Duration::MAX } else { self.due }
    }

    /// There is an address, and servers that its lease names: whoever has no date yet asks at once.
    pub(crate) fn learn(&mut self, servers: &[Ipv4Addr]) {
        if self.chosen.is_empty() {
            self.servers = servers.to_vec();
        }
        if !self.is_set {
            self.due = self.world.now();
        }
    }

    /// Asks, if it is time to: the hypervisor, and a server when that says nothing that can be followed. What is to be told of it.
    pub(crate) fn tick(&mut self, has_address: bool) -> Vec<News> {
        let mut news = Vec::new();
        if self.world.now() < self.due(has_address) {
            return news;
        }
        let mut is_known = false;
        if let Some(clock) = &self.hypervisor {
            let sample = self.world.hypervisor(clock);
            is_known = self.follow(Source::Hypervisor, sample, &mut news);
        }
        if !is_known && has_address {
            match self.measure() {
                Some((server, sample)) => {
                    is_known = self.follow(Source::Server(server), sample, &mut news);
                }
                None => news.push(News::ClockUnknown),
            }
        }
        let pause = if is_known { limit::CLOCK_INTERVAL } else { limit::CLOCK_RETRY };
        self.due = self.world.now().saturating_add(pause);
        news
    }

    /// Whether a sample could be followed.
    fn follow(
        &mut self,
        source: Source,
        sample: Result<Sample, Refusal>,
        news: &mut Vec<News>,
    ) -> bool {
        let corrected = sample.and_then(|sample| self.correct(source, sample));
        news.push(match corrected {
            Ok((moved_ms, unsure_us)) => News::Clock { source, moved_ms, unsure_us },
            Err(refusal) => News::ClockRefused { source, refusal },
        });
        corrected.is_ok()
    }

    /// The best sample of one server.
    fn measure(&mut self) -> Option<(Ipv4Addr, Result<Sample, Refusal>)> {
        let server = *self.servers.get(self.next % self.servers.len().max(1))?;
        let mut best: Result<Sample, Refusal> = Err(Refusal::Silent);
        for _ in 0..limit::SNTP_SAMPLES {
            let sample = self.world.server(server);
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
        Some((server, best))
    }

    /// Moves the clock; by how many milliseconds, and how unsure it is in microseconds.
    fn correct(&mut self, source: Source, sample: Sample) -> Result<(i64, u32), Refusal> {
        let unsure_us = u32::try_from(sample.round_trip_ns / 2_000).unwrap_or(u32::MAX);
        let now = self.world.now();
        let is_server = source != Source::Hypervisor;
        // Whoever runs the machine has its clock anyway, and knows for how long it stood still.
        let most = if is_server { self.moved.left(now) } else { Duration::MAX };
        let most = self.is_set.then_some(most);
        let change = sntp::judge(self.world.date_ns(), sample.offset_ns, most)?;
        self.world.make(change)?;
        if self.is_set && is_server && change != Move::Nothing {
            self.moved.add(Duration::from_nanos(sample.offset_ns.unsigned_abs()));
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

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
