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
use crate::agent::Voice;
use crate::input::Digit;
use crate::service::{Request, Speaker};

impl Conversation {
    /// The caller speaks while we do: fall silent, and find out whether it was meant.
    pub(super) fn consider_interruption(&mut self, voice: &mut Voice<'_>) {
        let caller = voice.caller();
        if let Some(at) = self.interrupted_at {
            let since = voice.now().saturating_sub(at);
            if self.utterance.has_words() {
                self.give_way(voice);
            } else if caller.silence_ms >= limit::FALSE_INTERRUPTION_MS
                && since >= Duration::from_millis(limit::FALSE_INTERRUPTION_MS)
            {
                self.interrupted_at = None;
                self.utterance.clear();
                voice.counts().one(Count::FalseInterruption);
                voice.release();
            }
            return;
        }
        // What was part of the turn before is no interruption of the reply to it.
        let since_turn = voice.now().saturating_sub(self.floor_at);
        let barge_in = Duration::from_millis(limit::BARGE_IN_MS);
        let is_long = caller.speech_ms >= limit::BARGE_IN_MS && since_turn >= barge_in;
        let is_meant = (is_long && caller.silence_ms == 0) || self.utterance.has_words();
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
        self.settle(voice);
        let was_thinking = self.is_thinking();
        let given_up = self.abandon(voice);
        self.given_up = given_up.filter(|_attempt| was_thinking);
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
        if self.utterance.is_empty()
            && let Some(given_up) = self.given_up.take()
        {
            // They did not go on after all: what they said is to be answered.
            self.ask_again(given_up, voice.now());
        }
        if self.utterance.is_empty() || self.interrupted_at.is_some() {
            return;
        }
        let caller = voice.caller();
        let is_silent = caller.silence_ms >= limit::SPEECH_END_MS;
        // The recogniser's word counts once nothing is heard any more, or when the line is just noisy.
        let since_words = voice.now().saturating_sub(self.utterance.changed_at);
        let is_quiet = caller.silence_ms > 0 || since_words >= limit::NOISE_PATIENCE;
        let is_settled = self.utterance.is_probably_ended && self.utterance.is_settled();
        let is_over = is_silent
            || (self.utterance.is_ended && is_quiet)
            || (is_settled && caller.silence_ms >= limit::TURN_SETTLED_MS);
        if voice.is_speaking() {
            // A listening noise: an answer when it comes at our end, nothing otherwise.
            if is_over && voice.left_ms() > limit::TURN_EDGE_MS {
                self.utterance.clear();
            }
            return;
        }
        if self.is_thinking() {
            // They go on before anything was heard of a reply.
            self.given_up = self.abandon(voice);
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

    /// Begins a reply that is not heard before the turn is known to be over.
    pub(super) fn guess(&mut self, voice: &mut Voice<'_>) {
        let text = self.utterance.text();
        if self.attempt.as_ref().is_some_and(|attempt| attempt.answers(text.expose())) {
            return;
        }
        match self.gate.inbound(text.expose()) {
            // Who has not paused has not said what it is.
            Inbound::Emergency(_) if voice.caller().silence_ms < limit::SPEECH_PAUSE_MS => {}
            Inbound::Emergency(_) => self.take_turn(voice),
            forward @ Inbound::Forward(_) => {
                self.guesses = self.guesses.saturating_add(1);
                voice.counts().one(Count::Guess);
                self.settle(voice);
                self.drop_attempt(voice);
                voice.hold();
                self.ask(text, forward, voice.now());
            }
        }
    }

    /// The turn is over: what was said is said.
    pub(super) fn take_turn(&mut self, voice: &mut Voice<'_>) {
        let (text, words_at) = (self.utterance.text(), self.utterance.changed_at);
        let now = voice.now();
        self.utterance.take();
        self.given_up = None;
        self.settle(voice);
        (self.guesses, self.misses, self.still_there) = (0, 0, 0);
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
        self.confirm(text, forward, voice);
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
    pub(super) fn confirm(&mut self, text: Phi<String>, forward: Forward, voice: &mut Voice<'_>) {
        let forward = Inbound::Forward(forward);
        self.gate.adopt(&forward);
        match &mut self.attempt {
            Some(attempt) if attempt.answers(text.expose()) => {
                attempt.is_confirmed = true;
                self.times.is_guessed = true;
                voice.release();
            }
            _ => {
                self.drop_attempt(voice);
                self.ask(text, forward, voice.now());
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
        self.say(phrase, voice);
        self.is_urgent = true;
        self.history.push(Speaker::Caller, "[EMERGENCY]");
        self.history.push(Speaker::Ward, "Please call 911 now.");
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

    /// The recogniser has changed its mind about a turn that was taken: if nothing was heard yet, it is taken anew.
    pub(super) fn correct(&mut self, voice: &mut Voice<'_>) {
        if !self.is_thinking() {
            // It was answered, as it was understood then.
            return self.utterance.clear();
        }
        self.drop_attempt(voice);
        self.history.take_back_caller();
        if self.utterance.is_empty() {
            // There were no words at all.
            return self.miss(voice);
        }
        self.utterance.is_ended = true;
    }
}
