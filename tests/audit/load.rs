//! Calls that go on while the log sink misbehaves: every frame goes out and comes back, and how long that took is noted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ward_policy::limit;
use ward_tests::servers::Running;
use ward_tests::websocket::{Stream, media};

/// Calls that are live at the same time.
const CALLS: u64 = 6;
/// A frame of audio.
const FRAME: Duration = Duration::from_millis(20);

/// Numbers of calls, so that none comes twice.
static NEXT: AtomicU64 = AtomicU64::new(1_000);

/// What calls were like.
#[derive(Debug, Clone, Default)]
pub(crate) struct Felt {
    /// Frames sent.
    pub(crate) sent: u64,
    /// Frames that came back.
    pub(crate) back: u64,
    /// From sending a frame to its echo, sorted.
    delays: Vec<Duration>,
    /// Close codes of calls that ended.
    pub(crate) codes: Vec<u16>,
}

impl Felt {
    /// The delay that `percent` of all frames did not exceed.
    pub(crate) fn delay(&self, percent: usize) -> Duration {
        let place = (self.delays.len() * percent / 100).min(self.delays.len().saturating_sub(1));
        self.delays.get(place).copied().unwrap_or_default()
    }

    /// How many frames took longer than audio is played ahead: each is a hole that is heard.
    fn late(&self) -> usize {
        let ahead = Duration::from_millis(limit::PLAYOUT_LEAD_MS);
        self.delays.len() - self.delays.partition_point(|delay| *delay <= ahead)
    }

    /// Whether calls were as they are when nothing is wrong: no frame is missing, no call was hung up on, and nothing was
    /// heard later than in `others`, which went on at the same time on a server without a sink. A machine that stands still
    /// does so for both.
    pub(crate) fn is_unaffected(&self, others: &Self) -> bool {
        /// What chance may do to one of the two.
        const LATE: usize = 3;
        let is_whole = self.sent > 0 && self.sent == self.back;
        let most = (2 * others.delay(99) + FRAME / 2).max(3 * FRAME);
        let is_quick = self.delay(99) <= most && self.late() <= 2 * others.late() + LATE;
        is_whole && is_quick && self.codes.iter().all(|code| *code == 1_000)
    }
}

impl std::fmt::Display for Felt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, back, .. } = self;
        let ms = |percent| self.delay(percent).as_secs_f64() * 1e3;
        write!(
            f,
            "{sent} frames, {back} back, {:.1} ms at 50 %, {:.1} at 99 %, {:.1} at most, {} late",
            ms(50),
            ms(99),
            ms(100),
            self.late()
        )
    }
}

/// Calls that go on until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    calls: Vec<JoinHandle<Felt>>,
}

impl Load {
    /// Begins calls that last as long as the load, and one after the other that are short.
    pub(crate) fn begin(server: &Arc<Running>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let (server, is_over) = (Arc::clone(server), Arc::clone(&is_over));
            std::thread::spawn(move || talk(&server, &is_over, Duration::MAX))
        };
        let mut calls: Vec<_> = (0..CALLS).map(one).collect();
        let (server, over) = (Arc::clone(server), Arc::clone(&is_over));
        calls.push(std::thread::spawn(move || {
            let mut all = Felt::default();
            while !over.load(Ordering::Acquire) {
                all.add(talk(&server, &over, 5 * FRAME));
            }
            all
        }));
        Self { is_over, calls }
    }

    /// The same calls on a server of their own, whose log goes nowhere.
    pub(crate) fn begin_elsewhere() -> Self {
        Self::begin(&Arc::new(Running::media("")))
    }

    /// Ends the calls; what they were like.
    pub(crate) fn end(self) -> Felt {
        self.is_over.store(true, Ordering::Release);
        let mut all = Felt::default();
        self.calls.into_iter().for_each(|call| all.add(call.join().unwrap()));
        all.delays.sort_unstable();
        all
    }
}

impl Felt {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.back += other.back;
        self.delays.extend(other.delays);
        self.codes.extend(other.codes);
    }
}

/// One call: a frame every 20 ms, each of which comes back.
fn talk(server: &Running, is_over: &AtomicBool, length: Duration) -> Felt {
    let mut stream = Stream::named(server, NEXT.fetch_add(1, Ordering::Relaxed));
    let mut felt = Felt::default();
    let began = Instant::now();
    for number in 1_u32.. {
        if is_over.load(Ordering::Acquire) || began.elapsed() >= length {
            break;
        }
        let due = began + FRAME * (number - 1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let left = Instant::now();
        stream.send(&media(u64::from(number), &[0xAA; 160]));
        felt.sent += 1;
        if stream.next_message()["event"] == "media" {
            felt.back += 1;
        }
        felt.delays.push(left.elapsed());
    }
    felt.codes.push(stream.close());
    felt
}

/// Short calls, `count` of them one after the other: about ten records each.
pub(crate) fn short_calls(server: &Running, count: u64) {
    for _ in 0..count {
        let mut stream = Stream::named(server, NEXT.fetch_add(1, Ordering::Relaxed));
        stream.proves_alive(1);
        assert_eq!(stream.close(), 1_000);
    }
}
