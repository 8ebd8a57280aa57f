//! TLS with a host of the registry that the broker itself speaks with: by its name, with its entry's roots.

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use ward_edge::tcp::Tcp;
use ward_edge::vendor_tls::client_config;
use ward_policy::vendor::Host;

/// The encrypted stream; `None` when its certificate or its TLS cannot be accepted.
pub(crate) async fn greet(
    connection: TcpStream,
    host: &Host,
    roots_pem: &str,
) -> Option<TlsStream<Tcp>> {
    let config = client_config(roots_pem)?;
    let name = ServerName::try_from(host.name.clone()).ok()?;
    // One buffer a call: what the filter lets through for a connection.
    let connecting = TlsConnector::from(config).connect(name, Tcp::new(connection));
    connecting.await.ok()
}
