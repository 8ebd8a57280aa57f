//! Interruptions: how long until the caller hears nothing more, and what the history holds of what they heard.

use std::collections::VecDeque;
use std::time::Duration;

use ward::caller::lines::{Cue, Line};
use ward::caller::stream::Outcome;
use ward::local_vendors::{Event, Message};
use ward_call::endpointing::Endpointing;
use ward_policy::limit;
use ward_tests::random::Random;

use crate::figures::Figures;
use crate::hear::{self, PER_MS};
use crate::rig::{self, CALLER, CLINIC, LEG, Latencies, Speech, Spoken};

/// Each caller asks in their own words, by which their calls are told apart, and has the same answer.
const QUESTIONS: [&str; 3] =
    ["what are your opening hours", "when are you open", "are you open on monday"];
/// The long answer: its sentences, as the voice is asked for them.
pub(crate) const ANSWER: [&str; 2] =
    ["We are open Monday to Friday, from eight to five.", "Would you like to book an appointment?"];
const FRAME: usize = limit::FRAME_BYTES;

/// One interruption.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interruption {
    /// From the first loud sample at the mouth to silence at the ear, in milliseconds.
    pub(crate) from_onset: f64,
    /// From the end of the frame that completes the condition, at the mouth; none when a word was faster.
    pub(crate) from_condition: Option<f64>,
    /// Loud samples at the ear between the silence and the next answer's beginning: there should be none.
    pub(crate) loud_after: bool,
}

/// What was remembered of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Words that the ear heard whole.
    pub(crate) heard: usize,
    /// Words in the history.
    pub(crate) told: usize,
    /// Whether the words in the history are the answer's first ones.
    pub(crate) is_beginning: bool,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Interruptions that silenced something.
    pub(crate) interruptions: Vec<Interruption>,
    /// Lines that were to interrupt.
    pub(crate) lines: usize,
    /// Answers of which the history could be paired with what was heard.
    pub(crate) remembered: Vec<Remembered>,
}

/// Holds calls whose callers interrupt `lines` times each.
pub(crate) fn measure(
    speech: &mut Speech,
    partials: (u32, u32),
    (calls, lines): (usize, usize),
) -> Measured {
    let mut random = Random(0x5EED);
    let questions = QUESTIONS.map(|question| speech.say(question, CALLER));
    let answer = ANSWER.map(|sentence| speech.say(sentence, CLINIC));
    let script = |call: usize| -> VecDeque<Line> {
        let question = &questions[call % questions.len()];
        let first = rig::after_an_answer(question);
        let mut into = || {
            let ms = 500 + random.below(4_000);
            let cue = Cue::Into(Duration::from_millis(u64::try_from(ms).unwrap()));
            Line { cue, speech: question.audio.clone() }
        };
        std::iter::once(first).chain((0..lines).map(|_| into())).collect()
    };
    let scripts = (0..calls).map(script).collect();
    let latencies = Latencies { partials, ..Latencies::at(0) };
    let rehearsed = rig::hold(scripts, latencies, true);
    let interruptions = rehearsed.calls.iter().flat_map(interruptions).collect();
    let remembered = rehearsed.calls.iter().zip(QUESTIONS).flat_map(|(call, question)| {
        remembered(call, &last_history(&rehearsed.events, question), question, &answer)
    });
    Measured { interruptions, lines: calls * lines, remembered: remembered.collect() }
}

/// Each time that something was silenced at the ear, by the line before it.
pub(crate) fn interruptions(call: &Outcome) -> Vec<Interruption> {
    let said = hear::utterances(&call.mouth);
    let conditions = conditions(&call.mouth);
    let ms = |samples: usize| samples as f64 / PER_MS as f64;
    let one = |at: &Duration| {
        let silenced = at.as_secs_f64() * 1_000.0;
        let line = said.iter().rev().find(|line| ms(line.start) < silenced)?;
        let is_its = silenced - ms(line.start) < 2_000.0;
        let condition = conditions.iter().copied().find(|condition| *condition > line.start);
        // What silences before the condition can have come back is a word's.
        let from_condition = condition.map(|condition| silenced - ms(condition));
        let way = 2.0 * LEG.as_secs_f64() * 1_000.0;
        let sample = (silenced * PER_MS as f64) as usize;
        is_its.then_some(Interruption {
            from_onset: silenced - ms(line.start),
            from_condition: from_condition.filter(|took| *took >= way),
            loud_after: hear::loud_after(&call.recording, sample + PER_MS, 100 * PER_MS).is_some(),
        })
    };
    call.silenced.iter().filter_map(one).collect()
}

/// The ends of the frames that complete 300 ms of voice, by the detector that the servers have.
fn conditions(mouth: &[u8]) -> Vec<usize> {
    let mut ears = Endpointing::with_detector();
    let mut found = Vec::new();
    let mut was_long = false;
    for (number, frame) in mouth.chunks_exact(FRAME).enumerate() {
        ears.hear(frame, |_| ());
        let is_long = ears.speech_ms() >= limit::BARGE_IN_MS && ears.silence_ms() == 0;
        if is_long && !was_long {
            found.push((number + 1) * FRAME);
        }
        // A gap within speech is not its end.
        was_long = ears.speech_ms() >= limit::BARGE_IN_MS;
    }
    found
}

