//! The supervisor: starts every role with the descriptors it needs and no others, and starts it again when it
//! ends.
//!
//! Pipes, listeners and documents outlive the processes that use them: they stay open here, so a role that comes
//! back finds what its predecessor had, and whoever talks to it only waits. A server that comes back gets fresh
//! channels to its helpers. It reads none of them: no document, no log line, no word of another role. Documents
//! are passed on by the kernel.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;
use ward_edge::clock::Clock;
use ward_edge::control::{
    HANDSHAKE, INSTRUCTIONS, ORDERS, SERVERS, TLS_CHAIN, TLS_KEY, receive_named,
};
use ward_edge::drain::StopSignals;
use ward_edge::handed::Handed;
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::start::{StartError, exit_code};
use ward_policy::audit::{Event, Role};
use ward_policy::cell::Target;
use ward_policy::limit;
use ward_sys::cell::guard;
use ward_sys::process::end_with;
use ward_sys::readiness::watch;

use crate::followed::Followed;
use crate::link::{Link, lasting_pair};
use crate::post::{End, Post, Program, Started};

/// Runs until the server has ended; its exit status is this one's.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    match start(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => exit_code(Err::<Infallible, _>(error)),
    }
}

/// What stands on the supervisor's own command line, beside descriptors.
struct Plan {
    server: Role,
    program: Program,
    handed: Handed,
}

fn plan(arguments: impl Iterator<Item = String>) -> Result<Plan, StartError> {
    let (mut server, mut program, mut rest) = (None, Program::Itself, Vec::new());
    for argument in arguments {
        match argument.split_once('=') {
            Some(("role", name)) => server = Role::from_name(name),
            Some(("server", path)) => program = Program::Files(PathBuf::from(path)),
            _ => rest.push(argument),
        }
    }
    let server = server.filter(|role| matches!(role, Role::Media | Role::Twiml));
    let handed = Handed::adopt(rest.into_iter()).map_err(|_handed| StartError::Handed)?;
    Ok(Plan { server: server.ok_or(StartError::Handed)?, program, handed })
}

fn start(arguments: impl Iterator<Item = String>) -> Result<u8, StartError> {
    let Plan { server, program, mut handed } = plan(arguments)?;
    let target = handed.target.ok_or(StartError::Handed)?;
    let mut pipes = Pipes::default();
    let log = Log::new(Role::Init, Clock::start(), pipes.add(Role::Init)?);
    install(Strategy::Abort, log.clone());
    if handed.launcher.is_some_and(|launcher| !end_with(launcher)) {
        return Err(StartError::System);
    }
    guard().map_err(|_layer| StartError::Cell)?;
    let control = handed.control.take();
    let replaceable = Replaceable {
        handshake: handed.handshake.take().map(Followed::new),
        tls_key: handed.tls_key.take().map(Followed::new),
        tls_chain: handed.tls_chain.take().map(Followed::new),
    };
    let posts = posts(server, &program, target, handed, &replaceable, pipes)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = StopSignals::watch()?;
        if let Some(control) = &control {
            rustix::io::ioctl_fionbio(control, true).map_err(std::io::Error::from)?;
        }
        let control = control.map(|control| watch(control, Interest::READABLE)).transpose()?;
        Ok(Supervisor { server, log, stop, control, replaceable, server_pid: None }
            .run(posts)
            .await)
    })
}

/// What the launcher may send another of.
struct Replaceable {
    handshake: Option<Followed>,
    tls_key: Option<Followed>,
    tls_chain: Option<Followed>,
}

impl Replaceable {
    /// The document that a message of the launcher's is about.
    const fn named(&self, kind: u8) -> Option<&Followed> {
        match kind {
            HANDSHAKE => self.handshake.as_ref(),
            TLS_KEY => self.tls_key.as_ref(),
            TLS_CHAIN => self.tls_chain.as_ref(),
            _ => None,
        }
    }
}

/// One pipe a role: nobody writes in another's name.
#[derive(Default)]
struct Pipes(Vec<(Role, OwnedFd)>);

