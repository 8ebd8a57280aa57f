//! Ways into the media server: the upgrade, every message of a stream and every shape of a frame, a panic, an abort.
//!
//! Frames are masked with zero, which is a mask like any other: so the negative control sees what was sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use ward_tests::random::{fresh, fresh_text};
use ward_tests::websocket::{Frame, upgrade_request};
use ward_tests::wire::Wire;

use crate::class::{Canaries, Class, Encoding, Sent};
use crate::edge::{each_batch, in_target, joined};
use crate::ward::{Sinks, Ward, ask};

/// How often a handshake is tried.
const TRIES_MAX: usize = 5;

/// What the peer of a stream shows.
pub(crate) struct Peer<'w> {
    pub(crate) ward: &'w Ward,
    pub(crate) account: String,
    /// The signature of the handshake.
    pub(crate) signature: String,
}

/// A stream that is open.
pub(crate) struct Talk {
    wire: Wire,
    stream_sid: String,
    /// Of the last message: one that is not larger than those before is dropped.
    sequence: u64,
    received: Vec<u8>,
}

fn sid(kind: &str) -> String {
    format!("{kind}{}", fresh_text(b"0123456789abcdef", 32))
}

/// A frame of a client whose mask is zero.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Frame { first, masked: false, body }.to_bytes();
    let head = bytes.len() - body.len();
    bytes[1] |= 0x80;
    bytes.splice(head..head, [0; 4]);
    bytes
}

/// The batch as members of a JSON object: what was sent is a string of JSON already.
pub(crate) fn members(batch: &[Sent]) -> String {
    let all = batch.iter().map(|(class, sent)| format!("\"{class:?}\":\"{sent}\""));
    all.collect::<Vec<_>>().join(",")
}

pub(crate) fn names(batch: &[Sent]) -> String {
    let all = batch.iter().map(|(_, sent)| format!("\"{sent}\":\"x\""));
    all.collect::<Vec<_>>().join(",")
}

impl Peer<'_> {
    pub(crate) fn open(&self) -> Talk {
        // Where nobody signs a handshake in time, as on a loaded machine, there is no answer at all.
        for _ in 0..TRIES_MAX {
            let mut wire = Wire::open(self.ward.port);
            wire.set_patience(Duration::from_secs(7));
            let changes = [("X-Twilio-Signature", self.signature.as_str())];
            wire.send(upgrade_request("/rtm/voice", &changes).as_bytes());
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match wire.receive().filter(|bytes| !bytes.is_empty()) {
                    Some(bytes) => head.extend(bytes),
                    None => break,
                }
            }
            if !head.is_empty() {
                let head = String::from_utf8_lossy(&head);
                assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
                return Talk { wire, stream_sid: sid("MZ"), sequence: 1, received: Vec::new() };
            }
        }
        panic!("no answer to an upgrade in {TRIES_MAX} tries");
    }

    /// `start` of a call, with `members` in its `start` object and `parameters` among the custom ones.
    fn start(&self, talk: &Talk, call_sid: &str, members: &str, parameters: &str) -> String {
        let (account, stream) = (&self.account, &talk.stream_sid);
        format!(
            r#"{{"event":"start","sequenceNumber":"1","streamSid":"{stream}","start":{{{members}"accountSid":"{account}","streamSid":"{stream}","callSid":"{call_sid}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{{parameters}}}}}}}"#
        )
    }

    /// A call that is live, with these parameters.
    pub(crate) fn call(&self, parameters: &str) -> Talk {
        let mut talk = self.open();
        talk.say(CONNECTED);
        let start = self.start(&talk, &sid("CA"), "", parameters);
        talk.say(&start);
        talk
    }
}

const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

impl Talk {
    pub(crate) fn say(&mut self, text: &str) {
        self.send(0x81, text.as_bytes());
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        self.wire.send(&frame(first, body));
    }

    /// A message of the live call.
    fn message(&mut self, event: &str, members: &str) {
        self.sequence += 1;
        let text = format!(
            r#"{{"event":"{event}","sequenceNumber":"{}","streamSid":"{}",{members}}}"#,
            self.sequence, self.stream_sid
        );
        self.say(&text);
    }

    /// Audio, one message each 8,000 bytes at most.
    pub(crate) fn speak(&mut self, audio: &[u8]) {
        for (number, piece) in audio.chunks(4_000).enumerate() {
            let payload = STANDARD.encode(piece);
            let (chunk, timestamp) = (number + 1, number * 500);
            self.message(
                "media",
                &format!(
                    r#""media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}}"#
                ),
            );
        }
    }

