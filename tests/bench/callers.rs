//! Callers who hold conversations: they listen to the greeting, speak, hear the reply to its end, and speak again.
//!
//! One thread that spins, as the echo's load does and for the same reason. Each frame of a reply says whose it is, so
//! audio that is lost, doubled or another caller's is seen. Marks come back when what was before them has played.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::event::epoll;
use ward_twilio::mulaw;

use crate::line::{Line, Target, client_config, ready, string_of};
use crate::vendors::{Name, SENTENCE_FRAMES, SENTENCES, TAG, Turns};

/// One frame every 20 ms.
const PERIOD: Duration = Duration::from_millis(20);
/// A frame that leaves later than this after its time is the load's fault.
const LATE: Duration = Duration::from_millis(5);
const FRAME_BYTES: usize = 160;
/// From the end of a reply to the caller's next word, at least; as much again is drawn.
const THINK: Duration = Duration::from_millis(200);
/// A reply that has not come so long after the caller fell silent is lost.
const REPLY_LOST: Duration = Duration::from_secs(8);
/// New calls, one every so often.
const RAMP: Duration = Duration::from_millis(20);
/// The stretches of `tests/corpus` without a pause of their own, in frames.
const SPEECH: [(&str, usize, usize); 2] = [("appointment", 44, 170), ("prescription", 2, 125)];

/// What was seen in one window.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) frames_out: u64,
    pub(crate) spoken_frames: u64,
    pub(crate) media_in: u64,
    pub(crate) audio_in_ms: u64,
    pub(crate) replies: u64,
    pub(crate) lost: u64,
    pub(crate) crossed: u64,
    pub(crate) clears: u64,
    /// Replies before which a recorded phrase was heard.
    pub(crate) filled: u64,
    pub(crate) ended: u64,
    pub(crate) late_ticks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Hears the greeting.
    Greeted,
    /// Will speak at that time.
    Thinking(Instant),
    /// Speaks; the next frame of the speech.
    Speaking(usize),
    /// Waits for a reply since, and hears it.
    Listening(Instant),
}

struct Caller {
    line: Line,
    sequence: u64,
    chunk: u64,
    random: u64,
    due: Instant,
    phase: Phase,
    speech: usize,
    ear: Ear,
}

/// What a caller hears.
struct Ear {
    /// When everything that has come will have been played, and the marks that come back then.
    play_end: Instant,
    marks: VecDeque<(Instant, String)>,
    has_heard: bool,
    /// Whose replies these are, and the next frame of the one that is being heard.
    name: Option<Name>,
    next: u16,
    /// Something else was heard before it.
    is_filled: bool,
}

/// Every caller.
pub(crate) struct Callers {
    callers: Vec<Caller>,
    poll: OwnedFd,
    /// Payloads, base64 already.
    speech: Vec<Vec<String>>,
    noise: Vec<String>,
    turns: Arc<Turns>,
    pub(crate) seen: Seen,
}

impl Callers {
    /// Rings one after the other; those who are through behave as callers meanwhile.
    pub(crate) fn connect(
        target: &Target,
        calls: usize,
        turns: Arc<Turns>,
        root: &std::path::Path,
    ) -> Result<Self, String> {
        let config = client_config(&target.ca)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let speech = SPEECH.iter().map(|(name, from, to)| payloads(root, name, *from, *to));
        let mut all = Self {
            callers: Vec::with_capacity(calls),
            poll,
            speech: speech.collect::<Result<_, _>>()?,
            noise: noise(),
            turns,
            seen: Seen::default(),
        };
        for number in 0..calls {
            let line = Line::connect(target.port, &config, number)
                .map_err(|error| format!("call {number}: {error}"))?;
            line.watch(&all.poll, number)?;
            all.callers.push(Caller::new(line, number));
            all.run(RAMP);
        }
        Ok(all)
    }

    /// Lets everyone talk for `window`.
    pub(crate) fn run(&mut self, window: Duration) {
        let begin = Instant::now();
        let until = begin + window;
        for caller in &mut self.callers {
            // What was not sent while somebody rang is not sent at once.
            while caller.due + PERIOD < begin {
                caller.due += PERIOD;
            }
        }
        // Everyone has the same period, so the order never changes.
        let mut order: Vec<usize> = (0..self.callers.len()).collect();
        order.sort_by_key(|index| self.callers[*index].due);
        let mut next = 0;
        loop {
            let now = Instant::now();
            if now >= until {
                break;
            }
            let Self { callers, poll, turns, seen, .. } = self;
            ready(poll, |index| callers[index].receive(Instant::now(), turns, seen));
            while let Some(index) = order.get(next) {
                let now = Instant::now();
                let caller = &mut self.callers[*index];
                if caller.due > now {
                    break;
                }
                self.seen.late_ticks += u64::from(now - caller.due > LATE);
                caller.tick(now, &self.speech, &self.noise, &mut self.seen);
                next = (next + 1) % order.len();
            }
        }
    }

    /// Calls whose line the server has closed.
    pub(crate) fn broken(&self) -> usize {
        self.callers.iter().filter(|caller| !caller.line.is_open()).count()
    }
}

