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
        !entry.role.is_infrastructure() || is_none,
        "media gets no credential for infrastructure: say none",
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
    entries: impl Iterator<Item = &'e Entry> + Clone,
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
                    problem(format!("the key's source {} is no entry with a store", key.source))
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
