//! Taking turns: when the caller has finished, when they interrupt, when they only listen.
//!
//! A reply may be prepared before the turn is over; nothing of it is heard until it is.

use std::time::Duration;

use ward_policy::count::Count;
use ward_policy::gate::{Emergency, EmergencyKind, Forward, Inbound, Then};
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::phrase::Phrase;

use super::Conversation;
use super::spoken::Sentence;
use super::utterance::joined;
use crate::agent::Voice;
use crate::input::Digit;
use crate::service::{Request, Speaker};

impl Conversation {
    /// The caller speaks while we do: fall silent, and find out whether it was meant.
    pub(super) fn consider_interruption(&mut self, voice: &mut Voice<'_>) {
        let caller = voice.caller();
        if let Some(at) = self.interrupted_at {
            let since = voice.now().saturating_sub(at);
            let is_silent = caller.silence_ms >= limit::FALSE_INTERRUPTION_MS
                && since >= Duration::from_millis(limit::FALSE_INTERRUPTION_MS);
            if self.utterance.has_words() {
                self.give_way(voice);
            } else if is_silent || since >= limit::WORDS_DEADLINE {
                (self.interrupted_at, self.floor_at) = (None, voice.now());
                // Nothing was meant by it, so nothing is asked about it.
                self.mumbled_at = None;
                self.false_interruptions = self.false_interruptions.saturating_add(1);
                self.utterance.clear();
                voice.counts().one(Count::FalseInterruption);
                voice.release();
                self.finish_reply(voice);
            }
            return;
        }
        // What began well before we had the floor is no interruption, and a line that is never quiet is none either.
        let since_floor = voice.now().saturating_sub(self.floor_at).as_millis();
        let since_floor = u64::try_from(since_floor).unwrap_or(u64::MAX);
        let before_floor = caller.speech_ms.saturating_sub(since_floor);
        let is_long = caller.speech_ms >= limit::BARGE_IN_MS
            && since_floor >= limit::BARGE_IN_MS
            && before_floor < limit::BARGE_IN_MS
            && caller.silence_ms == 0;
        let is_believed = self.false_interruptions < limit::FALSE_INTERRUPTIONS_MAX;
        let is_meant = (is_long && is_believed) || self.utterance.has_words();
        if is_meant && !self.is_urgent && voice.is_speaking() {
            voice.counts().one(Count::BargeIn);
            voice.pause();
            self.interrupted_at = Some(voice.now());
            if self.utterance.has_words() {
                self.give_way(voice);
            }
        }
    }

    /// The floor is the caller's: of what we were saying only what was heard remains.
    pub(super) fn give_way(&mut self, voice: &mut Voice<'_>) {
        self.interrupted_at = None;
        self.has_given_way = true;
        // What was sent and not played was not heard.
        voice.pause();
        self.settle(voice);
        self.drop_attempt(voice);
        voice.stop();
    }

    /// In a pause, the recogniser is asked once for what it has: sooner than it finds the pause itself.
    pub(super) fn consider_finalising(&mut self, voice: &Voice<'_>) {
        let silence_ms = voice.caller().silence_ms;
        if silence_ms == 0 {
            self.utterance.is_finalised = false;
        } else if silence_ms >= limit::FINALISE_AFTER_MS
            && self.utterance.is_changing()
            && !std::mem::replace(&mut self.utterance.is_finalised, true)
        {
            self.requests.push_back(Request::Finalise);
        }
    }

