//! E49–E51, E53, E54, E56, E58: how calls end.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use ward_call::{Agent, Heard, Voice};
use ward_edge::clock::Clock;
use ward_edge::drain;
use ward_edge::log::Log;
use ward_media::agent::{AgentKind, Agents, Embedded};
use ward_media::registry::Registry;
use ward_media::session::{Session, SessionContext};
use ward_media::settings::MediaSettings;
use ward_media::socket;
use ward_policy::audit::Role;
use ward_policy::count::Count;
use ward_policy::fault::CallEnd;
use ward_tests::edge_cases::{note_seen, note_sent, row};
use ward_tests::servers::{ACCOUNT, Running};
use ward_tests::virtual_call::{TestAgents, VirtualCall, admission, context, opened};
use ward_tests::websocket::{
    Stream, connected, frame_at, media, start, stop, text_frame, upgrade_request,
};
use ward_tests::wire::{exchange, status};

/// A stream over a pipe in memory, in virtual time; its log goes to a pipe that the test reads.
struct Piped {
    wire: DuplexStream,
    log: std::io::PipeReader,
    begun: tokio::time::Instant,
    task: tokio::task::JoinHandle<()>,
}

impl Piped {
    fn new(agents: Box<dyn Agents>, more: &str, pipe_bytes: usize) -> Self {
        let (wire, ours) = tokio::io::duplex(pipe_bytes);
        let (reader, writer) = std::io::pipe().unwrap();
        let clock = Clock::start();
        let document = format!("TWILIO_ACCOUNT_SID={ACCOUNT}\n{more}");
        let context = Arc::new(SessionContext {
            settings: MediaSettings::parse(&document).unwrap(),
            agents,
            registry: Arc::new(Registry::default()),
            admission: admission(),
            pseudonyms: ward_edge::random::Pseudonyms::new().unwrap(),
            log: Log::new(Role::Media, clock, writer.into()),
        });
        let (drainer, drain) = drain::channel();
        let task = tokio::spawn(async move {
            let opened = opened(&context);
            let session = Session::new(context, opened, clock.now());
            socket::run(ours, Vec::new(), session, clock, drain, None).await;
            drop(drainer);
        });
        Self { wire, log: reader, begun: tokio::time::Instant::now(), task }
    }

    async fn send(&mut self, texts: &[String]) {
        for text in texts {
            note_sent(text.as_bytes());
            self.wire.write_all(&text_frame(text)).await.unwrap();
        }
    }

    /// Reads until a Close frame or the end; the code, and when it came.
    async fn close_code(&mut self) -> (Option<u16>, Duration, Vec<u8>) {
        let (mut received, mut opcodes) = (Vec::new(), Vec::new());
        loop {
            while let Some((head, length)) = frame_at(&received) {
                let opcode: u8 = received[0] & 0x0F;
                let body: Vec<u8> = received[head..head + length].to_vec();
                received.drain(..head + length);
                opcodes.push(opcode);
                if opcode == 8 {
                    let code = u16::from_be_bytes([body[0], body[1]]);
                    note_seen(&format!(
                        "close {code} after {} ms",
                        self.begun.elapsed().as_millis() / 10 * 10
                    ));
                    return (Some(code), self.begun.elapsed(), opcodes);
                }
            }
            let mut bytes = [0; 4_096];
            match self.wire.read(&mut bytes).await {
                Ok(count) if count > 0 => received.extend_from_slice(&bytes[..count]),
                _ => return (None, self.begun.elapsed(), opcodes),
            }
        }
    }

    /// The `call_ended` event, once the stream's task has ended.
    async fn ended(mut self) -> Value {
        drop(self.wire);
        self.task.await.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut text).unwrap();
        let line =
            text.lines().find(|line| line.contains("call_ended")).expect("the call has ended");
        serde_json::from_str(line).unwrap()
    }
}

fn echo() -> Box<dyn Agents> {
    Box::new(Embedded::new(AgentKind::Echo, true).unwrap())
}

/// Sends `texts`, then nothing; the close code and when it came.
pub(crate) async fn run_silent(texts: &[String]) -> (Option<u16>, Duration) {
    let mut piped = Piped::new(echo(), "", 64 * 1024);
    piped.send(texts).await;
    let (code, at, _) = piped.close_code().await;
    (code, at)
}

/// Sends `texts` through a narrow pipe and reads nothing; why and when the call ended.
pub(crate) async fn run_unread(texts: &[String]) -> (CallEnd, Duration) {
    let mut piped = Piped::new(echo(), "", 16 * 1024);
    let begun = piped.begun;
    // The stream stops taking when it is let go.
    for text in texts {
        if piped.wire.write_all(&text_frame(text)).await.is_err() {
            break;
        }
    }
    (&mut piped.task).await.unwrap();
    let waited = begun.elapsed();
    let mut text = String::new();
    drop(piped.wire);
    std::io::Read::read_to_string(&mut piped.log, &mut text).unwrap();
    note_sent(texts.concat().as_bytes());
    note_seen(&format!("no close frame, after {} ms", waited.as_millis() / 10 * 10));
    let end =
        CallEnd::ALL.iter().find(|end| text.contains(&format!("\"reason\":\"{}\"", end.code())));
    (*end.expect("a reason"), waited)
}

