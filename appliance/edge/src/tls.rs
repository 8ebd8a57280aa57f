//! TLS for both servers, and the cryptography of every connection: `ward_policy::tls`, and nothing that is not written there.
//!
//! `http/1.1` only, nothing that can be replayed: no early data, no session tickets, no resumption. A handshake costs a third of a
//! millisecond and a call lasts minutes. Renegotiation and everything before 1.2 do not exist in rustls.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::TlsAcceptor;
use ward_policy::tls::{ALPN_ACME, ALPN_HTTP, GROUPS, SUITES, VERSIONS, Version};

use crate::certificate::Certificates;

/// The library cannot do what the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the library cannot do what the policy of TLS says")]
pub struct PolicyError;

/// What every connection is made with: the suites and groups of the policy, in its order.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| {
        let suites = SUITES.iter().filter_map(|wanted| {
            let mut known = ring::ALL_CIPHER_SUITES.iter();
            known.find(|known| u16::from(known.suite()) == wanted.number).copied()
        });
        let groups = GROUPS.iter().filter_map(|wanted| {
            let mut known = ring::ALL_KX_GROUPS.iter();
            known.find(|known| u16::from(known.name()) == wanted.number).copied()
        });
        Arc::new(CryptoProvider {
            cipher_suites: suites.collect(),
            kx_groups: groups.collect(),
            ..ring::default_provider()
        })
    }))
}

/// The versions of the policy, as the library has them.
#[must_use]
pub fn versions() -> Vec<&'static SupportedProtocolVersion> {
    let one = |version: &Version| match version {
        Version::Tls13 => &version::TLS13,
        Version::Tls12 => &version::TLS12,
    };
    VERSIONS.iter().map(one).collect()
}

/// Makes the acceptor. Which certificate it shows is `certificates`' to say, at every handshake anew.
///
/// # Errors
/// [`PolicyError`].
pub fn acceptor(certificates: Arc<Certificates>) -> Result<TlsAcceptor, PolicyError> {
    let answers_challenges = certificates.answers_challenges();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions())
        .map_err(|_versions| PolicyError)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
    if answers_challenges {
        config.alpn_protocols.push(ALPN_ACME.to_vec());
    }
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_policy::tls::{MODULE, SCHEMES};

    #[test]
    fn every_connection_is_made_with_what_the_policy_lists_and_nothing_else() {
        let provider = provider();
        let suites: Vec<u16> =
            provider.cipher_suites.iter().map(|suite| u16::from(suite.suite())).collect();
        assert_eq!(suites, SUITES.map(|suite| suite.number));
        for (suite, known) in SUITES.iter().zip(&provider.cipher_suites) {
            let is_13 = known.version() == &version::TLS13;
            assert_eq!(is_13, suite.version == Version::Tls13, "{}", suite.name);
            // The library's own names leave `TLS_` off for 1.2, and write it twice for 1.3.
            let name = suite.name.replacen("TLS_", "", 1);
            assert!(format!("{:?}", known.suite()).ends_with(&name), "{}", suite.name);
        }
        let groups: Vec<u16> =
            provider.kx_groups.iter().map(|group| u16::from(group.name())).collect();
        assert_eq!(groups, GROUPS.map(|group| group.number));
        assert_eq!(versions().len(), VERSIONS.len());
        // What a peer may sign with is what we sign with; nothing older is believed either.
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        for scheme in schemes.into_iter().map(u16::from) {
            assert!(SCHEMES.contains(&scheme), "{scheme:#06x}");
        }
        assert_eq!(provider.fips(), MODULE.is_fips_validated);
    }

    #[test]
    fn another_word_than_http_is_known_only_where_challenges_are_answered() {
        for (answers, expected) in [(false, 1), (true, 2)] {
            let acceptor = acceptor(Arc::new(Certificates::new(answers))).unwrap();
            let config = acceptor.config();
            assert_eq!(config.alpn_protocols.len(), expected);
            assert_eq!((config.max_early_data_size, config.send_tls13_tickets), (0, 0));
            assert!(!config.session_storage.can_cache());
        }
    }
}
