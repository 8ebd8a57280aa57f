//! TLS towards a vendor: which certificates are trusted, and nothing kept between connections.
//!
//! Versions, suites and groups are `ward_policy::tls`'s. It opens nothing and checks no agreement; name and roots come from the registry.

use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ward_policy::tls::Roots;

use crate::tls::{provider, versions};

/// The registry's roots or, when `roots_pem` is empty, those that browsers trust; no resumption. `None` when a root is no
/// certificate.
#[must_use]
pub fn client_config(roots_pem: &str) -> Option<Arc<ClientConfig>> {
    /// The one for everybody whose roots are those: they take more memory than all the rest of a connection.
    static BROWSERS: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    match Roots::of(roots_pem) {
        Roots::Browsers => BROWSERS
            .get_or_init(|| {
                let mut roots = RootCertStore::empty();
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                config_with(roots)
            })
            .clone(),
        Roots::Entry(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(certificate.ok()?).ok()?;
            }
            config_with(roots)
        }
    }
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
}
