//! TLS for both servers: 1.3 preferred, 1.2 accepted, `http/1.1` only, nothing that can be replayed.
//!
//! No early data, no session tickets, no resumption: a handshake costs a third of a millisecond and a
//! call lasts minutes. Renegotiation and everything before 1.2 do not exist in rustls.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio_rustls::TlsAcceptor;

/// Why the certificate and key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the chain document, or unreadable PEM.
    #[error("the certificate chain is not PEM or is empty")]
    Chain,
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("the private key does not fit the certificate")]
    Mismatch,
}

/// Makes the acceptor from a chain in PEM and a key that signs.
///
/// # Errors
/// [`TlsError`] says which of the two to look at.
pub fn acceptor(chain_pem: &str, key: Arc<dyn SigningKey>) -> Result<TlsAcceptor, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Chain)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_keys| TlsError::Mismatch)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|_versions| TlsError::Mismatch)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::PrivateKeyDer;

    /// An Ed25519 key in PKCS#8, made for this test.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    #[test]
    fn unusable_documents_are_named() {
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (chain, expected) in
            [("", TlsError::Chain), ("nonsense", TlsError::Chain), (chain, TlsError::Mismatch)]
        {
            assert_eq!(acceptor(chain, Arc::clone(&key)).err(), Some(expected), "{chain}");
        }
    }
}
