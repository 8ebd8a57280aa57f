//! Whether what is loud is a voice: `earshot`, a small network, on 16,000 samples a second.
//!
//! It runs only on blocks that are loud, because it costs more than everything else that is done with a frame. It
//! keeps the last blocks' samples and the network's state, both wiped with the call, and says nothing of content.

use std::fmt;

use ward_policy::limit;
use ward_policy::phi::Phi;

use crate::linear::LINEAR;
use crate::resample::{PAST, double};

/// Samples that the network takes at once, at 16,000 a second: 16 ms.
const WINDOW: usize = 256;
/// Samples that wait at most, at 8,000 a second: what the filter needs, a quiet block before a loud one, the block.
const WAITING_MAX: usize = PAST + 2 * limit::FRAME_BYTES;
/// The same of a window that is not whole yet.
const DOUBLED_MAX: usize = 2 * WAITING_MAX + WINDOW;
/// µ-law silence.
const QUIET: u8 = 0xFF;
/// The network's own default threshold between noise and voice, 0 to 1.
const VOICE: f32 = 0.5;

/// One caller's.
#[derive(Default)]
pub struct Detector {
    /// Made for the first loud block: a caller who never speaks needs none.
    network: Option<Box<earshot::Detector>>,
    /// The latest samples, µ-law: those that the filter needs first.
    waiting: Vec<u8>,
    /// Samples at 16,000 a second that make no whole window yet.
    doubled: Vec<i16>,
    is_voice: bool,
}

impl Detector {
    /// Takes samples, µ-law: no more than what is left of a block.
    pub(crate) fn push(&mut self, audio: &[u8]) {
        if self.waiting.is_empty() {
            self.waiting.reserve_exact(WAITING_MAX);
            self.waiting.resize(PAST, QUIET);
        }
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(audio.iter().take(room));
    }

    /// At the end of a block: whether it is a voice. A quiet one is not, and is kept for a loud one after it.
    pub(crate) fn judge(&mut self, is_loud: bool) -> bool {
        if !is_loud {
            self.keep(PAST.saturating_add(limit::FRAME_BYTES));
            // What was left of a window was before this block.
            self.doubled = Vec::new();
            self.is_voice = false;
            return false;
        }
        let mut linear = Phi::new([0; WAITING_MAX]);
        for (slot, byte) in linear.expose_mut().iter_mut().zip(&self.waiting) {
            *slot = LINEAR.get(usize::from(*byte)).copied().unwrap_or(0);
        }
        self.doubled.reserve_exact(DOUBLED_MAX.saturating_sub(self.doubled.len()));
        let linear = linear.expose().get(..self.waiting.len()).unwrap_or_default();
        double(linear, &mut self.doubled);
        self.keep(PAST);
        let network = self.network.get_or_insert_default();
        let mut heard = 0;
        for window in self.doubled.chunks_exact(WINDOW) {
            self.is_voice = network.predict_i16(window) >= VOICE;
            heard = WINDOW.saturating_add(heard);
        }
        self.doubled.drain(..heard.min(self.doubled.len()));
        self.is_voice
    }

    /// Forgets all but the last samples.
    fn keep(&mut self, count: usize) {
        let old = self.waiting.len().saturating_sub(count);
        self.waiting.drain(..old);
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detector(…)")
    }
}