impl Pipes {
    /// Makes the pipe of `role`; what it writes into.
    fn add(&mut self, role: Role) -> std::io::Result<OwnedFd> {
        let (reader, writer) = std::io::pipe()?;
        self.0.push((role, reader.into()));
        Ok(writer.into())
    }
}

/// Channels between a server and its helper; a broker is `sign`'s server when it orders of it.
fn link(name: &str, kind: u8, count: usize, server: &mut Post, helper: &mut Post) {
    let link = Link::new(kind, count);
    server.links.push((name.to_owned(), link.clone()));
    helper.helps.push((name.to_owned(), link));
}

/// Who gets what.
fn posts(
    server: Role,
    program: &Program,
    target: Target,
    handed: Handed,
    replaceable: &Replaceable,
    mut pipes: Pipes,
) -> Result<Vec<Post>, StartError> {
    let mut posts = Vec::new();
    let mut post = |role| {
        let mut post = Post::new(role, program.clone(), target);
        post.hand("log", pipes.add(role)?);
        Ok::<_, StartError>(post)
    };
    let mut of_server = post(server)?;
    let mut of_log = post(Role::Log)?;
    of_server.hand("settings", handed.settings.ok_or(StartError::Handed)?);
    let workers = handed.listeners.len();
    let names = handed.names;
    let asks = names.is_some();
    let certificate = handed.certificate;
    let mut of_sign = None;
    if certificate.is_some() {
        let mut post = post(Role::Sign)?;
        if let Some(names) = &names {
            post.hand("names", names.try_clone()?);
            post.hand("kept", handed.sign_kept.ok_or(StartError::Handed)?);
            post.hand("seal", handed.sign_seal.ok_or(StartError::Handed)?);
        } else {
            let (key, chain) = (replaceable.tls_key.clone(), replaceable.tls_chain.clone());
            post.follows.push(("tls-key", key.ok_or(StartError::Handed)?));
            of_server.follows.push(("tls-chain", chain.ok_or(StartError::Handed)?));
        }
        // One channel a worker, so that nobody waits for another's signature; one for whoever asks what keys there are; and the
        // broker's.
        post.workers = workers.saturating_add(1).saturating_add(usize::from(asks));
        link("sign", SERVERS, workers.saturating_add(1), &mut of_server, &mut post);
        of_server.certificate = certificate;
        of_sign = Some(post);
    }
    let mut of_broker = None;
    if let Some(registry) = handed.registry {
        let mut post = post(Role::Broker)?;
        post.hand("registry", registry);
        let settings = handed.broker_settings.ok_or(StartError::Handed)?;
        post.hand("broker-settings", settings);
        post.hand("vendor-keys", handed.vendor_keys.ok_or(StartError::Handed)?);
        // The responder calls nobody; its broker asks for certificates, and for the log's sink.
        let workers = if server == Role::Media { workers } else { 0 };
        link("broker", SERVERS, workers, &mut of_server, &mut post);
        if let Some(plan) = handed.log_sink {
            let (asks, answers) = lasting_pair()?;
            of_log.hand("log-sink", plan);
            of_log.hand("broker", asks);
            post.hand("log-asks", answers);
        }
        if let Some((names, sign)) = names.zip(of_sign.as_mut()) {
            post.hand("names", names);
            post.hand("kept", handed.kept.ok_or(StartError::Handed)?);
            post.hand("seal", handed.seal.ok_or(StartError::Handed)?);
            link("orders", ORDERS, 1, &mut post, sign);
            link("instructions", INSTRUCTIONS, 1, &mut of_server, &mut post);
        }
        of_broker = Some(post);
    }
    posts.extend(of_sign);
    posts.extend(of_broker);
    for listener in handed.listeners {
        of_server.hand("listener", listener.into());
    }
    of_server.follows.extend(replaceable.handshake.clone().map(|one| ("handshake", one)));
    if let Some(ready) = handed.ready {
        of_server.hand("ready", ready);
    }
    of_log.hand("sink", handed.sink.ok_or(StartError::Handed)?);
    for (role, reader) in pipes.0 {
        of_log.hand(&format!("from-{}", role.name()), reader);
    }
    posts.insert(0, of_log);
    posts.push(of_server);
    Ok(posts)
}

