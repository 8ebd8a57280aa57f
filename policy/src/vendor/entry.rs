//! One file of the registry: its shape, and everything that can be wrong with it by itself.
//!
//! It does not compare files with each other; [`super::Registry`] does.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::connector::{Connector, Manner, RequestMust};
use crate::data_class::DataClass;
use crate::date::Date;
use crate::log_sink::Sink;
use crate::service::Service;
use crate::vendor_id::VendorId;

use super::mint::{Mint, check_mint};
use super::store::{KeyPlace, Network, Store, check_infrastructure};

/// What a vendor does for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VendorRole {
    /// The telephone network: Twilio.
    Telephony,
    /// Speech recognition.
    Asr,
    /// Language model.
    Llm,
    /// Speech synthesis.
    Tts,
    /// Runs our machines.
    Host,
    /// Keeps our logs.
    LogSink,
    /// Tells the time.
    Time,
    /// Resolves names.
    Dns,
    /// Issues certificates.
    Ca,
    /// Keeps our credentials.
    Secrets,
    /// Tells a machine about itself, and gives it its role's credentials: a cloud's metadata service.
    Metadata,
}

impl VendorRole {
    /// Whether it is infrastructure, which never gets PHI.
    #[must_use]
    pub const fn is_infrastructure(self) -> bool {
        matches!(
            self,
            Self::LogSink | Self::Time | Self::Dns | Self::Ca | Self::Secrets | Self::Metadata
        )
    }

    /// What it does for a conversation, if it takes part in one.
    #[must_use]
    pub const fn service(self) -> Option<Service> {
        match self {
            Self::Asr => Some(Service::Recogniser),
            Self::Llm => Some(Service::Model),
            Self::Tts => Some(Service::Voice),
            Self::Telephony
            | Self::Host
            | Self::LogSink
            | Self::Time
            | Self::Dns
            | Self::Ca
            | Self::Secrets
            | Self::Metadata => None,
        }
    }
}

/// How a host is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Requests over TLS.
    Https,
    /// A WebSocket over TLS.
    Wss,
    /// Names over TLS.
    Dot,
    /// Time; not encrypted, and never given anything.
    Ntp,
    /// Requests without TLS, to a metadata service on the same machine and to nobody else.
    Http,
}

/// What a host is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// The vendor's service itself.
    Data,
    /// Where short-lived credentials come from.
    Token,
    /// Anything else that is needed to use the service.
    Control,
}

/// One host of a vendor.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its whole name, lower case, no wildcard.
    pub name: String,
    /// The port.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// What it is for.
    pub purpose: Purpose,
    /// What network it is in.
    #[serde(default)]
    pub network: Network,
}

impl Host {
    /// How a request names it: the port only if it is not that of https.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            443 => self.name.clone(),
            port => format!("{}:{port}", self.name),
        }
    }
}

/// Where a business associate agreement stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaaStatus {
    /// Recorded as signed.
    Signed,
    /// Not needed: the vendor is given no PHI, and the entry says why.
    NotRequired,
    /// Asked for.
    Pending,
    /// Over.
    Expired,
}

/// A business associate agreement, as recorded.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baa {
    /// Where it stands.
    pub status: BaaStatus,
    /// What the operator calls the document.
    #[serde(default)]
    pub reference: Option<String>,
    /// The document's digest, 64 hexadecimal digits.
    #[serde(default)]
    pub document_sha256: Option<String>,
    /// From which day it is in force.
    #[serde(default)]
    pub effective: Option<Date>,
    /// The last day on which it is; without one it has no end.
    #[serde(default)]
    pub expires: Option<Date>,
    /// When it was last reviewed.
    #[serde(default)]
    pub reviewed_on: Option<Date>,
    /// By when it must be reviewed again.
    #[serde(default)]
    pub next_review: Option<Date>,
    /// Why none is needed.
    #[serde(default)]
    pub not_required_reason: Option<String>,
}

/// What the vendor keeps.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Nothing, something for a time, or what the vendor does by itself.
    pub mode: RetentionMode,
    /// For how many days.
    #[serde(default)]
    pub ttl_days: Option<u16>,
    /// How that is known.
    pub evidence: RetentionEvidence,
}

/// See [`Retention`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionMode {
    /// Nothing is kept.
    Zero,
    /// Kept for [`Retention::ttl_days`].
    Ttl,
    /// Whatever the vendor does by itself.
    VendorDefault,
}

/// See [`Retention`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionEvidence {
    /// The vendor's interface says so.
    Api,
    /// The contract says so.
    Contract,
    /// Nobody says so.
    None,
}

/// The credential that media may get for the vendor.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// What kind it is.
    pub class: CredentialClass,
    /// Longest life, in seconds.
    pub max_ttl_s: u32,
    /// Longest session that may be held with it, in seconds.
    pub max_session_s: u32,
    /// Whether it works once. Every connection gets a token of its own, so the broker never gives one twice.
    pub single_use: bool,
    /// How a token of the class `token` is fetched.
    #[serde(default)]
    pub mint: Option<Mint>,
    /// Where the key is kept that it is made with; without this, in the keys' document.
    #[serde(default)]
    pub key: Option<KeyPlace>,
}

