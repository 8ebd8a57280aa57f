//! What PID 1 waits for: news of the network, a server that serves, the end of a child, the power button. It decides nothing of it.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Signal, WaitOptions, kill_process, wait};
use ward_policy::limit;
use ward_sys::signals::Told;

use super::fault::Fault;
use super::{Boot, Done};
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

/// Up to [`limit::NEWS_AT_ONCE`] records of a channel, or the length of what is none; and whether it is at its end.
fn hear(channel: &OwnedFd) -> (Vec<Result<News, usize>>, bool) {
    let (mut records, mut buffer) = (Vec::new(), [0; news::BYTES + 1]);
    while records.len() < limit::NEWS_AT_ONCE {
        match recv(channel, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return (records, true),
            Ok((length, _)) => {
                let news = News::from_bytes(buffer.get(..length).unwrap_or_default());
                records.push(news.ok_or(length));
            }
            Err(Errno::AGAIN | Errno::INTR) => break,
            Err(_) => return (records, true),
        }
    }
    (records, false)
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

    /// A short wait before something is looked at again, not past `until`: speaks to the watchdog, and hears the button.
    pub(super) fn pause(&mut self, until: Duration) -> Done {
        let end = now().saturating_add(limit::DISKS_PAUSE).min(until);
        while let Some(happening) = self.next(end) {
            if happening == Happening::Stop {
                return Err(Fault::new(code::POWER_BUTTON));
            }
        }
        Ok(())
    }

    fn wait(&self, patience: Duration) {
        let all = [
            self.signals.as_ref().map(AsFd::as_fd),
            self.power.as_ref().map(AsFd::as_fd),
            self.network.as_ref().and_then(|role| role.news.as_ref()).map(AsFd::as_fd),
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

    /// A few records of the network role's. One that closes its end has nothing more to say and is ended, so that another takes its place.
    fn hear_network(&mut self) {
        let Some(role) = &mut self.network else { return };
        let Some(channel) = &role.news else { return };
        let (records, is_over) = hear(channel);
        if is_over {
            role.news = None;
            kill_process(role.pid, Signal::KILL).unwrap_or_default();
        }
        for record in records {
            match record {
                Ok(news) => self.note(news),
                Err(length) => self.say(code::NEWS_REFUSED, &[("bytes", &length)]),
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
                let servers: Vec<_> = servers.collect();
                // Whoever was started with the former ones has them until its end.
                let are_others = self.supervisor.is_some() && self.name_servers != servers;
                let count = servers.len();
                self.name_servers = servers;
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
                if are_others {
                    self.say(code::NAME_SERVERS, &[("count", &count)]);
                }
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

    #[test]
    fn who_never_stops_talking_is_heard_a_few_records_at_a_time() {
        let (ours, theirs) = crate::launch::control().unwrap();
        let send = |bytes: &[u8]| {
            rustix::net::send(&theirs, bytes, rustix::net::SendFlags::NOSIGNAL).unwrap();
        };
        send(b"no record");
        for _ in 0..limit::NEWS_AT_ONCE {
            send(&News::Asking.to_bytes());
        }
        let (records, is_over) = hear(&ours);
        assert_eq!((records.len(), is_over), (limit::NEWS_AT_ONCE, false));
        assert_eq!(records[..2], [Err(9), Ok(News::Asking)]);
        assert_eq!(hear(&ours), (vec![Ok(News::Asking)], false));
        assert_eq!(hear(&ours), (vec![], false), "nothing more, and still there");
        drop(theirs);
        assert_eq!(hear(&ours), (vec![], true));
    }

    #[test]
    fn a_pause_ends_at_its_time_and_at_once_when_the_button_is_pressed() {
        let mut boot = Boot::new(crate::console::Console::default());
        let began = now();
        assert_eq!(boot.pause(Duration::MAX), Ok(()));
        assert!(now().saturating_sub(began) >= limit::DISKS_PAUSE);
        boot.waiting.extend([Happening::Ready, Happening::Stop]);
        assert_eq!(boot.pause(Duration::MAX).unwrap_err().code, code::POWER_BUTTON);
    }
}
