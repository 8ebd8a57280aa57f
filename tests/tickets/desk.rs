//! Where the tests get tickets, and how they present them.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use ward_policy::phi::Secret;
use ward_policy::ticket::{DateMs, Validity};
use ward_tests::random::fresh;
use ward_tests::servers::Running;
use ward_tests::websocket::{CALL, Stream, connected, numbered, start};
use ward_tests::wire::{Wire, status};
use ward_twilio::sid::CallSid;
use ward_twilio::ticket::{PARAMETER, TicketKey};

/// The keys of RFC 8032 §7.1, tests 1 to 3: of no deployment.
pub(crate) const KEYS: [&str; 3] = [
    "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
    "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs=",
    "xaqN9D+fg3vet0QvMdy3sWbThTUHbwlLhc46LgtEWPc=",
];

pub(crate) fn key(number: usize) -> TicketKey {
    TicketKey::parse(&Secret::new(KEYS[number].to_owned())).unwrap()
}

/// The public halves, as the setting has them.
pub(crate) fn public(numbers: &[usize]) -> String {
    let keys = numbers.iter().map(|number| key(*number).public().to_base64());
    format!("STREAM_TICKET_PUBLIC_KEYS={}", keys.collect::<Vec<_>>().join(" "))
}

pub(crate) fn date_ms() -> DateMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The SID of the call that [`Stream::be`] makes of a stream.
pub(crate) fn call(number: u64) -> CallSid {
    CallSid::parse(&numbered(CALL, number)).unwrap()
}

/// A ticket of the first key for a call, issued now, with half a minute to live.
pub(crate) fn ticket(number: u64) -> String {
    key(0).issue(&call(number), lives(30), fresh())
}

pub(crate) fn lives(life_s: u8) -> Validity {
    Validity { issued_ms: date_ms(), life_s }
}

/// A media server that takes tickets of the first key, once it takes those that are issued now.
pub(crate) fn media(mode: &str) -> Running {
    let server = Running::media(&format!("MEDIA_HANDSHAKE={mode}\n{}", public(&[0])));
    await_open();
    server
}

/// Tickets that are issued so soon after a start are refused.
pub(crate) fn await_open() {
    std::thread::sleep(ward_policy::limit::TICKET_SKEW_MAX + Duration::from_millis(100));
}

/// How a ticket travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Parameter,
    Path,
}

impl Form {
    pub(crate) const BOTH: [Self; 2] = [Self::Parameter, Self::Path];

    /// The mode that wants tickets in this form.
    pub(crate) const fn mode(self) -> &'static str {
        match self {
            Self::Parameter => "signature+ticket",
            Self::Path => "ticket",
        }
    }
}

/// What becomes of a stream.
#[derive(Debug)]
pub(crate) enum Fate {
    Live(Box<Stream>),
    /// Before the 101, with this status.
    Refused(u16),
    /// At `start`, with this close code.
    Closed(u16),
}

/// Twilio's `start` with a ticket.
pub(crate) fn start_with(ticket: &str) -> serde_json::Value {
    let mut message = start();
    message["start"]["customParameters"] = json!({ PARAMETER: ticket });
    message
}

/// Opens a stream for call `number` with `ticket`, as Twilio would, from `source`.
pub(crate) fn present_from(
    source: Ipv4Addr,
    server: &Running,
    form: Form,
    ticket: &str,
    number: u64,
) -> Fate {
    let wire = Wire::open_from(source, server.port);
    let (target, first) = match form {
        Form::Parameter => ("/rtm/voice".to_owned(), start_with(ticket)),
        // What Twilio signs then is over this path, and nobody here can know it.
        Form::Path => (format!("/rtm/voice/{ticket}"), start()),
    };
    let mut stream = match Stream::over(wire, &target, &[]) {
        Ok(stream) => stream,
        Err(head) => return Fate::Refused(status(&head)),
    };
    stream.be(number);
    stream.send(&connected());
    stream.send(&first);
    is_live(stream)
}

/// Sends a frame, and sees whether its echo or a Close frame comes back.
pub(crate) fn is_live(mut stream: Stream) -> Fate {
    stream.send(&ward_tests::websocket::media(1, &[0xAA; 160]));
    match stream.next_frame() {
        Some((1, _echo)) => Fate::Live(Box::new(stream)),
        Some((8, body)) => {
            let code = u16::from_be_bytes(*body.first_chunk().unwrap());
            ward_tests::edge_cases::note_seen(&format!("close {code}"));
            Fate::Closed(code)
        }
        other => panic!("neither an echo nor a close: {other:?}"),
    }
}

pub(crate) fn present(server: &Running, form: Form, ticket: &str, number: u64) -> Fate {
    present_from(Ipv4Addr::LOCALHOST, server, form, ticket, number)
}

/// A stream that must be taken.
pub(crate) fn taken(server: &Running, form: Form, ticket: &str, number: u64) -> Box<Stream> {
    match present(server, form, ticket, number) {
        Fate::Live(stream) => stream,
        other => panic!("{form:?}: {other:?}\n{}", server.logs.text()),
    }
}

/// A stream that must be refused, for `reason`: with 403 or 1008, and by that name in the log.
pub(crate) fn refused(server: &Running, form: Form, fate: &Fate, reason: &str) {
    match (form, fate) {
        (Form::Parameter, Fate::Closed(1008)) | (Form::Path, Fate::Refused(403)) => {}
        // Whose call a ticket of the path is for shows only in `start`.
        (Form::Path, Fate::Closed(1008)) if reason == "ticket_other_call" => {}
        _ => panic!("{form:?}, {reason}: {fate:?}\n{}", server.logs.text()),
    }
    let named = named(reason);
    server.logs.wait_for(&named);
    ward_tests::edge_cases::note_seen(reason);
}

/// Waits until `reason` was given `times` times; not once more.
pub(crate) fn given(server: &Running, reason: &str, times: usize) {
    server.logs.wait_for_count(&named(reason), times);
    assert_eq!(server.logs.count(&named(reason)), times, "{reason}: {}", server.logs.text());
}

/// A reason as it stands in a line.
pub(crate) fn named(reason: &str) -> String {
    format!("\"reason\":\"{reason}\"")
}