    /// The caller has said something, and may have finished.
    pub(super) fn consider_turn(&mut self, voice: &mut Voice<'_>) {
        if self.utterance.is_empty() && self.attempt.as_ref().is_some_and(|one| !one.is_confirmed) {
            // What was guessed at was nothing after all.
            self.drop_attempt(voice);
        }
        if self.utterance.is_empty() && std::mem::take(&mut self.has_given_way) {
            self.take_floor_back(voice);
        }
        if self.utterance.is_empty() || self.interrupted_at.is_some() {
            return;
        }
        let caller = voice.caller();
        // A recogniser that lags behind the caller has more to say: it was asked for it.
        let is_awaited = self.utterance.is_finalised && self.utterance.is_changing();
        // The recogniser's word counts once nothing is heard any more, or when the line is just noisy.
        let since_words = voice.now().saturating_sub(self.utterance.changed_at);
        let is_silent = caller.silence_ms >= limit::SPEECH_END_MS
            && (!is_awaited || since_words >= limit::SETTLE_PATIENCE);
        let is_quiet = caller.silence_ms > 0 || since_words >= limit::NOISE_PATIENCE;
        let is_settled = self.utterance.is_probably_ended && self.utterance.is_settled();
        let is_over = is_silent
            || (self.utterance.is_ended && is_quiet)
            || (is_settled && caller.silence_ms >= limit::TURN_SETTLED_MS);
        if voice.is_speaking() {
            // A listening noise: an answer when it comes at our end, nothing otherwise. Words over what must be heard to
            // its end are a turn after it.
            let is_noise = self.utterance.is_back_channel();
            if is_noise && is_over && voice.left_ms() > limit::TURN_EDGE_MS {
                self.utterance.clear();
            }
            return;
        }
        if self.is_thinking() {
            // They go on before anything was heard of a reply.
            self.has_given_way = true;
            self.drop_attempt(voice);
            voice.stop();
        }
        let keys_end = self.utterance.pressed_at.map(|at| at.saturating_add(limit::KEYS_END));
        if let Some(end) = keys_end {
            if voice.now() >= end {
                self.take_turn(voice);
            }
            return;
        }
        let may_be_over = self.utterance.is_probably_ended
            || caller.silence_ms >= limit::GUESS_PAUSE_MS
            || since_words >= limit::GUESS_STABLE;
        if is_over {
            self.take_turn(voice);
        } else if self.script.is_guessing() && may_be_over && self.guesses < limit::GUESSES_MAX {
            self.guess(voice);
        }
    }

    /// They did not go on after all: what they had said is to be answered, if they heard nothing of a reply to it, or
    /// they are asked.
    fn take_floor_back(&mut self, voice: &mut Voice<'_>) {
        if !self.history.is_unanswered() {
            self.mumbled_at = Some(voice.now());
        } else if self.asked_again < limit::ASKED_AGAIN_MAX {
            self.asked_again = self.asked_again.saturating_add(1);
            self.ask_again(voice.now());
        } else {
            self.miss(voice);
        }
    }

    /// Whether the caller has heard nothing of a reply to what they said last.
    pub(super) fn is_unheard(&self, voice: &Voice<'_>) -> bool {
        let is_silent = |one: &Sentence| voice.spoken_bytes(one.number) == 0;
        self.history.is_unanswered() && self.spoken.iter().all(is_silent)
    }

    /// What the caller said before, to which they heard no reply and went on: with it, what they say now is judged and
    /// asked as a whole. Nothing when that would be too much to judge.
    fn before(&self) -> Phi<String> {
        let (before, now) = (self.asked.expose(), self.utterance.text());
        let length = before.len().saturating_add(now.expose().len());
        let is_one = self.history.is_unanswered() && length < limit::GATE_TEXT_BYTES_MAX;
        Phi::new(if is_one { before.clone() } else { String::new() })
    }

    /// Begins a reply that is not heard before the turn is known to be over.
    pub(super) fn guess(&mut self, voice: &mut Voice<'_>) {
        self.settle(voice);
        let before = self.before();
        let text = joined(before.expose(), self.utterance.text().expose());
        if self.attempt.as_ref().is_some_and(|attempt| attempt.is_guess_at(text.expose())) {
            return;
        }
        match self.gate.inbound(text.expose()) {
            // Who has not paused has not said what it is.
            Inbound::Emergency(_) if voice.caller().silence_ms < limit::SPEECH_PAUSE_MS => {}
            Inbound::Emergency(_) => self.take_turn(voice),
            forward @ Inbound::Forward(_) => {
                self.guesses = self.guesses.saturating_add(1);
                voice.counts().one(Count::Guess);
                self.drop_attempt(voice);
                voice.hold();
                self.ask(text, forward, !before.expose().is_empty(), voice.now());
            }
        }
    }

