//! What PID 1 waits for: news of the network, a server that serves, the end of a child, the power button. It decides nothing of it.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use rustix::process::{WaitOptions, wait};
use ward_policy::limit;
use ward_sys::signals::Told;

use super::Boot;
use crate::code;
use crate::console::now;
use crate::net::news::{self, News, Source};

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// The network role said so.
    News(News),
    /// A server serves.
    Ready,
    /// The network role has ended: status, and signal.
    NetworkEnded(i32, i32),
    /// The supervisor has ended: status, and signal.
    SupervisorEnded(i32, i32),
    /// Somebody wants an end.
    Stop,
}

/// How often something ended in a while.
#[derive(Debug, Default)]
pub(super) struct Budget {
    since: Duration,
    pub(super) ends: u32,
}

impl Budget {
    /// Counts one end; whether it is one too many.
    pub(super) fn is_spent(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= limit::RESTARTS_WINDOW {
            (self.since, self.ends) = (now, 0);
        }
        self.ends = self.ends.saturating_add(1);
        self.ends > limit::KEPT_STARTS_MAX
    }
}

impl Boot {
    /// The next thing that happens until `until`. What it is is said on the console already.
    pub(super) fn next(&mut self, until: Duration) -> Option<Happening> {
        loop {
            if let Some(happening) = self.waiting.pop_front() {
                return Some(happening);
            }
            let now = now();
            if let Some(watchdog) = &mut self.watchdog {
                watchdog.tick(now);
            }
            if now >= until {
                return None;
            }
            let due = self.watchdog.as_ref().map_or(until, |watchdog| watchdog.due().min(until));
            self.wait(due.saturating_sub(now));
            self.collect();
        }
    }

    fn wait(&self, patience: Duration) {
        let all = [
            self.signals.as_ref().map(AsFd::as_fd),
            self.power.as_ref().map(AsFd::as_fd),
            self.network.as_ref().map(|role| role.news.as_fd()),
            self.cells.as_ref().map(|cells| cells.ready.as_fd()),
        ];
        let all = all.into_iter().flatten();
        let mut all: Vec<PollFd<'_>> =
            all.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
        let patience = Timespec::try_from(patience).ok();
        // What interrupts a wait is seen by the next.
        poll(&mut all, patience.as_ref()).map(drop).unwrap_or_default();
    }

    fn collect(&mut self) {
        if self.power.as_ref().is_some_and(crate::power::PowerButton::was_pressed) {
            self.waiting.push_back(Happening::Stop);
        }
        while let Some(told) = self.signals.as_ref().and_then(ward_sys::signals::Signals::next) {
            match told {
                Told::Child => self.reap(),
                Told::Stop => self.waiting.push_back(Happening::Stop),
            }
        }
        self.hear_network();
        let mut byte = [0; 64];
        let ready = self.cells.as_ref().map(|cells| rustix::io::read(&cells.ready, &mut byte[..]));
        if matches!(ready, Some(Ok(1..))) {
            self.waiting.push_back(Happening::Ready);
        }
    }

    /// Every child that has ended, those of children that ended first included.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let code = status.exit_status().unwrap_or(0);
            let signal = status.terminating_signal().unwrap_or(0);
            if self.supervisor == Some(pid) {
                self.supervisor = None;
                self.waiting.push_back(Happening::SupervisorEnded(code, signal));
            } else if self.network.as_ref().is_some_and(|role| role.pid == pid) {
                // What it said last is still to be heard.
                self.hear_network();
                self.network = None;
                self.waiting.push_back(Happening::NetworkEnded(code, signal));
            }
        }
    }

    fn hear_network(&mut self) {
        let mut buffer = [0; news::BYTES + 1];
        while let Some(role) = &self.network {
            match recv(&role.news, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length @ 1.., _)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    match News::from_bytes(bytes) {
                        Some(news) => self.note(news),
                        None => self.say(code::NEWS_REFUSED, &[("bytes", &length)]),
                    }
                }
                // Nothing more, or its end, which its own end tells.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Says what the network role said, and keeps what others need of it.
    fn note(&mut self, news: News) {
        let word = |source: Source| match source {
            Source::Hypervisor => "hypervisor".to_owned(),
            Source::Server(server) => server.to_string(),
        };
        match news {
            News::Asking => self.say(code::ASKING, &[]),
            News::Link { is_running } => {
                self.say(code::LINK, &[("running", if is_running { &"yes" } else { &"no" })]);
            }
            News::Address { address, prefix, routes, mtu, lease_s, name_servers } => {
                let servers = name_servers.into_iter().filter(|one| !one.is_unspecified());
                self.name_servers = servers.collect();
                let count = self.name_servers.len();
                self.say(
                    code::ADDRESS,
                    &[
                        ("address", &format_args!("{address}/{prefix}")),
                        ("routes", &routes),
                        ("mtu", &mtu),
                        ("lease_s", &lease_s),
                        ("name_servers", &count),
                    ],
                );
            }
            News::Lost => self.say(code::ADDRESS_LOST, &[]),
            News::AnswerRefused(refusal) => self.say(code::ANSWER_REFUSED, &[("why", &refusal)]),
            News::OrderRefused { errno } => self.say(code::ORDER_REFUSED, &[("errno", &errno)]),
            News::Clock { source, moved_ms, unsure_us } => {
                (self.is_confirmed, self.is_asked) = (true, true);
                let source = word(source);
                self.say(
                    code::CLOCK,
                    &[("source", &source), ("moved_ms", &moved_ms), ("unsure_us", &unsure_us)],
                );
            }
            News::ClockRefused { source, refusal } => {
                // A hypervisor's clock is not the last that is asked.
                self.is_asked |= source != Source::Hypervisor;
                self.say(code::CLOCK_REFUSED, &[("source", &word(source)), ("why", &refusal)]);
            }
            News::ClockUnknown => self.is_asked = true,
            News::Refused => self.say(code::NETWORK_CELL, &[]),
        }
        self.waiting.push_back(Happening::News(news));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_ends_in_a_while_are_borne() {
        let mut budget = Budget::default();
        for second in 0..limit::KEPT_STARTS_MAX {
            assert!(!budget.is_spent(Duration::from_secs(second.into())));
        }
        assert!(budget.is_spent(Duration::from_secs(30)));
        assert!(!budget.is_spent(Duration::from_secs(300)));
    }
}
