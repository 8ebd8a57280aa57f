//! Vendors that do as they are scripted: a door with TLS for each service, in the shapes of `tests/vendors`, and nothing
//! behind it but what the script says. Quick enough for load and for thousands of answers; no key is ever checked.

mod http;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use ward::development_ca::Identity;
use ward::local_vendors::{entries, id};
use ward::vendors::Vendors;
use ward_policy::phi::Secret;
use ward_policy::service::Service;

pub use http::{Connection, Request};

/// What is said at the doors.
pub trait Script: Send + Sync + 'static {
    /// Somebody has come.
    fn connected(&self) {}

    /// Answers one request at `door`; `number` counts its connections, below 4,096. An error ends the connection.
    fn answer(
        &self,
        door: Service,
        number: u16,
        connection: &mut Connection,
        request: &Request,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// The doors of all three services, on free ports of loopback.
pub struct Doors(Vec<(Service, TcpListener, TlsAcceptor)>);

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Doors({})", self.0.len())
    }
}

impl Doors {
    /// Opens them with certificates that `issue` makes and `roots_pem` vouch for; with what the broker is to know.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub fn open(
        issue: impl Fn(&str) -> Result<Identity, String>,
        roots_pem: &str,
    ) -> Result<(Self, Vendors), String> {
        let text = |error: io::Error| error.to_string();
        let mut doors = Vec::new();
        let (mut keys, mut names) = (String::new(), Vec::new());
        for part in Service::ALL {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
            listener.set_nonblocking(true).map_err(text)?;
            let port = listener.local_addr().map_err(text)?.port();
            let host = format!("{}.vendor.test", part.name());
            keys.push_str(&format!("{}=0123456789abcdef0123456789abcdef\n", id(part)));
            doors.push((part, listener, acceptor(&issue(&host)?)?));
            names.push((part, host, port));
        }
        let named: Vec<(Service, &str, u16)> =
            names.iter().map(|(part, host, port)| (*part, host.as_str(), *port)).collect();
        let hosts = names.iter().map(|(_, host, _)| format!("{host}=127.0.0.1"));
        let vendors = Vendors {
            registry: entries(&named, roots_pem),
            keys: Secret::new(keys),
            settings: format!("BROKER_HOSTS={}\n", hosts.collect::<Vec<_>>().join(" ")),
        };
        Ok((Self(doors), vendors))
    }

    /// Serves for as long as the runtime runs that this is called in.
    pub fn serve(self, script: &Arc<impl Script>) {
        for (part, listener, acceptor) in self.0 {
            drop(tokio::spawn(accept(part, listener, acceptor, Arc::clone(script))));
        }
    }
}

/// The media server's settings for them.
pub const MEDIA_SETTINGS: &str = "MEDIA_AGENT=conversation\n\
     MEDIA_VENDORS=local-asr:audio local-llm:prompt local-tts:synth-text\n";

fn acceptor(identity: &Identity) -> Result<TlsAcceptor, String> {
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).flatten().collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes());
    let key = key.map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    Ok(TlsAcceptor::from(Arc::new(config.map_err(|error| error.to_string())?)))
}

async fn accept(
    part: Service,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    script: Arc<impl Script>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut next = 0_u16;
    while let Ok((stream, _)) = listener.accept().await {
        drop(stream.set_nodelay(true));
        script.connected();
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        let number = next;
        next = (next + 1) % 4_096;
        drop(tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut connection = Connection::new(stream);
            // Ward leaves whenever it likes.
            while let Ok(request) = connection.request().await {
                if script.answer(part, number, &mut connection, &request).await.is_err() {
                    return;
                }
            }
        }));
    }
}
