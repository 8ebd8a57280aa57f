//! The caller's side of the network: trust, TLS and one HTTP request. It trusts nobody it was not told to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::console::Failure;

/// For one connection, handshake or response.
const DEADLINE: Duration = Duration::from_secs(15);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Makes TLS connections to servers that the operator trusts.
#[derive(Clone)]
pub struct Client(TlsConnector);

impl Client {
    /// Trusts the certificates in `ca`, or else the machine's own store.
    ///
    /// # Errors
    /// [`Failure::Usage`] when there is nothing to trust.
    pub fn new(ca: Option<&Path>) -> Result<Self, Failure> {
        match ca {
            Some(path) => {
                let pem = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
                Self::trusting(&pem).map_err(|_none| Failure::file(path, "no certificate in it"))
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                Self::with_roots(found.certs)
            }
        }
    }

    /// Trusts the certificates in a PEM text.
    ///
    /// # Errors
    /// [`Failure::Usage`] when there is none in it.
    pub fn trusting(pem: &str) -> Result<Self, Failure> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
        Self::with_roots(certificates.filter_map(Result::ok).collect())
    }

    fn with_roots(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        let (added, _unusable) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(Failure::Usage("no certificate to trust; give one with --ca".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Checked(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// [`Failure::Checked`] names the step that failed.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TlsStream<TcpStream>, Failure> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|error| Failure::Usage(format!("{host}: {error}")))?;
        let step = |what: &str, error: &dyn std::fmt::Display| {
            Failure::Checked(format!("{what} {host}:{port}: {error}"))
        };
        let stream = timeout(DEADLINE, TcpStream::connect((bare, port)))
            .await
            .map_err(|late| step("cannot reach", &late))?
            .map_err(|error| step("cannot reach", &error))?;
        stream.set_nodelay(true).map_err(|error| step("cannot set up", &error))?;
        timeout(DEADLINE, self.0.connect(name, stream))
            .await
            .map_err(|late| step("no TLS handshake with", &late))?
            .map_err(|error| step("no TLS handshake with", &error))
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`Failure::Checked`] when the server cannot be reached or answers no HTTP.
    pub async fn request(
        &self,
        host: &str,
        port: u16,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::Checked(format!("no answer from {host}:{port}: {error}"))
        };
        let stream = TokioIo::new(self.connect(host, port).await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|error| failed(&error))?;
        // The connection ends by itself when the server closes it.
        let driving = tokio::spawn(connection);
        let answer = timeout(DEADLINE, async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((parts, body))
        });
        let (parts, body) = answer.await.map_err(|late| failed(&late))?.map_err(|e| failed(&e))?;
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let body = timeout(DEADLINE, body).await.map_err(|late| failed(&late))?;
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        driving.abort();
        Ok(Response::from_parts(parts, body))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client(…)")
    }
}
