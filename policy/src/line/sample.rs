//! One event of every kind and with every word of its closed lists: what the tests of the judge begin with.
//!
//! A variant that is added to [`Event`] does not compile here until it has a sample. No server has this code.

use crate::audit::{Event, Finding, Role, SourceFile};
use crate::cell::{Layer, Outcome, Target};
use crate::certificate::CertificateSource;
use crate::count::{Count, Counts};
use crate::credential::CredentialKind;
use crate::fault::{
    AcmeFault, CallEnd, CertificateFault, ConnectionEnd, DialFault, LineFault, Refusal,
    ServiceFault, SigningFault, SinkFault, SourceFault, VendorEnd,
};
use crate::ledger::Ledger;
use crate::limit;
use crate::metric::Metrics;
use crate::proof::{Proof, TicketPlace};
use crate::redact::Pseudonym;
use crate::scrub::Class;
use crate::service::Service;
use crate::vendor_id::VendorId;

/// Samples of every event, all of them legal.
#[must_use]
pub fn events() -> Vec<Event> {
    let mut all = Vec::new();
    let mut next = Some(Event::Started { workers: 1 });
    while let Some(event) = next {
        all.extend(like(&event));
        next = after(&event);
    }
    all
}

/// A role that can write the event: the last of those that can, so that it is a server's where it can be.
#[must_use]
pub fn writer(event: &Event) -> Role {
    let by = super::table::shape(event.code().as_bytes()).map(|shape| shape.by);
    by.and_then(|by| by.last()).copied().unwrap_or(Role::Media)
}

/// The first sample of the variant that follows, so that each variant is visited: there is no wildcard.
#[expect(clippy::too_many_lines, reason = "one arm a variant, each of a line or a few")]
fn after(event: &Event) -> Option<Event> {
    Some(match event {
        Event::Started { .. } => Event::CellEntered {
            target: Target::Image,
            outcomes: [Outcome::Applied; Layer::ALL.len()],
        },
        Event::CellEntered { .. } => {
            Event::CellRefused { layer: Layer::Limits, outcome: Outcome::Refused, errno: 1 }
        }
        Event::CellRefused { .. } => Event::RoleStarted { which: Role::Log, pid: 7, starts: 1 },
        Event::RoleStarted { .. } => Event::RoleEnded { which: Role::Log, status: 0, signal: 9 },
        Event::RoleEnded { .. } => Event::NotReady,
        Event::NotReady => Event::Finding { finding: Finding::PlainHttp },
        Event::Finding { .. } => Event::AcceptFailed { errno: 24 },
        Event::AcceptFailed { .. } => Event::ConnectionEnded { reason: ConnectionEnd::Left },
        Event::ConnectionEnded { .. } => Event::SigningFailed { reason: SigningFault::Late },
        Event::SigningFailed { .. } => Event::CertificateSet { source: CertificateSource::Files },
        Event::CertificateSet { .. } => {
            Event::CertificateRefused { reason: CertificateFault::Garbage }
        }
        Event::CertificateRefused { .. } => Event::ChallengeSet,
        Event::ChallengeSet => Event::AcmeAccountMade,
        Event::AcmeAccountMade => Event::CertificateIssued { life_s: 0, renew_in_s: 0, took_ms: 0 },
        Event::CertificateIssued { .. } => {
            Event::CertificateFailed { reason: AcmeFault::Late, retry_in_s: 60 }
        }
        Event::CertificateFailed { .. } => Event::RenewalAdvised { renew_in_s: 0 },
        Event::RenewalAdvised { .. } => Event::Refused { status: 403, reason: Refusal::Schema },
        Event::Refused { .. } => Event::UpgradeUnsigned { status: 403 },
        Event::UpgradeUnsigned { .. } => Event::WebhookAnswered { token: 1, call: call()? },
        Event::WebhookAnswered { .. } => Event::HandshakeValuesSet { values: 4, ticket_keys: 0 },
        Event::HandshakeValuesSet { .. } => Event::HandshakeValuesRefused,
        Event::HandshakeValuesRefused => Event::CredentialsSet { tokens: 1, ticket_keys: 0 },
        Event::CredentialsSet { .. } => Event::CredentialsRefused,
        Event::CredentialsRefused => Event::UpgradeAccepted { proof: Proof::Signature(0) },
        Event::UpgradeAccepted { .. } => {
            Event::CallStarted { call: call()?, ticket: TicketPlace::Nowhere }
        }
        Event::CallStarted { .. } => ended(CallEnd::PeerEnded, Counts::default()),
        Event::CallEnded { .. } => {
            Event::VendorMinted { vendor: vendor()?, token_ttl_s: 0, took_ms: 0 }
        }
        Event::VendorMinted { .. } => {
            Event::VendorDialled { vendor: vendor()?, session_max_s: 0, token_ttl_s: 0 }
        }
        Event::VendorDialled { .. } => {
            Event::VendorRefused { vendor: None, reason: DialFault::BadQuestion }
        }
        Event::VendorRefused { .. } => {
            Event::VendorCut { vendor: vendor()?, reason: VendorEnd::SessionOver }
        }
        Event::VendorCut { .. } => Event::CredentialFetched {
            source: vendor()?,
            vendor: vendor()?,
            credential: call()?,
            ttl_s: 0,
            took_ms: 0,
        },
        Event::CredentialFetched { .. } => Event::SourceFailed {
            source: vendor()?,
            vendor: vendor()?,
            left_s: 0,
            reason: SourceFault::Late,
        },
        Event::SourceFailed { .. } => {
            Event::CredentialExpired { vendor: vendor()?, credential: call()? }
        }
        Event::CredentialExpired { .. } => live(CredentialKind::TlsKey),
        Event::CredentialLive { .. } => Event::CredentialsListed { lines: 0 },
        Event::CredentialsListed { .. } => {
            Event::VendorConnected { call: call()?, vendor: vendor()?, took_ms: 0 }
        }
        Event::VendorConnected { .. } => {
            Event::VendorFailed { call: call()?, vendor: vendor()?, reason: DialFault::BaaMissing }
        }
        Event::VendorFailed { .. } => {
            Event::VendorEnded { call: call()?, vendor: vendor()?, reason: VendorEnd::CallOver }
        }
        Event::VendorEnded { .. } => {
            Event::TurnAnswered { call: call()?, ledger: Ledger::default() }
        }
        Event::TurnAnswered { .. } => Event::ServiceFailed {
            call: call()?,
            vendor: vendor()?,
            service: Service::Recogniser,
            reason: ServiceFault::Unreachable,
        },
        Event::ServiceFailed { .. } => {
            Event::LineRefused { from: Role::Media, reason: LineFault::Head }
        }
        Event::LineRefused { .. } => {
            Event::ScrubberAlarm { from: Role::Media, class: Class::Email }
        }
        Event::ScrubberAlarm { .. } => {
            Event::Panicked { line: 9, file: SourceFile::new("media/src/session.rs") }
        }
        Event::Panicked { .. } => Event::SinkConnected { vendor: vendor()?, took_ms: 0 },
        Event::SinkConnected { .. } => {
            Event::SinkFailed { vendor: vendor()?, reason: SinkFault::Closed, waiting: 0 }
        }
        Event::SinkFailed { .. } => Event::LogGap { first: 0, last: 0, before: [0; 32] },
        Event::LogGap { .. } => Event::LogHead { waiting: 0, waiting_bytes: 0, lost: 0 },
        Event::LogHead { .. } => Event::LogClosed,
        Event::LogClosed => Event::Suppressed { events: 1 },
        Event::Suppressed { .. } => Event::Draining { calls: 0 },
        Event::Draining { .. } => Event::Stopped,
        Event::Stopped => return None,
    })
}

