//! The closed enum of log events: the only thing that a server can write.
//!
//! Fields are counters, durations, statuses, enums and pseudonyms. There is no free text, so no SID,
//! telephone number, digit, token, signature, path, header or word of a caller can be logged, not
//! even by mistake. Each event renders itself as one JSON object on one line.

pub use finding::Finding;
pub(crate) use render::{Fields, GAP_REASON};
pub use role::Role;

use crate::cell::{Layer, Outcome, Target};
use crate::certificate::CertificateSource;
use crate::count::Counts;
use crate::credential::CredentialKind;
use crate::fault::{
    AcmeFault, CallEnd, CertificateFault, ConnectionEnd, DialFault, LineFault, Refusal,
    ServiceFault, SigningFault, SinkFault, SourceFault, VendorEnd,
};
use crate::ledger::Ledger;
use crate::proof::{Proof, TicketPlace};
use crate::redact::Pseudonym;
use crate::scrub::Class;
use crate::service::Service;
use crate::vendor_id::VendorId;

mod finding;
mod render;
mod role;

/// One thing worth a line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Event {
    /// The server has what it needs and begins to accept.
    Started {
        /// Single-threaded runtimes, each with a listener of its own.
        workers: u16,
    },
    /// The process is confined: every layer of its cell, with what came of it.
    CellEntered {
        /// The kind of machine, which decides what is demanded.
        target: Target,
        /// In the order of [`Layer::ALL`].
        outcomes: [Outcome; Layer::ALL.len()],
    },
    /// A layer is demanded and not there: the process does not start.
    CellRefused {
        /// Which.
        layer: Layer,
        /// What came of it.
        outcome: Outcome,
        /// The operating system's error number, or 0.
        errno: i32,
    },
    /// A process was started.
    RoleStarted {
        /// Which.
        which: Role,
        /// Its number, by which the operating system knows it.
        pid: u32,
        /// How often it has been started since this began, this time included.
        starts: u64,
    },
    /// A process ended. Unless everything ends, it is started again.
    RoleEnded {
        /// Which.
        which: Role,
        /// Its exit status; 0 when a signal ended it.
        status: u8,
        /// The signal that ended it, or 0.
        signal: u8,
    },
    /// No auth token is configured: every webhook will be refused.
    NotReady,
    /// A setting that works but should not be used in production.
    Finding {
        /// Which one.
        finding: Finding,
    },
    /// `accept` failed; the worker pauses and goes on.
    AcceptFailed {
        /// The operating system's error number.
        errno: i32,
    },
    /// A connection ended before it made a request.
    ConnectionEnded {
        /// Why.
        reason: ConnectionEnd,
    },
    /// A handshake got no signature, and so no certificate: it failed.
    SigningFailed {
        /// Why.
        reason: SigningFault,
    },
    /// The server shows a certificate from now on. Connections that are there already keep theirs.
    CertificateSet {
        /// Where it came from.
        source: CertificateSource,
    },
    /// The server does not use a certificate that the broker gave it; what it had stays.
    CertificateRefused {
        /// Why.
        reason: CertificateFault,
    },
    /// The server answers an authority that checks a name. Only then is the authority told.
    ChallengeSet,
    /// The broker has an account at the authority that it had not before.
    AcmeAccountMade,
    /// The authority issued a certificate.
    CertificateIssued {
        /// From its first second to its last, in seconds.
        life_s: u32,
        /// By when it will be renewed, in seconds from now.
        renew_in_s: u32,
        /// From the order to the certificate, in milliseconds.
        took_ms: u64,
    },
    /// There is no new certificate; the old one, if there is one, stays.
    CertificateFailed {
        /// Why.
        reason: AcmeFault,
        /// When it will be tried again, in seconds from now.
        retry_in_s: u32,
    },
    /// The authority said when the certificate should be renewed (RFC 9773).
    RenewalAdvised {
        /// When it will be, in seconds from now.
        renew_in_s: u32,
    },
    /// A request was refused.
    Refused {
        /// The HTTP status that was sent, or 0 when the connection was closed without one.
        status: u16,
        /// Why.
        reason: Refusal,
    },
    /// An upgrade without a signature was refused: `setting` decides whether that is right.
    UpgradeUnsigned {
        /// The HTTP status that was sent.
        status: u16,
    },
    /// A webhook was answered with TwiML.
    WebhookAnswered {
        /// Which of the two configured tokens matched: 1 current, 2 next.
        token: u8,
        /// The call.
        call: Pseudonym,
    },
    /// What handshakes are compared with was set or replaced.
    HandshakeValuesSet {
        /// How many expected signatures there are.
        values: u16,
        /// How many keys there are whose tickets are taken.
        ticket_keys: u8,
    },
    /// A replacement of that was unusable; the old set stays.
    HandshakeValuesRefused,
    /// The responder's auth tokens and its ticket key were set or replaced.
    CredentialsSet {
        /// How many auth tokens there are: the current one, and the next.
        tokens: u8,
        /// How many ticket keys: none or one.
        ticket_keys: u8,
    },
    /// A replacement of those was unusable; the old ones stay.
    CredentialsRefused,
    /// An upgrade was accepted.
    UpgradeAccepted {
        /// What it showed.
        proof: Proof,
    },
    /// `start` was accepted.
    CallStarted {
        /// The call.
        call: Pseudonym,
        /// Where its ticket was.
        ticket: TicketPlace,
    },
    /// A call ended, for whatever reason. Exactly one per accepted upgrade.
    CallEnded {
        /// The call; absent when it ended before `start`.
        call: Option<Pseudonym>,
        /// Why.
        reason: CallEnd,
        /// The WebSocket close code that was sent; 0 when none could be.
        close: u16,
        /// From the 101 to the end, in milliseconds.
        duration_ms: u64,
        /// Everything counted in it.
        counts: Counts,
    },
    /// A vendor minted a token for the broker. What is asked for at the same time may still fail.
    VendorMinted {
        /// Which.
        vendor: VendorId,
        /// How long the token lives, in seconds.
        token_ttl_s: u32,
        /// From dialling to the end of the answer, in milliseconds.
        took_ms: u64,
    },
    /// The broker dialled a vendor and gave the connection away.
    VendorDialled {
        /// Which.
        vendor: VendorId,
        /// How long the connection may live, in seconds.
        session_max_s: u32,
        /// How long the token lives that went with it, in seconds; 0 without one.
        token_ttl_s: u32,
    },
    /// The broker was asked for a vendor and refused.
    VendorRefused {
        /// Which; absent when the question named none.
        vendor: Option<VendorId>,
        /// Why.
        reason: DialFault,
    },
    /// The broker cut a connection that it had given away.
    VendorCut {
        /// Whose.
        vendor: VendorId,
        /// Why.
        reason: VendorEnd,
    },
    /// A source gave a credential: the first one, or a replacement of the one before, which is wiped.
    CredentialFetched {
        /// The entry of the source.
        source: VendorId,
        /// The entry that it is for; the source's own for what we log in to it with.
        vendor: VendorId,
        /// The credential.
        credential: Pseudonym,
        /// For how long it is good, in seconds.
        ttl_s: u32,
        /// From the first request to the end of the last answer, in milliseconds.
        took_ms: u64,
    },
    /// A source did not give a credential. The one before stays for as long as it is good, and no longer.
    SourceFailed {
        /// The entry of the source.
        source: VendorId,
        /// The entry that it is for.
        vendor: VendorId,
        /// For how long the one before is still good, in seconds; 0 when there is none.
        left_s: u32,
        /// Why.
        reason: SourceFault,
    },
    /// The time of a credential was over before its source gave another: it was wiped.
    CredentialExpired {
        /// The entry that it was for.
        vendor: VendorId,
        /// The credential.
        credential: Pseudonym,
    },
    /// One live credential, in the list of all of them: at the start and every hour.
    CredentialLive {
        /// The credential, by a keyed digest of this process; absent for several, and where only their kind is known.
        credential: Option<Pseudonym>,
        /// What kind it is.
        class: CredentialKind,
        /// Whom it is for, by the id in the registry; absent for our own.
        audience: Option<VendorId>,
        /// How many they are.
        count: u64,
        /// Since when this process has had it, in seconds before this line; of several, the first.
        issued_ago_s: u64,
        /// When it is over, in seconds after this line; of several, the last. Absent when it has no end.
        expires_in_s: Option<u64>,
    },
    /// Every live credential of this process has been listed.
    CredentialsListed {
        /// How many lines the list has.
        lines: u32,
    },
    /// A call has a vendor's connection.
    VendorConnected {
        /// The call.
        call: Pseudonym,
        /// The vendor.
        vendor: VendorId,
        /// From the question to the end of the TLS handshake, in milliseconds.
        took_ms: u64,
    },
    /// A call did not get a vendor's connection, and goes on without.
    VendorFailed {
        /// The call.
        call: Pseudonym,
        /// The vendor.
        vendor: VendorId,
        /// Why.
        reason: DialFault,
    },
    /// A call's connection to a vendor is over.
    VendorEnded {
        /// The call.
        call: Pseudonym,
        /// The vendor.
        vendor: VendorId,
        /// Why.
        reason: VendorEnd,
    },
    /// The caller has had an answer to a turn.
    TurnAnswered {
        /// The call.
        call: Pseudonym,
        /// Where the time went.
        ledger: Ledger,
    },
    /// A service of a conversation failed a call, which may have got it elsewhere or with another try.
    ServiceFailed {
        /// The call.
        call: Pseudonym,
        /// The vendor.
        vendor: VendorId,
        /// What it should have done.
        service: Service,
        /// Why.
        reason: ServiceFault,
    },
    /// A panic was contained, or is about to abort the process.
    Panicked {
        /// Line of the source file that panicked.
        line: u32,
        /// End of the source file's name, as the compiler spells it.
        file: SourceFile,
    },
    /// The log was given a line that its role could not have written, and did not pass it on.
    LineRefused {
        /// Whose pipe it came from.
        from: Role,
        /// What is wrong with it.
        reason: LineFault,
    },
    /// The log was given a line that looks as if an identifier were in it, and did not pass it on: the wall
    /// before it has a hole.
    ScrubberAlarm {
        /// Whose pipe it came from.
        from: Role,
        /// What it looks like.
        class: Class,
    },
    /// The log sink takes records: said the first time, and after a failure.
    SinkConnected {
        /// Its id in the registry.
        vendor: VendorId,
        /// From the question to the end of the TLS handshake, in milliseconds.
        took_ms: u64,
    },
    /// The log sink did not take what it was sent. It stays in the spool and is sent again.
    SinkFailed {
        /// Its id in the registry.
        vendor: VendorId,
        /// Why.
        reason: SinkFault,
        /// Records that wait for it.
        waiting: u64,
    },
    /// Records that the log sink will never get: the spool was full when they were written.
    LogGap {
        /// The number of the first.
        first: u64,
        /// The number of the last.
        last: u64,
        /// The digest of the record before the first, which the sink has.
        before: [u8; 32],
    },
    /// How the log stands with its sink, once a minute.
    LogHead {
        /// Records that wait for it.
        waiting: u64,
        /// How much memory they take, in bytes.
        waiting_bytes: u64,
        /// Records that it will never get, since the log started.
        lost: u64,
    },
    /// The log ends in order. There is no record behind it.
    LogClosed,
    /// Events that strangers caused faster than their limit and that were not written.
    Suppressed {
        /// How many since the last line.
        events: u64,
    },
    /// The stop signal arrived: nothing new is accepted.
    Draining {
        /// Calls still live.
        calls: u64,
    },
    /// The last call is over.
    Stopped,
}

