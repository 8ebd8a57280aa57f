//! An event as one line of JSON. Names and words are constants of ours, so nothing ever needs escaping.

use std::fmt::Write as _;

use super::{Event, Role, SourceFile};
use crate::cell::Layer;
use crate::count::Counts;
use crate::fault::Refusal;
use crate::redact::Pseudonym;
use crate::vendor_id::VendorId;

/// Why records are lost on their way to the log sink: there is no other reason.
pub(crate) const GAP_REASON: &str = "spool_full";

impl Event {
    /// Appends the event as one line of JSON, line feed included.
    ///
    /// `at_ms` is milliseconds since the process started; it is the log's writer that knows the date.
    pub fn render(&self, role: Role, at_ms: u64, line: &mut String) {
        let mut fields = Fields::begin(role, at_ms, self.code(), line);
        self.render_fields(&mut fields);
        line.push_str("}\n");
    }

    #[expect(clippy::too_many_lines, reason = "one arm a variant, each of a line or a few")]
    fn render_fields(&self, fields: &mut Fields<'_>) {
        match *self {
            Self::NotReady
            | Self::HandshakeValuesRefused
            | Self::CredentialsRefused
            | Self::LogClosed
            | Self::ChallengeSet
            | Self::AcmeAccountMade
            | Self::Stopped => {}
            Self::Started { workers } => fields.number("workers", u64::from(workers)),
            Self::CellEntered { target, outcomes } => {
                fields.word("target", target.name());
                for (layer, outcome) in Layer::ALL.into_iter().zip(outcomes) {
                    fields.word(layer.name(), outcome.name());
                }
            }
            Self::CellRefused { layer, outcome, errno } => {
                fields.word("layer", layer.name());
                fields.word("outcome", outcome.name());
                fields.number("errno", u64::from(errno.unsigned_abs()));
            }
            Self::RoleStarted { which, pid, starts } => {
                fields.word("which", which.name());
                fields.number("pid", u64::from(pid));
                fields.number("starts", starts);
            }
            Self::RoleEnded { which, status, signal } => {
                fields.word("which", which.name());
                fields.number("status", u64::from(status));
                fields.number("signal", u64::from(signal));
            }
            Self::Finding { finding } => fields.word("finding", finding.code()),
            Self::AcceptFailed { errno } => {
                fields.number("errno", u64::from(errno.unsigned_abs()));
            }
            Self::ConnectionEnded { reason } => {
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::SigningFailed { reason } => {
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::CertificateSet { source } => fields.word("source", source.name()),
            Self::CertificateRefused { reason } => {
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::CertificateIssued { life_s, renew_in_s, took_ms } => {
                fields.number("life_s", u64::from(life_s));
                fields.number("renew_in_s", u64::from(renew_in_s));
                fields.number("took_ms", took_ms);
            }
            Self::CertificateFailed { reason, retry_in_s } => {
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
                fields.number("retry_in_s", u64::from(retry_in_s));
            }
            Self::RenewalAdvised { renew_in_s } => {
                fields.number("renew_in_s", u64::from(renew_in_s));
            }
            Self::Refused { status, reason } => {
                fields.number("status", u64::from(status));
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::UpgradeUnsigned { status } => {
                fields.number("status", u64::from(status));
                fields.word("reason", Refusal::SignatureAbsent.code());
                fields.word("setting", "MEDIA_HANDSHAKE");
            }
            Self::WebhookAnswered { token, call } => {
                fields.number("token", u64::from(token));
                fields.pseudonym("call", call);
            }
            Self::HandshakeValuesSet { values, ticket_keys } => {
                fields.number("values", u64::from(values));
                fields.number("ticket_keys", u64::from(ticket_keys));
            }
            Self::CredentialsSet { tokens, ticket_keys } => {
                fields.number("tokens", u64::from(tokens));
                fields.number("ticket_keys", u64::from(ticket_keys));
            }
            Self::UpgradeAccepted { proof } => fields.word("proof", proof.word()),
            Self::CallStarted { call, ticket } => {
                fields.pseudonym("call", call);
                fields.word("ticket", ticket.word());
            }
            Self::CallEnded { call, reason, close, duration_ms, counts } => {
                if let Some(call) = call {
                    fields.pseudonym("call", call);
                }
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
                fields.number("close", u64::from(close));
                fields.number("duration_ms", duration_ms);
                fields.counts(&counts);
            }
            Self::VendorMinted { vendor, token_ttl_s, took_ms } => {
                fields.vendor(vendor);
                fields.number("token_ttl_s", u64::from(token_ttl_s));
                fields.number("took_ms", took_ms);
            }
            Self::VendorDialled { vendor, session_max_s, token_ttl_s } => {
                fields.vendor(vendor);
                fields.number("session_max_s", u64::from(session_max_s));
                fields.number("token_ttl_s", u64::from(token_ttl_s));
            }
            Self::VendorRefused { vendor, reason } => {
                if let Some(vendor) = vendor {
                    fields.vendor(vendor);
                }
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::VendorCut { vendor, reason } => {
                fields.vendor(vendor);
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::CredentialFetched { source, vendor, credential, ttl_s, took_ms } => {
                fields.id("source", source);
                fields.vendor(vendor);
                fields.pseudonym("credential", credential);
                fields.number("ttl_s", u64::from(ttl_s));
                fields.number("took_ms", took_ms);
            }
            Self::SourceFailed { source, vendor, left_s, reason } => {
                fields.id("source", source);
                fields.vendor(vendor);
                fields.number("left_s", u64::from(left_s));
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::CredentialExpired { vendor, credential } => {
                fields.vendor(vendor);
                fields.pseudonym("credential", credential);
            }
            Self::CredentialLive {
                credential,
                class,
                audience,
                count,
                issued_ago_s,
                expires_in_s,
            } => {
                if let Some(credential) = credential {
                    fields.pseudonym("credential", credential);
                }
                fields.word("class", class.name());
                if let Some(audience) = audience {
                    fields.id("audience", audience);
                }
                fields.number("count", count);
                fields.number("issued_ago_s", issued_ago_s);
                if let Some(expires_in_s) = expires_in_s {
                    fields.number("expires_in_s", expires_in_s);
                }
            }
            Self::CredentialsListed { lines } => fields.number("lines", u64::from(lines)),
            Self::VendorConnected { call, vendor, took_ms } => {
                fields.pseudonym("call", call);
                fields.vendor(vendor);
                fields.number("took_ms", took_ms);
            }
            Self::VendorFailed { call, vendor, reason } => {
                fields.pseudonym("call", call);
                fields.vendor(vendor);
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::VendorEnded { call, vendor, reason } => {
                fields.pseudonym("call", call);
                fields.vendor(vendor);
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::TurnAnswered { call, ledger } => {
                fields.pseudonym("call", call);
                fields.number("endpoint_ms", ledger.endpoint_ms);
                fields.number("asr_ms", ledger.asr_ms);
                fields.number("llm_ms", ledger.llm_ms);
                fields.number("tts_ms", ledger.tts_ms);
                fields.number("total_ms", ledger.total_ms);
                fields.number("over_budget", u64::from(ledger.over_budget()));
                fields.number("guessed", u64::from(ledger.is_guessed));
                fields.number("filler", u64::from(ledger.has_filler));
            }
            Self::ServiceFailed { call, vendor, service, reason } => {
                fields.pseudonym("call", call);
                fields.vendor(vendor);
                fields.word("service", service.name());
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::Panicked { line, file } => {
                fields.number("line", u64::from(line));
                fields.file("file", file);
            }
            Self::LineRefused { from, reason } => {
                fields.word("from", from.name());
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
            }
            Self::ScrubberAlarm { from, class } => {
                fields.word("from", from.name());
                fields.word("class", class.name());
            }
            Self::SinkConnected { vendor, took_ms } => {
                fields.vendor(vendor);
                fields.number("took_ms", took_ms);
            }
            Self::SinkFailed { vendor, reason, waiting } => {
                fields.vendor(vendor);
                fields.word("reason", reason.code());
                fields.word("fault", reason.fault().name());
                fields.number("waiting", waiting);
            }
            Self::LogGap { first, last, before } => {
                fields.number("first", first);
                fields.number("last", last);
                fields.word("reason", GAP_REASON);
                fields.digest("before", &before);
            }
            Self::LogHead { waiting, waiting_bytes, lost } => {
                fields.number("waiting", waiting);
                fields.number("waiting_bytes", waiting_bytes);
                fields.number("lost", lost);
            }
            Self::Suppressed { events } => fields.number("events", events),
            Self::Draining { calls } => fields.number("calls", calls),
        }
    }
}

/// Writes JSON fields whose names and words are our own, so nothing ever needs escaping.
pub(crate) struct Fields<'a>(&'a mut String);

impl<'a> Fields<'a> {
    /// What every line begins with.
    pub(crate) fn begin(role: Role, at_ms: u64, code: &'static str, line: &'a mut String) -> Self {
        let mut fields = Self(line);
        fields.0.push('{');
        fields.number("at_ms", at_ms);
        fields.word("role", role.name());
        fields.word("event", code);
        fields
    }

    /// Fields that come after others.
    pub(crate) const fn more(line: &'a mut String) -> Self {
        Self(line)
    }

    fn key(&mut self, key: &'static str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    pub(crate) fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        // Writing to a String cannot fail.
        write!(self.0, "{value}").unwrap_or_default();
    }

    fn word(&mut self, key: &'static str, value: &'static str) {
        self.key(key);
        self.0.push('"');
        self.0.push_str(value);
        self.0.push('"');
    }

    fn pseudonym(&mut self, key: &'static str, value: Pseudonym) {
        self.key(key);
        self.0.push('"');
        self.0.extend(value.hex().map(char::from));
        self.0.push('"');
    }

    fn digest(&mut self, key: &'static str, value: &[u8; 32]) {
        self.key(key);
        self.0.push('"');
        for byte in value {
            // Writing to a String cannot fail.
            write!(self.0, "{byte:02x}").unwrap_or_default();
        }
        self.0.push('"');
    }

    fn vendor(&mut self, value: VendorId) {
        self.id("vendor", value);
    }

    fn id(&mut self, key: &'static str, value: VendorId) {
        self.key(key);
        self.0.push('"');
        self.0.push_str(value.as_str());
        self.0.push('"');
    }

    fn file(&mut self, key: &'static str, value: SourceFile) {
        self.key(key);
        self.0.push('"');
        self.0.extend(value.0.map(char::from));
        self.0.push('"');
    }

    fn counts(&mut self, counts: &Counts) {
        self.numbers("counts", counts.nonzero().map(|(name, value)| (name, u64::from(value))));
    }

    /// An object of numbers.
    pub(crate) fn numbers(
        &mut self,
        key: &'static str,
        numbers: impl Iterator<Item = (&'static str, u64)>,
    ) {
        self.key(key);
        self.0.push('{');
        for (name, value) in numbers {
            self.number(name, value);
        }
        self.0.push('}');
    }
}
