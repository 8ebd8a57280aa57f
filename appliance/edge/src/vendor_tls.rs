//! TLS towards a vendor: which certificates are trusted, and nothing kept between connections but that.
//!
//! Versions, suites and groups are `ward_policy::tls`'s. It opens nothing and checks no agreement; name and roots come from the registry.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ward_policy::tls::Roots;

use crate::tls::{provider, versions};

/// The registry's roots or, when `roots_pem` is empty, those that browsers trust; no resumption. `None` when a root is no
/// certificate.
///
/// Who has the same roots has the same one: it takes more memory than the rest of a connection, and reading
/// certificates more time than a request.
#[must_use]
pub fn client_config(roots_pem: &str) -> Option<Arc<ClientConfig>> {
    /// The ones that are in use, by their roots.
    static OTHERS: Mutex<Vec<(String, Weak<ClientConfig>)>> = Mutex::new(Vec::new());
    static BROWSERS: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let pem = match Roots::of(roots_pem) {
        Roots::Browsers => {
            let roots = || webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
            return BROWSERS.get_or_init(|| config_with(roots())).clone();
        }
        Roots::Entry(pem) => pem,
    };
    let mut others = OTHERS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = others.iter().find(|(known, _)| known == pem);
    if let Some(config) = known.and_then(|(_, config)| config.upgrade()) {
        return Some(config);
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.ok()?).ok()?;
    }
    let config = config_with(roots)?;
    others.retain(|(_, config)| config.strong_count() > 0);
    others.push((pem.to_owned(), Arc::downgrade(&config)));
    Some(config)
}

fn config_with(roots: RootCertStore) -> Option<Arc<ClientConfig>> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions())
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // What is not kept cannot be found.
    config.resumption = Resumption::disabled();
    Some(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_the_registrys_or_those_that_browsers_trust() {
        assert!(client_config("").is_some());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(client_config(broken).is_none());
    }

    #[test]
    fn who_has_the_same_roots_has_the_same_configuration_for_as_long_as_it_is_used() {
        // Texts without a certificate: nobody is trusted.
        let config = client_config("one").unwrap();
        assert!(Arc::ptr_eq(&config, &client_config("one").unwrap()));
        assert!(!Arc::ptr_eq(&config, &client_config("other").unwrap()));
        let gone = Arc::downgrade(&config);
        drop(config);
        assert!(gone.upgrade().is_none(), "nothing keeps what nobody uses");
    }
}