impl Caller {
    fn new(line: Line, number: usize) -> Self {
        let now = Instant::now();
        let marks = VecDeque::new();
        let ear =
            Ear { play_end: now, marks, has_heard: false, name: None, next: 0, is_filled: false };
        let mut caller = Self {
            line,
            sequence: 1,
            chunk: 0,
            random: 0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1).wrapping_mul(0xD134_2543_DE82_EF95),
            due: now,
            phase: Phase::Greeted,
            speech: number % SPEECH.len(),
            ear,
        };
        caller.due = now + Duration::from_micros(caller.next_random() % 20_000);
        caller
    }

    /// xorshift64.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// One frame, and whatever time asks for.
    fn tick(&mut self, now: Instant, speech: &[Vec<String>], noise: &[String], seen: &mut Seen) {
        self.due += PERIOD;
        if !self.line.is_open() {
            return;
        }
        while self.ear.marks.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, name)) = self.ear.marks.pop_front() {
                self.return_mark(&name);
            }
        }
        let is_quiet = self.ear.marks.is_empty() && self.ear.play_end <= now;
        let speech = &speech[self.speech];
        match self.phase {
            Phase::Greeted if self.ear.has_heard && is_quiet => {
                // Everybody rings at once; their turns are spread over one.
                let spread = Duration::from_micros(self.next_random() % 6_000_000);
                self.phase = Phase::Thinking(now + spread);
                self.ear.is_filled = false;
            }
            Phase::Thinking(at) if at <= now => self.phase = Phase::Speaking(0),
            Phase::Speaking(at) if at == speech.len() => self.phase = Phase::Listening(now),
            Phase::Listening(_) if self.ear.next == SENTENCES * SENTENCE_FRAMES && is_quiet => {
                seen.replies += 1;
                seen.filled += u64::from(self.ear.is_filled);
                self.think(now);
            }
            Phase::Listening(since) if now - since > REPLY_LOST => {
                seen.lost += 1;
                self.think(now);
            }
            _ => {}
        }
        let random = self.next_random() as usize % noise.len();
        let payload = if let Phase::Speaking(at) = &mut self.phase {
            *at += 1;
            seen.spoken_frames += 1;
            &speech[*at - 1]
        } else {
            &noise[random]
        };
        self.sequence += 1;
        self.chunk += 1;
        seen.frames_out += 1;
        self.line.send_media(self.sequence, self.chunk, payload);
    }

    fn think(&mut self, now: Instant) {
        (self.ear.next, self.ear.is_filled) = (0, false);
        let longer = Duration::from_micros(self.next_random() % THINK.as_micros() as u64);
        self.phase = Phase::Thinking(now + THINK + longer);
    }

    fn return_mark(&mut self, name: &str) {
        self.sequence += 1;
        let text = format!(
            r#"{{"event":"mark","sequenceNumber":"{}","streamSid":"{}","mark":{{"name":"{name}"}}}}"#,
            self.sequence, self.line.stream_sid
        );
        self.line.send_text(&text);
    }

    fn receive(&mut self, now: Instant, turns: &Turns, seen: &mut Seen) {
        let stream_sid = self.line.stream_sid.clone();
        let ear = &mut self.ear;
        let was_open = self.line.is_open();
        let mut cleared = Vec::new();
        self.line.receive(|message| {
            if string_of(message, "\"streamSid\"") != Some(stream_sid.as_bytes()) {
                seen.crossed += 1;
                return;
            }
            match string_of(message, "\"event\"") {
                Some(b"media") => ear.hear(now, message, turns, seen),
                Some(b"mark") => {
                    let name = string_of(message, "\"name\"").unwrap_or_default();
                    let name = String::from_utf8_lossy(name).into_owned();
                    ear.marks.push_back((ear.play_end, name));
                }
                Some(b"clear") => {
                    seen.clears += 1;
                    ear.play_end = now;
                    cleared.extend(ear.marks.drain(..).map(|(_, name)| name));
                }
                _ => seen.crossed += 1,
            }
        });
        cleared.iter().for_each(|name| self.return_mark(name));
        seen.ended += u64::from(was_open && !self.line.is_open());
    }
}

impl Ear {
    fn hear(&mut self, now: Instant, message: &[u8], turns: &Turns, seen: &mut Seen) {
        let payload = string_of(message, "\"payload\"").unwrap_or_default();
        let audio = STANDARD.decode(payload).unwrap_or_default();
        let ms = audio.len() as u64 / 8;
        seen.media_in += 1;
        seen.audio_in_ms += ms;
        self.has_heard = true;
        self.play_end = self.play_end.max(now) + Duration::from_millis(ms);
        self.is_filled |= self.next == 0 && !audio.starts_with(&TAG);
        for frame in audio.chunks(FRAME_BYTES).filter(|frame| frame.starts_with(&TAG)) {
            let number = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
            let name = Name { conversation: number(2), turn: number(4) };
            let is_own = self
                .name
                .is_none_or(|own| own.conversation == name.conversation && own.turn <= name.turn);
            if !is_own || number(6) != self.next {
                seen.crossed += 1;
            }
            // A phrase before it, and the reply waits for its end: when it could have been heard is not known.
            if self.next == 0 && !self.is_filled {
                turns.note(name, |turn| turn.heard = turn.heard.or(Some(now)));
            }
            (self.name, self.next) = (Some(name), number(6) + 1);
        }
    }
}

/// Frames `from` to `to` of a recording of the corpus, as payloads.
fn payloads(
    root: &std::path::Path,
    name: &str,
    from: usize,
    to: usize,
) -> Result<Vec<String>, String> {
    let path = root.join(format!("tests/corpus/{name}.wav"));
    let wav = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let samples = wav.get(44..).unwrap_or_default().chunks_exact(2);
    let audio: Vec<u8> =
        samples.map(|two| mulaw::encode(i16::from_le_bytes([two[0], two[1]]))).collect();
    let frames = audio.chunks_exact(FRAME_BYTES).map(|frame| STANDARD.encode(frame));
    Ok(frames.take(to).skip(from).collect())
}

/// A line on which nobody speaks: magnitudes of a few units, never nothing.
fn noise() -> Vec<String> {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut byte = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        mulaw::encode((random % 41) as i16 - 20)
    };
    (0..64).map(|_| STANDARD.encode((0..FRAME_BYTES).map(|_| byte()).collect::<Vec<_>>())).collect()
}
