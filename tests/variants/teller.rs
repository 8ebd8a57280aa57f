//! `ward-media` with an agent that panics with all it has heard as its message, when `D` is pressed.
//!
//! For the canary matrix: a message of a panic is free text, and whatever the code was looking at can stand in
//! it. The server around the agent is the one that ships.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use ward_call::{Agent, Heard, Voice};
use ward_edge::start::exit_code;
use ward_media::agent::Agents;

#[global_allocator]
static ALLOCATOR: ward_sys::alloc::ZeroOnFree = ward_sys::alloc::ZeroOnFree;

fn main() -> ExitCode {
    exit_code(ward_media::server::start(std::env::args().skip(1), |_settings| {
        Ok(Box::new(Tellers))
    }))
}

struct Tellers;

impl Agents for Tellers {
    fn agent(&self) -> Box<dyn Agent> {
        Box::<Teller>::default()
    }
}

/// What one caller has said, as if it were text, and pressed.
#[derive(Default)]
struct Teller {
    said: Vec<u8>,
    pressed: String,
}

impl Agent for Teller {
    #[expect(clippy::panic, reason = "this is what the program is for")]
    fn hear(&mut self, heard: Heard<'_>, _voice: &mut Voice<'_>) {
        match heard {
            Heard::Audio(audio) => self.said.extend_from_slice(audio),
            Heard::Pressed(digit) if digit.key() == b'D' => {
                panic!("{} {}", self.pressed, String::from_utf8_lossy(&self.said));
            }
            Heard::Pressed(digit) => self.pressed.push(char::from(digit.key())),
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
