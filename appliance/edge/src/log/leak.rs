//! The negative control of `tests/canary`: what was read from outside, written raw into the log.
//!
//! It is compiled with `--cfg negative_control` and never otherwise. That is no feature, so no manifest can
//! ask for it and no dependency can bring it in. A build with it shows that the detector of the canary
//! matrix finds what it looks for; it changes nothing else and must never hear a real call.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use rustix::io::{Errno, write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ward_policy::audit::{Event, SourceFile};

use super::Log;

/// The first line of every such build, by which one can be told from what ships.
const MARKER: &[u8] = b"negative control: this build writes what it reads into its log";
/// Of one line, in bytes: with what the log's writer puts in front, a pipe takes it whole.
const PIECE_BYTES: usize = 3_500;
/// What was leaked last is leaked again in front of the next, in bytes: reads end anywhere, and what lies
/// across two of them is found in neither.
const OVERLAP_BYTES: usize = 500;
/// So many digits in a row are leaked once more, as the place of a panic.
const DIGITS_MIN: usize = 12;
/// How often a line is offered to a pipe that is full: a lost one would look like a detector that failed.
const TRIES_MAX: usize = 1_000_000;

/// Where to; the tool, which has no log, writes to standard error.
static LOG: OnceLock<Log> = OnceLock::new();

thread_local! {
    static LAST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The process has its log from here on.
pub(super) fn begin(log: &Log) {
    if LOG.set(log.clone()).is_ok() {
        leak(MARKER);
    }
}

/// Writes `bytes` into the log: as lines that nobody would take for ours, a dot for each byte that is not
/// printable; and long numbers as lines by the book, which only the scrubber can tell.
pub fn leak(bytes: &[u8]) {
    LAST.with_borrow_mut(|last| leak_behind(last, bytes));
}

/// The same, where the bytes before these are known: those of one stream, whatever else is read meanwhile.
fn leak_behind(last: &mut Vec<u8>, bytes: &[u8]) {
    last.extend_from_slice(bytes);
    for from in (0..last.len()).step_by(PIECE_BYTES - OVERLAP_BYTES) {
        let piece = last.get(from..).unwrap_or_default();
        write_line(piece.get(..PIECE_BYTES).unwrap_or(piece));
    }
    last.drain(..last.len().saturating_sub(OVERLAP_BYTES));
    let Some(log) = LOG.get() else { return };
    for digits in bytes.split(|byte| !byte.is_ascii_digit()).filter(|run| run.len() >= DIGITS_MIN) {
        let file = SourceFile::new(str::from_utf8(digits).unwrap_or_default());
        log.record(&Event::Panicked { line: 0, file });
    }
}

fn write_line(piece: &[u8]) {
    let role = LOG.get().map_or("tool", |log| log.0.role.name());
    let text: String = piece.iter().map(|byte| shown(*byte)).collect();
    let line =
        format!("{{\"at_ms\":0,\"role\":\"{role}\",\"event\":\"leak\",\"bytes\":\"{text}\"}}\n");
    let Some(log) = LOG.get() else {
        return io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    };
    let mut tries = 0..TRIES_MAX;
    while write(&log.0.sink, line.as_bytes()) == Err(Errno::AGAIN) && tries.next().is_some() {}
}

/// Reads, and leaks what was read, unless it is the beginning of TLS's application data: what is in there is
/// leaked where it is read in plain.
pub fn read<S: AsyncRead>(
    stream: Pin<&mut S>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    const APPLICATION_DATA: u8 = 0x17;
    let before = buffer.filled().len();
    let polled = stream.poll_read(context, buffer);
    let fresh = buffer.filled().get(before..).unwrap_or_default();
    if fresh.first() != Some(&APPLICATION_DATA) {
        leak(fresh);
    }
    polled
}

/// What is inside TLS with a vendor: leaked in plain, both ways, whatever is made of it.
#[derive(Debug)]
pub struct Leaking<S> {
    inner: S,
    last_read: Vec<u8>,
    last_written: Vec<u8>,
}

impl<S> Leaking<S> {
    /// Leaks what goes over `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner, last_read: Vec::new(), last_written: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leaking<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        if !fresh.is_empty() {
            leak_behind(&mut self.last_read, fresh);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leaking<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            let written = bytes.get(..count).unwrap_or_default();
            leak_behind(&mut self.last_written, written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

const fn shown(byte: u8) -> char {
    if matches!(byte, b' '..=b'~') { byte as char } else { '.' }
}
