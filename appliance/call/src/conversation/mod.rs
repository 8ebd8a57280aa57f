//! A conversation: listens until the caller has finished, asks the model, has its reply spoken, gives way.
//!
//! It is an agent like any other: told what happened, it queues requests for services and audio for the caller. It
//! knows no vendor, opens nothing, and says nothing that the gate has not let through. Every wait has an end.

mod history;
mod late;
mod ledger;
mod reply;
mod script;
mod sentences;
mod spoken;
mod turn;
mod utterance;

#[cfg(test)]
mod scenarios;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ward_policy::gate::Gate;
use ward_policy::ledger::Ledger;
use ward_policy::limit;
use ward_policy::phi::Phi;
use ward_policy::phrase::Phrase;

use crate::agent::{Agent, Heard, Voice};
use crate::service::{Report, Request};
use history::History;
use ledger::Times;
use reply::Attempt;
use spoken::Sentence;
use utterance::{News, Utterance, same_words};

pub use script::Script;
pub use sentences::HANG_UP;

/// One conversation.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a conversation")]
pub struct Conversation {
    script: Arc<Script>,
    gate: Gate,
    history: History,
    utterance: Utterance,
    /// The reply in the making.
    attempt: Option<Attempt>,
    /// What the caller said last, as it was heard.
    asked: Phi<String>,
    /// We fell silent because the caller seemed to go on.
    has_given_way: bool,
    /// How often a reply to the caller's last turn was begun anew because they had not.
    asked_again: u32,
    /// Our sentences of which it is not yet known how much was heard.
    spoken: VecDeque<Sentence>,
    requests: VecDeque<Request>,
    last_number: u32,
    guesses: u32,
    times: Times,
    ledger: Option<Ledger>,
    /// The caller may have interrupted; what we were saying is held.
    interrupted_at: Option<Duration>,
    /// How often they had not, since their last turn.
    false_interruptions: u32,
    /// The caller has said something of which no word has come.
    mumbled_at: Option<Duration>,
    /// The floor was last given to us at this time.
    floor_at: Duration,
    /// Somebody was last heard at this time.
    quiet_since: Duration,
    /// More should be coming of a sentence and nothing is heard.
    starved_since: Option<Duration>,
    ticked_at: Duration,
    still_there: u32,
    misses: u32,
    failures: u32,
    turns: u32,
    has_said_trouble: bool,
    /// What is being said must be heard to its end.
    is_urgent: bool,
    /// The last words are being said.
    is_leaving: bool,
}

impl Conversation {
    /// One that follows `script`.
    #[must_use]
    pub fn new(script: Arc<Script>) -> Self {
        let gate = Gate::new(Arc::clone(script.dialogue()));
        Self {
            script,
            gate,
            history: History::default(),
            utterance: Utterance::default(),
            attempt: None,
            asked: Phi::new(String::new()),
            has_given_way: false,
            asked_again: 0,
            spoken: VecDeque::new(),
            requests: VecDeque::new(),
            last_number: 0,
            guesses: 0,
            times: Times::default(),
            ledger: None,
            interrupted_at: None,
            false_interruptions: 0,
            mumbled_at: None,
            floor_at: Duration::ZERO,
            quiet_since: Duration::ZERO,
            starved_since: None,
            ticked_at: Duration::ZERO,
            still_there: 0,
            misses: 0,
            failures: 0,
            turns: 0,
            has_said_trouble: false,
            is_urgent: false,
            is_leaving: false,
        }
    }

    /// Says a phrase that the model need not know of.
    fn say(&self, phrase: Phrase, voice: &mut Voice<'_>) {
        if let Some(clip) = self.script.clip(phrase) {
            voice.say(clip);
        }
    }

    /// Says a phrase that the caller may answer: it is a sentence of ours like any other.
    fn tell(&mut self, phrase: Phrase, voice: &mut Voice<'_>) {
        let script = Arc::clone(&self.script);
        if let Some(clip) = script.clip(phrase) {
            let number = self.next_number();
            self.spoken.push_back(Sentence::recorded(number, script.text(phrase), clip));
            voice.speak(number, clip);
            voice.end_sentence(number);
        }
    }

