//! What is kept between two lives of the broker: the account and the last chain. The keys of certificates are not here.

use instant_acme::{AccountCredentials, CertificateIdentifier};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use ward_edge::signing::KeyId;
use ward_policy::limit;
use ward_policy::phi::Secret;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::X509Certificate;

use super::schedule::Life;
use crate::settings::AcmeSettings;

/// See the module.
#[derive(Default)]
pub(super) struct Record {
    /// As the client library writes it, with the account's key in it.
    pub(super) account: Option<Secret<Vec<u8>>>,
    pub(super) chain: Option<Chain>,
}

/// A chain that fits our names and a key of `sign`'s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: KeyId,
    pub(super) life: Life,
    pem: String,
}

impl Chain {
    /// `None` when it is not for `key` and all of `names`, cannot be read, or is too long.
    pub(super) fn read(pem: &str, key: KeyId, names: &[String]) -> Option<Self> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates = chain.ok()?;
        let bytes: usize = certificates.iter().map(|one| one.len()).sum();
        let is_short = certificates.len() <= limit::CERTIFICATE_CHAIN_MAX
            && bytes <= limit::CERTIFICATE_CHAIN_BYTES_MAX;
        let (_, leaf) = parse_x509_certificate(certificates.first()?).ok()?;
        let is_ours = KeyId::of(leaf.public_key().raw) == key;
        let has_names = names.iter().all(|name| has_name(&leaf, name));
        let at = |time: i64| u64::try_from(time).ok();
        let validity = leaf.validity();
        let life = Life {
            begin_s: at(validity.not_before.timestamp())?,
            end_s: at(validity.not_after.timestamp())?,
        };
        let pem = pem.to_owned();
        (is_short && is_ours && has_names).then_some(Self { certificates, key, life, pem })
    }

    /// Whether it is good at `now_s`, in seconds since 1970. One of the next minutes is: clocks differ.
    pub(super) const fn is_for(&self, now_s: u64) -> bool {
        self.life.begin_s <= now_s.saturating_add(300) && now_s < self.life.end_s
    }

    /// How the authority knows it (RFC 9773 §4.1), where it can.
    pub(super) fn id(&self) -> Option<CertificateIdentifier<'static>> {
        let leaf = self.certificates.first()?;
        Some(CertificateIdentifier::try_from(leaf).ok()?.into_owned())
    }
}

fn has_name(leaf: &X509Certificate<'_>, name: &str) -> bool {
    let names = leaf.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        let mut all = names.value.general_names.iter();
        all.any(|one| matches!(one, GeneralName::DNSName(known) if *known == name))
    })
}

impl Record {
    /// What was kept, if it was for this authority; `None` when it is no record. A chain for other names is left out.
    pub(super) fn read(bytes: &[u8], settings: &AcmeSettings) -> Option<Self> {
        let mut record: Value = serde_json::from_slice(bytes).ok()?;
        if record["ca"] != settings.ca.as_str() {
            return Some(Self::default());
        }
        let account = match record["account"].take() {
            Value::String(account) => Some(Secret::new(account.into_bytes())),
            _ => None,
        };
        let pem = record["chain"].as_str();
        let chain = pem.and_then(|pem| {
            let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
            let (_, leaf) = parse_x509_certificate(&leaf).ok()?;
            Chain::read(pem, KeyId::of(leaf.public_key().raw), &settings.names)
        });
        Some(Self { account, chain })
    }

    /// The record to keep.
    pub(super) fn write(&self, settings: &AcmeSettings) -> Option<Secret<Vec<u8>>> {
        let account = self.account.as_ref();
        let account = account.and_then(|account| std::str::from_utf8(account.expose()).ok());
        let record = json!({
            "ca": settings.ca.as_str(),
            "account": account,
            "chain": self.chain.as_ref().map(|chain| chain.pem.as_str()),
        });
        serde_json::to_vec(&record).ok().map(Secret::new)
    }

