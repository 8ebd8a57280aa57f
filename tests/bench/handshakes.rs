//! TLS handshakes a second of one worker: with its key in `sign`, and with the same key in its own memory.
//!
//! Both servers are the same acceptor on the same core, one after the other in alternating runs; the callers
//! have the other cores. The signing process is the one that ships, in its cell. Figures are ratios of one run.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ward_edge::certificate::Certificates;
use ward_edge::clock::Clock;
use ward_edge::log::Log;
use ward_edge::signing::{KeyId, SignChannels};
use ward_edge::tls;
use ward_policy::audit::Role;
use ward_tests::servers::{client_config, identity};

const RUNS: usize = 9;
const WINDOW: Duration = Duration::from_secs(3);

/// What a run saw.
struct Row {
    per_second: f64,
    /// CPU of the worker in each handshake, and of the signing process.
    worker_us: f64,
    sign_us: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("bench-handshakes: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let all = sched_getaffinity(None).map_err(|error| error.to_string())?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let [server, others @ ..] = cores.as_slice() else { return Err("no cores".to_owned()) };
    let others = if others.is_empty() { std::slice::from_ref(server) } else { others };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        with.push(measure(true, *server, others)?);
        without.push(measure(false, *server, others)?);
    }
    println!("| key | handshakes/s, median (lowest–highest) | worker CPU µs | sign CPU µs |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, rows) in [("in `sign`", &with), ("in the server", &without)] {
        let rate = sorted(rows.iter().map(|row| row.per_second));
        let worker = sorted(rows.iter().map(|row| row.worker_us));
        let sign = sorted(rows.iter().map(|row| row.sign_us));
        println!(
            "| {name} | {:.0} ({:.0}–{:.0}) | {:.0} | {:.0} |",
            rate[RUNS / 2],
            rate[0],
            rate[RUNS - 1],
            worker[RUNS / 2],
            sign[RUNS / 2]
        );
    }
    let ratios = sorted(with.iter().zip(&without).map(|(a, b)| a.per_second / b.per_second));
    println!(
        "\nwith / without: {:.2} (median of {RUNS} pairs, {:.2}–{:.2})",
        ratios[RUNS / 2],
        ratios[0],
        ratios[RUNS - 1]
    );
    Ok(())
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set).unwrap();
}

fn measure(is_remote: bool, core: usize, others: &[usize]) -> Result<Row, String> {
    pin(others);
    let identity = identity();
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let mut sign = None;
    let key: Arc<dyn SigningKey> = if is_remote {
        let (child, channel, control, log) = start_sign(identity.key.expose())?;
        sign = Some((child, control));
        let leaf = ParsedCertificate::try_from(&chain[0]).map_err(|error| error.to_string())?;
        let id = KeyId::of(&leaf.subject_public_key_info());
        let channels = SignChannels::new(vec![channel], Some(id), Clock::start(), log);
        let key = channels.and_then(|channels| channels.key(id));
        Arc::new(key.map_err(|error| error.to_string())?)
    } else {
        let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).unwrap();
        rustls::crypto::ring::sign::any_supported_type(&key).unwrap()
    };
    let certificates = Certificates::showing(CertifiedKey::new(chain, key));
    let acceptor = tls::acceptor(Arc::new(certificates)).map_err(|error| error.to_string())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, stopped) = (Arc::clone(&done), Arc::clone(&stop));
    let serving = std::thread::spawn(move || {
        pin(&[core]);
        serve(listener, &acceptor, &counted, &stopped)
    });
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || call(port, &stop))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let sign_before = sign.as_ref().map_or(0.0, |(child, _)| cpu_us(child));
    let (begun, before) = (Instant::now(), done.load(Ordering::Relaxed));
    std::thread::sleep(WINDOW);
    let handshakes = done.load(Ordering::Relaxed) - before;
    let elapsed = begun.elapsed();
    let sign_us = sign.as_ref().map_or(0.0, |(child, _)| cpu_us(child)) - sign_before;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().map_err(|_| "a caller failed")?;
    }
    // One more, so that the accept returns.
    drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
    let (all, cpu) = serving.join().map_err(|_| "the server failed")?;
    if let Some((mut child, _control)) = sign {
        drop(child.kill());
        drop(child.wait());
    }
    let count = handshakes.max(1) as f64;
    Ok(Row {
        per_second: count / elapsed.as_secs_f64(),
        worker_us: cpu / all.max(1) as f64,
        sign_us: sign_us / count,
    })
}

/// Accepts until told to stop; how many handshakes there were, and the thread's CPU time in µs.
fn serve(
    listener: TcpListener,
    acceptor: &tokio_rustls::TlsAcceptor,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> (u64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while !stop.load(Ordering::Relaxed) {
            let Ok((stream, _)) = listener.accept().await else { continue };
            if acceptor.accept(stream).await.is_ok() {
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    (done.load(Ordering::Relaxed), used.tv_sec as f64 * 1e6 + used.tv_nsec as f64 / 1e3)
}

fn call(port: u16, stop: &AtomicBool) {
    let config = client_config();
    while !stop.load(Ordering::Relaxed) {
        let Ok(socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        // The server closes once it has counted; whether the end comes in order does not matter.
        drop(stream.conn.complete_io(&mut stream.sock));
    }
}

/// Starts the signing process as it ships, with one channel.
fn start_sign(key: &str) -> Result<(Child, OwnedFd, OwnedFd, Log), String> {
    use std::io::Write as _;
    let text = |error: rustix::io::Errno| error.to_string();
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(text)?;
    // A document ends with an empty line; others could follow.
    let (mut source, document) =
        std::os::unix::net::UnixStream::pair().map_err(|e| e.to_string())?;
    source.write_all(format!("{}\n\n", key.trim_end()).as_bytes()).map_err(|e| e.to_string())?;
    let (mut reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let log = Log::new(Role::Media, Clock::start(), writer.try_clone().unwrap().into());
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/ward-init");
    let mut command = Command::new(program);
    command.arg("sign").arg(format!("target={}", ward::launch::target().name()));
    // It ends with whoever would send it more channels; nobody does.
    let (kept, control) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(text)?;
    command.arg("workers=1");
    for (name, descriptor) in [
        ("tls-key", document.as_fd()),
        ("sign", theirs.as_fd()),
        ("log", writer.as_fd()),
        ("control", control.as_fd()),
    ] {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty()).map_err(text)?;
        command.arg(format!("{name}={}", descriptor.as_raw_fd()));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| error.to_string())?;
    Ok((child, ours, kept, log))
}

/// CPU time of a process so far, in µs: fields 14 and 15 of its stat, in hundredths of a second.
fn cpu_us(child: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 * 1e4
}