    fn press(&mut self, digit: &str) {
        self.message("dtmf", &format!(r#""dtmf":{{"track":"inbound_track","digit":"{digit}"}}"#));
    }

    /// Closes, and takes everything that comes back.
    pub(crate) fn end(mut self, sinks: &mut Sinks) {
        self.send(0x88, &1000_u16.to_be_bytes());
        self.read_to_end(sinks);
    }

    /// Takes everything that comes until the end.
    fn read_to_end(&mut self, sinks: &mut Sinks) {
        while let Some(bytes) = self.wire.receive().filter(|bytes| !bytes.is_empty()) {
            self.received.extend(bytes);
        }
        assert!(!self.received.is_empty(), "no frame at all came back");
        sinks.add("frames", &self.received);
    }
}

/// The upgrade request, and what is offered with it.
pub(crate) fn upgrades(peer: &Peer<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut each = |what: &str, request: &dyn Fn(Encoding, &[Sent]) -> String| {
        each_batch(canaries, &format!("media: {what}"), |encoding, batch| {
            ask(peer.ward.port, request(encoding, batch).as_bytes(), sinks);
        });
    };
    let signature = peer.signature.as_str();
    each("query of the upgrade", &|encoding, batch| {
        let query: Vec<String> = batch.iter().map(|(_, sent)| in_target(encoding, sent)).collect();
        upgrade_request(&format!("/rtm/voice?{}", query.join("&")), &[])
    });
    each("signature of the upgrade", &|_, batch| {
        upgrade_request("/rtm/voice", &[("X-Twilio-Signature", &joined(batch, ","))])
    });
    for name in ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Upgrade"] {
        each(name, &|_, batch| {
            let all = joined(batch, ",");
            upgrade_request("/rtm/voice", &[("X-Twilio-Signature", signature), (name, &all)])
        });
    }
    // Ignored: the stream begins. What was offered must not come back.
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Origin", "Cookie"] {
        each_batch(canaries, &format!("media: {name}"), |_, batch| {
            let mut wire = Wire::open(peer.ward.port);
            let all = joined(batch, ",");
            let changes = [("X-Twilio-Signature", signature), (name, all.as_str())];
            wire.send(upgrade_request("/rtm/voice", &changes).as_bytes());
            let head = wire.receive_head();
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            sinks.add("answers", head.as_bytes());
            Talk { wire, stream_sid: String::new(), sequence: 1, received: Vec::new() }.end(sinks);
        });
    }
}

