//! Tests only: the lines that Ward does write raise no alarm, and do as soon as an identifier is in one.

use super::{Class, scan};
use crate::audit::{Event, Finding, Role, SourceFile};
use crate::cell::{Layer, Outcome, Target};
use crate::count::{Count, Counts};
use crate::credential::CredentialKind;
use crate::fault::{CallEnd, ConnectionEnd, Refusal, SigningFault};
use crate::proof::{Proof, TicketPlace};
use crate::redact::Pseudonym;
use crate::vendor_id::VendorId;

/// Random choices that are the same every time: xorshift64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Of every order of magnitude alike.
    fn number(&mut self) -> u64 {
        let shift = self.next() % 64;
        self.next() >> shift
    }

    fn pseudonym(&mut self) -> Pseudonym {
        Pseudonym::from_keyed_digest(&self.next().to_be_bytes()).unwrap()
    }
}

/// Finds nothing in `event`, as it is rendered and with the fields of a chained log in front.
#[track_caller]
fn check_legal(event: Event, at_ms: u64, chain: &str) {
    let mut line = String::new();
    event.render(Role::Media, at_ms, &mut line);
    assert!(scan(line.as_bytes()).is_empty(), "{line}");
    let chained = line.replacen('{', chain, 1);
    assert!(scan(chained.as_bytes()).is_empty(), "{chained}");
}

const CHAIN: &str = "{\"prev\":\"0123456789012345678901234567890123456789012345678901234567890123\",\
                     \"seq\":123456789012345,\"boot\":\"0123456789012345\",";

/// The events of the broker's credentials.
fn of_a_credential(credential: Pseudonym, vendor: VendorId) -> [Event; 3] {
    [
        Event::CredentialFetched {
            source: vendor,
            vendor,
            credential,
            ttl_s: u32::MAX,
            took_ms: 123_456_789_012_345,
        },
        Event::CredentialExpired { vendor, credential },
        Event::CredentialLive {
            credential: Some(credential),
            class: CredentialKind::VendorKey,
            audience: Some(vendor),
            count: 123_456_789_012_345,
            issued_ago_s: 123_456_789_012_345,
            expires_in_s: Some(123_456_789_012_345),
        },
    ]
}

#[test]
fn every_kind_of_legal_line_passes() {
    let call =
        Pseudonym::from_keyed_digest(&[0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56]).unwrap();
    let vendor = VendorId::parse("a-vendor-2").unwrap();
    let mut counts = Counts::default();
    Count::ALL.iter().for_each(|count| counts.add(*count, u32::MAX));
    let mut events = vec![
        Event::Started { workers: u16::MAX },
        Event::NotReady,
        Event::Finding { finding: Finding::PlainHttp },
        Event::AcceptFailed { errno: i32::MIN },
        Event::ConnectionEnded { reason: ConnectionEnd::TlsFailed },
        Event::SigningFailed { reason: SigningFault::Late },
        Event::Refused { status: 403, reason: Refusal::SignatureWrong },
        Event::UpgradeUnsigned { status: 403 },
        Event::WebhookAnswered { token: 2, call },
        Event::HandshakeValuesSet { values: u16::MAX, ticket_keys: u8::MAX },
        Event::CredentialsSet { tokens: u8::MAX, ticket_keys: u8::MAX },
        Event::CredentialsRefused,
        Event::HandshakeValuesRefused,
        Event::UpgradeAccepted { proof: Proof::Signature(15) },
        Event::CallStarted { call, ticket: TicketPlace::Parameter },
        Event::CallEnded {
            call: None,
            reason: CallEnd::PeerEnded,
            close: 1000,
            duration_ms: 7,
            counts,
        },
        Event::Suppressed { events: 123_456_789_012_345 },
        Event::Draining { calls: 123_456_789_012_345 },
        Event::Stopped,
    ];
    events.extend(of_a_credential(call, vendor));
    for target in Target::ALL {
        events.push(Event::CellEntered {
            target,
            outcomes: [Outcome::AbsentByDesign; Layer::ALL.len()],
        });
    }
    for layer in Layer::ALL {
        events.push(Event::CellRefused { layer, outcome: Outcome::Refused, errno: i32::MAX });
    }
    for path in [
        file!(),
        "appliance/media/src/agent/greeter.rs",
        "/home/build/.cargo/registry/src/index-1949cf8c6b5b557f/tokio-1.48.0/src/runtime/task/raw.rs",
        "/home/build/.cargo/registry/src/index-1949cf8c6b5b557f/serde_json-1.0.154/src/de.rs",
        "/rustc/ded5c06cf21d2b93bffd5d884aa6e96934ee4234/library/core/src/option.rs",
    ] {
        // Wherever the name is cut.
        for end in path.len().saturating_sub(30)..=path.len() {
            let file = SourceFile::new(path.get(..end).unwrap());
            events.push(Event::Panicked { line: u32::MAX, file });
        }
    }
    for event in events {
        check_legal(event, 1_234_567_890_123, CHAIN);
    }
}

#[test]
fn a_hundred_thousand_random_legal_lines_raise_no_alarm() {
    let mut random = Random(0x5EED_5C2B_0000_0001);
    let mut decimal = 0;
    for _ in 0..100_000 {
        let mut counts = Counts::default();
        for count in Count::ALL {
            let value = u32::try_from(random.number() >> 32).unwrap();
            counts.add(*count, if random.next().is_multiple_of(4) { value } else { 0 });
        }
        let call = random.pseudonym();
        decimal += usize::from(call.hex().iter().all(u8::is_ascii_digit));
        let close = u16::try_from(random.next() % 5_000).unwrap();
        // Times and sequence numbers stay under 15 digits for thirty thousand years.
        let (at_ms, duration_ms, seq) =
            (random.number() >> 15, random.number() >> 15, random.number() >> 15);
        let reason = CallEnd::ALL[usize::try_from(random.next()).unwrap() % CallEnd::ALL.len()];
        let digest: String = (0..4).map(|_| format!("{:016x}", random.next())).collect();
        let boot = random.next();
        let chain = format!("{{\"prev\":\"{digest}\",\"seq\":{seq},\"boot\":\"{boot:016x}\",");
        let mut line = String::new();
        let event = Event::CallEnded { call: Some(call), reason, close, duration_ms, counts };
        event.render(Role::Media, at_ms, &mut line);
        let line = line.replacen('{', &chain, 1);
        assert!(scan(line.as_bytes()).is_empty(), "{line}");
    }
    // The case that would be an alarm if pseudonyms were not known for what they are did come up.
    assert!(decimal > 20, "{decimal}");
}

/// The same lines are caught as soon as one field of them is an identifier.
#[test]
fn a_line_that_is_no_longer_legal_is_caught() {
    let mut line = String::new();
    let call = Pseudonym::from_keyed_digest(&[0xAB; 8]).unwrap();
    Event::CallStarted { call, ticket: TicketPlace::Nowhere }.render(Role::Media, 7, &mut line);
    for (leak, class) in [
        ("+14155550132", Class::E164),
        ("CA0123456789abcdef0123456789abcdef", Class::TwilioSid),
        ("Bearer abcDEF123456", Class::Bearer),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl", Class::Jwt),
        ("123-45-6789", Class::Digits),
        ("jane@example.com", Class::Email),
        (&"f39/".repeat(54), Class::Base64),
        ("four one five five five five oh one three two", Class::SpokenDigits),
    ] {
        for place in ["abababababababab", "media", "call_started"] {
            let leaking = line.replacen(place, leak, 1);
            assert!(scan(leaking.as_bytes()).contains(class), "{leaking}");
        }
    }
}
