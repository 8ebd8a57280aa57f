//! What has been sent and not been played yet: at most the lead, kept to be said again after a false interruption.
//!
//! By our clock audio plays from the moment it was sent or from the end of what was before it. The way to the
//! peer delays audio and a later `clear` alike, so this clock says what a `clear` sent now will find played.

use std::collections::VecDeque;
use std::time::Duration;

use ward_policy::limit;

use super::Item;
use crate::agent::Clip;

#[derive(Debug)]
struct Sent {
    item: Item,
    /// When its first sample is played.
    from: Duration,
}

/// Everything sent that may not have been played yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unplayed(VecDeque<Sent>);

impl Unplayed {
    /// Notes that `item` was sent and is played from `from` on.
    pub(super) fn push(&mut self, item: Item, from: Duration) {
        self.0.push_back(Sent { item, from });
    }

    /// Forgets what has been played at `now`.
    pub(super) fn forget_played(&mut self, now: Duration) {
        while self.0.front().is_some_and(|sent| sent.item.plays_until(sent.from) <= now) {
            self.0.pop_front();
        }
    }

    /// What will not be played when everything is dropped at `now`, in order, whole frames.
    pub(super) fn take_back(&mut self, now: Duration) -> Vec<Item> {
        self.forget_played(now);
        self.0.drain(..).map(|sent| sent.item.without(now.saturating_sub(sent.from))).collect()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Item {
    fn plays_until(&self, from: Duration) -> Duration {
        match self {
            Self::Audio { clip, .. } => from.saturating_add(super::length_of(clip.len())),
            Self::Mark => from,
        }
    }

    /// Itself without what has been played of it, a frame that was begun included.
    fn without(self, played: Duration) -> Self {
        let Self::Audio { clip, sentence, .. } = self else { return self };
        let ms = usize::try_from(played.as_millis()).unwrap_or(usize::MAX);
        let bytes = ms.saturating_mul(limit::BYTES_PER_MS).next_multiple_of(limit::FRAME_BYTES);
        let rest = clip.get(bytes.min(clip.len())..).unwrap_or_default();
        Self::Audio { clip: Clip::from(rest), sent: 0, sentence }
    }
}
