//! The vendors of a call: which serve which service, in what order, and the connections to them.
//!
//! Connections come from the broker, TLS is made here, and a connector speaks one service's dialects over them. A
//! vendor that cannot be had never ends a call. Nothing here decides what is said.

mod asr_ws;
mod connection;
mod inbox;
mod link;
mod llm_sse;
mod request;
mod route;
mod services;
mod tts_stream;
mod warm;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinHandle;
use ward_edge::clock::Clock;
use ward_edge::log::Log;
use ward_edge::wiped::wiped;
use ward_policy::data_class::DataClass;
use ward_policy::redact::Pseudonym;
use ward_policy::service::Service;
use ward_policy::vendor_id::VendorId;

use crate::broker::Broker;
pub use services::CallServices;

/// A vendor that every call has a connection to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub vendor: VendorId,
    /// What it will be given.
    pub class: DataClass,
}

/// One worker's way to the vendors.
#[derive(Debug)]
pub struct Vendors {
    broker: Arc<Broker>,
    wanted: Vec<Wanted>,
    clock: Clock,
    log: Log,
}

impl Vendors {
    /// What every call of a worker is to have; of several for one class of data, the first is preferred.
    #[must_use]
    pub const fn new(broker: Arc<Broker>, wanted: Vec<Wanted>, clock: Clock, log: Log) -> Self {
        Self { broker, wanted, clock, log }
    }

    /// Opens a connection to every vendor for `call`, and says nothing over it. They close when what is returned is
    /// dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>, call: Pseudonym) -> CallVendors {
        let one = |wanted: &Wanted| tokio::spawn(wiped(Arc::clone(self).keep(call, *wanted)));
        CallVendors(self.wanted.iter().map(one).collect())
    }

    /// The services of a conversation, for `call`. They end when what is returned is dropped.
    #[must_use]
    pub fn open(self: &Arc<Self>, call: Pseudonym) -> CallServices {
        CallServices::open(self, call)
    }

    /// Who serves `service`, the preferred one first.
    fn order(&self, service: Service) -> Vec<Wanted> {
        let class = service.class();
        self.wanted.iter().filter(|wanted| wanted.class == class).copied().collect()
    }

    async fn keep(self: Arc<Self>, call: Pseudonym, wanted: Wanted) {
        if let Ok(connection) = self.dial(call, wanted).await {
            connection.hold().await;
        }
    }
}

/// A call's connections that are only held; closed when dropped.
pub struct CallVendors(Vec<JoinHandle<()>>);

impl Drop for CallVendors {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for CallVendors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallVendors({})", self.0.len())
    }
}
