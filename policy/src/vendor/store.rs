//! Where keys are kept that do not come in the keys' document: how a place that keeps secrets is spoken to, and what a key
//! is called there. As data, with what can be wrong with it. It fetches nothing.

use std::net::IpAddr;

use serde::Deserialize;

use crate::address::is_metadata;
use crate::connector::is_path;
use crate::limit;

use super::entry::{CredentialClass, Entry, Protocol, Purpose, VendorRole};

/// How a place that keeps secrets is spoken to: the table `[store]` of an entry of the role `secrets`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Store {
    /// AWS Secrets Manager, as the role of the instance that this runs on.
    AwsSecretsManager {
        /// AWS's name of the region, which is part of every signature.
        region: String,
        /// The entry of the instance's metadata service.
        metadata: String,
    },
    /// `HashiCorp` Vault or `OpenBao`.
    Vault {
        /// How to log in. What is secret about it comes in the keys' document, under this entry's id.
        auth: VaultAuth,
        /// Where that method is mounted, for instance `approle`.
        mount: String,
        /// The role's id (`approle`) or name (`jwt`).
        role: String,
        /// The namespace, where there are any.
        #[serde(default)]
        namespace: Option<String>,
    },
}

/// A way to log in to Vault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VaultAuth {
    /// A role's id and its secret id.
    Approle,
    /// A JSON Web Token that somebody signed for this machine.
    Jwt,
}

/// Where the key of a vendor is: the table `[credential.key]`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPlace {
    /// The entry of the role `secrets`.
    pub source: String,
    /// What it is called there: a secret's id or ARN for AWS; for Vault what follows `/v1/`, with `data/` for KV 2.
    pub path: String,
    /// Where it stands in what is kept there: a JSON Pointer (RFC 6901). Without one, all of it is the key; Vault's needs one.
    #[serde(default)]
    pub field: Option<String>,
    /// For how long it is used before it is fetched again, in seconds; less if the source says so.
    pub max_ttl_s: u32,
}

/// What network a host is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Everyone's: its addresses are public ones.
    #[default]
    Public,
    /// The operator's own: its addresses are private ones. For infrastructure alone.
    Private,
}

/// Tells `check` everything about infrastructure that an entry can get wrong by itself.
pub(super) fn check_infrastructure(entry: &Entry, check: &mut impl FnMut(bool, &str)) {
    let is_metadata = entry.role == VendorRole::Metadata;
    for host in &entry.hosts {
        let is_own = host.network == Network::Public || entry.role.is_infrastructure();
        check(is_own, "a host in a private network is infrastructure's alone");
        let is_plain = host.protocol == Protocol::Http;
        check(
            is_plain == is_metadata,
            "http is for metadata services, and they speak nothing else",
        );
        let address = host.name.parse::<IpAddr>().ok();
        check(
            !is_metadata || (address.is_some_and(self::is_metadata) && host.port == 80),
            "a metadata service's host is its address, at port 80",
        );
    }
    check(!is_metadata || entry.hosts.len() == 1, "a metadata service has one host");
    check(
        !is_metadata || entry.host(Purpose::Data).is_some(),
        "a metadata service's purpose is data",
    );
    let is_none = entry.credential.class == CredentialClass::None;
    check(
        !entry.role.is_infrastructure() || is_none || entry.role == VendorRole::LogSink,
        "nobody gets a credential for infrastructure, but the log for its sink: say none",
    );
    let has_host = entry.host(Purpose::Data).is_some_and(|host| host.protocol == Protocol::Https);
    check(
        entry.store.is_none() || has_host,
        "a store has a host of the purpose data that speaks https",
    );
    check(
        entry.store.is_none() || entry.role == VendorRole::Secrets,
        "a store goes with the role secrets",
    );
    match &entry.store {
        Some(Store::AwsSecretsManager { region, .. }) => {
            check(is_word(region, b"-"), "the store's region is no plain word");
        }
        Some(Store::Vault { mount, role, namespace, .. }) => {
            let is_namespace = namespace.as_ref().is_none_or(|name| is_word(name, b"-_/."));
            check(
                is_word(mount, b"-_/") && is_word(role, b"-_.") && is_namespace,
                "the store's mount, role or namespace is no plain word",
            );
        }
        None => {}
    }
    if let Some(key) = &entry.credential.key {
        check_key(key, entry, check);
    }
}

fn check_key(key: &KeyPlace, entry: &Entry, check: &mut impl FnMut(bool, &str)) {
    check(
        entry.credential.class != CredentialClass::None,
        "a key without a credential to make with it",
    );
    check(is_path(&format!("/{}", key.path)), "the key's path is no plain path");
    check(!key.path.is_empty() && !key.path.contains(".."), "the key's path is no plain path");
    let field = key.field.as_deref().unwrap_or("/all");
    let is_pointer = field.len() > 1
        && field.starts_with('/')
        && field.len() <= limit::MINT_WORD_CHARS_MAX
        && field.bytes().all(|byte| byte.is_ascii_graphic());
    check(is_pointer, "the key's field is no JSON Pointer");
    check(
        (limit::KEY_TTL_MIN_S..=limit::KEY_TTL_MAX_S).contains(&key.max_ttl_s),
        "the key's max_ttl_s is not from 2 s to a day",
    );
}