/// The longest history of the call that begins with `question`.
fn last_history(events: &[Event], question: &str) -> Vec<Message> {
    let of = |event: &Event| match event {
        Event::Chat { messages, .. } => {
            let asked = messages.iter().find(|message| message.role == "user")?;
            asked.content.starts_with(question).then(|| messages.clone())
        }
        _ => None,
    };
    events.iter().filter_map(of).max_by_key(Vec::len).unwrap_or_default()
}

/// What the ear heard of each answer that was interrupted, beside what the history holds of it.
fn remembered(
    call: &Outcome,
    history: &[Message],
    question: &str,
    answer: &[Spoken],
) -> Vec<Remembered> {
    let said = hear::utterances(&call.mouth);
    let told = told(history, question);
    // A line that was taken for two turns, or for none, leaves nothing to pair.
    if told.len() + 1 != said.len() {
        return Vec::new();
    }
    let ends = said.iter().skip(1).map(|next| next.end);
    let heard = said.iter().zip(ends).map(|(line, end)| {
        let ear = call.recording.get(line.end..end).unwrap_or_default();
        answer.iter().map(|sentence| words_heard(sentence, ear)).sum()
    });
    let pair = |(heard, told): (usize, String)| Remembered {
        heard,
        told: told.split_whitespace().count(),
        is_beginning: ANSWER.join(" ").starts_with(&told),
    };
    heard.zip(told).map(pair).collect()
}

/// What the history holds of each answer that a question came after; nothing where two questions are one line of it.
fn told(history: &[Message], question: &str) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut has_asked = false;
    let mut last = String::new();
    for message in history {
        if message.role != "user" {
            last.clone_from(&message.content);
            continue;
        }
        for _ in message.content.matches(question) {
            if std::mem::replace(&mut has_asked, true) {
                told.push(std::mem::take(&mut last));
            }
            last.clear();
        }
    }
    told
}

/// Words of a sentence that were heard whole.
fn words_heard(sentence: &Spoken, ear: &[u8]) -> usize {
    let heard = hear::heard_of(&sentence.audio, ear);
    // The aligner's frames are 10 ms: less than that is missing of a word that was heard.
    sentence.words.iter().filter(|(_, _, end)| *end <= heard + 10 * PER_MS).count()
}

impl Measured {
    fn figures(&self, of: impl Fn(&Interruption) -> Option<f64>) -> Figures {
        Figures::new(self.interruptions.iter().filter_map(of))
    }

    /// How far the history is from what was heard, in words.
    pub(crate) fn share_within(&self, words: usize) -> (usize, usize) {
        let is = |one: &&Remembered| one.is_beginning && one.heard.abs_diff(one.told) <= words;
        (self.remembered.iter().filter(is).count(), self.remembered.len())
    }

    /// Both tables.
    pub(crate) fn written(&self) -> String {
        let condition = self.figures(|one| one.from_condition);
        let way = 2.0 * LEG.as_secs_f64() * 1_000.0;
        let own = self.figures(|one| Some(one.from_condition? - way));
        let onset = self.figures(|one| Some(one.from_onset));
        let (exact, of) = self.share_within(0);
        let (near, _) = self.share_within(1);
        let more = self.remembered.iter().filter(|one| one.told > one.heard).count();
        format!(
            "| interruptions | from the condition, ms | the same without the two legs | from speech onset, ms | \
             by a word first | heard after the silence |\n\
             | ---: | ---: | ---: | ---: | ---: | ---: |\n\
             | {} of {} | {} | {} | {} | {} | {} |\n\n\
             | answers | exactly the words heard | within a word | a word more than heard |\n\
             | ---: | ---: | ---: | ---: |\n\
             | {of} | {exact} | {near} | {more} |",
            self.interruptions.len(),
            self.lines,
            condition.written(),
            own.written(),
            onset.written(),
            self.interruptions.len() - condition.count(),
            self.interruptions.iter().filter(|one| one.loud_after).count(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_count_once_they_were_heard_whole() {
        let audio: Vec<u8> =
            (0..8_000_u32).map(|at| u8::try_from(at * at / 7 % 64).unwrap()).collect();
        let words = vec![("one".to_owned(), 0, 4_000), ("two".to_owned(), 4_000, 8_000)];
        let sentence = Spoken { audio: audio.clone(), words };
        let heard = |samples: usize| {
            let ear = [vec![0xFF; 500], audio[..samples].to_vec(), vec![0xFF; 500]].concat();
            words_heard(&sentence, &ear)
        };
        assert_eq!((heard(3_000), heard(4_000), heard(7_000), heard(8_000)), (0, 1, 1, 2));
    }

    #[test]
    fn an_interruption_belongs_to_the_line_before_it() {
        let mouth = [vec![0xFF; 8_000], vec![0x90; 8_000], vec![0xFF; 8_000]].concat();
        let recording = vec![0xFF; mouth.len()];
        let silenced = vec![Duration::from_millis(500), Duration::from_millis(1_700)];
        let call = Outcome { mouth, recording, silenced, ..Outcome::default() };
        let found = interruptions(&call);
        assert_eq!(found.len(), 1);
        assert!((found[0].from_onset - 700.0).abs() < 1.0 && !found[0].loud_after);
    }
}
