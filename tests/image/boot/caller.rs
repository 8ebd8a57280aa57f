//! Callers whose lines are watched while something is done to the machine: what was sent and echoed, how long nothing came, how it ended.
//!
//! They behave as Twilio does: a frame every 20 ms, an answer to each ping, and no second try. A line may also be idle, and then says
//! nothing but answers. The machine's agent is `echo`.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, Stream};
use rustls_pki_types::ServerName;
use ward_tests::servers::{client_config, settings};
use ward_tests::websocket::{
    CALL, Frame, STREAM, connected, frame_at, media, numbered, start, stop, text_frame,
    upgrade_request,
};
use ward_tests::wire::status;

use crate::lab::GUEST;

/// One frame of audio.
const PERIOD: Duration = Duration::from_millis(20);
/// How long a connection and its upgrade may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this close code.
    Closed(u16),
    /// The connection was over without one.
    Cut,
}

/// One call's line.
#[derive(Debug)]
pub(crate) struct Line {
    socket: TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
    number: u64,
    end: Option<End>,
}

impl Line {
    /// Calls, up to and with `start`; why not, if not: the answer's status, or what became of the connection.
    pub(crate) fn connect() -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address: SocketAddr = format!("{GUEST}:443").parse().unwrap();
        let text = |error: std::io::Error| error.kind().to_string();
        let mut socket = TcpStream::connect_timeout(&address, PATIENCE).map_err(text)?;
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from(GUEST).unwrap();
        let mut tls = ClientConnection::new(client_config(), name).unwrap();
        // What waits for a wire that is pulled waits here.
        tls.set_buffer_limit(None);
        let mut stream = Stream::new(&mut tls, &mut socket);
        let values = settings(&format!("MEDIA_WSS_URL=wss://{GUEST}")).handshake_values().unwrap();
        let request = upgrade_request(
            "/rtm/voice",
            &[("Host", GUEST), ("X-Twilio-Signature", &values[0].to_base64())],
        );
        stream.write_all(request.as_bytes()).map_err(text)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut stream, &mut byte).map_err(text)?;
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head);
        if status(&head) != 101 {
            return Err(status(&head).to_string());
        }
        socket.set_nonblocking(true).unwrap();
        let mut line = Self { socket, tls, received: Vec::new(), number, end: None };
        line.say(&connected());
        line.say(&start());
        Ok(line)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// How it ended, if it did.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    fn say(&mut self, message: &serde_json::Value) {
        let mut text = message.to_string();
        for sid in [CALL, STREAM] {
            text = text.replace(sid, &numbered(sid, self.number));
        }
        self.send(&text_frame(&text));
    }

    fn send(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.write();
    }

    fn write(&mut self) {
        while self.is_open() && self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end = Some(End::Cut),
            }
        }
    }

    /// Takes what has come and answers pings; how many messages it was.
    pub(crate) fn listen(&mut self) -> u64 {
        let mut messages = 0;
        while self.is_open() {
            match self.tls.read_tls(&mut self.socket) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => {
                    self.end = Some(End::Cut);
                    break;
                }
            }
            let Ok(state) = self.tls.process_new_packets() else {
                self.end = Some(End::Cut);
                break;
            };
            let from = self.received.len();
            self.received.resize(from + state.plaintext_bytes_to_read(), 0);
            let mut plain = &mut self.received[from..];
            while !plain.is_empty() {
                let read = std::io::Read::read(&mut self.tls.reader(), plain).unwrap();
                plain = &mut plain[read..];
            }
            messages += self.frames();
        }
        self.write();
        messages
    }

    fn frames(&mut self) -> u64 {
        let mut messages = 0;
        while let Some((head, length)) = frame_at(&self.received) {
            let opcode = self.received[0] & 0x0F;
            let body = self.received[head..head + length].to_vec();
            self.received.drain(..head + length);
            match opcode {
                8 => {
                    let code = body.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    self.end = Some(End::Closed(code));
                }
                9 => self.send(&Frame { first: 0x8A, masked: true, body: &body }.to_bytes()),
                _ => messages += 1,
            }
        }
        messages
    }
}

