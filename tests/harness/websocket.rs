//! A raw WebSocket client: frames of any shape, right or wrong.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::edge_cases::{note_seen, note_sent};
use crate::servers::{ACCOUNT, HANDSHAKE, Running};
use crate::wire::Wire;

/// The call of every test, unless it says otherwise.
pub const CALL: &str = "CA00000000000000000000000000000000";
/// Its stream.
pub const STREAM: &str = "MZ00000000000000000000000000000000";

/// The upgrade request that Twilio would send, with `changes` to its header fields.
///
/// A change with an empty value removes the field; a name that is not there is added.
#[must_use]
pub fn upgrade_request(target: &str, changes: &[(&str, &str)]) -> String {
    let mut fields: Vec<(String, String)> = [
        ("Host", "media.example.com"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("X-Twilio-Signature", HANDSHAKE),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in changes {
        fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {target} HTTP/1.1\r\n{lines}\r\n")
}

/// A frame of any shape.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// First byte: FIN, RSV and opcode.
    pub first: u8,
    /// Whether it is masked, as a client's must be.
    pub masked: bool,
    /// The body.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// The frame as bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let bit = if self.masked { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match self.body.len() {
            length @ 0..126 => bytes.push(bit | u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                bytes.push(bit | 126);
                bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(bit | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend_from_slice(&mask);
            bytes.extend(self.body.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        } else {
            bytes.extend_from_slice(self.body);
        }
        bytes
    }
}

/// A text message in one frame.
#[must_use]
pub fn text_frame(text: &str) -> Vec<u8> {
    Frame { first: 0x81, masked: true, body: text.as_bytes() }.to_bytes()
}

/// Twilio's `connected`.
#[must_use]
pub fn connected() -> Value {
    json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })
}

/// Twilio's `start` for the call of the tests.
#[must_use]
pub fn start() -> Value {
    json!({
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": ACCOUNT,
            "streamSid": STREAM,
            "callSid": CALL,
            "tracks": ["inbound"],
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
            "customParameters": {},
        },
        "streamSid": STREAM,
    })
}

/// Twilio's `media` number `number`, counted from 1, with `audio`.
#[must_use]
pub fn media(number: u64, audio: &[u8]) -> Value {
    json!({
        "event": "media",
        "sequenceNumber": (number + 1).to_string(),
        "media": {
            "track": "inbound",
            "chunk": number.to_string(),
            "timestamp": ((number - 1) * 20).to_string(),
            "payload": STANDARD.encode(audio),
        },
        "streamSid": STREAM,
    })
}

/// Twilio's `stop`.
#[must_use]
pub fn stop(sequence: u64) -> Value {
    json!({
        "event": "stop",
        "sequenceNumber": sequence.to_string(),
        "stop": { "accountSid": ACCOUNT, "callSid": CALL },
        "streamSid": STREAM,
    })
}

/// A SID of the tests with `number` at its end.
#[must_use]
pub fn numbered(sid: &str, number: u64) -> String {
    format!("{}{number:08}", &sid[..sid.len() - 8])
}

/// One open stream.
#[derive(Debug)]
pub struct Stream {
    wire: Wire,
    received: Vec<u8>,
    /// Which call it is, among those of the test.
    number: u64,
}

impl Stream {
    /// Upgrades and sends nothing.
    #[must_use]
    pub fn open(server: &Running) -> Self {
        Self::open_with(server, &[])
    }

    /// The same with changes to the header fields, as for [`upgrade_request`].
    #[must_use]
    pub fn open_with(server: &Running, changes: &[(&str, &str)]) -> Self {
        Self::over(Wire::open(server.port), "/rtm/voice", changes).expect("101")
    }

    /// The same over a connection of the test's own, at any path; the answer's head where it is not 101.
    pub fn over(mut wire: Wire, target: &str, changes: &[(&str, &str)]) -> Result<Self, String> {
        wire.send(upgrade_request(target, changes).as_bytes());
        let head = wire.receive_head();
        let is_open = head.starts_with("HTTP/1.1 101 ");
        if is_open { Ok(Self { wire, received: Vec::new(), number: 0 }) } else { Err(head) }
    }

    /// Makes it the stream of a call of its own: `number` stands at the end of its SIDs.
    pub const fn be(&mut self, number: u64) {
        self.number = number;
    }

