//! Start-up: what was handed down becomes a running responder. It opens nothing itself.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ward_edge::certificate::certificates;
use ward_edge::clock::Clock;
use ward_edge::connection::{Transport, serve};
use ward_edge::following::follow;
use ward_edge::handed::{Handed, read_document, say_ready};
use ward_edge::log::Log;
use ward_edge::panic::{Strategy, install};
use ward_edge::random::Pseudonyms;
use ward_edge::start::{StartError, exit_code};
use ward_edge::{cell, drain, tls, worker};
use ward_policy::audit::{Event, Finding, Role};
use ward_policy::cell::Target;

use crate::responder::Responder;
use crate::settings::TwimlSettings;

/// Runs the responder until it is told to stop.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    exit_code(start(arguments))
}

fn start(arguments: impl Iterator<Item = String>) -> Result<Infallible, StartError> {
    let mut handed = Handed::adopt(arguments).map_err(|_handed| StartError::Handed)?;
    let sink = handed.log.take().ok_or(StartError::Handed)?;
    let clock = Clock::start();
    let log = Log::new(Role::Twiml, clock, sink);
    install(Strategy::Abort, log.clone());
    let target = handed.target.ok_or(StartError::Handed)?;
    let entered = cell::enter(Role::Twiml, target, &handed, &[], &log)?;
    let document = read_document(handed.settings.take(), "settings");
    let document = document.map_err(|_document| StartError::Handed)?;
    let settings = TwimlSettings::parse(document.expose()).map_err(|_all| StartError::Settings)?;
    drop(document);
    let transport = transport(&mut handed, &settings, target, clock, &log)?;
    let pseudonyms = Pseudonyms::new().map_err(|_random| StartError::System)?;
    let (drainer, drain) = drain::channel();
    let responder = Arc::new(Responder::new(settings, pseudonyms, drain.clone(), log.clone()));
    let source = handed.handshake.take().ok_or(StartError::Handed)?;
    let following = Arc::clone(&responder);
    follow(source, move |document| following.take(document.expose()))?;
    let accept_log = log.clone();
    let ready = handed.ready.take();
    let seal = || {
        entered.seal(&log)?;
        say_ready(ready);
        Ok(())
    };
    worker::run(handed.listeners, Duration::ZERO, &drainer, &log, seal, move |listener| {
        let (transport, responder) = (transport.clone(), Arc::clone(&responder));
        serve(listener, transport, responder, drain.clone(), accept_log.clone())
    })
}

fn transport(
    handed: &mut Handed,
    settings: &TwimlSettings,
    target: Target,
    clock: Clock,
    log: &Log,
) -> Result<Transport, StartError> {
    if settings.is_plain_http {
        let is_loopback = handed
            .listeners
            .iter()
            .all(|listener| listener.local_addr().is_ok_and(|address| address.ip().is_loopback()));
        log.record(&Event::Finding { finding: Finding::PlainHttp });
        return if is_loopback { Ok(Transport::Plain) } else { Err(StartError::Settings) };
    }
    let certificates = certificates(handed, target, clock, log)?;
    let acceptor = tls::acceptor(certificates).map_err(|_policy| StartError::Tls)?;
    Ok(Transport::Tls(acceptor))
}