/// `event`, and the same with every other word and with the ends of its ranges.
#[expect(clippy::too_many_lines, reason = "one arm a variant, each of a line or a few")]
fn like(event: &Event) -> Vec<Event> {
    let more = match *event {
        Event::NotReady
        | Event::HandshakeValuesRefused
        | Event::CredentialsRefused
        | Event::LogClosed
        | Event::ChallengeSet
        | Event::AcmeAccountMade
        | Event::Stopped => Vec::new(),
        Event::CertificateSet { .. } => CertificateSource::ALL
            .into_iter()
            .map(|source| Event::CertificateSet { source })
            .collect(),
        Event::CertificateRefused { .. } => CertificateFault::ALL
            .iter()
            .map(|reason| Event::CertificateRefused { reason: *reason })
            .collect(),
        Event::CertificateIssued { .. } => vec![Event::CertificateIssued {
            life_s: u32::MAX,
            renew_in_s: u32::MAX,
            took_ms: u64::MAX,
        }],
        Event::CertificateFailed { .. } => AcmeFault::ALL
            .iter()
            .map(|reason| Event::CertificateFailed { reason: *reason, retry_in_s: u32::MAX })
            .collect(),
        Event::RenewalAdvised { .. } => vec![Event::RenewalAdvised { renew_in_s: u32::MAX }],
        Event::Started { .. } => vec![Event::Started { workers: u16::MAX }],
        Event::CellEntered { target, outcomes } => {
            let targets =
                Target::ALL.into_iter().map(|target| Event::CellEntered { target, outcomes });
            let outcomes = Outcome::ALL.into_iter().map(|outcome| Event::CellEntered {
                target,
                outcomes: [outcome; Layer::ALL.len()],
            });
            targets.chain(outcomes).collect()
        }
        Event::CellRefused { layer, outcome, errno } => {
            let layers =
                Layer::ALL.into_iter().map(|layer| Event::CellRefused { layer, outcome, errno: 0 });
            let outcomes = Outcome::ALL.into_iter().map(|outcome| Event::CellRefused {
                layer,
                outcome,
                errno,
            });
            layers.chain(outcomes).collect()
        }
        Event::Finding { .. } => {
            Finding::ALL.into_iter().map(|finding| Event::Finding { finding }).collect()
        }
        Event::AcceptFailed { .. } => vec![Event::AcceptFailed { errno: 4_095 }],
        Event::ConnectionEnded { .. } => ConnectionEnd::ALL
            .iter()
            .map(|reason| Event::ConnectionEnded { reason: *reason })
            .collect(),
        Event::SigningFailed { .. } => SigningFault::ALL
            .iter()
            .map(|reason| Event::SigningFailed { reason: *reason })
            .collect(),
        Event::Refused { status, .. } => {
            Refusal::ALL.iter().map(|reason| Event::Refused { status, reason: *reason }).collect()
        }
        Event::UpgradeUnsigned { .. } => vec![Event::UpgradeUnsigned { status: 0 }],
        Event::WebhookAnswered { call, .. } => vec![Event::WebhookAnswered { token: 2, call }],
        Event::HandshakeValuesSet { .. } => {
            let most = u16::try_from(limit::HANDSHAKE_VALUES_MAX).unwrap_or(u16::MAX);
            let ticket_keys = u8::try_from(limit::TICKET_KEYS_MAX).unwrap_or(u8::MAX);
            vec![Event::HandshakeValuesSet { values: most, ticket_keys }]
        }
        Event::CredentialsSet { .. } => vec![Event::CredentialsSet { tokens: 2, ticket_keys: 1 }],
        Event::UpgradeAccepted { .. } => {
            let signatures = (0..16).map(Proof::Signature);
            let all = signatures.chain([Proof::Ticket, Proof::Nothing]);
            all.map(|proof| Event::UpgradeAccepted { proof }).collect()
        }
        Event::CallStarted { call, .. } => {
            let places = TicketPlace::ALL.into_iter();
            places.map(|ticket| Event::CallStarted { call, ticket }).collect()
        }
        Event::CallEnded { .. } => calls_ended(),
        Event::RoleStarted { .. } => Role::ALL
            .into_iter()
            .map(|which| Event::RoleStarted { which, pid: u32::MAX, starts: u64::MAX })
            .collect(),
        Event::RoleEnded { .. } => Role::ALL
            .into_iter()
            .map(|which| Event::RoleEnded { which, status: u8::MAX, signal: 0 })
            .collect(),
        Event::VendorMinted { vendor, .. } => {
            vec![Event::VendorMinted { vendor, token_ttl_s: u32::MAX, took_ms: u64::MAX }]
        }
        Event::VendorDialled { vendor, .. } => {
            vec![Event::VendorDialled { vendor, session_max_s: u32::MAX, token_ttl_s: u32::MAX }]
        }
        Event::VendorRefused { .. } => DialFault::ALL
            .iter()
            .map(|reason| Event::VendorRefused { vendor: vendor(), reason: *reason })
            .collect(),
        Event::VendorCut { vendor, .. } => VendorEnd::ALL
            .iter()
            .map(|reason| Event::VendorCut { vendor, reason: *reason })
            .collect(),
        Event::CredentialFetched { source, vendor, credential, .. } => {
            vec![Event::CredentialFetched {
                source,
                vendor,
                credential,
                ttl_s: u32::MAX,
                took_ms: u64::MAX,
            }]
        }
        Event::SourceFailed { source, vendor, .. } => SourceFault::ALL
            .iter()
            .map(|reason| Event::SourceFailed { source, vendor, left_s: u32::MAX, reason: *reason })
            .collect(),
        Event::CredentialExpired { vendor, credential } => {
            vec![Event::CredentialExpired { vendor, credential }]
        }
        Event::CredentialLive { .. } => {
            let several = Event::CredentialLive {
                credential: None,
                class: CredentialKind::VendorToken,
                audience: vendor(),
                count: u64::MAX,
                issued_ago_s: u64::MAX,
                expires_in_s: Some(u64::MAX),
            };
            CredentialKind::ALL.into_iter().map(live).chain([several]).collect()
        }
        Event::CredentialsListed { .. } => vec![Event::CredentialsListed { lines: u32::MAX }],
        Event::VendorConnected { call, vendor, .. } => {
            vec![Event::VendorConnected { call, vendor, took_ms: u64::MAX }]
        }
        Event::VendorFailed { call, vendor, .. } => DialFault::ALL
            .iter()
            .map(|reason| Event::VendorFailed { call, vendor, reason: *reason })
            .collect(),
        Event::VendorEnded { call, vendor, .. } => VendorEnd::ALL
            .iter()
            .map(|reason| Event::VendorEnded { call, vendor, reason: *reason })
            .collect(),
        Event::TurnAnswered { call, .. } => {
            let late = Ledger {
                endpoint_ms: u64::MAX,
                asr_ms: u64::MAX,
                llm_ms: u64::MAX,
                tts_ms: u64::MAX,
                total_ms: u64::MAX,
                is_guessed: true,
                has_filler: true,
            };
            vec![Event::TurnAnswered { call, ledger: late }]
        }
        Event::ServiceFailed { call, vendor, reason, .. } => {
            let by_reason = ServiceFault::ALL.iter().map(|reason| Event::ServiceFailed {
                call,
                vendor,
                service: Service::Recogniser,
                reason: *reason,
            });
            let by_service = Service::ALL.into_iter().map(|service| Event::ServiceFailed {
                call,
                vendor,
                service,
                reason,
            });
            by_reason.chain(by_service).collect()
        }
        Event::LineRefused { from, .. } => LineFault::ALL
            .iter()
            .map(|reason| Event::LineRefused { from, reason: *reason })
            .collect(),
        Event::ScrubberAlarm { from, .. } => {
            Class::ALL.into_iter().map(|class| Event::ScrubberAlarm { from, class }).collect()
        }
        Event::Panicked { line, .. } => {
            vec![Event::Panicked { line, file: SourceFile::new("~/a b/\"c\"\n\\é.rs") }]
        }
        Event::SinkConnected { vendor, .. } => {
            vec![Event::SinkConnected { vendor, took_ms: u64::MAX }]
        }
        Event::SinkFailed { vendor, .. } => SinkFault::ALL
            .iter()
            .map(|reason| Event::SinkFailed { vendor, reason: *reason, waiting: u64::MAX })
            .collect(),
        Event::LogGap { .. } => {
            let before = [0x01, 0x23, 0x45, 0x67, 0x89, 0x01, 0x23, 0x45].repeat(4);
            let before = before.try_into().unwrap_or([u8::MAX; 32]);
            vec![Event::LogGap { first: u64::MAX, last: u64::MAX, before }]
        }
        Event::LogHead { .. } => {
            let most = u64::MAX;
            vec![Event::LogHead { waiting: most, waiting_bytes: most, lost: most }]
        }
        Event::Suppressed { .. } => vec![Event::Suppressed { events: u64::MAX }],
        Event::Draining { .. } => vec![Event::Draining { calls: u64::MAX }],
    };
    [*event].into_iter().chain(more).collect()
}

