//! One call whose every value is new: what it sends, and what to look for.

use serde_json::{Value, json};
use ward_tests::memory::{AUDIO_WINDOW, Needles, TEXT_WINDOW};
use ward_tests::random::{fresh, fresh_text};
use ward_tests::servers::{HANDSHAKE, Running};
use ward_tests::websocket::{Frame, Stream, connected, media, start};

/// Two seconds: less than what a call may send in a burst.
const AUDIO_BYTES: usize = 16_000;
const FRAME_BYTES: usize = 160;

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// `stop`, and both sides close in order: a caller hangs up.
    Stop,
    /// A Close frame without `stop`.
    Close,
    /// A TCP reset.
    Reset,
    /// The end of TCP, without TLS's goodbye.
    Cut,
    /// The agent panics.
    Panic,
}

/// A caller.
pub(crate) struct Patient {
    stream: Stream,
    call_sid: String,
    stream_sid: String,
    /// A custom parameter of the stream.
    parameter: String,
    /// Stands in each message about a key, in a field that the server does not know.
    note: String,
    /// The name of a mark that comes back and was never sent.
    mark: String,
    /// The keys, one message each.
    digits: String,
    audio: Vec<u8>,
    sequence: u64,
    frames: u64,
}

impl Patient {
    /// Upgrades and begins the stream.
    pub(crate) fn begin(server: &Running) -> Self {
        Self::begin_signed(server, HANDSHAKE)
    }

    /// The same with another signature on the handshake.
    pub(crate) fn begin_signed(server: &Running, signature: &str) -> Self {
        let sid = |kind: &str| format!("{kind}{}", fresh_text(b"0123456789abcdef", 32));
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut patient = Self {
            stream: Stream::open_with(server, &[("X-Twilio-Signature", signature)]),
            call_sid: sid("CA"),
            stream_sid: sid("MZ"),
            parameter: fresh_text(letters, 40),
            note: fresh_text(letters, 40),
            mark: fresh_text(letters, 40),
            digits: fresh_text(b"0123456789", 24),
            audio: fresh::<AUDIO_BYTES>().to_vec(),
            sequence: 0,
            frames: 0,
        };
        patient.send(connected());
        let mut message = start();
        message["start"]["callSid"] = json!(patient.call_sid);
        message["start"]["streamSid"] = json!(patient.stream_sid);
        message["start"]["customParameters"] = json!({ "patient": patient.parameter });
        patient.send(message);
        patient.settle();
        patient
    }

    /// Everything of this call.
    pub(crate) fn needles(&self) -> Needles {
        let texts = [
            ("call SID", &self.call_sid),
            ("stream SID", &self.stream_sid),
            ("parameter", &self.parameter),
            ("message about a key", &self.note),
            ("mark", &self.mark),
            ("keys", &self.digits),
        ];
        let texts = texts.map(|(name, text)| (name, text.as_bytes(), TEXT_WINDOW));
        Needles::of(texts.into_iter().chain([("audio", &self.audio[..], AUDIO_WINDOW)]))
    }

    fn send(&mut self, mut message: Value) {
        self.sequence += 1;
        message["sequenceNumber"] = json!(self.sequence.to_string());
        message["streamSid"] = json!(self.stream_sid);
        let text = message.to_string();
        self.stream.send_raw(&unmasked(0x81, text.as_bytes()));
    }

    /// Waits until everything sent so far has been dealt with.
    pub(crate) fn settle(&mut self) {
        let number: [u8; 8] = fresh();
        self.stream.send_raw(&unmasked(0x89, &number));
        while let Some((opcode, body)) = self.stream.next_frame() {
            if opcode == 0xA && body == number {
                return;
            }
        }
        panic!("the call has ended");
    }

    /// Presses every key, one message each, in one go.
    pub(crate) fn press_keys(&mut self) {
        for digit in self.digits.clone().chars() {
            self.press(digit);
        }
        self.settle();
    }

    /// Presses one key.
    pub(crate) fn press(&mut self, digit: char) {
        self.send(json!({
            "event": "dtmf",
            "dtmf": { "track": "inbound_track", "digit": digit.to_string() },
            "note": self.note,
        }));
    }

    /// Takes back a mark.
    pub(crate) fn return_mark(&mut self) {
        self.send(json!({ "event": "mark", "mark": { "name": self.mark } }));
        self.settle();
    }

    /// Says the next `frames` of what there is to say.
    pub(crate) fn speak(&mut self, frames: usize) {
        for _ in 0..frames {
            let from = usize::try_from(self.frames).unwrap() * FRAME_BYTES;
            self.frames += 1;
            let frame = media(self.frames, &self.audio[from..from + FRAME_BYTES]);
            self.send(frame);
        }
        self.settle();
    }

    /// Ends the call; when this returns, the caller's end of the connection is closed.
    pub(crate) fn leave(mut self, leaving: Leaving) {
        let close = unmasked(0x88, &1000_u16.to_be_bytes());
        match leaving {
            Leaving::Stop => {
                self.send(json!({ "event": "stop", "stop": { "callSid": self.call_sid } }));
                assert_eq!(self.stream.close_code(), 1000);
                self.stream.send_raw(&close);
            }
            Leaving::Close => {
                self.stream.send_raw(&close);
                assert_eq!(self.stream.close_code(), 1000);
            }
            Leaving::Reset => self.stream.into_wire().reset(),
            Leaving::Cut => self.stream.into_wire().cut(),
            Leaving::Panic => {
                self.press('D');
                assert_eq!(self.stream.close_code(), 1011);
                self.stream.send_raw(&close);
            }
        }
    }
}

/// A frame of a client whose mask is zero.
fn unmasked(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Frame { first, masked: false, body }.to_bytes();
    let head = bytes.len() - body.len();
    bytes[1] |= 0x80;
    bytes.splice(head..head, [0; 4]);
    bytes
}