#[test]
fn e49_after_stop_we_close() {
    let server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    stream.send(&stop(3));
    assert_eq!(stream.close_code(), 1000);
    assert_eq!(server.logs.first("call_ended")["close"], 1000);
    row("E49", "stop without a Close frame", "we close: 1000, peer_ended");
}

#[test]
fn e50_every_way_to_leave_ends_the_call_exactly_once() {
    let server = Running::media("");
    let mut number = 0;
    let mut check = |what: &str, leave: &dyn Fn(Stream), reason: &str| {
        let mut stream = Stream::started(&server);
        stream.proves_alive(1);
        leave(stream);
        number += 1;
        let ended = server.logs.nth("call_ended", number);
        assert_eq!(ended["reason"], reason, "{what}");
        row("E50", what, &format!("call_ended once, {reason}"));
    };
    check("a Close frame without stop", &|stream| assert_eq!(stream.close(), 1000), "peer_ended");
    check(
        "a Close frame without a code",
        &|mut stream| {
            stream.send_raw(&[0x88, 0x80, 1, 2, 3, 4]);
            assert_eq!(stream.close_code(), 1005);
        },
        "peer_ended",
    );
    check("a TCP reset", &|stream| stream.into_wire().reset(), "peer_vanished");
    check(
        "the end of TCP without TLS's goodbye",
        &|stream| stream.into_wire().cut(),
        "peer_vanished",
    );
    let text = server.logs.text();
    assert_eq!(text.matches("call_ended").count(), number);
    assert!(text.contains("\"truncated_tls\":1"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn e51_a_half_open_connection_is_pinged_and_dropped() {
    let mut piped = Piped::new(echo(), "", 64 * 1024);
    piped.send(&[connected().to_string(), start().to_string()]).await;
    let (code, at, opcodes) = piped.close_code().await;
    assert_eq!(opcodes, [9, 8], "one ping, then the end");
    assert_eq!(code, Some(1001));
    assert!((12_000..12_200).contains(&at.as_millis()), "{at:?}");
    assert_eq!(piped.ended().await["reason"], "silent");
    row("E51", "start, then nothing at all", "one ping after 6 s, 1001 after 12 s, silent");
}

#[tokio::test(start_paused = true)]
async fn e53_a_close_that_is_never_answered_takes_a_second() {
    let mut piped = Piped::new(echo(), "", 64 * 1024);
    piped.send(&[connected().to_string(), start().to_string(), stop(2).to_string()]).await;
    let (code, at, _) = piped.close_code().await;
    assert_eq!(code, Some(1000));
    let mut rest = Vec::new();
    piped.wire.read_to_end(&mut rest).await.unwrap();
    let waited = piped.begun.elapsed().checked_sub(at).unwrap();
    assert!((900..=1_100).contains(&waited.as_millis()), "{waited:?}");
    row("E53", "no answer to our Close frame", "the connection ends 1 s later");
}

#[test]
fn e54_the_longest_call_ends_with_a_goodbye() {
    let agents = Box::new(Embedded::new(AgentKind::Greeter, true).unwrap());
    let mut call = VirtualCall::in_context(context(agents, "CALL_DURATION_MAX_S=30"));
    call.silence(29_900);
    assert_eq!(call.ended, None);
    let before = call.sent.len();
    call.silence(200);
    let events: Vec<&str> = call.events().split_off(before);
    assert!(events.contains(&"media"), "the goodbye: {events:?}");
    for _ in 0..30 {
        call.silence(100);
        if let Some(mark) = call.marks().last().cloned() {
            call.mark(&mark);
        }
    }
    assert_eq!(call.ended, Some(CallEnd::DurationMax));
    row("E54", "CALL_DURATION_MAX_S=30", "the goodbye is played, then 1000, duration_max");
    let mut call = VirtualCall::in_context(context(echo(), "CALL_DURATION_MAX_S=30"));
    call.silence(31_000);
    assert_eq!(call.ended, Some(CallEnd::DurationMax));
    row("E54", "the same with an agent that says nothing", "1000, duration_max");
}

/// Panics when a key is pressed, with a message that must not get out.
struct Fragile;

impl Agent for Fragile {
    fn hear(&mut self, heard: Heard<'_>, voice: &mut Voice<'_>) {
        match heard {
            Heard::Audio(audio) => voice.pass(audio),
            Heard::Pressed(_) => panic!("canary-of-a-panic"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn e56_a_panic_ends_its_own_call_with_1011_and_no_other() {
    let (reader, writer) = std::io::pipe().unwrap();
    let clock = Clock::start();
    let log = Log::new(Role::Media, clock, writer.into());
    ward_edge::panic::install(ward_edge::panic::Strategy::Unwind, log);
    let agents = || -> Box<dyn Agents> { Box::new(TestAgents(|| Box::new(Fragile))) };
    let mut one = Piped::new(agents(), "", 64 * 1024);
    let mut two = Piped::new(agents(), "", 64 * 1024);
    for piped in [&mut one, &mut two] {
        piped.send(&[connected().to_string(), start().to_string()]).await;
    }
    let press = serde_json::json!({
        "event": "dtmf", "sequenceNumber": "2", "streamSid": start()["streamSid"],
        "dtmf": { "track": "inbound_track", "digit": "1" },
    });
    one.send(&[press.to_string()]).await;
    let (code, _, _) = one.close_code().await;
    assert_eq!(code, Some(1011));
    let ended = one.ended().await;
    assert_eq!((&ended["reason"], &ended["fault"]), (&"panicked".into(), &"bug".into()));
    two.send(&[media(1, &[0xAA; 160]).to_string(), stop(3).to_string()]).await;
    let (code, _, opcodes) = two.close_code().await;
    assert_eq!((code, opcodes), (Some(1000), vec![1, 8]));
    drop(std::panic::take_hook());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut { reader }, &mut text).unwrap();
    assert!(text.contains("\"event\":\"panicked\"") && text.contains("call/ending.rs"), "{text}");
    assert!(!text.contains("canary"), "{text}");
    row(
        "E56",
        "a panic in one of two calls",
        "1011, panicked; the other is served; the event has a place and no message",
    );
}

#[test]
fn e58_a_clock_that_runs_fast_or_slow_is_neither_flood_nor_hole() {
    for (what, tick_ms) in [("5 % fast", 19), ("5 % slow", 21)] {
        let mut call = VirtualCall::with(AgentKind::Echo);
        for _ in 0..30_000 {
            call.audio(&[0xAA; 160]);
            call.advance(tick_ms);
        }
        assert_eq!((call.ended, call.sent_count("media")), (None, 30_000), "{what}");
        for count in [Count::OverRateMs, Count::Gap, Count::ClockReset] {
            assert_eq!(call.count(count), 0, "{what}: {}", count.name());
        }
        row(
            "E58",
            &format!("ten minutes with the peer's clock {what}"),
            "every frame heard, nothing dropped, filled or reset",
        );
    }
}

#[test]
fn e58_no_server_goes_by_the_date_but_for_tickets() {
    let mut searched = 0;
    for folder in [
        "policy",
        "appliance/call",
        "appliance/edge",
        "appliance/media",
        "appliance/twilio",
        "appliance/twiml",
        "appliance/sys",
    ] {
        let mut folders = vec![ward_tests::binaries::root().join(folder).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let is_clock = path.ends_with("edge/src/clock.rs");
                    let uses = text.matches("SystemTime").count();
                    assert_eq!(uses, usize::from(is_clock), "{}", path.display());
                    // Whoever asks it: to issue a ticket, and to judge one.
                    let asks = text.contains("date_ms()");
                    let may =
                        ["edge/src/clock.rs", "media/src/server.rs", "twiml/src/responder.rs"];
                    let may_ask = may.iter().any(|file| path.ends_with(file));
                    assert!(!asks || may_ask, "{}", path.display());
                    searched += 1;
                }
            }
        }
    }
    assert!(searched > 30, "{searched}");
    note_seen("the date is asked for in one place, for tickets");
    row("E58", "the sources of both servers", "time is monotonic; the date is for tickets alone");
}

#[test]
fn a_stopping_server_lets_live_calls_finish_and_takes_no_new_ones() {
    let mut server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    server.terminate();
    assert_eq!(server.logs.first("draining")["calls"], 1);
    let health = exchange(server.port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(status(&health) == 503 && health.ends_with("not ready"), "{health}");
    let refused = exchange(server.port, upgrade_request("/rtm/voice", &[]).as_bytes());
    assert_eq!(status(&refused), 503);
    assert_eq!(server.logs.first("refused")["reason"], "draining");
    stream.proves_alive(2);
    assert_eq!(stream.close(), 1000);
    drop(server.logs.first("stopped"));
    server.server().wait().unwrap();
}

#[test]
fn a_second_stop_signal_closes_live_calls() {
    let mut server = Running::media("");
    let mut stream = Stream::started(&server);
    stream.proves_alive(1);
    server.terminate();
    drop(server.logs.first("draining"));
    stream.proves_alive(2);
    server.terminate();
    assert_eq!(stream.close_code(), 1001);
    assert_eq!(server.logs.first("call_ended")["reason"], "draining");
    server.server().wait().unwrap();
}
