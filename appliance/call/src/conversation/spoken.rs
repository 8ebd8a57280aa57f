//! How much of a sentence was heard, from how much of its audio was played.
//!
//! Words share the loud part of the audio by their length; silence before, after and between counts for none. A word
//! that was begun and not finished was not heard.

use ward_policy::limit;
use ward_policy::phi::Phi;

use crate::linear::SQUARES;

/// Quieter than this, in the mean of its squares, is silence between words: about -46 dBFS.
const SILENCE: u32 = 160 * 160 / 64;

/// A sentence that is being spoken.
pub(super) struct Sentence {
    pub(super) number: u32,
    /// With placeholders: what the model may know.
    text: Phi<String>,
    /// Characters of what is spoken in the place of each placeholder, on average.
    placeholder_chars: usize,
    /// For each frame of audio whether it is loud.
    loud: Vec<bool>,
    sum: u32,
    samples: usize,
    /// All audio of it, in bytes.
    bytes: usize,
    pub(super) is_complete: bool,
    /// Silence at its beginning is left out: the caller is waiting.
    is_waited_for: bool,
    /// The latest quiet frame of that silence, which is the beginning of a soft sound.
    head: Phi<Vec<u8>>,
}

impl Sentence {
    /// `text` with placeholders is spoken as `filled`.
    pub(super) fn new(number: u32, text: Phi<String>, filled: &str) -> Self {
        let tokens = text.expose().split_whitespace();
        let places = tokens.clone().filter(|token| is_placeholder(token)).count();
        let others: usize = tokens.filter(|token| !is_placeholder(token)).map(str::len).sum();
        let gaps = filled.matches(' ').count();
        let rest = filled.len().saturating_sub(others).saturating_sub(gaps);
        let placeholder_chars = rest.checked_div(places).unwrap_or(0).max(1);
        Self {
            number,
            text,
            placeholder_chars,
            loud: Vec::new(),
            sum: 0,
            samples: 0,
            bytes: 0,
            is_complete: false,
            is_waited_for: false,
            head: Phi::new(Vec::new()),
        }
    }

    /// A recorded one: all of it is there.
    pub(super) fn recorded(number: u32, text: &str, audio: &[u8]) -> Self {
        let mut sentence = Self::new(number, Phi::new(text.to_owned()), text);
        sentence.note(audio);
        sentence.is_complete = true;
        sentence
    }

    /// The same for the first of a reply: silence at the beginning of its audio is left out.
    pub(super) fn waited_for(self) -> Self {
        Self { is_waited_for: true, ..self }
    }

    /// What is said of the next audio that has come: all of it, once something was loud.
    pub(super) fn without_head(&mut self, audio: Phi<Vec<u8>>) -> Phi<Vec<u8>> {
        if !self.is_waited_for {
            return audio;
        }
        let come = Phi::new([self.head.expose().as_slice(), audio.expose()].concat());
        let come = come.expose();
        let frames = come.chunks(limit::FRAME_BYTES);
        let quiet = frames.take_while(|frame| is_quiet(frame)).count();
        let all = quiet.saturating_mul(limit::FRAME_BYTES) >= come.len();
        // A word may begin softer than what is called loud.
        let from = quiet.saturating_sub(1).saturating_mul(limit::FRAME_BYTES);
        let rest = Phi::new(come.get(from..).unwrap_or_default().to_vec());
        if all {
            self.head = rest;
            return Phi::new(Vec::new());
        }
        (self.is_waited_for, self.head) = (false, Phi::new(Vec::new()));
        rest
    }

    /// What was kept back of a sentence in which nothing was loud.
    pub(super) fn take_head(&mut self) -> Phi<Vec<u8>> {
        self.is_waited_for = false;
        std::mem::replace(&mut self.head, Phi::new(Vec::new()))
    }

    /// Notes audio that has come of it.
    pub(super) fn note(&mut self, audio: &[u8]) {
        self.bytes = self.bytes.saturating_add(audio.len());
        for byte in audio {
            let square = SQUARES.get(usize::from(*byte)).copied().unwrap_or(0);
            self.sum = self.sum.saturating_add(square);
            self.samples = self.samples.saturating_add(1);
            if self.samples == limit::FRAME_BYTES {
                let mean = self.sum / 160;
                (self.sum, self.samples) = (0, 0);
                if self.loud.len() < limit::SENTENCE_FRAMES_MAX {
                    self.loud.push(mean > SILENCE);
                }
            }
        }
    }

    /// Whether nobody would take so long to say it: the voice says something else, or does not stop.
    pub(super) fn is_too_long(&self) -> bool {
        let ms = self.chars().saturating_mul(limit::SPEECH_MS_PER_CHAR);
        let most = ms.saturating_mul(limit::SPEECH_SLOWNESS_MAX);
        self.bytes / limit::BYTES_PER_MS > most.saturating_add(limit::SPEECH_MORE_MS_MAX)
    }

