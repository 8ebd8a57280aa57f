//! `ward-media` with an agent that keeps all it hears, and panics with it in hand when `D` is pressed.
//!
//! The worst agent there could be, in the server as it ships: allocator, cell and contained panics. It never
//! wipes anything itself.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;

use ward_call::{Agent, Heard, Voice};
use ward_edge::start::exit_code;
use ward_media::agent::Agents;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

fn main() -> ExitCode {
    exit_code(ward_media::server::start(std::env::args().skip(1), |_settings| {
        Ok(Box::new(Keepers))
    }))
}

struct Keepers;

impl Agents for Keepers {
    fn agent(&self) -> Box<dyn Agent> {
        Box::<Keeper>::default()
    }
}

/// What one caller has said and pressed.
#[derive(Default)]
struct Keeper {
    audio: Vec<u8>,
    digits: String,
}

impl Agent for Keeper {
    fn hear(&mut self, heard: Heard<'_>, _voice: &mut Voice<'_>) {
        match heard {
            Heard::Audio(audio) => self.audio.extend_from_slice(audio),
            Heard::Pressed(digit) if digit.key() == b'D' => self.fall(DEPTH),
            Heard::Pressed(digit) => self.digits.push(char::from(digit.key())),
            Heard::Started
            | Heard::SpeechBegan
            | Heard::SpeechPaused
            | Heard::SpeechEnded
            | Heard::Reported(_)
            | Heard::Time
            | Heard::SaidAll
            | Heard::TimeUp => {}
        }
    }
}

/// How many frames deep the panic happens.
const DEPTH: usize = 8;
/// What each of those frames holds of the audio, in bytes.
const HELD_BYTES: usize = 2_048;

impl Keeper {
    /// Panics below frames full of audio, with the digits as the message.
    #[expect(clippy::panic, reason = "this is what the program is for")]
    fn fall(&self, depth: usize) {
        let mut held = [0; HELD_BYTES];
        let from = depth.saturating_mul(HELD_BYTES);
        let heard = self.audio.get(from..).unwrap_or_default();
        for (slot, byte) in held.iter_mut().zip(heard) {
            *slot = *byte;
        }
        black_box(&held);
        if depth == 0 {
            panic!("{}", self.digits);
        }
        self.fall(depth.saturating_sub(1));
        black_box(&held);
    }
}