    /// Upgrades, sends `connected` and `start`.
    #[must_use]
    pub fn started(server: &Running) -> Self {
        let mut stream = Self::open(server);
        stream.send(&connected());
        stream.send(&start());
        stream
    }

    /// Call `number` over a connection that is there already: upgrades, sends `connected` and `start`.
    #[must_use]
    pub fn started_over(wire: Wire, number: u64) -> Self {
        let mut stream = Self::over(wire, "/rtm/voice", &[]).expect("101");
        stream.be(number);
        stream.send(&connected());
        stream.send(&start());
        stream
    }

    /// How long a read waits.
    pub fn set_patience(&self, patience: Duration) {
        self.wire.set_patience(patience);
    }

    /// The next frame if it comes within the patience that was set: `Some(None)` at the end of the connection.
    pub fn try_next_frame(&mut self) -> Option<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some((head, length)) = frame_at(&self.received) {
                let opcode = self.received[0] & 0x0F;
                let body = self.received[head..head + length].to_vec();
                self.received.drain(..head + length);
                return Some(Some((opcode, body)));
            }
            let bytes = self.wire.receive()?;
            if bytes.is_empty() {
                return Some(None);
            }
            self.received.extend(bytes);
        }
    }

    /// The same for a call of its own: `number` stands at the end of its SIDs.
    #[must_use]
    pub fn named(server: &Running, number: u64) -> Self {
        let mut stream = Self::open(server);
        stream.number = number;
        stream.send(&connected());
        stream.send(&start());
        stream
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        let mut text = message.to_string();
        for sid in [CALL, STREAM] {
            text = text.replace(sid, &numbered(sid, self.number));
        }
        self.send_text(&text);
    }

    /// Sends any text.
    pub fn send_text(&mut self, text: &str) {
        self.send_raw(&text_frame(text));
        // A masked frame says nothing to a reader of the report.
        note_sent(text.as_bytes());
    }

    /// Sends any bytes.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.wire.send(bytes);
    }

    /// The next frame's opcode and body; `None` at the end of the connection.
    pub fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((head, length)) = frame_at(&self.received) {
                let opcode = self.received[0] & 0x0F;
                let body = self.received[head..head + length].to_vec();
                self.received.drain(..head + length);
                return Some((opcode, body));
            }
            let bytes = self.wire.receive().expect("the server says nothing");
            if bytes.is_empty() {
                return None;
            }
            self.received.extend(bytes);
        }
    }

    /// The next text message; a ping in between asks about silence, which the test's next word ends.
    pub fn next_message(&mut self) -> Value {
        loop {
            match self.next_frame() {
                Some((1, body)) => {
                    return serde_json::from_slice(&body).expect("the server sends JSON");
                }
                Some((9, _)) => {}
                other => panic!("no text message: {other:?}"),
            }
        }
    }

    /// The close code, skipping what comes before; 0 when the connection ends without one.
    pub fn close_code(&mut self) -> u16 {
        while let Some((opcode, body)) = self.next_frame() {
            if opcode == 8 {
                let code = body.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                note_seen(&format!("close {code}"));
                return code;
            }
        }
        note_seen("no close frame");
        0
    }

    /// Sends a message and waits until its echo shows that the call is alive.
    pub fn proves_alive(&mut self, number: u64) {
        self.send(&media(number, &[0xAA; 160]));
        let echo = self.next_message();
        assert_eq!(echo["event"], "media");
        assert_eq!(echo["media"]["payload"], STANDARD.encode([0xAA; 160]));
    }

    /// Closes in order, and waits for the answer.
    #[must_use]
    pub fn close(mut self) -> u16 {
        self.send_raw(
            &Frame { first: 0x88, masked: true, body: &1000_u16.to_be_bytes() }.to_bytes(),
        );
        self.close_code()
    }

    /// How long until the connection ends.
    pub fn time_to_end(&mut self) -> Duration {
        let begin = Instant::now();
        while self.next_frame().is_some() {}
        begin.elapsed()
    }

    /// The connection underneath.
    #[must_use]
    pub fn into_wire(self) -> Wire {
        self.wire
    }
}

/// Head and body length of a whole frame at the beginning of `bytes`; servers do not mask.
#[must_use]
pub fn frame_at(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = usize::from(*bytes.get(1)?);
    let (head, length) = match second {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => {
            let length = u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            (10, usize::try_from(length).ok()?)
        }
        short => (2, short),
    };
    (bytes.len() >= head + length).then_some((head, length))
}