/// What comes before a call is live.
pub(crate) fn beginnings(peer: &Peer<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut each = |what: &str, texts: &dyn Fn(&Talk, &[Sent]) -> Vec<String>| {
        each_batch(canaries, &format!("media: {what}"), |_, batch| {
            let mut talk = peer.open();
            for text in texts(&talk, batch) {
                talk.say(&text);
            }
            talk.end(sinks);
        });
    };
    let begun = |start: String| vec![CONNECTED.to_owned(), start];
    each("connected", &|_, batch| {
        let (protocol, rest) = (&batch[0].1, members(batch));
        vec![format!(r#"{{"event":"connected","protocol":"{protocol}","version":"1",{rest}}}"#)]
    });
    each("parameters of start, values", &|talk, batch| {
        begun(peer.start(talk, &sid("CA"), "", &members(batch)))
    });
    each("parameters of start, names", &|talk, batch| {
        begun(peer.start(talk, &sid("CA"), "", &names(batch)))
    });
    each("fields of start that nobody knows", &|talk, batch| {
        begun(peer.start(talk, &sid("CA"), &format!("{},", members(batch)), ""))
    });
    each("tracks and format", &|talk, batch| {
        let all = joined(batch, "\",\"");
        let start = peer.start(talk, &sid("CA"), "", "");
        let start = start.replace("[\"inbound\"]", &format!("[\"{all}\"]"));
        begun(start.replace("audio/x-mulaw", &joined(batch, " ")))
    });
    each("SIDs of another shape", &|talk, batch| {
        begun(peer.start(talk, &joined(batch, " "), "", ""))
    });
    each("an account of somebody else's", &|talk, batch| {
        let account = &batch.iter().find(|(class, _)| *class == Class::AccountSid);
        let account = account.as_ref().map_or(batch[0].1.as_str(), |(_, sent)| sent.as_str());
        let start = peer.start(talk, &sid("CA"), "", &members(batch));
        begun(start.replace(&peer.account, account))
    });
    // A rightful call: SIDs as they are.
    for _ in 0..20 {
        let mut talk = peer.open();
        talk.stream_sid = canaries.one(OWN_SIDS, Class::StreamSid);
        talk.say(CONNECTED);
        let call_sid = canaries.one(OWN_SIDS, Class::CallSid);
        let start = peer.start(&talk, &call_sid, "", "");
        talk.say(&start);
        // Long enough for the greeting to begin.
        std::thread::sleep(Duration::from_millis(20));
        talk.end(sinks);
    }
}

/// The path on which a stream's own SID comes back by right: every message of ours to Twilio names its stream.
pub(crate) const OWN_SIDS: &str = "media: a call's own SIDs";
/// The path on which everything comes back by right: RFC 6455, section 5.5.3, demands that a pong repeats its ping.
pub(crate) const PINGS: &str = "media: pings";

/// What is said in a live call.
pub(crate) fn messages(peer: &Peer<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut each = |what: &str, speak: &dyn Fn(&mut Talk, &[Sent])| {
        each_batch(canaries, &format!("media: {what}"), |_, batch| {
            let mut talk = peer.call("");
            speak(&mut talk, batch);
            talk.end(sinks);
        });
    };
    each("names of marks", &|talk, batch| {
        for (_, sent) in batch {
            talk.message("mark", &format!(r#""mark":{{"name":"{sent}"}}"#));
        }
    });
    each("keys that are none", &|talk, batch| {
        for (_, sent) in batch {
            talk.press(sent);
        }
    });
    each("fields of media", &|talk, batch| {
        for (_, sent) in batch {
            talk.message(
                "media",
                &format!(
                    r#""media":{{"track":"{sent}","chunk":"{sent}","timestamp":"{sent}","payload":"AAAA"}}"#
                ),
            );
        }
    });
    each("payloads that are not base64", &|talk, batch| {
        let media = format!(r#""media":{{"track":"inbound","payload":"{}"}}"#, joined(batch, " "));
        talk.message("media", &media);
    });
    each("events that nobody knows", &|talk, batch| {
        for (_, sent) in batch {
            talk.message(sent, &format!("\"x\":\"{sent}\""));
        }
    });
    each("fields that nobody knows", &|talk, batch| {
        talk.message("media", &format!(r#""media":{{"payload":""}},{}"#, members(batch)));
        talk.message("media", &format!(r#""media":{{"payload":""}},{}"#, names(batch)));
    });
    each("malformed JSON", &|talk, batch| talk.message("media", &format!("{},", members(batch))));
    each("wrong types", &|talk, batch| {
        talk.message("media", &format!("\"media\":[\"{}\"]", joined(batch, "\",\"")));
        talk.message("mark", &format!("\"mark\":{{\"name\":{{{}}}}}", members(batch)));
    });
    each("a stream of somebody else's", &|talk, batch| {
        let own = std::mem::replace(&mut talk.stream_sid, joined(batch, " "));
        talk.message("mark", r#""mark":{"name":"x"}"#);
        talk.stream_sid = own;
    });
    each("sequence numbers", &|talk, batch| {
        let text = format!(r#"{{"event":"stop","sequenceNumber":"{}"}}"#, joined(batch, " "));
        talk.say(&text);
    });
    each("stop", &|talk, batch| talk.message("stop", &format!(r#""stop":{{{}}}"#, members(batch))));
    each("after stop", &|talk, batch| {
        talk.message("stop", "\"stop\":{}");
        talk.message("mark", &members(batch));
    });
}

/// What is heard, as base64 of the canary: only what base64 leaves recognisable.
pub(crate) fn audio(peer: &Peer<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    for encoding in [Encoding::Plain, Encoding::Lower, Encoding::Upper] {
        let batch = canaries.batch("media: audio", encoding);
        let mut talk = peer.call("");
        for (class, sent) in batch {
            if class == Class::Audio && encoding == Encoding::Plain {
                talk.speak(&STANDARD.decode(sent).unwrap());
            } else {
                talk.speak(sent.as_bytes());
            }
        }
        talk.end(sinks);
    }
}

/// Frames of every shape.
pub(crate) fn frames(peer: &Peer<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut each = |what: &str, send: &dyn Fn(&mut Talk, &[Sent])| {
        each_batch(canaries, what, |_, batch| {
            let mut talk = peer.call("");
            send(&mut talk, batch);
            talk.end(sinks);
        });
    };
    each("media: binary messages", &|talk, batch| talk.send(0x82, joined(batch, " ").as_bytes()));
    each("media: text that is no UTF-8", &|talk, batch| {
        talk.send(0x81, &[joined(batch, " ").as_bytes(), b"\xff"].concat());
    });
    each("media: fragments", &|talk, batch| {
        let text = members(batch);
        let (one, two) = text.as_bytes().split_at(text.len() / 2);
        talk.send(0x01, one);
        talk.send(0x80, two);
    });
    each("media: reserved bits", &|talk, batch| talk.send(0xF1, joined(batch, " ").as_bytes()));
    each("media: unknown opcodes", &|talk, batch| talk.send(0x83, joined(batch, " ").as_bytes()));
    each("media: messages too long", &|talk, batch| {
        let (text, rest) = (members(batch), "x".repeat(60_000));
        talk.send(0x01, text.as_bytes());
        talk.send(0x00, rest.as_bytes());
        talk.send(0x80, rest.as_bytes());
    });
    each("media: pongs", &|talk, batch| {
        for piece in batch.iter().flat_map(|(_, sent)| sent.as_bytes().chunks(120)) {
            talk.send(0x8A, piece);
        }
    });
    each(PINGS, &|talk, batch| {
        for piece in batch.iter().flat_map(|(_, sent)| sent.as_bytes().chunks(120)) {
            talk.send(0x89, piece);
        }
    });
    // Judged from its head: what follows is not read as a message, and not all of it is read at all.
    each("media: frames too long", &|talk, batch| {
        for (_, sent) in batch {
            talk.send(0x81, format!("{sent}{}", "x".repeat(70_000)).as_bytes());
        }
    });
    for code in [1000_u16, 4321, 999] {
        for encoding in Encoding::ALL {
            let fits = |_: Class, sent: &str| code == 1000 || sent.len() <= 123;
            for (_, sent) in canaries.batch_of("media: reason of a close", encoding, fits) {
                let mut talk = peer.open();
                let reason = &sent.as_bytes()[..sent.len().min(123)];
                talk.send(0x88, &[&code.to_be_bytes()[..], reason].concat());
                talk.read_to_end(sinks);
            }
        }
    }
}

/// A call that is live while its server is killed: nothing of it is left anywhere, a core dump least of all.
pub(crate) fn aborts(peer: &Peer<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    let signals =
        [("SIGABRT", Signal::ABORT), ("SIGSEGV", Signal::SEGV), ("SIGKILL", Signal::KILL)];
    for (number, (name, signal)) in (1..).zip(signals) {
        let mut live = Vec::new();
        each_batch(canaries, &format!("media: a call that ends by {name}"), |_, batch| {
            let mut talk = peer.call(&members(batch));
            talk.message("mark", &format!("\"mark\":{{\"name\":\"x\"}},{}", members(batch)));
            // Dealt with: the answer to a ping comes after.
            talk.send(0x89, &fresh::<4>());
            assert!(talk.wire.receive().is_some());
            live.push(talk);
        });
        peer.ward.abort(signal, number, sinks);
        for mut talk in live {
            while talk.wire.receive().is_some_and(|bytes| !bytes.is_empty()) {}
        }
    }
}

/// A panic whose message is all that was said and pressed.
pub(crate) fn panics(peer: &Peer<'_>, canaries: &mut Canaries, sinks: &mut Sinks) {
    let mut fallen = 0;
    each_batch(canaries, "media: message of a panic, what was said", |_, batch| {
        let mut talk = peer.call("");
        talk.speak(joined(batch, " ").as_bytes());
        talk.press("D");
        talk.end(sinks);
        fallen += 1;
        peer.ward.await_event("media", "panicked", fallen);
    });
    let path = "media: message of a panic, what was pressed";
    let is_pressed = |_: Class, sent: &str| sent.bytes().all(|byte| byte.is_ascii_digit());
    for _ in 0..5 {
        for (_, sent) in canaries.batch_of(path, Encoding::Plain, is_pressed) {
            let mut talk = peer.call("");
            for digit in sent.chars() {
                talk.press(&digit.to_string());
            }
            talk.press("D");
            talk.end(sinks);
            fallen += 1;
            peer.ward.await_event("media", "panicked", fallen);
        }
    }
}
