//! The call itself: routes each input to intake, endpointing, agent and play-out.
//!
//! [`Call::handle`] never blocks and never fails: what cannot be used is counted. [`Call::wake_at`]
//! says when [`Call::poll`] wants to be asked even if nothing happens.

use std::time::Duration;

use ward_policy::count::{Count, Counts};
use ward_policy::fault::CallEnd;
use ward_policy::ledger::Ledger;
use ward_policy::limit;

use crate::agent::{Agent, Caller, Heard, Voice};
use crate::backlog::Backlog;
use crate::endpointing::{Endpointing, Turn};
use crate::input::{Digit, Input};
use crate::intake::{Intake, Verdict};
use crate::output::Output;
use crate::playout::{Playout, Returned};
use crate::service::Request;

/// How far the longest duration of a call has been dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    NotYet,
    SayingGoodbye,
    Over(CallEnd),
}

/// One call.
pub struct Call {
    agent: Box<dyn Agent>,
    intake: Intake,
    endpointing: Endpointing,
    backlog: Option<Backlog>,
    playout: Playout,
    counts: Counts,
    started_at: Duration,
    duration_max: Duration,
    last_audio_at: Duration,
    ending: Ending,
}

impl Call {
    /// A call that `agent` takes at `now`, and that lasts at most `duration_max`.
    #[must_use]
    pub fn new(agent: Box<dyn Agent>, now: Duration, duration_max: Duration) -> Self {
        let is_conversation = agent.is_conversation();
        let endpointing =
            if is_conversation { Endpointing::with_detector() } else { Endpointing::default() };
        Self::with_endpointing(agent, endpointing, now, duration_max)
    }

    /// The same with an endpointing of its own.
    #[must_use]
    pub fn with_endpointing(
        agent: Box<dyn Agent>,
        endpointing: Endpointing,
        now: Duration,
        duration_max: Duration,
    ) -> Self {
        let backlog = agent.is_conversation().then(Backlog::default);
        Self {
            agent,
            intake: Intake::new(now),
            endpointing,
            backlog,
            playout: Playout::default(),
            counts: Counts::default(),
            started_at: now,
            duration_max,
            last_audio_at: now,
            ending: Ending::NotYet,
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Duration, input: Input<'_>) {
        match input {
            Input::Start => self.tell(now, Heard::Started),
            Input::Reported(report) => self.tell(now, Heard::Reported(report)),
            Input::Audio { sequence, timestamp_ms, payload } => {
                if self.intake.in_sequence(sequence, &mut self.counts) {
                    self.hear(now, timestamp_ms, payload);
                }
            }
            Input::Digit { sequence, digit } => {
                if self.intake.in_sequence(sequence, &mut self.counts) {
                    self.press(now, digit);
                }
            }
            Input::Mark { sequence, name } => {
                if self.intake.in_sequence(sequence, &mut self.counts) {
                    let returned = self.playout.mark_returned(name, &mut self.counts);
                    if returned == Returned::Played {
                        self.after_play(now);
                    }
                }
            }
        }
    }

    /// The next thing to do at `now`, or nothing for the moment.
    pub fn poll(&mut self, now: Duration) -> Option<Output<'_>> {
        self.notice_time(now);
        if let Ending::Over(reason) = self.ending {
            return Some(Output::HangUp(reason));
        }
        let is_goodbye = self.ending == Ending::SayingGoodbye;
        match self.playout.poll(now, &mut self.counts) {
            Some(Output::HangUp(_)) if is_goodbye => Some(Output::HangUp(CallEnd::DurationMax)),
            other => other,
        }
    }

    /// When [`Call::poll`] should be asked again at the latest.
    #[must_use]
    pub fn wake_at(&self) -> Duration {
        let mut end = self.started_at.saturating_add(self.duration_max);
        if self.ending == Ending::SayingGoodbye {
            end = end.saturating_add(limit::GOODBYE_MAX);
        }
        let silence = self.endpointing.is_speaking().then(|| self.silence_due());
        let all = [self.playout.wake_at(), silence, self.agent.wake_at()];
        all.into_iter().flatten().fold(end, Duration::min)
    }

    /// Whether it needs services.
    #[must_use]
    pub fn is_conversation(&self) -> bool {
        self.backlog.is_some()
    }

    /// The next thing to ask a service.
    pub fn next_request(&mut self) -> Option<Request> {
        self.agent.next_request()
    }

    /// The account of a turn, once for each.
    pub fn take_ledger(&mut self) -> Option<Ledger> {
        self.agent.take_ledger()
    }

    /// Whether there is room for more speech of a voice.
    #[must_use]
    pub const fn takes_speech(&self) -> bool {
        self.playout.queued_bytes() < limit::bytes_in_ms(limit::SPEECH_WAITING_MS_MAX)
    }

    /// Everything counted so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The same, for counting what never reaches the call.
    pub const fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Moves audio that waits for a recogniser into `taken`, oldest first, and says how much.
    pub fn take_audio(&mut self, taken: &mut [u8]) -> usize {
        self.backlog.as_mut().map_or(0, |backlog| backlog.take(taken))
    }