/// See [`Credential`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialClass {
    /// A short-lived token that the vendor mints, as [`Credential::mint`] says.
    Token,
    /// A short-lived JSON Web Token (RFC 7519) that the broker signs with a key it shares with the vendor.
    SignedToken,
    /// A long-lived key that the vendor offers nothing better than; media never gets it.
    StaticKey,
    /// None.
    None,
}

/// How an authority is asked for certificates (RFC 8555), at its host of purpose `data`. Whatever other host it sends us to must be
/// in the entry too.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The path of its directory.
    pub directory: String,
}

/// Where the facts of an entry come from.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The document.
    pub title: String,
    /// Its date, or the day it was read.
    pub date: Date,
}

/// One vendor and service.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What media asks for: lower-case letters, digits and hyphens.
    pub id: String,
    /// Who the contract is with.
    pub vendor_legal_name: String,
    /// What is used of them.
    pub service: String,
    /// What it is for.
    pub role: VendorRole,
    /// Every host that may be dialled for it.
    pub hosts: Vec<Host>,
    /// Certificates in PEM that the vendor's own must lead to; without them, those that browsers trust.
    #[serde(default)]
    pub roots_pem: Option<String>,
    /// What it may be given.
    pub data_classes_allowed: Vec<DataClass>,
    /// The agreement.
    pub baa: Baa,
    /// What it keeps.
    pub retention: Retention,
    /// How its service is spoken to.
    #[serde(default)]
    pub connector: Option<Connector>,
    /// How a log sink is spoken to.
    #[serde(default)]
    pub sink: Option<Sink>,
    /// How certificates are asked for.
    #[serde(default)]
    pub acme: Option<Acme>,
    /// What every request must carry.
    #[serde(default)]
    pub request_must: Vec<RequestMust>,
    /// Whether training on our data is off.
    pub training_opt_out: bool,
    /// Where data is processed.
    pub region: String,
    /// How a place that keeps secrets is spoken to.
    #[serde(default)]
    pub store: Option<Store>,
    /// What media may get.
    pub credential: Credential,
    /// Where these facts come from.
    pub source: Source,
    /// Who let the vendor in.
    pub approved_by: String,
    /// When.
    pub approved_on: Date,
}

impl Entry {
    /// What media is told about speaking to the vendor; nothing without a connector.
    #[must_use]
    pub fn manner(&self) -> Option<Manner> {
        let connector = self.connector.clone()?;
        Some(Manner { connector, musts: self.request_must.clone() })
    }

    /// The first host of a purpose.
    #[must_use]
    pub fn host(&self, purpose: Purpose) -> Option<&Host> {
        self.hosts.iter().find(|host| host.purpose == purpose)
    }
}

/// What is wrong with one entry by itself.
pub(super) fn problems_of(entry: &Entry) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |is_fine: bool, what: &str| {
        // Said once, however many hosts or words have it.
        if !is_fine && !problems.iter().any(|known| known == what) {
            problems.push(what.to_owned());
        }
    };
    check(
        VendorId::parse(&entry.id).is_ok(),
        "the id is not 1 to 32 lower-case letters, digits and hyphens, a letter first",
    );
    let roots = entry.roots_pem.as_deref().unwrap_or_default();
    check(
        entry.roots_pem.is_none() || roots.contains("-----BEGIN CERTIFICATE-----"),
        "roots_pem has no certificate in it",
    );
    check(roots.len() <= crate::limit::ROOTS_BYTES_MAX, "roots_pem is too long");
    for (text, what) in [
        (&entry.vendor_legal_name, "vendor_legal_name is empty"),
        (&entry.service, "service is empty"),
        (&entry.region, "region is empty"),
        (&entry.approved_by, "approved_by is empty"),
        (&entry.source.title, "the source has no title"),
    ] {
        check(!text.trim().is_empty(), what);
    }
    check(!entry.hosts.is_empty(), "there is no host");
    let has_phi = entry.data_classes_allowed.iter().any(|class| class.is_phi());
    for host in &entry.hosts {
        // Its address is the only name that a metadata service has.
        let is_named = is_host(&host.name) || entry.role == VendorRole::Metadata;
        check(is_named, "a host is not a whole name in lower case without wildcards");
        check(host.port != 0, "a host has the port 0");
        let is_encrypted = !matches!(host.protocol, Protocol::Ntp | Protocol::Http);
        check(is_encrypted || !has_phi, "PHI goes over TLS only: not to a host that speaks ntp");
    }
    let classes: BTreeSet<_> = entry.data_classes_allowed.iter().collect();
    check(!classes.is_empty(), "no data class is allowed: say none");
    let says_none = classes.contains(&DataClass::None);
    check(!says_none || classes.len() == 1, "none stands alone");
    check(classes.len() == entry.data_classes_allowed.len(), "a data class is there twice");
    check(!(has_phi && entry.role.is_infrastructure()), "infrastructure may be given no PHI");
    check_baa(&entry.baa, has_phi, &mut check);
    let is_ttl = entry.retention.mode == RetentionMode::Ttl;
    check(
        is_ttl == entry.retention.ttl_days.is_some(),
        "ttl_days goes with the retention mode ttl",
    );
    check(!has_phi || entry.training_opt_out, "PHI goes only where training on it is off");
    for must in entry.request_must.iter().filter(|_must| entry.connector.is_none()) {
        check(!must.name.is_empty() && !must.value.is_empty(), "request_must needs name and value");
    }
    check_connector(entry, &mut check);
    check_sink(entry, &mut check);
    check_acme(entry, &mut check);
    check_credential(entry, &mut check);
    check_infrastructure(entry, &mut check);
    problems
}

