//! What the caller would hear: Twilio's playback buffer in virtual time, and the recording of it.
//!
//! Audio plays at 8,000 samples a second from the moment it arrives; a mark comes back when everything
//! before it has played, or when `clear` drops it.

use std::collections::VecDeque;
use std::time::Duration;

const SILENCE: u8 = 0xFF;

enum Item {
    Audio(VecDeque<u8>),
    Mark(String),
}

/// The buffer, the recording and what was noticed on the way.
#[derive(Default)]
pub struct Speaker {
    buffer: VecDeque<Item>,
    recording: Vec<u8>,
    /// When playing last fell silent although audio had been waiting.
    pub cleared_at: Option<Duration>,
}

impl Speaker {
    /// Queues audio.
    pub fn play(&mut self, audio: Vec<u8>) {
        self.buffer.push_back(Item::Audio(audio.into()));
    }

    /// Queues a mark.
    pub fn mark(&mut self, name: String) {
        self.buffer.push_back(Item::Mark(name));
    }

    /// Whether audio is waiting.
    #[must_use]
    pub fn is_playing(&self) -> bool {
        self.buffer.iter().any(|item| matches!(item, Item::Audio(audio) if !audio.is_empty()))
    }

    /// Audio that is waiting, in bytes.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        let bytes = |item: &Item| match item {
            Item::Audio(audio) => audio.len(),
            Item::Mark(_) => 0,
        };
        self.buffer.iter().map(bytes).fold(0, usize::saturating_add)
    }

    /// Drops what has not played; the names of the marks it held come back.
    pub fn clear(&mut self, now: Duration) -> Vec<String> {
        if self.is_playing() {
            self.cleared_at = Some(now);
        }
        let marks = self.buffer.drain(..).filter_map(|item| match item {
            Item::Mark(name) => Some(name),
            Item::Audio(_) => None,
        });
        marks.collect()
    }

    /// Plays up to `now`, since the stream began; the names of marks that were reached come back.
    pub fn advance(&mut self, now: Duration) -> Vec<String> {
        let until = usize::try_from(now.as_micros() / 125).unwrap_or(usize::MAX);
        let mut reached = Vec::new();
        while self.recording.len() < until {
            match self.buffer.front_mut() {
                Some(Item::Audio(audio)) => match audio.pop_front() {
                    Some(sample) => self.recording.push(sample),
                    None => drop(self.buffer.pop_front()),
                },
                Some(Item::Mark(_)) => reached.extend(self.pop_mark()),
                None => self.recording.push(SILENCE),
            }
        }
        loop {
            match self.buffer.front() {
                Some(Item::Audio(audio)) if audio.is_empty() => drop(self.buffer.pop_front()),
                Some(Item::Mark(_)) => reached.extend(self.pop_mark()),
                _ => return reached,
            }
        }
    }

    fn pop_mark(&mut self) -> Option<String> {
        match self.buffer.pop_front()? {
            Item::Mark(name) => Some(name),
            Item::Audio(_) => None,
        }
    }

    /// Everything heard since the stream began, µ-law at 8,000 Hz.
    #[must_use]
    pub fn recording(&self) -> &[u8] {
        &self.recording
    }
}

impl std::fmt::Debug for Speaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Speaker({} samples)", self.recording.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_plays_in_real_time_and_marks_follow_it() {
        let mut speaker = Speaker::default();
        assert!(speaker.advance(Duration::from_millis(10)).is_empty());
        speaker.play(vec![1; 160]);
        speaker.mark("m".to_owned());
        assert!(speaker.advance(Duration::from_millis(29)).is_empty());
        assert_eq!(speaker.advance(Duration::from_millis(30)), ["m"]);
        speaker.advance(Duration::from_millis(40));
        let expected = [vec![SILENCE; 80], vec![1; 160], vec![SILENCE; 80]].concat();
        assert_eq!(speaker.recording(), expected);
    }

    #[test]
    fn clearing_returns_every_mark_and_leaves_silence() {
        let mut speaker = Speaker::default();
        speaker.play(vec![1; 800]);
        speaker.mark("a".to_owned());
        speaker.play(vec![2; 800]);
        speaker.mark("b".to_owned());
        speaker.advance(Duration::from_millis(20));
        assert_eq!(speaker.clear(Duration::from_millis(20)), ["a", "b"]);
        assert_eq!(speaker.cleared_at, Some(Duration::from_millis(20)));
        assert!(!speaker.is_playing());
        speaker.advance(Duration::from_millis(40));
        assert_eq!(speaker.recording()[160..], [SILENCE; 160]);
    }
}