fn is_word(text: &str, more: &[u8]) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    (1..=limit::MINT_WORD_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain)
}

/// What is wrong between the entries: the id of one, and the problem.
pub(super) fn problems_between<'e>(
    entries: &(impl Iterator<Item = &'e Entry> + Clone),
) -> Vec<(&'e str, String)> {
    let mut problems = Vec::new();
    let with = |id: &str| entries.clone().find(|entry| entry.id == id);
    let (mut stores, mut keys) = (0_usize, 0_usize);
    for entry in entries.clone() {
        let mut problem = |what: String| problems.push((entry.id.as_str(), what));
        if let Some(key) = &entry.credential.key {
            keys = keys.saturating_add(1);
            let store = with(&key.source).and_then(|source| source.store.as_ref());
            match store {
                None => {
                    problem(format!("the key's source {} is no entry with a store", key.source));
                }
                Some(Store::Vault { .. }) if key.field.is_none() => {
                    problem("a key in Vault is named by a field, /data/… in KV 2".to_owned());
                }
                Some(_) => {}
            }
        }
        match &entry.store {
            Some(Store::AwsSecretsManager { metadata, .. }) => {
                let found = with(metadata).filter(|one| one.role == VendorRole::Metadata);
                if found.is_none() {
                    problem(format!("{metadata} is no entry of a metadata service"));
                }
                stores = stores.saturating_add(1);
            }
            Some(Store::Vault { .. }) => stores = stores.saturating_add(1),
            None => {}
        }
        if stores > limit::STORES_MAX || keys > limit::STORED_KEYS_MAX {
            problem("there are more stores, or keys in them, than 4 and 16".to_owned());
            break;
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::{Registry, VendorRefusal};
    use super::*;
    use crate::data_class::DataClass;
    use crate::date::Date;

    const METADATA: &str = include_str!("../../infrastructure/aws-metadata.toml");
    const AWS: &str = include_str!("../../infrastructure/aws-secrets.toml");
    const VAULT: &str = include_str!("../../infrastructure/vault.toml");
    const LOG_SINK: &str = include_str!("../../infrastructure/log-sink.toml");
    const VENDOR: &str = include_str!("../../vendors/deepgram.toml");
    const KEY: &str = "[credential.key]\nsource = \"vault\"\npath = \"secret/data/ward\"\n\
                       field = \"/data/key\"\nmax_ttl_s = 3600\n\n[credential.mint]";

    fn files() -> [(&'static str, String); 5] {
        let vendor = VENDOR.replace("[credential.mint]", KEY);
        [
            ("aws-metadata.toml", METADATA.to_owned()),
            ("aws-secrets.toml", AWS.to_owned()),
            ("vault.toml", VAULT.to_owned()),
            ("deepgram.toml", vendor),
            ("log-sink.toml", LOG_SINK.to_owned()),
        ]
    }

    fn parse(files: &[(&str, String)]) -> Result<Registry, Vec<String>> {
        let pairs = files.iter().map(|(name, text)| (*name, text.as_str()));
        Registry::parse(pairs)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn infrastructure_is_the_brokers_own_and_nobody_gets_a_connection_to_it() {
        let registry = parse(&files()).unwrap();
        let day = |text| Date::parse(text).unwrap();
        let today = day("2026-11-23");
        for (id, role) in [
            ("aws-metadata", VendorRole::Metadata),
            ("aws-secrets", VendorRole::Secrets),
            ("vault", VendorRole::Secrets),
            ("log-sink", VendorRole::LogSink),
        ] {
            for class in DataClass::ALL {
                let refusal = registry.approve(id, class, today).err();
                assert_eq!(refusal, Some(VendorRefusal::Infrastructure), "{id} {class:?}");
            }
            let approved = registry.infrastructure(id, role, today).unwrap();
            assert!(approved.entry().host(Purpose::Data).is_some());
            // As another thing than it is, or before it was let in, it is not dialled.
            let early = registry.infrastructure(id, role, day("2026-11-21")).err();
            assert_eq!(early, Some(VendorRefusal::NotApproved));
            for other in [VendorRole::Asr, VendorRole::Dns, VendorRole::Ca] {
                let refusal = registry.infrastructure(id, other, today).err();
                assert_eq!(refusal, Some(VendorRefusal::UnknownVendor), "{id} {other:?}");
            }
        }
        let vendor = registry.infrastructure("deepgram", VendorRole::Asr, today).err();
        assert_eq!(vendor, Some(VendorRefusal::UnknownVendor));
    }

    #[test]
    fn every_problem_is_named() {
        assert!(parse(&files()).is_ok());
        for (place, from, to, what) in [
            (0, "169.254.169.254", "93.184.216.34", "is its address, at port 80"),
            (0, "169.254.169.254", "metadata.example.com", "is its address, at port 80"),
            (0, "port = 80", "port = 443", "is its address, at port 80"),
            (0, "\"http\"", "\"https\"", "http is for metadata services"),
            (0, "[\"none\"]", "[\"audio\"]", "infrastructure may be given no PHI"),
            (0, "\"metadata\"", "\"secrets\"", "http is for metadata services"),
            (0, "class = \"none\"", "class = \"static-key\"", "a credential for infrastructure"),
            (1, "\"https\"", "\"http\"", "http is for metadata services"),
            (1, "\"https\"", "\"wss\"", "a host of the purpose data that speaks https"),
            (1, "us-east-1.amazonaws.com", "169.254.169.254", "whole name"),
            (1, "\"us-east-1\"", "\"us east 1\"", "region is no plain word"),
            (
                1,
                "metadata = \"aws-metadata\"",
                "metadata = \"vault\"",
                "no entry of a metadata service",
            ),
            (1, "role = \"secrets\"", "role = \"log-sink\"", "goes with the role secrets"),
            (1, "\"aws-secrets-manager\"", "\"aws-parameter-store\"", "unknown variant"),
            (2, "\"approle\"\nrole", "\"a b\"\nrole", "no plain word"),
            (2, "auth = \"approle\"", "auth = \"userpass\"", "unknown variant"),
            (2, "kind = \"vault\"", "kind = \"vault\"\nextra = 1", "unknown field"),
            (3, "source = \"vault\"", "source = \"aws-metadata\"", "no entry with a store"),
            (3, "source = \"vault\"", "source = \"nobody\"", "no entry with a store"),
            (3, "field = \"/data/key\"\n", "", "named by a field"),
            (3, "\"/data/key\"", "\"key\"", "no JSON Pointer"),
            (3, "secret/data/ward", "secret/../sys", "no plain path"),
            (3, "secret/data/ward", "secret data", "no plain path"),
            (3, "max_ttl_s = 3600\n\n", "max_ttl_s = 1\n\n", "from 2 s to a day"),
            (3, "max_ttl_s = 3600\n\n", "max_ttl_s = 86401\n\n", "from 2 s to a day"),
            (3, "protocol = \"wss\"", "protocol = \"http\"", "over TLS only"),
            (
                3,
                "protocol = \"wss\"",
                "protocol = \"wss\"\nnetwork = \"private\"",
                "infrastructure's alone",
            ),
            (4, "[\"none\"]", "[\"audio\"]", "infrastructure may be given no PHI"),
            (4, "role = \"log-sink\"", "role = \"time\"", "a sink goes with the role log-sink"),
            (4, "\"https\"", "\"wss\"", "speaks https"),
        ] {
            let mut files = files();
            let text = files[place].1.replacen(from, to, 1);
            assert_ne!(text, files[place].1, "{from}");
            files[place].1 = text;
            let found = parse(&files).err().unwrap_or_default();
            assert!(found.iter().any(|problem| problem.contains(what)), "{to}: {found:?}");
        }
    }

    #[test]
    fn a_host_of_infrastructure_is_no_vendors_whoever_the_vendor_says_to_be() {
        let line = |text: &str, name: &str| {
            text.lines().find(|line| line.starts_with(name)).unwrap().to_owned()
        };
        let block = |text: &str, name: &str| {
            // At the beginning of a line: a comment may speak of it before.
            let (_, rest) = text.split_once(&format!("\n{name}\n")).unwrap();
            format!("{name}\n{}", rest.split_once("\n[").unwrap().0)
        };
        // Both under one name and one agreement, which is what the rule about vendors goes by.
        let sink = LOG_SINK
            .replace(&line(LOG_SINK, "vendor_legal_name"), &line(VENDOR, "vendor_legal_name"))
            .replace(&block(LOG_SINK, "[baa]"), &block(VENDOR, "[baa]"));
        let vendor = VENDOR.replace("api.deepgram.com", "logs.example.com");
        assert!(vendor != VENDOR && sink != LOG_SINK);
        let found = parse(&[("sink.toml", sink.clone()), ("deepgram.toml", vendor)]);
        let found = found.err().unwrap_or_default();
        assert!(
            found.iter().any(|one| one.contains("is infrastructure and a vendor's")),
            "{found:?}"
        );
        let apart = parse(&[("sink.toml", sink), ("deepgram.toml", VENDOR.to_owned())]);
        assert!(apart.is_ok(), "{apart:?}");
    }

    #[test]
    fn there_are_no_more_stores_and_keys_than_there_is_room_for() {
        let vaults = |count: usize| {
            let one = |number: usize| {
                let text = VAULT.replace("id = \"vault\"", &format!("id = \"vault{number}\""));
                ("vault.toml", text)
            };
            parse(&(0..count).map(one).collect::<Vec<_>>())
        };
        assert!(vaults(limit::STORES_MAX).is_ok());
        assert!(vaults(limit::STORES_MAX + 1).unwrap_err()[0].contains("more stores"));
    }
}
