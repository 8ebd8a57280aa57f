//! Whether what is loud is a voice: `earshot`, a small network, on 16,000 samples a second.
//!
//! It runs only on blocks that are loud, because it costs more than everything else that is done with a frame. It
//! keeps the last blocks' samples and the network's state, both wiped with the call, and says nothing of content.

use std::fmt;

use ward_policy::limit;

use crate::linear::LINEAR;
use crate::resample::Doubler;

/// Samples of a block at 16,000 a second.
const BLOCK: usize = limit::FRAME_BYTES * 2;
/// Samples that the network takes at once: 16 ms.
const WINDOW: usize = 256;
/// Samples that wait at most: a quiet block before a loud one, and what is left of a window.
const WAITING_MAX: usize = BLOCK * 2 + WINDOW;
/// The network's own default threshold between noise and voice, 0 to 1.
const VOICE: f32 = 0.5;

/// One caller's.
pub struct Detector {
    network: earshot::Detector,
    doubler: Doubler,
    waiting: Vec<i16>,
    is_voice: bool,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            network: earshot::Detector::default(),
            doubler: Doubler::default(),
            waiting: Vec::with_capacity(WAITING_MAX),
            is_voice: false,
        }
    }
}

impl Detector {
    /// Takes one sample, µ-law.
    pub(crate) fn push(&mut self, byte: u8) {
        let linear = LINEAR.get(usize::from(byte)).copied().unwrap_or(0);
        if self.waiting.len() < WAITING_MAX {
            self.waiting.extend(self.doubler.push(linear));
        }
    }

    /// At the end of a block: whether it is a voice. A quiet one is not, and is kept for a loud one after it.
    pub(crate) fn judge(&mut self, is_loud: bool) -> bool {
        if !is_loud {
            let old = self.waiting.len().saturating_sub(BLOCK);
            self.waiting.drain(..old);
            self.is_voice = false;
            return false;
        }
        let mut heard = 0;
        for window in self.waiting.chunks_exact(WINDOW) {
            self.is_voice = self.network.predict_i16(window) >= VOICE;
            heard = WINDOW.saturating_add(heard);
        }
        self.waiting.drain(..heard.min(self.waiting.len()));
        self.is_voice
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detector(…)")
    }
}
