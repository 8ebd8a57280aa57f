//! The reply in the making: from the model's pieces to sentences that the voice is asked for.
//!
//! Every sentence passes the gate before it leaves here. A reply that was only a guess is prepared and not heard.

use std::time::Duration;

use ward_policy::count::Count;
use ward_policy::gate::{Inbound, Stopped};
use ward_policy::phi::Phi;
use ward_policy::phrase::Phrase;

use super::sentences::{Sentences, without_marker};
use super::spoken::Sentence;
use super::{Conversation, same_words};
use crate::agent::Voice;
use crate::service::{Prompt, Report, Request, Speaker};

/// One reply.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a reply")]
pub(super) struct Attempt {
    pub(super) request: u32,
    /// The caller's words that it answers.
    said: Phi<String>,
    inbound: Inbound,
    /// The turn is over, and these were its words.
    pub(super) is_confirmed: bool,
    sentences: Sentences,
    /// Nothing more comes of it.
    pub(super) is_ended: bool,
    /// How much of it is or will be spoken, in characters.
    chars: usize,
    /// What is said instead of the rest.
    instead: Option<Phrase>,
    hangs_up: bool,
}

impl Attempt {
    /// Whether it was begun before the turn was over, and answers these words.
    pub(super) fn is_guess_at(&self, said: &str) -> bool {
        !self.is_confirmed && same_words(self.said.expose(), said)
    }
}

