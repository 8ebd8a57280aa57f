//! TLS in front of a server that speaks plain HTTP, as a platform's edge does. It changes no byte.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::servers::identity;

/// A listener on a free port of loopback.
#[must_use]
pub fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Passes everything on to `port`, for as long as the test process lives.
pub fn serve(listener: TcpListener, port: u16) {
    let identity = identity();
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(accept(listener, port, TlsAcceptor::from(Arc::new(config))));
    });
}

async fn accept(listener: TcpListener, port: u16, acceptor: TlsAcceptor) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (outside, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        // Either side may leave at any time; that is between the two of them.
        drop(tokio::spawn(async move {
            let mut outside = acceptor.accept(outside).await?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut inside = TcpStream::connect(address).await?;
            tokio::io::copy_bidirectional(&mut outside, &mut inside).await
        }));
    }
}