    /// What time asks for.
    fn tick(&mut self, voice: &mut Voice<'_>) {
        self.ticked_at = voice.now();
        self.consider_interruption(voice);
        self.consider_finalising(voice);
        self.consider_turn(voice);
        if !self.is_leaving {
            self.consider_lateness(voice);
        }
    }

    fn said_all(&mut self, voice: &mut Voice<'_>) {
        if !self.is_owed() {
            self.settle(voice);
        }
        self.is_urgent = false;
        self.quiet_since = voice.now();
        self.tick(voice);
    }

    /// What the recogniser reports; everything else goes to the reply.
    fn report(&mut self, report: Report, voice: &mut Voice<'_>) {
        let now = voice.now();
        match report {
            Report::SpeechBegan => {}
            Report::Partial(text) => {
                let may_change = self.is_unheard(voice);
                let news = self.utterance.replace_partial(now, text.expose(), may_change);
                if news == News::Correction {
                    self.correct(voice);
                }
            }
            Report::Final(text) => {
                let may_change = self.is_unheard(voice);
                if self.utterance.settle(now, text.expose(), may_change) == News::Correction {
                    self.correct(voice);
                    self.utterance.is_ended = !self.utterance.is_empty();
                }
            }
            Report::EagerEnd => self.utterance.is_probably_ended = true,
            Report::Resumed => self.utterance.is_probably_ended = false,
            Report::TurnEnd => self.utterance.is_ended = !self.utterance.is_empty(),
            Report::BegunAnew => self.utterance.keep(),
            Report::Failed { service, number, fault } => {
                self.service_failed(service, number, fault, voice);
            }
            Report::Piece { .. }
            | Report::ReplyEnd { .. }
            | Report::Audio { .. }
            | Report::SentenceEnd { .. } => self.replied(report, voice),
        }
        if !self.utterance.is_empty() {
            self.mumbled_at = None;
        }
        if !self.is_leaving {
            self.tick(voice);
        }
    }
}

impl Agent for Conversation {
    fn hear(&mut self, heard: Heard<'_>, voice: &mut Voice<'_>) {
        match heard {
            Heard::TimeUp if !self.is_leaving => self.leave(Phrase::TimeUp, voice),
            // Whatever happens now, the last words are said.
            _ if self.is_leaving => {}
            Heard::Started => {
                self.quiet_since = voice.now();
                self.say(Phrase::Greeting, voice);
            }
            Heard::Audio(_) => {
                let voiced = voice.caller().speech_ms;
                self.utterance.voiced_ms = self.utterance.voiced_ms.max(voiced);
            }
            Heard::SpeechBegan => self.quiet_since = voice.now(),
            Heard::SpeechEnded => self.speech_ended(voice),
            Heard::Pressed(digit) => self.press(digit, voice),
            Heard::SaidAll => self.said_all(voice),
            Heard::Reported(report) => self.report(report, voice),
            Heard::SpeechPaused | Heard::Time => self.tick(voice),
            Heard::TimeUp => {}
        }
    }

    fn is_conversation(&self) -> bool {
        true
    }

    fn next_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    fn wake_at(&self) -> Option<Duration> {
        if self.is_leaving {
            return None;
        }
        let is_waiting = self.is_thinking()
            || self.is_owed()
            || self.interrupted_at.is_some()
            || self.mumbled_at.is_some()
            || !self.utterance.is_empty();
        let soon = self.ticked_at.saturating_add(limit::TURN_STEP);
        let late = self.quiet_since.saturating_add(limit::STILL_THERE_AFTER);
        Some(if is_waiting { soon } else { late.max(soon) })
    }

    fn take_ledger(&mut self) -> Option<Ledger> {
        self.ledger.take()
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conversation({} turns)", self.turns)
    }
}
