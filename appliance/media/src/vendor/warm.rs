//! A service that is asked over HTTP: one warm connection, opened before it is needed, replaced when it is used up.
//!
//! Whoever is asked next is the route's to say. It does not know what is asked.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ward_policy::audit::Event;
use ward_policy::fault::{ServiceFault, VendorEnd};
use ward_policy::limit;
use ward_policy::redact::Pseudonym;
use ward_policy::service::Service;

use super::Vendors;
use super::link::{Ask, Link};
use super::route::Route;

/// One service of a call.
pub(super) struct Warm {
    vendors: Arc<Vendors>,
    call: Pseudonym,
    service: Service,
    route: Route,
    state: State,
}

type Opening = Pin<Box<dyn Future<Output = Result<Link, ServiceFault>> + Send>>;

enum State {
    /// No connection.
    Cold,
    /// Soon one.
    Opening(Opening),
    /// One.
    Open(Box<Link>),
}

impl Warm {
    /// `service` for `call`, without a connection.
    pub(super) fn new(vendors: Arc<Vendors>, call: Pseudonym, service: Service) -> Self {
        let route = Route::new(vendors.order(service));
        Self { vendors, call, service, route, state: State::Cold }
    }

    /// Begins to open a connection, if there is none or the one there is will be over soon.
    pub(super) fn renew(&mut self) {
        if let State::Open(link) = &mut self.state
            && !link.is_good_for(limit::VENDOR_RENEWED_BEFORE)
        {
            self.let_go(VendorEnd::LetGo);
        }
        if let (State::Cold, Some(wanted)) = (&self.state, self.route.current()) {
            let (vendors, call, service) = (Arc::clone(&self.vendors), self.call, self.service);
            let opening = async move { Link::open(&vendors, call, wanted, service).await };
            self.state = State::Opening(Box::pin(opening));
        }
    }

    /// Closes the connection, whatever is going on over it; one that is still being opened is kept.
    pub(super) fn let_go(&mut self, reason: VendorEnd) {
        if let State::Open(link) = &mut self.state {
            link.end(reason);
            self.state = State::Cold;
        }
    }

    /// Looks after the connection while nothing is asked.
    pub(super) async fn idle(&mut self) -> Infallible {
        loop {
            match &mut self.state {
                State::Cold => std::future::pending().await,
                State::Opening(opening) => match opening.await {
                    Ok(link) => self.state = State::Open(Box::new(link)),
                    Err(fault) => self.fail(fault),
                },
                State::Open(link) => {
                    let reason = link.rest().await;
                    self.let_go(reason);
                }
            }
        }
    }

    /// Asks, of one vendor after the other for as long as nothing of an answer was passed on.
    pub(super) async fn ask<A: Ask>(&mut self, asked: &mut A) -> Result<(), ServiceFault> {
        self.route.begin();
        loop {
            let Err(fault) = self.once(asked).await else { return Ok(()) };
            self.fail(fault);
            if asked.has_begun() || !self.route.go_on(fault) {
                return Err(fault);
            }
        }
    }

    async fn once<A: Ask>(&mut self, asked: &mut A) -> Result<(), ServiceFault> {
        loop {
            match &mut self.state {
                State::Cold => {
                    self.renew();
                    // Nobody serves it.
                    if let State::Cold = self.state {
                        return Err(ServiceFault::Unreachable);
                    }
                }
                State::Opening(opening) => {
                    let opened = opening.await;
                    self.state = State::Cold;
                    self.state = State::Open(Box::new(opened?));
                }
                State::Open(link) if !link.is_good_for(Duration::ZERO) => {
                    self.let_go(VendorEnd::VendorClosed);
                }
                State::Open(link) => return link.ask(asked).await,
            }
        }
    }

    /// Says what has happened, and closes the connection that it happened on.
    fn fail(&mut self, reason: ServiceFault) {
        if let Some(wanted) = self.route.current() {
            let (call, service) = (self.call, self.service);
            let vendor = wanted.vendor;
            self.vendors.log.record(&Event::ServiceFailed { call, vendor, service, reason });
        }
        self.let_go(match reason {
            ServiceFault::Closed => VendorEnd::VendorClosed,
            ServiceFault::Over => VendorEnd::SessionOver,
            _ => VendorEnd::LetGo,
        });
        self.state = State::Cold;
    }
}
