//! Echoes `media` messages over wss with tokio-tungstenite and serde_json, on one thread.
//!
//! Arguments: `plain` or `tuned`, port, certificate chain, key. `plain` has the library's default
//! buffers; `tuned` reads through 2 KiB and writes each message at once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inbound<'a> {
    event: &'a str,
    stream_sid: Option<&'a str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    payload: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outbound<'a> {
    event: &'a str,
    stream_sid: &'a str,
    media: Payload,
}

#[derive(Serialize)]
struct Payload {
    payload: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, port, chain, key] = arguments.as_slice() else { panic!("mode port chain key") };
    let config = (mode == "tuned")
        .then(|| WebSocketConfig::default().read_buffer_size(2 * 1024).write_buffer_size(0));
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(chain).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(chain, key)
    .unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(serve(stream, acceptor.clone(), config));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, config: Option<WebSocketConfig>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let Ok(mut socket) = tokio_tungstenite::accept_async_with_config(stream, config).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        let Ok(inbound) = serde_json::from_str::<Inbound>(&text) else {
            continue;
        };
        let (Some(media), Some(stream_sid)) = (inbound.media, inbound.stream_sid) else {
            continue;
        };
        if inbound.event != "media" {
            continue;
        }
        let Ok(audio) = STANDARD.decode(media.payload) else {
            continue;
        };
        let payload = STANDARD.encode(audio);
        let outbound = Outbound { event: "media", stream_sid, media: Payload { payload } };
        let text = serde_json::to_string(&outbound).unwrap();
        if socket.send(Message::text(text)).await.is_err() {
            return;
        }
    }
}