    /// The account, if it is one of the authority at `directory`: its entry may have come to mean another.
    pub(super) fn account_at(&self, directory: &str) -> Option<AccountCredentials> {
        let account: Value = serde_json::from_slice(self.account.as_ref()?.expose()).ok()?;
        let is_there = account["directory"] == directory;
        is_there.then(|| serde_json::from_value(account).ok()).flatten()
    }

    pub(super) fn keep_account(&mut self, account: &AccountCredentials) {
        self.account = serde_json::to_vec(account).ok().map(Secret::new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
    use ward_policy::vendor_id::VendorId;

    fn settings(ca: &str, names: &[&str]) -> AcmeSettings {
        AcmeSettings {
            ca: VendorId::parse(ca).unwrap(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            contact: None,
            is_kept: true,
        }
    }

    fn certificate(names: &[&str]) -> (String, KeyId) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let id = KeyId::of(&key.subject_public_key_info());
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 1, 31);
        (parameters.self_signed(&key).unwrap().pem(), id)
    }

    #[test]
    fn a_chain_is_one_for_our_key_and_all_our_names() {
        let ours = settings("ca", &["media.example.com", "voice.example.com"]);
        let (pem, key) = certificate(&["voice.example.com", "media.example.com", "more.test"]);
        let chain = Chain::read(&pem, key, &ours.names).unwrap();
        assert_eq!(chain.life.length_s(), 30 * 86_400);
        let begin_s = chain.life.begin_s;
        for (at_s, is_for) in [
            (begin_s - 301, false),
            (begin_s - 300, true),
            (begin_s, true),
            (chain.life.end_s - 1, true),
            (chain.life.end_s, false),
        ] {
            assert_eq!(chain.is_for(at_s), is_for, "{at_s}");
        }
        assert!(Chain::read(&pem, KeyId::NONE, &ours.names).is_none(), "another's key");
        let (fewer, key) = certificate(&["media.example.com"]);
        assert!(Chain::read(&fewer, key, &ours.names).is_none(), "a name is missing");
        assert!(Chain::read("nonsense", key, &ours.names).is_none());
        let long = fewer.repeat(limit::CERTIFICATE_CHAIN_MAX + 1);
        assert!(Chain::read(&long, key, &["media.example.com".to_owned()]).is_none(), "too long");
    }

    #[test]
    fn what_was_kept_is_for_the_same_authority_and_names() {
        let ours = settings("ca", &["media.example.com"]);
        let (pem, key) = certificate(&["media.example.com"]);
        let record = Record {
            account: Some(Secret::new(b"{\"id\":\"1\"}".to_vec())),
            chain: Chain::read(&pem, key, &ours.names),
        };
        let bytes = record.write(&ours).unwrap();
        let again = Record::read(bytes.expose(), &ours).unwrap();
        assert_eq!(again.account.unwrap().expose(), b"{\"id\":\"1\"}");
        assert_eq!(again.chain, record.chain);
        let other = Record::read(bytes.expose(), &settings("another", &["media.example.com"]));
        let other = other.unwrap();
        assert!(other.account.is_none() && other.chain.is_none());
        let renamed =
            Record::read(bytes.expose(), &settings("ca", &["other.example.com"])).unwrap();
        assert!(renamed.account.is_some() && renamed.chain.is_none());
        assert!(Record::read(b"nonsense", &ours).is_none());
    }

    #[test]
    fn an_account_is_one_of_the_directory_where_it_was_made() {
        let at = "https://ca.example/dir";
        let account = json!({ "id": "https://ca.example/1", "key_pkcs8": "AAAA", "directory": at });
        let account = Some(Secret::new(account.to_string().into_bytes()));
        let record = Record { account, chain: None };
        assert!(record.account_at(at).is_some());
        assert!(record.account_at("https://ca.example/staging").is_none());
        assert!(Record::default().account_at(at).is_none());
    }
}
