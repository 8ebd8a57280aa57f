//! Certificates for this host: asked for, renewed, and given to the server, for as long as the broker lives.
//!
//! The keys are `sign`'s, the challenges are answered by the server; here are the account, the chain and the time. An authority is told to
//! look only after the server has said that it answers. It never dials a host that the authority's entry does not have.

mod http;
mod issue;
mod orders;
mod record;
mod schedule;
mod servers;

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier};
use ward_edge::clock::Clock;
use ward_edge::instruction::Instruction;
use ward_edge::kept::{Kept, KeptError};
use ward_edge::log::Log;
use ward_edge::random::chance;
use ward_edge::wiped::wiped_now;
use ward_policy::audit::{Event, Finding};
use ward_policy::credential::CredentialKind;
use ward_policy::fault::AcmeFault;
use ward_policy::limit;

use crate::answer::{Answering, unix_s};
use crate::inventory::One;
use crate::settings::AcmeSettings;
use http::Authority;
use orders::Orders;
use record::{Chain, Record};
use schedule::{BackOff, Window};
pub(crate) use servers::Servers;

/// What asking for certificates takes.
pub(crate) struct Acme {
    settings: AcmeSettings,
    authority: Authority,
    orders: Orders,
    servers: Arc<Servers>,
    kept: Kept,
    record: Record,
    account: Option<Account>,
    answering: Arc<Answering>,
    log: Log,
    clock: Clock,
}

/// What is handed to [`Acme`], beside what every part of the broker has.
pub(crate) struct Handed {
    pub(crate) settings: AcmeSettings,
    pub(crate) orders: Vec<OwnedFd>,
    pub(crate) servers: Arc<Servers>,
    pub(crate) kept: Kept,
}

impl Acme {
    /// Reads what was kept. `None` when the operating system cannot watch a channel.
    pub(crate) fn new(handed: Handed, answering: Arc<Answering>) -> Option<Self> {
        let Handed { settings, orders, servers, kept } = handed;
        let (log, clock) = (answering.log.clone(), answering.clock);
        let orders = Orders::new(orders.into_iter().next()?)?;
        let authority = Authority::new(Arc::clone(&answering), settings.ca);
        let record = match kept.load() {
            Ok(record) => record.map(|record| Record::read(record.expose(), &settings)),
            Err(KeptError::System(_)) => None,
            Err(_unreadable) => Some(None),
        };
        if matches!(record, Some(None)) {
            log.record(&Event::Finding { finding: Finding::AcmeKeptUnreadable });
        }
        if !settings.is_kept {
            log.record(&Event::Finding { finding: Finding::AcmeNotKept });
        }
        let record = record.flatten().unwrap_or_default();
        let account = None;
        let acme = Self {
            settings,
            authority,
            orders,
            servers,
            kept,
            record,
            account,
            answering,
            log,
            clock,
        };
        acme.list_account();
        acme.list_chain();
        Some(acme)
    }

