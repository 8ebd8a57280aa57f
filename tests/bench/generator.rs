//! The load: N callers who behave as Twilio does, on one thread that spins.
//!
//! A sleeping generator would be woken by the server's `send`, and that interrupt would fall on the
//! server. Each frame carries its own pseudo-random audio, and each echo is compared with it byte for
//! byte, so a frame that is lost, damaged or crossed with another call is seen.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::event::epoll;

use crate::line::{Line, Target, client_config, ready, string_of};

/// One frame every 20 ms.
const PERIOD: Duration = Duration::from_millis(20);
/// A frame that leaves later than this after its time is the generator's fault.
const LATE: Duration = Duration::from_millis(5);
/// Base64 of 160 bytes.
const PAYLOAD_CHARS: usize = 216;
/// What was seen in one window.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) echoed: u64,
    pub(crate) crossed: u64,
    pub(crate) late_ticks: u64,
    latencies_us: Vec<u32>,
}

impl Seen {
    pub(crate) fn percentile_ms(&mut self, percent: f64) -> f64 {
        self.latencies_us.sort_unstable();
        let last = self.latencies_us.len().saturating_sub(1);
        let at = (last as f64 * percent / 100.0).round() as usize;
        self.latencies_us.get(at).map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

struct Caller {
    line: Line,
    sequence: u64,
    random: u64,
    due: Instant,
    in_flight: VecDeque<(Instant, [u8; PAYLOAD_CHARS])>,
}

/// Every caller.
pub(crate) struct Load {
    callers: Vec<Caller>,
    poll: OwnedFd,
    seen: Seen,
    is_begun: bool,
}

impl Load {
    pub(crate) fn connect(target: &Target, calls: usize) -> Result<Self, String> {
        let config = client_config(&target.ca)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut callers = Vec::with_capacity(calls);
        for number in 0..calls {
            let caller = Caller::connect(target.port, &config, number)
                .map_err(|error| format!("call {number}: {error}"))?;
            caller.line.watch(&poll, number)?;
            callers.push(caller);
        }
        Ok(Self { callers, poll, seen: Seen::default(), is_begun: false })
    }

    pub(crate) fn cipher(&self) -> String {
        self.callers.first().map(|caller| caller.line.cipher()).unwrap_or_default()
    }

    /// Loads the server for `window`.
    pub(crate) fn run(&mut self, window: Duration) -> Seen {
        let begin = Instant::now();
        if !self.is_begun {
            self.is_begun = true;
            self.spread(begin);
        }
        let until = begin + window;
        let mut order: Vec<usize> = (0..self.callers.len()).collect();
        order.sort_by_key(|index| self.callers[*index].due);
        let mut next = 0;
        loop {
            let now = Instant::now();
            if now >= until {
                break;
            }
            self.receive(now);
            // Everyone has the same period, so the order never changes.
            while let Some(index) = order.get(next) {
                let now = Instant::now();
                let caller = &mut self.callers[*index];
                if caller.due > now {
                    break;
                }
                if now - caller.due > LATE {
                    self.seen.late_ticks += 1;
                }
                caller.send_frame(now);
                next = (next + 1) % order.len();
            }
        }
        std::mem::take(&mut self.seen)
    }

    /// Puts each caller at a random place in the period.
    fn spread(&mut self, begin: Instant) {
        for caller in &mut self.callers {
            let micros = caller.next_random() % 20_000;
            caller.due = begin + Duration::from_micros(micros);
        }
    }

    fn receive(&mut self, now: Instant) {
        let (callers, seen) = (&mut self.callers, &mut self.seen);
        ready(&self.poll, |index| callers[index].receive(now, seen));
    }

    /// Waits for what is still on its way; what does not come within two seconds is lost.
    pub(crate) fn settle(&mut self) -> u64 {
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until && self.in_flight() > 0 {
            self.receive(Instant::now());
        }
        self.in_flight()
    }

    fn in_flight(&self) -> u64 {
        self.callers.iter().map(|caller| caller.in_flight.len() as u64).sum()
    }
}

impl Caller {
    fn connect(
        port: u16,
        config: &std::sync::Arc<rustls::ClientConfig>,
        number: usize,
    ) -> Result<Self, String> {
        Ok(Self {
            line: Line::connect(port, config, number)?,
            sequence: 1,
            random: 0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1).wrapping_mul(0xD134_2543_DE82_EF95),
            due: Instant::now(),
            in_flight: VecDeque::with_capacity(64),
        })
    }

    /// xorshift64: audio that no two frames share.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn send_frame(&mut self, now: Instant) {
        let mut audio = [0; 160];
        for chunk in audio.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next_random().to_le_bytes());
        }
        let mut payload = [0; PAYLOAD_CHARS];
        drop(STANDARD.encode_slice(audio, &mut payload));
        let chars = String::from_utf8_lossy(&payload);
        self.sequence += 1;
        self.line.send_media(self.sequence, self.sequence - 1, &chars);
        self.in_flight.push_back((now, payload));
        self.due += PERIOD;
    }

    fn receive(&mut self, now: Instant, seen: &mut Seen) {
        let (line, in_flight) = (&mut self.line, &mut self.in_flight);
        let stream_sid = line.stream_sid.clone();
        line.receive(|message| {
            let sent = in_flight.pop_front();
            let expected = sent.as_ref().map(|(_, payload)| &payload[..]);
            let is_own = string_of(message, "\"streamSid\"") == Some(stream_sid.as_bytes());
            if expected == string_of(message, "\"payload\"") && is_own {
                seen.echoed += 1;
            } else {
                seen.crossed += 1;
            }
            if let Some((sent_at, _)) = sent {
                let micros = now.saturating_duration_since(sent_at).as_micros();
                seen.latencies_us.push(u32::try_from(micros).unwrap_or(u32::MAX));
            }
        });
    }
}