    /// The turn is over: what was said is said.
    pub(super) fn take_turn(&mut self, voice: &mut Voice<'_>) {
        let (words_at, now) = (self.utterance.changed_at, voice.now());
        self.settle(voice);
        let before = self.before();
        let text = joined(before.expose(), self.utterance.text().expose());
        self.utterance.take(now, before.expose());
        self.has_given_way = false;
        (self.guesses, self.misses, self.still_there) = (0, 0, 0);
        (self.asked_again, self.false_interruptions) = (0, 0);
        (self.mumbled_at, self.quiet_since, self.floor_at) = (None, now, now);
        self.turns = self.turns.saturating_add(1);
        if self.turns > limit::TURNS_MAX {
            return self.leave(Phrase::TimeUp, voice);
        }
        voice.counts().one(Count::Turn);
        let silence = Duration::from_millis(voice.caller().silence_ms);
        let silent_at = now.saturating_sub(silence);
        let forward = match self.gate.inbound(text.expose()) {
            Inbound::Emergency(kind) => return self.emergency(kind, voice),
            Inbound::Forward(forward) => forward,
        };
        let said = Phi::new(forward.text.expose().clone());
        self.asked = Phi::new(text.expose().clone());
        let has_last_turn = !before.expose().is_empty();
        self.confirm(text, forward, has_last_turn, voice);
        if has_last_turn {
            self.history.take_back_caller();
        }
        self.history.push(Speaker::Caller, said.expose());
        self.times.silent_at = silent_at;
        self.times.words_at = words_at.max(silent_at);
        self.times.taken_at = Some(now);
        self.times.has_filler = false;
        self.has_said_trouble = false;
        self.account(voice);
        self.finish_reply(voice);
    }

    /// The reply that was begun is the one that is wanted; or it is begun now.
    fn confirm(
        &mut self,
        text: Phi<String>,
        forward: Forward,
        has_last_turn: bool,
        voice: &mut Voice<'_>,
    ) {
        let forward = Inbound::Forward(forward);
        self.gate.adopt(&forward);
        match &mut self.attempt {
            Some(attempt) if attempt.is_guess_at(text.expose()) => {
                attempt.is_confirmed = true;
                self.times.is_guessed = true;
                voice.release();
            }
            _ => {
                self.drop_attempt(voice);
                self.ask(text, forward, has_last_turn, voice.now());
                self.times.is_guessed = false;
                if let Some(attempt) = &mut self.attempt {
                    attempt.is_confirmed = true;
                }
            }
        }
    }

    /// Life first: the words for it are recorded, and wait for nobody.
    pub(super) fn emergency(&mut self, kind: EmergencyKind, voice: &mut Voice<'_>) {
        let path = self.script.dialogue().emergency(kind);
        let phrase = path.map_or(Phrase::Emergency, Emergency::phrase);
        voice.counts().one(Count::Emergency);
        if path.is_some_and(|path| path.then() == Then::HangUp) {
            return self.leave(phrase, voice);
        }
        self.drop_attempt(voice);
        voice.stop();
        self.asked = Phi::new(String::new());
        self.history.push(Speaker::Caller, "[EMERGENCY]");
        self.tell(phrase, voice);
        self.is_urgent = true;
        self.times.taken_at = None;
    }

    pub(super) fn speech_ended(&mut self, voice: &mut Voice<'_>) {
        let is_unheard = self.utterance.is_empty() && !self.is_thinking();
        if is_unheard && self.utterance.voiced_ms >= limit::MUMBLE_MS_MIN && !voice.is_speaking() {
            self.mumbled_at = Some(voice.now());
        }
        // Also when no word has come: a recogniser that is alive answers.
        if !self.utterance.is_ended {
            self.requests.push_back(Request::Finalise);
        }
        self.utterance.voiced_ms = 0;
        self.tick(voice);
    }

    pub(super) fn press(&mut self, digit: Digit, voice: &mut Voice<'_>) {
        if voice.is_speaking() && !self.is_urgent {
            voice.counts().one(Count::BargeIn);
            self.give_way(voice);
        }
        self.utterance.press(voice.now(), digit);
    }

    /// The recogniser has changed its mind about a turn that was taken and of whose reply nothing was heard: it is taken
    /// back.
    pub(super) fn correct(&mut self, voice: &mut Voice<'_>) {
        let has_speech = !self.spoken.is_empty();
        self.drop_attempt(voice);
        self.spoken.clear();
        // Also when all of it waits behind a filler.
        if has_speech {
            voice.stop();
        }
        self.has_given_way = false;
        self.history.take_back_caller();
        if self.utterance.is_empty() {
            // There were no words at all.
            self.miss(voice);
        }
    }
}