fn call() -> Option<Pseudonym> {
    Pseudonym::from_keyed_digest(&[0x00, 0x1f, 0xa0, 0xff, 4, 5, 6, 7])
}

fn vendor() -> Option<VendorId> {
    VendorId::parse("a-vendor-2").ok()
}

fn live(class: CredentialKind) -> Event {
    Event::CredentialLive {
        credential: call(),
        class,
        audience: None,
        count: 1,
        issued_ago_s: 0,
        expires_in_s: None,
    }
}

fn ended(reason: CallEnd, counts: Counts) -> Event {
    Event::CallEnded { call: call(), reason, close: 1_000, duration_ms: 61_000, counts }
}

/// Every reason, every count by itself, all counts at their maximum, and a call that never began.
fn calls_ended() -> Vec<Event> {
    let reasons = CallEnd::ALL.iter().map(|reason| ended(*reason, Counts::default()));
    let counted = Count::ALL.iter().map(|count| {
        let mut counts = Counts::default();
        counts.one(*count);
        ended(CallEnd::PeerEnded, counts)
    });
    let mut full = Counts::default();
    for count in Count::ALL {
        full.add(*count, u32::MAX);
    }
    let never = Event::CallEnded {
        call: None,
        reason: CallEnd::StartLate,
        close: 0,
        duration_ms: u64::MAX,
        counts: full,
    };
    reasons.chain(counted).chain([never]).collect()
}

/// Metrics of a process that has seen nothing, one event, and every sample, and of one with every number at its
/// maximum.
#[must_use]
pub fn metrics() -> Vec<Metrics> {
    let events = events();
    let after = |events: &[Event]| {
        let mut metrics = Metrics::default();
        events.iter().for_each(|event| metrics.note(event));
        metrics
    };
    let mut all = vec![after(&[]), after(&events), Metrics::full()];
    all.extend(events.chunks(1).map(after));
    all
}