impl Conversation {
    pub(super) fn next_number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1).max(1);
        self.last_number
    }

    /// Asks the model what to answer to `said`, which is not in the history yet, but for the caller's last turn that it
    /// may begin with.
    pub(super) fn ask(
        &mut self,
        said: Phi<String>,
        inbound: Inbound,
        has_last_turn: bool,
        now: Duration,
    ) {
        let Inbound::Forward(forward) = &inbound else { return };
        let lines = self.history.lines_with(forward.text.expose(), has_last_turn);
        self.send(said, inbound, Prompt { system: self.script.system(), lines }, now);
    }

    /// Asks again what is in the history already.
    pub(super) fn ask_again(&mut self, now: Duration) {
        if !self.history.is_unanswered() {
            return;
        }
        let prompt = Prompt { system: self.script.system(), lines: self.history.lines() };
        // What stands behind its placeholders is remembered already.
        let inbound = self.gate.inbound("");
        self.send(Phi::new(String::new()), inbound, prompt, now);
        self.times.taken_at = Some(now);
        if let Some(attempt) = &mut self.attempt {
            attempt.is_confirmed = true;
        }
    }

    fn send(&mut self, said: Phi<String>, inbound: Inbound, prompt: Prompt, now: Duration) {
        let request = self.next_number();
        self.requests.push_back(Request::Ask { request, prompt });
        self.attempt = Some(Attempt {
            request,
            said,
            inbound,
            is_confirmed: false,
            sentences: Sentences::default(),
            is_ended: false,
            chars: 0,
            instead: None,
            hangs_up: false,
        });
        self.times.asked_at = now;
        (self.times.piece_at, self.times.said_at, self.times.audio_at) = (None, None, None);
    }

    /// Throws the reply in the making away, whatever was prepared of it included.
    pub(super) fn drop_attempt(&mut self, voice: &mut Voice<'_>) {
        let Some(attempt) = self.attempt.take() else { return };
        if !attempt.is_ended {
            self.requests.push_back(Request::Cancel { request: attempt.request });
        }
        if attempt.chars > 0 {
            self.requests.push_back(Request::Unsay);
            self.spoken.clear();
            voice.cut_sentence();
        }
        if !attempt.is_confirmed {
            voice.counts().one(Count::GuessDropped);
            // Only what was prepared waits there: a guess is made while nobody speaks.
            voice.stop();
        }
        self.times.taken_at = None;
    }

    /// What model and voice report.
    pub(super) fn replied(&mut self, report: Report, voice: &mut Voice<'_>) {
        match report {
            Report::Piece { request, text } => self.piece(request, &text, voice),
            Report::ReplyEnd { request } => self.reply_end(request, voice),
            Report::Audio { sentence, audio } => {
                let spoken = self.spoken.iter_mut().find(|one| one.number == sentence);
                if let Some(spoken) = spoken.filter(|one| !one.is_complete) {
                    let audio = spoken.without_head(audio);
                    if audio.expose().is_empty() {
                        return;
                    }
                    spoken.note(audio.expose());
                    if spoken.is_too_long() {
                        return self.speech_too_long(voice);
                    }
                    voice.speak(sentence, audio.expose());
                    self.times.audio_at.get_or_insert_with(|| voice.now());
                    self.starved_since = None;
                    self.account(voice);
                }
            }
            Report::SentenceEnd { sentence } => {
                let spoken = self.spoken.iter_mut().find(|one| one.number == sentence);
                if let Some(spoken) = spoken.filter(|one| !one.is_complete) {
                    let head = spoken.take_head();
                    if !head.expose().is_empty() {
                        spoken.note(head.expose());
                        voice.speak(sentence, head.expose());
                    }
                    spoken.is_complete = true;
                    voice.end_sentence(sentence);
                    self.finish_reply(voice);
                }
            }
            Report::SpeechBegan
            | Report::Partial(_)
            | Report::Final(_)
            | Report::EagerEnd
            | Report::Resumed
            | Report::TurnEnd
            | Report::BegunAnew
            | Report::Failed { .. } => {}
        }
    }

    /// The voice does not stop: what it says is not what it was asked for.
    fn speech_too_long(&mut self, voice: &mut Voice<'_>) {
        if self.is_owed() {
            voice.stop();
            self.fail_turn(voice);
        } else {
            self.drop_attempt(voice);
        }
    }

    fn piece(&mut self, request: u32, text: &Phi<String>, voice: &mut Voice<'_>) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.request != request || attempt.is_ended {
            return;
        }
        self.times.piece_at.get_or_insert_with(|| voice.now());
        if !attempt.sentences.push(text.expose()) {
            return self.cut(Stopped::Length, voice);
        }
        self.speak_sentences(false, voice);
    }

    fn reply_end(&mut self, request: u32, voice: &mut Voice<'_>) {
        if self.attempt.as_ref().is_none_or(|one| one.request != request || one.is_ended) {
            return;
        }
        self.speak_sentences(true, voice);
        let Some(attempt) = &mut self.attempt else { return };
        attempt.is_ended = true;
        self.finish_reply(voice);
    }

    /// Has every complete sentence spoken that the gate lets through; the first that it does not ends the reply.
    fn speak_sentences(&mut self, is_end: bool, voice: &mut Voice<'_>) {
        loop {
            let Some(attempt) = &mut self.attempt else { return };
            let Some(sentence) = attempt.sentences.next(is_end) else { return };
            let (text, hangs_up) = without_marker(sentence);
            attempt.hangs_up |= hangs_up;
            if text.expose().is_empty() {
                continue;
            }
            match self.gate.outbound(text.expose(), attempt.chars, &attempt.inbound) {
                Ok(filled) => {
                    let is_first = attempt.chars == 0;
                    attempt.chars = attempt.chars.saturating_add(text.expose().chars().count());
                    let sentence = self.next_number();
                    let spoken = Sentence::new(sentence, text, filled.expose());
                    let spoken = if is_first { spoken.waited_for() } else { spoken };
                    self.spoken.push_back(spoken);
                    self.requests.push_back(Request::Say { sentence, text: filled });
                    self.times.said_at.get_or_insert_with(|| voice.now());
                }
                Err(stopped) => return self.cut(stopped, voice),
            }
        }
    }

    /// Asks the voice again for every sentence that it has not finished.
    pub(super) fn say_again(&mut self) {
        self.requests.push_back(Request::Unsay);
        for sentence in std::mem::take(&mut self.spoken) {
            if sentence.is_complete {
                self.spoken.push_back(sentence);
                continue;
            }
            let Some(attempt) = &self.attempt else { continue };
            let text = sentence.into_text();
            // It has passed before.
            if let Ok(filled) = self.gate.outbound(text.expose(), 0, &attempt.inbound) {
                let number = self.next_number();
                let spoken = Sentence::new(number, text, filled.expose()).waited_for();
                self.spoken.push_back(spoken);
                self.requests.push_back(Request::Say { sentence: number, text: filled });
            }
        }
    }

    /// The rest of the reply is not for the caller.
    fn cut(&mut self, stopped: Stopped, voice: &mut Voice<'_>) {
        voice.counts().one(Count::ReplyStopped);
        if let Some(attempt) = &mut self.attempt {
            if !attempt.is_ended {
                self.requests.push_back(Request::Cancel { request: attempt.request });
            }
            attempt.is_ended = true;
            attempt.instead = Some(self.script.dialogue().heard(stopped));
        }
        self.finish_reply(voice);
    }

    /// The reply is complete and on its way to the caller: what follows it.
    pub(super) fn finish_reply(&mut self, voice: &mut Voice<'_>) {
        let is_complete = self.spoken.iter().all(|one| one.is_complete);
        // A goodbye that the caller may be interrupting is none yet.
        let may_leave = self.interrupted_at.is_none();
        let is_done = |attempt: &Attempt| {
            let is_ready = attempt.is_ended && attempt.is_confirmed && is_complete;
            is_ready && (may_leave || !attempt.hangs_up)
        };
        let Some(attempt) = self.attempt.take_if(|attempt| is_done(attempt)) else { return };
        if attempt.chars == 0 && attempt.instead.is_none() && !attempt.hangs_up {
            // A reply of nothing is none.
            self.attempt = Some(attempt);
            return self.fail_turn(voice);
        }
        if let Some(phrase) = attempt.instead {
            self.tell(phrase, voice);
            self.times.audio_at.get_or_insert_with(|| voice.now());
            self.account(voice);
        }
        self.times.taken_at = None;
        if attempt.hangs_up {
            self.is_leaving = true;
            voice.hang_up();
        }
    }

    /// The first sound of a reply to a turn that was taken: the turn's account is complete.
    pub(super) fn account(&mut self, voice: &Voice<'_>) {
        if self.times.taken_at.is_some() && self.times.audio_at.is_some() {
            self.ledger = Some(self.times.account(voice.now()));
            self.times.taken_at = None;
        }
    }

    /// What was heard of our sentences is what we have said.
    pub(super) fn settle(&mut self, voice: &Voice<'_>) {
        let is_prepared = self.attempt.as_ref().is_some_and(|attempt| !attempt.is_confirmed);
        if is_prepared {
            return;
        }
        for sentence in std::mem::take(&mut self.spoken) {
            let heard = sentence.heard(voice.spoken_bytes(sentence.number));
            self.history.push(Speaker::Ward, heard);
            self.gate.spoken(heard);
        }
    }
}
