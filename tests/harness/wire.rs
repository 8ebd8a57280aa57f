//! A raw TLS connection: any bytes out, whatever bytes come back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::edge_cases::{note_seen, note_sent};
use crate::servers::client_config;

/// One connection.
#[derive(Debug)]
pub struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Wire {
    /// Connects to a port of 127.0.0.1 and shakes hands.
    #[must_use]
    pub fn open(port: u16) -> Self {
        Self::open_as(port, "localhost", client_config())
    }

    /// The same by another name, and whom `config` trusts.
    #[must_use]
    pub fn open_as(port: u16, name: &str, config: Arc<ClientConfig>) -> Self {
        Self::over(TcpStream::connect(("127.0.0.1", port)).unwrap(), name, config)
    }

    /// The same from another address of this machine.
    #[must_use]
    pub fn open_from(source: Ipv4Addr, port: u16) -> Self {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.unwrap();
        bind(&socket, &SocketAddr::from((source, 0))).unwrap();
        connect(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
        Self::over(socket.into(), "localhost", client_config())
    }

    fn over(socket: TcpStream, name: &str, config: Arc<ClientConfig>) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let tls = ClientConnection::new(config, name).unwrap();
        Self { stream: StreamOwned::new(tls, socket) }
    }

    /// How long a read waits.
    pub fn set_patience(&self, patience: Duration) {
        self.stream.sock.set_read_timeout(Some(patience)).unwrap();
    }

    /// The certificates that were shown, leaf first; empty before the handshake.
    #[must_use]
    pub fn shown(&mut self) -> Vec<CertificateDer<'static>> {
        drop(self.stream.conn.complete_io(&mut self.stream.sock));
        self.stream.conn.peer_certificates().unwrap_or_default().to_vec()
    }

    /// Sends bytes; `false` when the other side is gone.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        note_sent(bytes);
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Reads some bytes; empty at the end of the connection, `None` when nothing came in time.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                bytes.truncate(count);
                Some(bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                None
            }
            // Reset, or closed without TLS's goodbye.
            Err(_) => Some(Vec::new()),
        }
    }

    /// Reads to the end of the connection.
    pub fn receive_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match self.receive() {
                Some(bytes) if bytes.is_empty() => {
                    note_seen(&format!("status {}", status(&lossy(&all))));
                    return all;
                }
                Some(bytes) => all.extend(bytes),
                None => panic!("the connection stays open after: {}", lossy(&all)),
            }
        }
    }

    /// Reads one response head.
    pub fn receive_head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                other => panic!("no whole head ({other:?}): {}", lossy(&head)),
            }
        }
        let head = lossy(&head);
        note_seen(&format!("status {}", status(&head)));
        head
    }

    /// Breaks the connection: no goodbye of any kind, a TCP reset.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream.sock, Some(Duration::ZERO)).unwrap();
    }

    /// Closes TCP in order, without TLS's goodbye.
    pub fn cut(self) {
        drop(self.stream.sock.shutdown(std::net::Shutdown::Both));
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sends a request and reads everything that comes back.
#[must_use]
pub fn exchange(port: u16, request: &[u8]) -> String {
    let mut wire = Wire::open(port);
    wire.send(request);
    lossy(&wire.receive_all())
}

/// The status of a response; 0 when there is none.
#[must_use]
pub fn status(response: &str) -> u16 {
    let word = response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
