//! Every kind of line that there is, with its fields in order: the book that a line is judged by.
//!
//! Words are taken from the enums themselves, so a word that is added there is legal here at once. An event
//! that is missing here is refused wherever lines are judged; `sample.rs` makes a test fail before that.

use super::terms::{
    ANYONE, CALL, CLOSE_MAX, CREDENTIAL, ERRNO, FROM, LISTERS, LOG, MEDIA, SERVERS, SOURCE, STATUS,
    TICKET_KEYS, VENDOR, WHICH, optional, reason, reasons,
};
pub(crate) use super::terms::{field, number, words};
use super::{Kind, Numbers, Shape};
use crate::audit::{Finding, GAP_REASON, Role};
use crate::cell::{Layer, Outcome, Target};
use crate::certificate::CertificateSource;
use crate::count::Count;
use crate::credential::CredentialKind;
use crate::fault::{
    AcmeFault, CallEnd, CertificateFault, ConnectionEnd, DialFault, LineFault, Refusal,
    ServiceFault, SigningFault, SinkFault, SourceFault, VendorEnd,
};
use crate::limit;
use crate::metric::METRICS;
use crate::proof::{Proof, TicketPlace};
use crate::scrub::Class;
use crate::service::Service;

/// The kind of line that `code` names.
#[must_use]
pub fn shape(code: &[u8]) -> Option<&'static Shape> {
    shapes().find(|shape| shape.code.as_bytes() == code)
}

/// Every kind of line, the metrics last.
pub fn shapes() -> impl Iterator<Item = &'static Shape> {
    EVENTS.iter().chain(std::iter::once(&METRICS))
}