    fn hear(&mut self, now: Duration, timestamp_ms: Option<u64>, payload: &[u8]) {
        if payload.is_empty() {
            self.counts.one(Count::EmptyPayload);
            return;
        }
        let silence = match self.intake.judge(now, timestamp_ms, payload.len(), &mut self.counts) {
            Verdict::Hear { silence } => silence,
            Verdict::Drop => return,
            Verdict::Flood => {
                self.ending = Ending::Over(CallEnd::AudioFlood);
                return;
            }
        };
        self.last_audio_at = now;
        self.tell(now, Heard::Audio(payload));
        self.listen(now, silence, payload);
    }

    /// Endpointing and recogniser, which hear the holes as silence.
    fn listen(&mut self, now: Duration, silence: usize, payload: &[u8]) {
        // A message of a second can hold several turns, each of them a change.
        let mut turns = [None; 4];
        let mut slots = turns.iter_mut();
        let mut note = |turn| {
            if let Some(slot) = slots.next() {
                *slot = Some(turn);
            }
        };
        if silence > 0 {
            self.endpointing.hear_silence(silence, &mut note);
        }
        self.endpointing.hear(payload, &mut note);
        if let Some(backlog) = &mut self.backlog {
            const QUIET: [u8; limit::FRAME_BYTES] = [0xFF; limit::FRAME_BYTES];
            for _ in 0..silence / limit::FRAME_BYTES {
                backlog.push(&QUIET, &mut self.counts);
            }
            backlog.push(payload, &mut self.counts);
        }
        for turn in turns.into_iter().flatten() {
            self.turn(now, turn);
        }
        if self.is_conversation() {
            self.tell(now, Heard::Time);
        }
    }

    fn turn(&mut self, now: Duration, turn: Turn) {
        match turn {
            Turn::Began => {
                self.counts.one(Count::Utterance);
                self.interrupt(now);
                self.tell(now, Heard::SpeechBegan);
            }
            Turn::Paused => self.tell(now, Heard::SpeechPaused),
            Turn::Ended => self.tell(now, Heard::SpeechEnded),
        }
    }

    /// The caller comes first: whatever is being said stops. A conversation decides that itself.
    fn interrupt(&mut self, now: Duration) {
        if self.is_conversation() {
            return;
        }
        let is_goodbye = self.playout.is_hanging_up() || self.ending != Ending::NotYet;
        if !is_goodbye && self.playout.is_speaking(now) {
            self.counts.one(Count::BargeIn);
            self.playout.stop(now, &mut self.counts);
        }
    }

    fn press(&mut self, now: Duration, digit: &str) {
        let Some(digit) = Digit::parse(digit) else {
            self.counts.one(Count::BadDtmf);
            return;
        };
        self.counts.one(Count::Dtmf);
        self.interrupt(now);
        self.tell(now, Heard::Pressed(digit));
    }

    fn tell(&mut self, now: Duration, heard: Heard<'_>) {
        let caller = Caller {
            speech_ms: self.endpointing.speech_ms(),
            silence_ms: self.endpointing.silence_ms(),
        };
        let (playout, counts) = (&mut self.playout, &mut self.counts);
        let mut voice = Voice { now, caller, playout, counts };
        self.agent.hear(heard, &mut voice);
    }

    fn after_play(&mut self, now: Duration) {
        if self.playout.take_said_all(now) {
            self.tell(now, Heard::SaidAll);
        }
    }

    fn silence_due(&self) -> Duration {
        self.last_audio_at.saturating_add(Duration::from_millis(limit::SPEECH_END_MS))
    }

    /// What happens because time has passed and nothing else has.
    fn notice_time(&mut self, now: Duration) {
        self.playout.expire_marks(now, &mut self.counts);
        self.after_play(now);
        if self.endpointing.is_speaking() && now >= self.silence_due() {
            // The peer may send nothing at all while the caller is silent.
            let (mut turns, samples) = (Vec::new(), limit::BYTES_PER_MS.saturating_mul(600));
            self.endpointing.hear_silence(samples, |turn| turns.push(turn));
            for turn in turns {
                self.turn(now, turn);
            }
        }
        if self.agent.wake_at().is_some_and(|at| at <= now) {
            self.tell(now, Heard::Time);
        }
        let end = self.started_at.saturating_add(self.duration_max);
        if self.ending == Ending::NotYet && now >= end {
            self.ending = Ending::SayingGoodbye;
            self.playout.stop(now, &mut self.counts);
            self.tell(now, Heard::TimeUp);
            self.playout.hang_up();
        }
        if self.ending == Ending::SayingGoodbye && now >= end.saturating_add(limit::GOODBYE_MAX) {
            self.ending = Ending::Over(CallEnd::DurationMax);
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("ending", &self.ending).finish_non_exhaustive()
    }
}
