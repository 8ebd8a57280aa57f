//! What takes too long or fails: a filler, an excuse, another try, a courteous end. Never silence, never for ever.

use std::time::Duration;

use ward_policy::count::Count;
use ward_policy::fault::ServiceFault;
use ward_policy::limit;
use ward_policy::phrase::Phrase;
use ward_policy::service::Service;

use super::Conversation;
use crate::agent::Voice;

impl Conversation {
    /// Says its last words and hangs up.
    pub(super) fn leave(&mut self, phrase: Phrase, voice: &mut Voice<'_>) {
        self.settle(voice);
        self.drop_attempt(voice);
        voice.stop();
        self.say(phrase, voice);
        self.is_leaving = true;
        voice.hang_up();
    }

    /// Fillers, excuses and the end, when something takes too long.
    pub(super) fn consider_lateness(&mut self, voice: &mut Voice<'_>) {
        let now = voice.now();
        if self.is_thinking() {
            let taken_at = self.times.taken_at.unwrap_or(now);
            let waited = now.saturating_sub(taken_at);
            let silent = now.saturating_sub(self.times.silent_at);
            if waited >= limit::REPLY_DEADLINE {
                self.leave(Phrase::SorryGoodbye, voice);
            } else if waited >= limit::REPLY_LATE && !self.has_said_trouble {
                self.has_said_trouble = true;
                self.say(Phrase::Trouble, voice);
            } else if !self.times.has_filler
                && silent >= Duration::from_millis(self.filler_after_ms())
                && !voice.is_speaking()
            {
                self.times.has_filler = true;
                voice.counts().one(Count::Filler);
                self.say(Phrase::Filler, voice);
            }
            return;
        }
        if voice.is_speaking() || self.interrupted_at.is_some() {
            (self.starved_since, self.quiet_since) = (None, now);
        } else if self.is_owed() {
            let since = *self.starved_since.get_or_insert(now);
            if now.saturating_sub(since) >= limit::REPLY_LATE {
                let is_written = self.attempt.as_ref().is_some_and(|attempt| attempt.is_ended);
                if is_written { self.fail_voice(voice) } else { self.fail_turn(voice) }
            }
        } else if self.mumbled_at.is_some_and(|at| now.saturating_sub(at) >= limit::WORDS_DEADLINE)
        {
            self.miss(voice);
        } else if self.utterance.is_empty() && voice.caller().speech_ms == 0 {
            if now.saturating_sub(self.quiet_since) >= limit::STILL_THERE_AFTER {
                self.ask_still_there(voice);
            }
        } else {
            self.quiet_since = now;
        }
    }

    const fn filler_after_ms(&self) -> u64 {
        let is_near = self.times.said_at.is_some();
        if is_near { limit::FILLER_NEAR_MS } else { limit::FILLER_AFTER_MS }
    }

    pub(super) fn miss(&mut self, voice: &mut Voice<'_>) {
        self.mumbled_at = None;
        self.misses = self.misses.saturating_add(1);
        voice.counts().one(Count::NotUnderstood);
        if self.misses >= limit::MISSES_MAX {
            self.leave(Phrase::SorryGoodbye, voice);
        } else {
            self.tell(Phrase::NotUnderstood, voice);
        }
    }

    pub(super) fn ask_still_there(&mut self, voice: &mut Voice<'_>) {
        self.quiet_since = voice.now();
        self.still_there = self.still_there.saturating_add(1);
        if self.still_there > limit::STILL_THERE_MAX {
            self.leave(Phrase::Goodbye, voice);
        } else {
            self.tell(Phrase::StillThere, voice);
        }
    }

    /// The turn is taken, and nothing of a reply was heard.
    pub(super) const fn is_thinking(&self) -> bool {
        self.times.taken_at.is_some()
    }

    /// More is to come of a reply.
    pub(super) fn is_owed(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.is_confirmed)
    }

    pub(super) fn service_failed(
        &mut self,
        service: Service,
        number: u32,
        _fault: ServiceFault,
        voice: &mut Voice<'_>,
    ) {
        let is_ours = self.attempt.as_ref().is_some_and(|attempt| attempt.request == number);
        let is_confirmed = self.is_owed();
        match service {
            Service::Recogniser => self.leave(Phrase::SorryGoodbye, voice),
            // What is complete of the reply is said; the rest never comes.
            Service::Model if is_ours && self.spoken.iter().any(|one| !one.is_complete) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.is_ended = true;
                }
            }
            Service::Model if is_ours && is_confirmed => self.fail_turn(voice),
            // A guess: the turn will ask again.
            Service::Model if is_ours => self.drop_attempt(voice),
            Service::Voice if self.spoken.iter().any(|one| one.number == number) => {
                if is_confirmed {
                    self.fail_voice(voice);
                } else {
                    self.drop_attempt(voice);
                }
            }
            Service::Model | Service::Voice => {}
        }
    }

    /// A service has failed in a turn: an excuse and one more try, then the end.
    pub(super) fn fail_turn(&mut self, voice: &mut Voice<'_>) {
        if self.excuse(voice) {
            // What was heard of the reply is not remembered: all of it is said again.
            self.drop_attempt(voice);
            self.say(Phrase::Trouble, voice);
            self.ask_again(voice.now());
        }
    }

    /// The same when the reply is there and only the voice has failed: what it has not said is asked of it again. The
    /// model is not, which may have done what it was asked for.
    fn fail_voice(&mut self, voice: &mut Voice<'_>) {
        if self.excuse(voice) {
            voice.cut_sentence();
            self.say(Phrase::Trouble, voice);
            self.say_again();
        }
    }

    /// Whether a failure may be excused; otherwise the call ends.
    fn excuse(&mut self, voice: &mut Voice<'_>) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.starved_since = None;
        self.has_said_trouble = true;
        let may_go_on = self.failures < limit::FAILURES_MAX;
        if !may_go_on {
            self.leave(Phrase::SorryGoodbye, voice);
        }
        may_go_on
    }
}