/// Every event, in the order of its enum.
pub const EVENTS: &[Shape] = &[
    Shape {
        code: "started",
        about: "The server accepts.",
        by: ANYONE,
        fields: &[number("workers", u16::MAX as u64, "single-threaded runtimes")],
    },
    Shape {
        code: "cell_entered",
        about: "The process is confined: every layer of its cell, with what came of it.",
        by: ANYONE,
        fields: &[
            field(
                "target",
                Kind::Word(words!(Target::ALL, target => target.name())),
                "the kind of machine",
            ),
            field("layers", Kind::Layers, "what came of this layer"),
        ],
    },
    Shape {
        code: "cell_refused",
        about: "A layer is demanded and not there: the process does not start.",
        by: ANYONE,
        fields: &[
            field("layer", Kind::Word(words!(Layer::ALL, layer => layer.name())), "which layer"),
            field(
                "outcome",
                Kind::Word(words!(Outcome::ALL, outcome => outcome.name())),
                "what came of it",
            ),
            ERRNO,
        ],
    },
    Shape {
        code: "role_started",
        about: "A process was started.",
        by: &[Role::Init],
        fields: &[
            WHICH,
            number("pid", u32::MAX as u64, "its number"),
            number("starts", u64::MAX, "how often it has been started, this time included"),
        ],
    },
    Shape {
        code: "role_ended",
        about: "A process ended; unless everything ends, it is started again.",
        by: &[Role::Init],
        fields: &[
            WHICH,
            number("status", u8::MAX as u64, "its exit status; 0 when a signal ended it"),
            number("signal", u8::MAX as u64, "the signal that ended it, or 0"),
        ],
    },
    Shape {
        code: "not_ready",
        about: "No auth token is configured: every webhook will be refused.",
        by: &[Role::Twiml],
        fields: &[],
    },
    Shape {
        code: "finding",
        about: "A setting that works but should not be used in production.",
        by: &[Role::Sign, Role::Twiml, Role::Broker, Role::Media],
        fields: &[field(
            "finding",
            Kind::Word(words!(Finding::ALL, finding => finding.code())),
            "which one",
        )],
    },
    Shape {
        code: "accept_failed",
        about: "Accepting a connection failed; the worker pauses and goes on.",
        by: SERVERS,
        fields: &[ERRNO],
    },
    Shape {
        code: "connection_ended",
        about: "A connection ended before it made a request, or before it took the answer.",
        by: SERVERS,
        fields: &[reason(reasons!(ConnectionEnd))],
    },
    Shape {
        code: "signing_failed",
        about: "A handshake got no signature, and so failed.",
        by: SERVERS,
        fields: &[reason(reasons!(SigningFault))],
    },
    Shape {
        code: "certificate_set",
        about: "The server shows a certificate from now on; connections that are there already keep theirs.",
        by: SERVERS,
        fields: &[field(
            "source",
            Kind::Word(words!(CertificateSource::ALL, source => source.name())),
            "where it came from",
        )],
    },
    Shape {
        code: "certificate_refused",
        about: "The server does not use a certificate that the broker gave it; what it had stays.",
        by: SERVERS,
        fields: &[reason(reasons!(CertificateFault))],
    },
    Shape {
        code: "challenge_set",
        about: "The server answers an authority that checks a name; only then is the authority told.",
        by: SERVERS,
        fields: &[],
    },
    Shape {
        code: "acme_account_made",
        about: "The broker has an account at the authority that it had not before.",
        by: &[Role::Broker],
        fields: &[],
    },
    Shape {
        code: "certificate_issued",
        about: "The authority issued a certificate.",
        by: &[Role::Broker],
        fields: &[
            number("life_s", u32::MAX as u64, "from its first second to its last, in seconds"),
            number("renew_in_s", u32::MAX as u64, "by when it is renewed, in seconds from now"),
            number("took_ms", u64::MAX, "from the order to the certificate, in milliseconds"),
        ],
    },
    Shape {
        code: "certificate_failed",
        about: "There is no new certificate; the old one, if there is one, stays.",
        by: &[Role::Broker],
        fields: &[
            reason(reasons!(AcmeFault)),
            number("retry_in_s", u32::MAX as u64, "when it is tried again, in seconds from now"),
        ],
    },
    Shape {
        code: "renewal_advised",
        about: "The authority said when the certificate should be renewed.",
        by: &[Role::Broker],
        fields: &[number("renew_in_s", u32::MAX as u64, "when it will be, in seconds from now")],
    },
    Shape {
        code: "refused",
        about: "A request was refused.",
        by: SERVERS,
        fields: &[STATUS, reason(reasons!(Refusal))],
    },
    Shape {
        code: "upgrade_unsigned",
        about: "A stream's upgrade without a signature was refused.",
        by: MEDIA,
        fields: &[
            STATUS,
            field("reason", Kind::Word(&[Refusal::SignatureAbsent.code()]), "always the same"),
            field("setting", Kind::Word(&["MEDIA_HANDSHAKE"]), "the setting that decides"),
        ],
    },
    Shape {
        code: "webhook_answered",
        about: "A webhook was answered with TwiML.",
        by: &[Role::Twiml],
        fields: &[number("token", 2, "which auth token matched: 1 current, 2 next"), CALL],
    },
    Shape {
        code: "handshake_values_set",
        about: "The expected handshake signatures were set or replaced.",
        by: MEDIA,
        fields: &[
            number("values", limit::HANDSHAKE_VALUES_MAX as u64, "how many there are"),
            number(TICKET_KEYS, limit::TICKET_KEYS_MAX as u64, "keys whose tickets are taken"),
        ],
    },
    Shape {
        code: "handshake_values_refused",
        about: "A replacement of the expected handshake signatures was unusable; the old set stays.",
        by: MEDIA,
        fields: &[],
    },
    Shape {
        code: "credentials_set",
        about: "The responder's auth tokens and its ticket key were set or replaced.",
        by: &[Role::Twiml],
        fields: &[
            number("tokens", 2, "how many auth tokens there are"),
            number(TICKET_KEYS, 1, "whether there is a key that signs tickets"),
        ],
    },
    Shape {
        code: "credentials_refused",
        about: "A replacement of the responder's auth tokens or ticket key was unusable; the old ones stay.",
        by: &[Role::Twiml],
        fields: &[],
    },
    Shape {
        code: "upgrade_accepted",
        about: "A stream was accepted.",
        by: MEDIA,
        fields: &[field(
            "proof",
            Kind::Word(Proof::WORDS),
            "what it showed: which of the expected signatures, counted from 0, or a ticket in the path",
        )],
    },
    Shape {
        code: "call_started",
        about: "The start of a stream was accepted.",
        by: MEDIA,
        fields: &[
            CALL,
            field(
                "ticket",
                Kind::Word(words!(TicketPlace::ALL, place => place.word())),
                "where its ticket was",
            ),
        ],
    },
    Shape {
        code: "call_ended",
        about: "A stream is over; exactly one per accepted upgrade.",
        by: MEDIA,
        fields: &[
            optional(CALL),
            reason(reasons!(CallEnd)),
            number("close", CLOSE_MAX, "the WebSocket close code that was sent; 0 is none"),
            number("duration_ms", u64::MAX, "from the upgrade to the end, in milliseconds"),
            field(
                "counts",
                Kind::Numbers(Numbers {
                    names: words!(Count::ALL, count => count.name()),
                    most: u32::MAX as u64,
                    may_be_empty: true,
                }),
                "what was counted in it and is not zero",
            ),
        ],
    },
    Shape {
        code: "vendor_minted",
        about: "A vendor minted a token for the broker.",
        by: &[Role::Broker],
        fields: &[
            VENDOR,
            number("token_ttl_s", u32::MAX as u64, "how long it lives, in seconds"),
            number("took_ms", u64::MAX, "from dialling to the end of the answer, in milliseconds"),
        ],
    },
    Shape {
        code: "vendor_dialled",
        about: "The broker dialled a vendor and gave the connection to media.",
        by: &[Role::Broker],
        fields: &[
            VENDOR,
            number(
                "session_max_s",
                u32::MAX as u64,
                "how long the connection may live, in seconds",
            ),
            number(
                "token_ttl_s",
                u32::MAX as u64,
                "how long its token lives, in seconds; 0 without",
            ),
        ],
    },
    Shape {
        code: "vendor_refused",
        about: "The broker was asked for a vendor and refused.",
        by: &[Role::Broker],
        fields: &[optional(VENDOR), reason(reasons!(DialFault))],
    },
    Shape {
        code: "vendor_cut",
        about: "The broker cut a connection that it had given away.",
        by: &[Role::Broker],
        fields: &[VENDOR, reason(reasons!(VendorEnd))],
    },
    Shape {
        code: "credential_fetched",
        about: "A source gave a credential; the one before is wiped.",
        by: &[Role::Broker],
        fields: &[
            SOURCE,
            VENDOR,
            CREDENTIAL,
            number("ttl_s", u32::MAX as u64, "for how long it is good, in seconds"),
            number("took_ms", u64::MAX, "from the first request to the last answer"),
        ],
    },
    Shape {
        code: "source_failed",
        about: "A source gave no credential; the one before stays while it is good, and no longer.",
        by: &[Role::Broker],
        fields: &[
            SOURCE,
            VENDOR,
            number(
                "left_s",
                u32::MAX as u64,
                "how long the one before is good, in seconds; 0: none",
            ),
            reason(reasons!(SourceFault)),
        ],
    },
    Shape {
        code: "credential_expired",
        about: "A credential was over before its source gave another: it was wiped.",
        by: &[Role::Broker],
        fields: &[VENDOR, CREDENTIAL],
    },
    Shape {
        code: "credential_live",
        about: "One live credential, in the list of all: at the start and every hour.",
        by: LISTERS,
        fields: &[
            optional(CREDENTIAL),
            field(
                "class",
                Kind::Word(words!(CredentialKind::ALL, kind => kind.name())),
                "what kind it is",
            ),
            optional(field(
                "audience",
                Kind::VendorId,
                "whom it is for, by the id in the registry",
            )),
            number("count", u64::MAX, "how many they are"),
            number("issued_ago_s", u64::MAX, "since when it is there, in seconds; the first"),
            optional(number("expires_in_s", u64::MAX, "when it is over, in seconds; the last")),
        ],
    },
    Shape {
        code: "credentials_listed",
        about: "Every live credential of the process has been listed.",
        by: LISTERS,
        fields: &[number("lines", u32::MAX as u64, "how many lines the list has")],
    },
    Shape {
        code: "vendor_connected",
        about: "A call has a vendor's connection.",
        by: MEDIA,
        fields: &[
            CALL,
            VENDOR,
            number("took_ms", u64::MAX, "from the question to the end of TLS, in milliseconds"),
        ],
    },
    Shape {
        code: "vendor_failed",
        about: "A call did not get a vendor's connection, and goes on without.",
        by: MEDIA,
        fields: &[CALL, VENDOR, reason(reasons!(DialFault))],
    },
    Shape {
        code: "vendor_ended",
        about: "A call's connection to a vendor is over.",
        by: MEDIA,
        fields: &[CALL, VENDOR, reason(reasons!(VendorEnd))],
    },
    Shape {
        code: "turn_answered",
        about: "The caller has had an answer to a turn.",
        by: MEDIA,
        fields: &[
            CALL,
            number("endpoint_ms", u64::MAX, "from the caller's silence until the turn was taken"),
            number("asr_ms", u64::MAX, "from the caller's silence to the last word of the turn"),
            number("llm_ms", u64::MAX, "from the question to the first piece of the reply"),
            number("tts_ms", u64::MAX, "from the first sentence to its first audio"),
            number(
                "total_ms",
                u64::MAX,
                "from the caller's silence to the first sound of the reply",
            ),
            number("over_budget", 3, "how many of the three services took longer than they should"),
            number("guessed", 1, "1 when the reply was begun before the turn was over"),
            number("filler", 1, "1 when a filler was heard first"),
        ],
    },
    Shape {
        code: "service_failed",
        about: "A service failed a call, which may have got it elsewhere or with another try.",
        by: MEDIA,
        fields: &[
            CALL,
            VENDOR,
            field(
                "service",
                Kind::Word(words!(Service::ALL, service => service.name())),
                "what the vendor should have done",
            ),
            reason(reasons!(ServiceFault)),
        ],
    },
    Shape {
        code: "panicked",
        about: "A panic, with its place in our source.",
        by: ANYONE,
        fields: &[
            number("line", u32::MAX as u64, "line of the source file"),
            field("file", Kind::SourceFile, "the end of the source file's name"),
        ],
    },
    Shape {
        code: "line_refused",
        about: "The log was given a line that its role could not have written.",
        by: &[Role::Log],
        fields: &[FROM, reason(reasons!(LineFault))],
    },
    Shape {
        code: "scrubber_alarm",
        about: "The log was given a line that looks as if an identifier were in it, and kept it back.",
        by: &[Role::Log],
        fields: &[
            FROM,
            field(
                "class",
                Kind::Word(words!(Class::ALL, class => class.name())),
                "what it looks like",
            ),
        ],
    },
    Shape {
        code: "sink_connected",
        about: "The log sink takes records: said the first time, and after a failure.",
        by: LOG,
        fields: &[
            VENDOR,
            number("took_ms", u64::MAX, "from the question to the end of TLS, in milliseconds"),
        ],
    },
    Shape {
        code: "sink_failed",
        about: "The log sink did not take what it was sent; it is sent again.",
        by: LOG,
        fields: &[
            VENDOR,
            reason(reasons!(SinkFault)),
            number("waiting", u64::MAX, "records that wait for it"),
        ],
    },
    Shape {
        code: "log_gap",
        about: "Records that the log sink will never get.",
        by: LOG,
        fields: &[
            number("first", u64::MAX, "the number of the first"),
            number("last", u64::MAX, "the number of the last"),
            field("reason", Kind::Word(&[GAP_REASON]), "why: the spool was full"),
            field("before", Kind::Digest, "SHA-256 of the record before the first"),
        ],
    },
    Shape {
        code: "log_head",
        about: "How the log stands with its sink, once a minute.",
        by: LOG,
        fields: &[
            number("waiting", u64::MAX, "records that wait for it"),
            number("waiting_bytes", u64::MAX, "the memory that they take, in bytes"),
            number("lost", u64::MAX, "records that it will never get, since the log started"),
        ],
    },
    Shape {
        code: "log_closed",
        about: "The log ends in order; there is no record behind it.",
        by: LOG,
        fields: &[],
    },
    Shape {
        code: "suppressed",
        about: "Lines that were not written: strangers caused too many, or the reader was slow.",
        by: ANYONE,
        fields: &[number("events", u64::MAX, "how many since the last such line")],
    },
    Shape {
        code: "draining",
        about: "The stop signal arrived.",
        by: SERVERS,
        fields: &[number("calls", u64::MAX, "calls that are still live")],
    },
    Shape { code: "stopped", about: "The last call is over.", by: SERVERS, fields: &[] },
];