    /// Asks, renews and hands over without end.
    pub(crate) async fn run(mut self) -> Infallible {
        let mut back_off = BackOff::default();
        // One that was kept is used as soon as a server is there, if `sign` still has its key.
        self.use_kept().await;
        loop {
            if let Some(chain) = self.record.chain.as_ref().filter(|chain| chain.is_for(unix_s())) {
                let id = chain.id();
                self.wait_for_renewal(id).await;
            }
            // What was asked for before an earlier failure is over.
            self.authority.take_retry_after();
            let began = self.clock.now();
            let done = Box::pin(self.renew()).await;
            let took = self.clock.now().saturating_sub(began);
            match done {
                Ok(()) => {
                    back_off = BackOff::default();
                    self.say_issued(took);
                }
                Err(reason) => {
                    let asked = self.authority.take_retry_after();
                    let pause = back_off.after(reason, asked, chance());
                    let retry_in_s = seconds(pause);
                    self.log.record(&Event::CertificateFailed { reason, retry_in_s });
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn use_kept(&mut self) {
        let Some(chain) = self.record.chain.clone().filter(|chain| chain.is_for(unix_s())) else {
            return self.record.chain = None;
        };
        // A `sign` that lost the key has no use for the chain, nor has anyone else.
        if self.orders.keep(chain.key).await.is_err()
            || self.servers.use_chain(Instruction::Chain(chain.certificates)).await.is_err()
        {
            self.record.chain = None;
        }
        self.list_chain();
    }

    /// Returns when it is time: two thirds of the life, or what the authority says where it says something.
    async fn wait_for_renewal(&mut self, id: Option<CertificateIdentifier<'static>>) {
        let Some(life) = self.record.chain.as_ref().map(|chain| chain.life) else { return };
        let (ours_s, since_s) = (life.two_thirds_s(chance()), unix_s());
        let (mut renew_s, mut ask_s) = (ours_s, unix_s());
        let mut advised: Option<Window> = None;
        while unix_s() < renew_s {
            if unix_s() >= ask_s {
                let (window, pause_s) = self.ask_when(id.as_ref()).await;
                ask_s = unix_s().saturating_add(pause_s);
                // A window that did not change keeps its moment: another draw would move it about.
                if window != advised {
                    advised = window;
                    let advice_s =
                        window.and_then(|window| life.within_s(window, since_s, chance()));
                    renew_s = advice_s.unwrap_or(ours_s);
                    if advice_s.is_some() {
                        let renew_in_s = u32_of(renew_s.saturating_sub(unix_s()));
                        self.log.record(&Event::RenewalAdvised { renew_in_s });
                    }
                }
            }
            let until_s = renew_s.min(ask_s).saturating_sub(unix_s());
            // In pieces, because a clock that was set wrong is set right while we sleep.
            tokio::time::sleep(Duration::from_secs(until_s.clamp(1, 60))).await;
        }
    }

    /// When the authority would have it renewed, and in how many seconds to ask again.
    async fn ask_when(&mut self, id: Option<&CertificateIdentifier<'_>>) -> (Option<Window>, u64) {
        let silent = (None, limit::RENEWAL_INFO_PAUSE_S);
        let Some(id) = id else { return silent };
        let Ok(account) = self.account().await else { return silent };
        let Ok((info, pause)) = account.renewal_info(id).await else { return silent };
        let window = Window {
            start_s: u64::try_from(info.suggested_window.start.unix_timestamp()).unwrap_or(0),
            end_s: u64::try_from(info.suggested_window.end.unix_timestamp()).unwrap_or(0),
        };
        let (least, most) = (limit::RENEWAL_INFO_PAUSE_MIN_S, limit::RENEWAL_INFO_PAUSE_MAX_S);
        (Some(window), pause.as_secs().clamp(least, most))
    }

    /// A new certificate, used and kept.
    async fn renew(&mut self) -> Result<(), AcmeFault> {
        let limit = limit::ACME_ORDER_DEADLINE;
        let outcome = tokio::time::timeout(limit, Box::pin(self.issue())).await;
        let outcome = outcome.unwrap_or(Err(AcmeFault::Late));
        if outcome == Err(AcmeFault::Account) {
            // The next try makes another; that there is one is said.
            self.record.account = None;
            self.account = None;
            self.list_account();
        }
        // Whatever came of it: nobody is to check a name any more.
        self.servers.end_challenge().await;
        let chain = outcome?;
        self.orders.keep(chain.key).await?;
        self.servers.use_chain(Instruction::Chain(chain.certificates.clone())).await?;
        self.record.chain = Some(chain);
        self.list_chain();
        self.store();
        Ok(())
    }

    /// Has the account listed among the live credentials, if there is one.
    fn list_account(&self) {
        let account = self.record.account.as_ref();
        // It has no end that anybody told us, and no beginning but here.
        let one = account.map(|account| self.one(account.expose(), unix_s(), None));
        self.answering.issued.note(CredentialKind::AcmeAccount, one);
    }

    /// The same for the certificate in use.
    fn list_chain(&self) {
        let one = self.record.chain.as_ref().map(|Chain { certificates, life, .. }| {
            let leaf = certificates.first().map(AsRef::as_ref).unwrap_or_default();
            self.one(leaf, life.begin_s, Some(life.end_s))
        });
        self.answering.issued.note(CredentialKind::Certificate, one);
    }

    fn one(&self, bytes: &[u8], since_s: u64, until_s: Option<u64>) -> One {
        // The account's key passes through the stack.
        let name = wiped_now(|| self.answering.sources.values.name(bytes));
        One { name, from: self.settings.ca, since_s, until_s }
    }

    /// What cannot be kept is asked for again after a restart.
    fn store(&self) {
        if let Some(record) = self.record.write(&self.settings) {
            self.kept.store(record.expose()).unwrap_or_default();
        }
    }

    fn say_issued(&self, took: Duration) {
        let Some(Chain { life, .. }) = &self.record.chain else { return };
        self.log.record(&Event::CertificateIssued {
            life_s: u32_of(life.length_s()),
            renew_in_s: u32_of(life.two_thirds_s(0).saturating_sub(unix_s())),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
    }
}

fn seconds(duration: Duration) -> u32 {
    u32_of(duration.as_secs())
}

fn u32_of(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