fn check_connector(entry: &Entry, check: &mut impl FnMut(bool, &str)) {
    let Some(manner) = entry.manner() else { return };
    let service = manner.connector.dialect.service();
    check(
        entry.role.service() == Some(service),
        "the connector's dialect is of another service than the role",
    );
    for problem in manner.problems() {
        check(false, problem);
    }
}

fn check_sink(entry: &Entry, check: &mut impl FnMut(bool, &str)) {
    let is_sink = entry.role == VendorRole::LogSink;
    check(is_sink == entry.sink.is_some(), "a sink goes with the role log-sink");
    let speaks = entry.host(Purpose::Data).is_none_or(|host| host.protocol == Protocol::Https);
    check(!is_sink || speaks, "a log sink's host of the purpose data speaks https");
    for problem in entry.sink.iter().flat_map(Sink::problems) {
        check(false, problem);
    }
}

fn check_acme(entry: &Entry, check: &mut impl FnMut(bool, &str)) {
    let Some(acme) = &entry.acme else { return };
    check(entry.role == VendorRole::Ca, "acme goes with the role ca");
    let is_path = acme.directory.starts_with('/')
        && acme.directory.len() <= crate::limit::VENDOR_PATH_CHARS_MAX
        && acme.directory.bytes().all(|byte| byte.is_ascii_graphic());
    check(is_path, "the directory of acme is no path");
    check(entry.host(Purpose::Data).is_some(), "an authority has a host of the purpose data");
    let is_https = entry.hosts.iter().all(|host| host.protocol == Protocol::Https);
    check(is_https, "an authority is asked over https");
}

fn check_credential(entry: &Entry, check: &mut impl FnMut(bool, &str)) {
    let credential = &entry.credential;
    let is_none = credential.class == CredentialClass::None;
    check(is_none || credential.max_ttl_s > 0, "a credential without a longest life");
    check(is_none || credential.max_session_s > 0, "a credential without a longest session");
    let is_minted = credential.class == CredentialClass::Token;
    check(
        is_minted == credential.mint.is_some(),
        "a mint goes with a credential of the class token",
    );
    let host = entry.host(Purpose::Token);
    check(!is_minted || host.is_some(), "a token is minted at a host of the purpose token");
    let is_asked = host.is_none_or(|host| host.protocol == Protocol::Https);
    check(is_asked, "a host of the purpose token speaks https");
    if let Some(mint) = &credential.mint {
        check_mint(mint, check);
    }
}

fn check_baa(baa: &Baa, has_phi: bool, check: &mut impl FnMut(bool, &str)) {
    match baa.status {
        BaaStatus::Signed => {
            check(
                baa.effective.is_some(),
                "a signed agreement has a day from which it is in force",
            );
            check(baa.next_review.is_some(), "a signed agreement has a next_review");
            check(baa.reviewed_on.is_some(), "a signed agreement has a reviewed_on");
            check(baa.reference.is_some(), "a signed agreement has a reference");
            let is_digest = |text: &String| {
                text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            check(
                baa.document_sha256.as_ref().is_some_and(is_digest),
                "a signed agreement has the document's SHA-256",
            );
        }
        BaaStatus::NotRequired => {
            check(!has_phi, "PHI needs an agreement: it cannot be not-required");
            let reason = baa.not_required_reason.as_ref();
            check(
                reason.is_some_and(|text| !text.trim().is_empty()),
                "not-required needs a reason",
            );
        }
        BaaStatus::Pending | BaaStatus::Expired => {}
    }
    let in_order = |first: Option<Date>, second: Option<Date>| match (first, second) {
        (Some(first), Some(second)) => first <= second,
        _ => true,
    };
    check(in_order(baa.effective, baa.expires), "the agreement ends before it begins");
    check(in_order(baa.reviewed_on, baa.next_review), "the next review is before the last");
}

/// A whole name: at least two labels, lower case, not an address.
fn is_host(name: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let is_label = |label: &&str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // An address is never pinned here: its last label would be a number, in whatever base.
    let last = labels.last().copied().unwrap_or_default();
    labels.len() >= 2
        && name.len() <= crate::limit::HOST_CHARS_MAX
        && labels.iter().all(is_label)
        && !last.starts_with(|first: char| first.is_ascii_digit())
}