struct Supervisor {
    server: Role,
    log: Log,
    stop: StopSignals,
    control: Option<AsyncFd<OwnedFd>>,
    replaceable: Replaceable,
    server_pid: Option<u32>,
}

impl Supervisor {
    /// Keeps every post filled until one of them is over for good; the exit status.
    async fn run(mut self, posts: Vec<Post>) -> u8 {
        let (sender, mut news) = unbounded_channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let mut kept = JoinSet::new();
        let mut log_kept = JoinSet::new();
        for post in posts {
            let set = if post.role == Role::Log { &mut log_kept } else { &mut kept };
            set.spawn(post.keep(sender.clone(), Arc::clone(&stopping)));
        }
        // When a server that was told to end has had all its time.
        let mut patience = None;
        let end = loop {
            tokio::select! {
                biased;
                Some(what) = news.recv() => self.note(&what),
                Some(ended) = kept.join_next() => {
                    let ended = ended.unwrap_or_else(|_broken| End::broken(self.server));
                    // Live calls are not hung up on because a helper is over while they drain.
                    if ended.role == self.server || !stopping.load(Ordering::Acquire) {
                        break ended;
                    }
                }
                Some(ended) = log_kept.join_next() => {
                    let ended = ended.unwrap_or_else(|_broken| End::broken(Role::Log));
                    if !stopping.load(Ordering::Acquire) {
                        break ended;
                    }
                }
                () = self.stop.next() => {
                    let is_first = !stopping.swap(true, Ordering::AcqRel);
                    let drain = if is_first { limit::DRAIN_DEADLINE } else { Duration::ZERO };
                    patience = Instant::now().checked_add(drain.saturating_add(limit::END_DEADLINE));
                    self.tell_server(Signal::TERM);
                }
                // One that was taken over need not heed a signal that it can ignore.
                () = past(patience) => {
                    patience = None;
                    self.tell_server(Signal::KILL);
                }
                () = ready(self.control.as_ref()) => self.take_control(),
            }
        };
        stopping.store(true, Ordering::Release);
        self.finish(end, kept, log_kept, news, sender).await
    }

    /// Ends whoever is left but the log, which ends by itself when it has written everything. The server has ended,
    /// or something was wrong before it served.
    async fn finish(
        mut self,
        end: End,
        mut kept: JoinSet<End>,
        mut log_kept: JoinSet<End>,
        mut news: UnboundedReceiver<Started>,
        sender: UnboundedSender<Started>,
    ) -> u8 {
        if end.role != self.server {
            self.tell_server(Signal::TERM);
        }
        kept.shutdown().await;
        drop(sender);
        while let Ok(what) = news.try_recv() {
            self.note(&what);
        }
        // Left alone, not ended: once this process is gone nobody writes, and it ends after the last line.
        log_kept.abort_all();
        end.status
    }

    fn note(&mut self, what: &Started) {
        match *what {
            Started::Yes { which, pid, starts } => {
                if which == self.server {
                    self.server_pid = Some(pid);
                }
                self.log.record(&Event::RoleStarted { which, pid, starts });
            }
            Started::Over { which, status, signal } => {
                if which == self.server {
                    self.server_pid = None;
                }
                self.log.record(&Event::RoleEnded { which, status, signal });
            }
        }
    }

    fn tell_server(&self, signal: Signal) {
        let pid = self.server_pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // A server that has ended already is what was wanted.
            kill_process(pid, signal).unwrap_or_default();
        }
    }

    /// Messages of the launcher: what replaces a document each, unread.
    fn take_control(&mut self) {
        let Some(control) = &self.control else { return };
        // All that are there: of those that came together, readiness is told once.
        loop {
            match receive_named(control.get_ref().as_fd()) {
                Ok(Some((kind, document))) => {
                    if let Some(followed) = self.replaceable.named(kind) {
                        followed.replace(document);
                    }
                }
                Ok(None) => return,
                // The launcher is gone; its end ends this process too.
                Err(_gone) => return self.control = None,
            }
        }
    }
}

/// Returns at `instant`; never, without one.
async fn past(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Returns when there is something to read; never, without a channel.
async fn ready(control: Option<&AsyncFd<OwnedFd>>) {
    match control {
        Some(control) => match control.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            Err(_broken) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