    /// The words that were heard when `bytes` of its audio were.
    pub(super) fn heard(&self, bytes: usize) -> &str {
        let count = |frames: &[bool]| frames.iter().filter(|is_loud| **is_loud).count();
        let frames = (bytes / limit::FRAME_BYTES).min(self.loud.len());
        let heard = count(self.loud.get(..frames).unwrap_or_default());
        let known = count(&self.loud);
        let text = self.text.expose();
        if self.is_complete && heard == known && bytes > 0 {
            return text;
        }
        // Until all of it has come, its length is guessed from its characters.
        let total = if self.is_complete { known } else { known.max(self.guessed_frames()) };
        let chars: usize = text.split_whitespace().map(|word| self.chars_of(word)).sum();
        let (mut spoken, mut end) = (0_usize, 0_usize);
        for word in text.split_whitespace() {
            spoken = spoken.saturating_add(self.chars_of(word));
            // spoken / chars of the audio, in frames, without fractions.
            if spoken.saturating_mul(total) > heard.saturating_mul(chars) {
                break;
            }
            let from = text.get(end..).and_then(|rest| rest.find(word)).unwrap_or(0);
            end = end.saturating_add(from).saturating_add(word.len());
        }
        text.get(..end).unwrap_or_default()
    }

    fn chars_of(&self, word: &str) -> usize {
        if is_placeholder(word) { self.placeholder_chars } else { word.len() }
    }

    fn chars(&self) -> usize {
        self.text.expose().split_whitespace().map(|word| self.chars_of(word)).sum()
    }

    fn guessed_frames(&self) -> usize {
        self.chars().saturating_mul(limit::SPEECH_MS_PER_CHAR) / 20
    }
}

fn is_quiet(frame: &[u8]) -> bool {
    let square = |byte: &u8| SQUARES.get(usize::from(*byte)).copied().unwrap_or(0);
    let sum = frame.iter().map(square).fold(0_u32, u32::saturating_add);
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    sum.checked_div(length).is_none_or(|mean| mean <= SILENCE)
}

/// Whether a token is a placeholder, whatever stop follows it.
fn is_placeholder(token: &str) -> bool {
    token.starts_with('[') && token.contains(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ms` of loud audio.
    fn loud(ms: usize) -> Vec<u8> {
        vec![0xA0; ms.saturating_mul(8)]
    }

    fn sentence(text: &str, filled: &str, audio: &[u8]) -> Sentence {
        let mut sentence = Sentence::new(1, Phi::new(text.to_owned()), filled);
        sentence.note(audio);
        sentence.is_complete = true;
        sentence
    }

    #[test]
    fn a_word_is_heard_when_its_share_of_the_audio_was_played() {
        // 20 letters in 2,000 ms: 100 ms a letter.
        let text = "aaaaa bbbbb ccccc ddddd";
        let sentence = sentence(text, text, &loud(2_000));
        for (ms, heard) in [
            (0, ""),
            (480, ""),
            (500, "aaaaa"),
            (980, "aaaaa"),
            (1_500, "aaaaa bbbbb ccccc"),
            (2_000, text),
            (9_000, text),
        ] {
            assert_eq!(sentence.heard(ms * 8), heard, "{ms}");
        }
    }

    #[test]
    fn silence_is_no_word() {
        let audio = [vec![0xFF; 4_000], loud(1_000), vec![0xFF; 8_000]].concat();
        let sentence = sentence("aaaaa bbbbb", "aaaaa bbbbb", &audio);
        assert_eq!(sentence.heard(4_000), "");
        assert_eq!(sentence.heard(4_000 + 500 * 8), "aaaaa");
        assert_eq!(sentence.heard(4_000 + 1_000 * 8), "aaaaa bbbbb");
    }

    #[test]
    fn the_silence_before_what_is_waited_for_is_left_out_in_any_division() {
        let audio = [vec![0xFF; 1_650], loud(100), vec![0xFF; 800], loud(100)].concat();
        for size in [1, 159, 160, 161, 1_600, 9_999] {
            let mut sentence = Sentence::new(1, Phi::new("a b".to_owned()), "a b").waited_for();
            let mut heard = Vec::new();
            for piece in audio.chunks(size) {
                let piece = sentence.without_head(Phi::new(piece.to_vec()));
                heard.extend_from_slice(piece.expose());
            }
            let left_out = audio.len() - heard.len();
            assert!((1_280..=1_650).contains(&left_out), "{size}: {left_out}");
            assert_eq!(heard, audio[left_out..], "{size}");
        }
        // Nothing is kept back of any other sentence, and nothing is lost of one that is all silence.
        let mut other = sentence("a", "a", &[]);
        assert_eq!(other.without_head(Phi::new(vec![0xFF; 99])).expose().len(), 99);
        let mut silent = Sentence::new(1, Phi::new("a".to_owned()), "a").waited_for();
        assert!(silent.without_head(Phi::new(vec![0xFF; 900])).expose().is_empty());
        assert!(!silent.take_head().expose().is_empty());
    }

    #[test]
    fn a_placeholder_lasts_as_long_as_what_is_said_in_its_place() {
        let filled = "for Bartholomew Featherstonehaugh now";
        let sentence = sentence("for [NAME_1] now", filled, &loud(3_500));
        assert_eq!(sentence.heard(320 * 8), "for");
        assert_eq!(sentence.heard(1_500 * 8), "for");
        assert_eq!(sentence.heard(3_200 * 8), "for [NAME_1]");
    }

    #[test]
    fn a_sentence_that_has_not_all_come_is_not_heard_whole() {
        let text = "one two three four five six seven eight";
        let mut sentence = Sentence::new(1, Phi::new(text.to_owned()), text);
        sentence.note(&loud(200));
        assert_ne!(sentence.heard(200 * 8), text);
        assert_eq!(sentence.heard(0), "");
    }
}
