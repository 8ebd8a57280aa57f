//! Ways in that both servers have: what comes before TLS, and the head of a request.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use ward_tests::servers::client_config;

use crate::class::{Canaries, Encoding, Sent, percent};
use crate::ward::{Sinks, Ward, ask};

/// The encodings that a batch has canaries for, one after the other.
pub(crate) fn each_batch(
    canaries: &mut Canaries,
    path: &str,
    mut deliver: impl FnMut(Encoding, &[Sent]),
) {
    for encoding in Encoding::ALL {
        let batch = canaries.batch(path, encoding);
        if !batch.is_empty() {
            deliver(encoding, &batch);
        }
    }
}

/// As it stands in a request's target.
pub(crate) fn in_target(encoding: Encoding, sent: &str) -> String {
    if encoding == Encoding::Url { sent.to_owned() } else { percent(sent, "%20") }
}

pub(crate) fn joined(batch: &[Sent], between: &str) -> String {
    batch.iter().map(|(_, sent)| sent.as_str()).collect::<Vec<_>>().join(between)
}

/// Delivers on every such way to `ward`, whose paths are called `server`'s.
pub(crate) fn deliver(server: &str, ward: &Ward, canaries: &mut Canaries, sinks: &mut Sinks) {
    before_tls(server, ward, canaries, sinks);
    let path = |what: &str| format!("{server}: {what}");
    let mut each = |what: &str, request: &dyn Fn(Encoding, &[Sent]) -> String| {
        each_batch(canaries, &path(what), |encoding, batch| {
            ask(ward.port, request(encoding, batch).as_bytes(), sinks);
        });
    };
    each("path", &|encoding, batch| {
        let all: String =
            batch.iter().map(|(_, sent)| format!("/{}", in_target(encoding, sent))).collect();
        format!("GET {all} HTTP/1.1\r\nHost: a\r\n\r\n")
    });
    each("target that is none", &|_, batch| {
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", joined(batch, "\"<"))
    });
    each("method", &|_, batch| format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", joined(batch, "!")));
    each("Host", &|_, batch| {
        format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", joined(batch, "."))
    });
    each("header values", &|_, batch| {
        let lines: String =
            batch.iter().map(|(class, sent)| format!("X-{class:?}: {sent}\r\n")).collect();
        format!("GET /health HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    });
    each("header names", &|_, batch| {
        let lines: String = batch.iter().map(|(_, sent)| format!("{sent}: x\r\n")).collect();
        format!("GET /health HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    });
    each("malformed head", &|_, batch| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\nY: y\n\r\n", joined(batch, ","))
    });
    each("head too long", &|_, batch| {
        let filler = "x".repeat(20_000);
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\nY: {filler}\r\n\r\n", joined(batch, ","))
    });
}

fn before_tls(server: &str, ward: &Ward, canaries: &mut Canaries, sinks: &mut Sinks) {
    each_batch(canaries, &format!("{server}: server name in TLS"), |_, batch| {
        send(ward.port, &client_hello(joined(batch, ".").as_bytes(), &[]), sinks);
    });
    each_batch(canaries, &format!("{server}: protocols in TLS"), |_, batch| {
        let names: Vec<&[u8]> = batch.iter().map(|(_, sent)| sent.as_bytes()).collect();
        send(ward.port, &client_hello(b"localhost", &names), sinks);
    });
    each_batch(canaries, &format!("{server}: no TLS at all"), |_, batch| {
        send(ward.port, format!("GET /{}\r\n\r\n", joined(batch, "&")).as_bytes(), sinks);
    });
    // By a whole client, in names that are some.
    let path = format!("{server}: server name and protocol of a whole client");
    for encoding in Encoding::ALL {
        let is_label =
            |sent: &str| sent.len() < 64 && sent.bytes().all(|byte| byte.is_ascii_alphanumeric());
        for (_, sent) in canaries.batch_of(&path, encoding, |_, sent| is_label(sent)) {
            let mut config = (*client_config()).clone();
            config.alpn_protocols = vec![sent.as_bytes().to_vec()];
            let name = ServerName::try_from(format!("{sent}.example")).unwrap();
            let tls = ClientConnection::new(Arc::new(config), name).unwrap();
            let mut stream =
                StreamOwned::new(tls, TcpStream::connect(("127.0.0.1", ward.port)).unwrap());
            let refused = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
            sinks.add("answers", refused.to_string().as_bytes());
        }
    }
}

/// Sends bytes over TCP and takes what comes back.
fn send(port: u16, bytes: &[u8], sinks: &mut Sinks) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
    // It may be gone before it has everything.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    sinks.add("answers", &answer);
}

/// A `ClientHello` with any server name and any protocols, legal or not, as one TLS record.
fn client_hello(name: &[u8], protocols: &[&[u8]]) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let prefixed = |bytes: &[u8]| [&short(bytes.len())[..], bytes].concat();
    let extension = |kind: u8, body: &[u8]| [&[0, kind][..], &prefixed(body)].concat();
    let server_name = extension(0, &prefixed(&[&[0][..], &prefixed(name)].concat()));
    let all: Vec<u8> = protocols
        .iter()
        .flat_map(|name| {
            let name = &name[..name.len().min(255)];
            [&[u8::try_from(name.len()).unwrap()][..], name].concat()
        })
        .collect();
    let alpn = if all.is_empty() { Vec::new() } else { extension(16, &prefixed(&all)) };
    let body = [
        &[3, 3][..],
        &[7; 32],
        // No session, one suite, no compression.
        &[0, 0, 2, 0xC0, 0x2B, 1, 0],
        &prefixed(&[server_name, alpn].concat()),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &prefixed(&message)].concat()
}