/// The last characters of a source file's name: a constant of the build, never input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceFile([u8; Self::CHARS]);

impl SourceFile {
    /// How many of them.
    pub const CHARS: usize = 40;

    /// Keeps the end of `path`; anything but letters, digits and `/._-` becomes `_`.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let mut tail = [b'_'; Self::CHARS];
        for (slot, byte) in tail.iter_mut().rev().zip(path.bytes().rev()) {
            let plain = byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
            *slot = if plain { byte } else { b'_' };
        }
        Self(tail)
    }
}

impl Event {
    /// The stable code that `docs/events.md` explains.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::CellEntered { .. } => "cell_entered",
            Self::CellRefused { .. } => "cell_refused",
            Self::RoleStarted { .. } => "role_started",
            Self::RoleEnded { .. } => "role_ended",
            Self::NotReady => "not_ready",
            Self::Finding { .. } => "finding",
            Self::AcceptFailed { .. } => "accept_failed",
            Self::ConnectionEnded { .. } => "connection_ended",
            Self::SigningFailed { .. } => "signing_failed",
            Self::CertificateSet { .. } => "certificate_set",
            Self::CertificateRefused { .. } => "certificate_refused",
            Self::ChallengeSet => "challenge_set",
            Self::AcmeAccountMade => "acme_account_made",
            Self::CertificateIssued { .. } => "certificate_issued",
            Self::CertificateFailed { .. } => "certificate_failed",
            Self::RenewalAdvised { .. } => "renewal_advised",
            Self::Refused { .. } => "refused",
            Self::UpgradeUnsigned { .. } => "upgrade_unsigned",
            Self::WebhookAnswered { .. } => "webhook_answered",
            Self::HandshakeValuesSet { .. } => "handshake_values_set",
            Self::HandshakeValuesRefused => "handshake_values_refused",
            Self::CredentialsSet { .. } => "credentials_set",
            Self::CredentialsRefused => "credentials_refused",
            Self::UpgradeAccepted { .. } => "upgrade_accepted",
            Self::CallStarted { .. } => "call_started",
            Self::CallEnded { .. } => "call_ended",
            Self::VendorMinted { .. } => "vendor_minted",
            Self::VendorDialled { .. } => "vendor_dialled",
            Self::VendorRefused { .. } => "vendor_refused",
            Self::VendorCut { .. } => "vendor_cut",
            Self::CredentialFetched { .. } => "credential_fetched",
            Self::SourceFailed { .. } => "source_failed",
            Self::CredentialExpired { .. } => "credential_expired",
            Self::CredentialLive { .. } => "credential_live",
            Self::CredentialsListed { .. } => "credentials_listed",
            Self::VendorConnected { .. } => "vendor_connected",
            Self::VendorFailed { .. } => "vendor_failed",
            Self::VendorEnded { .. } => "vendor_ended",
            Self::TurnAnswered { .. } => "turn_answered",
            Self::ServiceFailed { .. } => "service_failed",
            Self::Panicked { .. } => "panicked",
            Self::LineRefused { .. } => "line_refused",
            Self::ScrubberAlarm { .. } => "scrubber_alarm",
            Self::SinkConnected { .. } => "sink_connected",
            Self::SinkFailed { .. } => "sink_failed",
            Self::LogGap { .. } => "log_gap",
            Self::LogHead { .. } => "log_head",
            Self::LogClosed => "log_closed",
            Self::Suppressed { .. } => "suppressed",
            Self::Draining { .. } => "draining",
            Self::Stopped => "stopped",
        }
    }

    /// Whether a stranger without a valid signature can cause it at will.
    #[must_use]
    pub const fn is_strangers(&self) -> bool {
        matches!(
            self,
            Self::ConnectionEnded { .. }
                | Self::SigningFailed { .. }
                | Self::Refused { .. }
                | Self::UpgradeUnsigned { .. }
                | Self::LineRefused { .. }
                | Self::ScrubberAlarm { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Count;

    fn check(event: Event, expected: &str) {
        let mut line = String::new();
        event.render(Role::Media, 7, &mut line);
        assert_eq!(line, format!("{{\"at_ms\":7,\"role\":\"media\",{expected}}}\n"));
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        check(Event::Stopped, r#""event":"stopped""#);
        check(
            Event::Refused { status: 403, reason: Refusal::SignatureWrong },
            r#""event":"refused","status":403,"reason":"signature_wrong","fault":"peer""#,
        );
        check(
            Event::UpgradeUnsigned { status: 403 },
            r#""event":"upgrade_unsigned","status":403,"reason":"signature_absent","setting":"MEDIA_HANDSHAKE""#,
        );
    }

    #[test]
    fn a_panic_names_the_file_and_nothing_that_needs_escaping() {
        check(
            Event::Panicked { line: 9, file: SourceFile::new("a\"b/media/src/session.rs") },
            r#""event":"panicked","line":9,"file":"________________a_b/media/src/session.rs""#,
        );
    }

    #[test]
    fn the_end_of_a_call_carries_its_counters() {
        let mut counts = Counts::default();
        counts.add(Count::FramesIn, 3);
        counts.one(Count::BadJson);
        check(
            Event::CallEnded {
                call: Pseudonym::from_keyed_digest(&[0xAB; 8]),
                reason: CallEnd::PeerEnded,
                close: 1000,
                duration_ms: 60,
                counts,
            },
            r#""event":"call_ended","call":"abababababababab","reason":"peer_ended","fault":"peer","close":1000,"duration_ms":60,"counts":{"frames_in":3,"bad_json":1}"#,
        );
    }
}