/// What a caller has seen so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) sent: u64,
    pub(crate) echoed: u64,
    last: Instant,
    /// The longest time without an echo since [`Caller::begin_watch`].
    pub(crate) longest: Duration,
    pub(crate) end: Option<(Instant, End)>,
}

/// Somebody on the line, who talks until told to stop.
#[derive(Debug)]
pub(crate) struct Caller {
    seen: Arc<Mutex<Seen>>,
    hangs_up: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Caller {
    /// Calls, and has heard an echo.
    pub(crate) fn connect() -> Result<Self, String> {
        let line = Line::connect()?;
        let last = Instant::now();
        let seen = Seen { sent: 0, echoed: 0, last, longest: Duration::ZERO, end: None };
        let (seen, hangs_up) = (Arc::new(Mutex::new(seen)), Arc::new(AtomicBool::new(false)));
        let (shared, told) = (Arc::clone(&seen), Arc::clone(&hangs_up));
        let thread = Some(std::thread::spawn(move || talk(line, &shared, &told)));
        let caller = Self { seen, hangs_up, thread };
        let until = Instant::now() + PATIENCE;
        while caller.seen().echoed == 0 {
            match caller.seen().end {
                Some((_, end)) => return Err(format!("{end:?}")),
                None if Instant::now() > until => return Err("no echo".to_owned()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Ok(caller)
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.lock().unwrap()
    }

    /// From here on the longest time without an echo is counted.
    pub(crate) fn begin_watch(&self) {
        self.seen.lock().unwrap().longest = Duration::ZERO;
    }

    /// How it ended and when, if it did within `limit`.
    pub(crate) fn ended(&self, limit: Duration) -> Option<(Instant, End)> {
        let until = Instant::now() + limit;
        while Instant::now() < until && self.seen().end.is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.seen().end
    }

    /// Whether it lives: an echo comes within `limit`.
    pub(crate) fn is_alive(&self, limit: Duration) -> bool {
        let (until, before) = (Instant::now() + limit, self.seen().echoed);
        while Instant::now() < until && self.seen().end.is_none() {
            if self.seen().echoed > before {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Says `stop`, as Twilio does when the caller hangs up, and closes.
    pub(crate) fn hang_up(&self) {
        self.hangs_up.store(true, Ordering::Release);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.hang_up();
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

fn talk(mut line: Line, seen: &Mutex<Seen>, hangs_up: &AtomicBool) {
    let (mut due, mut number) = (Instant::now(), 0);
    let mut last_word = None;
    while line.is_open() {
        let now = Instant::now();
        if hangs_up.load(Ordering::Acquire) && last_word.is_none() {
            line.say(&stop(number + 2));
            line.send(
                &Frame { first: 0x88, masked: true, body: &1000_u16.to_be_bytes() }.to_bytes(),
            );
            last_word = Some(now);
        }
        if last_word.is_some_and(|at| now > at + Duration::from_secs(2)) {
            break;
        }
        if now >= due && last_word.is_none() {
            number += 1;
            line.say(&media(number, &[0x55; 160]));
            due += PERIOD;
        }
        let echoed = line.listen();
        let mut seen = seen.lock().unwrap();
        seen.sent = number;
        seen.echoed += echoed;
        seen.longest = seen.longest.max(now - seen.last);
        if echoed > 0 {
            seen.last = now;
        }
        drop(seen);
        std::thread::sleep(Duration::from_millis(2));
    }
    let end = line.end.map(|end| (Instant::now(), end));
    seen.lock().unwrap().end = end;
}

/// When a call is taken and echoed, tried again and again from now on.
pub(crate) fn first_call(limit: Duration) -> Instant {
    let until = Instant::now() + limit;
    let mut last = String::new();
    while Instant::now() < until {
        match Caller::connect() {
            Ok(caller) => {
                let at = Instant::now();
                drop(caller);
                return at;
            }
            Err(why) => last = why,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no call within {limit:?}: {last}");
}
