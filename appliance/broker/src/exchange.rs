//! One request and its answer, over HTTP/1.1 and a connection of its own: what the broker says itself, to whoever mints
//! tokens, keeps keys or issues certificates.
//!
//! It follows no redirect and keeps no connection. What a library copies lies in blocks that the allocator wipes, and all
//! of them are freed when the answer is there.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use ward_edge::tcp::Tcp;
use ward_edge::vendor_tls::client_config;
use ward_policy::fault::DialFault;
use ward_policy::phi::Secret;
use ward_policy::vendor::Host;

use crate::dial::Dialler;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// Nobody could be dialled.
    Dial(DialFault),
    /// Its certificate or its TLS could not be accepted.
    Tls,
    /// HTTP failed, or the connection ended.
    Broken,
    /// The body is longer than it may be.
    Long,
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The body of a request: what a library that makes requests makes, or our own.
pub(crate) trait Asking:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static
{
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static> Asking for B {}

/// How much of an answer is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Head and body each, in bytes.
    pub(crate) bytes: usize,
    /// Header fields.
    pub(crate) fields: usize,
}

/// A header field that is a secret, wiped when the request is gone.
struct SecretField(Secret<Vec<u8>>);

impl AsRef<[u8]> for SecretField {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// `prefix` and `secret` as one header field; `None` when they cannot stand in one.
pub(crate) fn secret_field(prefix: &[u8], secret: &[u8]) -> Option<HeaderValue> {
    // Made in its full length: a block that grows would leave a copy behind.
    let mut field = Secret::new(Vec::with_capacity(prefix.len().saturating_add(secret.len())));
    field.expose_mut().extend_from_slice(prefix);
    field.expose_mut().extend_from_slice(secret);
    let mut field = HeaderValue::from_maybe_shared(Bytes::from_owner(SecretField(field))).ok()?;
    field.set_sensitive(true);
    Some(field)
}

/// Dials `host`, greets it by TLS with `roots_pem`, and asks.
pub(crate) async fn ask<B: Asking>(
    dialler: &Dialler,
    host: &Host,
    roots_pem: &str,
    request: Request<B>,
    limits: Limits,
) -> Result<Answer, NoAnswer> {
    let connection = dialler.dial(host).await.map_err(NoAnswer::Dial)?;
    let config = client_config(roots_pem).ok_or(NoAnswer::Tls)?;
    let name = ServerName::try_from(host.name.clone()).map_err(|_name| NoAnswer::Tls)?;
    let connecting = TlsConnector::from(config).connect(name, plain(connection));
    let stream = connecting.await.map_err(|_tls| NoAnswer::Tls)?;
    exchange(stream, request, limits).await
}

/// The same without TLS: to a metadata service.
pub(crate) async fn ask_metadata(
    dialler: &Dialler,
    host: &Host,
    request: Request<Full<Bytes>>,
    limits: Limits,
) -> Result<Answer, NoAnswer> {
    let connection = dialler.dial_metadata(host).await.map_err(NoAnswer::Dial)?;
    exchange(plain(connection), request, limits).await
}

/// One buffer a call, which is what the filter lets through for a connection.
fn plain(connection: TcpStream) -> Tcp {
    // The request leaves at once; a failure costs a delay and nothing else.
    connection.set_nodelay(true).unwrap_or_default();
    Tcp::new(connection)
}

async fn exchange<B: Asking>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<B>,
    limits: Limits,
) -> Result<Answer, NoAnswer> {
    #[cfg(negative_control)]
    let stream = ward_edge::log::leak::Leaking::new(stream);
    let failed = |_hyper| NoAnswer::Broken;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(limits.bytes).max_headers(limits.fields);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answering = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, limits.bytes).collect().await.map_err(|error| {
            let is_long = error.is::<http_body_util::LengthLimitError>();
            if is_long { NoAnswer::Long } else { NoAnswer::Broken }
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    };
    tokio::pin!(answering);
    tokio::select! {
        answer = &mut answering => answer,
        // Over, perhaps with the answer. It is dropped, never shut down: that takes a call that is not among ours.
        _over = connection.without_shutdown() => answering.await,
    }
}
