//! A vendor's own short-lived token: one request over TLS and HTTP/1.1 to the entry's host of purpose `token`.
//!
//! The key goes from its place into one header field and nowhere else; every copy that a library makes lies in blocks
//! that the allocator wipes. A token is for the one connection that was asked for: none is kept, none is given twice.
//! It follows no redirect, and nothing in the request is media's.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use ward_edge::tcp::Tcp;
use ward_edge::wiped::wiped;
use ward_policy::fault::DialFault;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::vendor::{Host, Mint};

use crate::answer::unix_s;
use crate::dial::Dialler;
use crate::https::greet;

/// What is asked, of whom, and for how long at most.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) mint: &'a Mint,
    pub(crate) host: &'a Host,
    pub(crate) roots_pem: &'a str,
    pub(crate) key: &'a [u8],
    pub(crate) max_ttl_s: u32,
}

/// A token, and for how many seconds it is good.
pub(crate) struct Minted {
    pub(crate) token: Secret<String>,
    pub(crate) ttl_s: u32,
}

/// The header field with the key, wiped when the request is gone.
struct KeyField(Secret<Vec<u8>>);

impl AsRef<[u8]> for KeyField {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A token for one connection, within [`limit::MINT_DEADLINE`].
pub(crate) async fn mint(dialler: &Dialler, asked: Asked<'_>) -> Result<Minted, DialFault> {
    let mut outcome = Err(DialFault::MintLate);
    // Key and token pass through the stack.
    wiped(async {
        let fetching = Box::pin(fetch(dialler, asked));
        if let Ok(done) = timeout(limit::MINT_DEADLINE, fetching).await {
            outcome = done;
        }
    })
    .await;
    outcome
}

async fn fetch(dialler: &Dialler, asked: Asked<'_>) -> Result<Minted, DialFault> {
    let request = request(asked).ok_or(DialFault::NoCredential)?;
    let connection = dialler.dial(&asked.host.name, asked.host.port).await?;
    // The request leaves at once; a failure costs a delay and nothing else.
    connection.set_nodelay(true).unwrap_or_default();
    let stream = greet(connection, asked.host, asked.roots_pem).await;
    let stream = stream.ok_or(DialFault::MintFailed)?;
    let body = exchange(stream, request).await?;
    read(&body, asked, unix_s())
}

/// The request; `None` when the key cannot stand in a header.
fn request(asked: Asked<'_>) -> Option<Request<Full<Bytes>>> {
    let Asked { mint, host, key, .. } = asked;
    // Made in its full length: a block that grows would leave a copy behind.
    let mut field =
        Secret::new(Vec::with_capacity(mint.key_prefix.len().saturating_add(key.len())));
    field.expose_mut().extend_from_slice(mint.key_prefix.as_bytes());
    field.expose_mut().extend_from_slice(key);
    let mut field = HeaderValue::from_maybe_shared(Bytes::from_owner(KeyField(field))).ok()?;
    field.set_sensitive(true);
    let authority = match host.port {
        443 => host.name.clone(),
        port => format!("{}:{port}", host.name),
    };
    let mut request = Request::builder()
        .method(mint.method.name())
        .uri(mint.path.as_str())
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(HeaderName::try_from(mint.key_header.as_str()).ok()?, field);
    for header in &mint.headers {
        request = request.header(header.name.as_str(), header.value.as_str());
    }
    if mint.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(Full::from(mint.body.clone().unwrap_or_default())).ok()
}

/// Sends the request and takes the body of the answer, if the answer is a good one.
async fn exchange(
    stream: TlsStream<Tcp>,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, DialFault> {
    let failed = |_hyper| DialFault::MintFailed;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(limit::MINT_ANSWER_BYTES_MAX).max_headers(limit::MINT_ANSWER_FIELDS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answering = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        refused(answer.status())?;
        let body = Limited::new(answer.into_body(), limit::MINT_ANSWER_BYTES_MAX).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| {
            let is_long = error.is::<http_body_util::LengthLimitError>();
            if is_long { DialFault::MintGarbage } else { DialFault::MintFailed }
        })
    };
    tokio::pin!(answering);
    tokio::select! {
        answer = &mut answering => answer,
        // Over, perhaps with the answer. It is dropped, never shut down: that takes a call that is not among ours.
        _over = connection.without_shutdown() => answering.await,
    }
}

fn refused(status: StatusCode) -> Result<(), DialFault> {
    if status.is_success() {
        Ok(())
    } else if status.is_client_error() {
        Err(DialFault::MintRefused)
    } else {
        Err(DialFault::MintFailed)
    }
}

/// The token and its life, `now_s` seconds after 1970-01-01.
fn read(body: &[u8], asked: Asked<'_>, now_s: u64) -> Result<Minted, DialFault> {
    let Asked { mint, max_ttl_s, .. } = asked;
    let garbage = DialFault::MintGarbage;
    let mut answer: Value = serde_json::from_slice(body).map_err(|_shape| garbage)?;
    let seconds = |at: &str| answer.pointer(at).and_then(seconds).ok_or(garbage);
    let left_s = match (&mint.expires_in, &mint.expires_at) {
        (Some(at), _) => seconds(at)?,
        (None, Some(at)) => seconds(at)?.saturating_sub(i64::try_from(now_s).unwrap_or(i64::MAX)),
        (None, None) => i64::from(max_ttl_s),
    };
    let token = match answer.pointer_mut(&mint.token).map(Value::take) {
        Some(Value::String(token)) => Secret::new(token),
        _ => return Err(garbage),
    };
    // It will stand in a header or a subprotocol.
    let is_plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || !(1..=limit::TOKEN_BYTES_MAX).contains(&token.expose().len()) {
        return Err(garbage);
    }
    let ttl_s = u32::try_from(left_s.max(0)).unwrap_or(u32::MAX).min(max_ttl_s);
    if ttl_s == 0 { Err(DialFault::MintOver) } else { Ok(Minted { token, ttl_s }) }
}

/// Whole seconds of a JSON number; what stands behind a point is dropped.
fn seconds(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.to_string().split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
