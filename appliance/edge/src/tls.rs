//! TLS for both servers: 1.3 preferred, 1.2 accepted, `http/1.1` only, nothing that can be replayed.
//!
//! No early data, no session tickets, no resumption: a handshake costs a third of a millisecond and a
//! call lasts minutes. Renegotiation and everything before 1.2 do not exist in rustls.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why the certificate and key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the chain document, or unreadable PEM.
    #[error("the certificate chain is not PEM or is empty")]
    Chain,
    /// No private key in the key document, or unreadable PEM.
    #[error("the private key is not PEM")]
    Key,
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("the private key does not fit the certificate")]
    Mismatch,
}

/// Makes the acceptor from PEM documents.
///
/// # Errors
/// [`TlsError`] says which document to look at.
pub fn acceptor(chain_pem: &str, key_pem: &str) -> Result<TlsAcceptor, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Chain)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_pem| TlsError::Key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|_versions| TlsError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|_key| TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_documents_are_named() {
        let chain = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(acceptor("", "").err(), Some(TlsError::Chain));
        assert_eq!(acceptor("nonsense", "").err(), Some(TlsError::Chain));
        assert_eq!(acceptor(chain, "").err(), Some(TlsError::Key));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(acceptor(chain, key).err(), Some(TlsError::Mismatch));
    }
}
