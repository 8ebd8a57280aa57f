//! `net`: brings the machine onto the network and keeps it there, and sets its clock. It is the image's own role.
//!
//! Its sockets are made before its cell is closed: one that hears DHCP's answers and nothing else, two to the kernel. It tells PID 1 what
//! it did in records of a fixed length, holds no secret, and hears no caller: it makes datagrams of one question each, and no connection.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use ward_edge::handed::Handed;
use ward_edge::start::StartError;
use ward_policy::audit::Role;
use ward_policy::limit;
use ward_sys::cell::Cell;
use ward_sys::packet::PacketSocket;
use ward_sys::process::{end_with, leave};

use client::{Change, Client, Todo};
use clock::{TimeKeeper, boot_time};
use kernel::Kernel;
use lease::Lease;
use news::{Addresses, News};

pub mod refusal;
pub mod dhcp;
pub mod lease;
pub mod client;
pub mod netlink;
pub mod sntp;
pub mod news;
mod clock;
mod kernel;
pub mod link;

/// Runs the role until PID 1 ends it.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    match start(arguments) {
        Ok(mut net) => net.run(),
        Err(error) => ExitCode::from(error as u8),
    }
}

/// What stands on the command line beside descriptors.
struct Words {
    link: link::Link,
    /// Whom the operator wants to be asked for the time, if anyone in particular.
    times: Vec<Ipv4Addr>,
    /// Whether others go by the clock already: a predecessor has set it.
    is_set: bool,
    handed: Handed,
}

fn words(arguments: impl Iterator<Item = String>) -> Result<Words, StartError> {
    let (mut link, mut times, mut is_set, mut rest) = (None, Vec::new(), false, Vec::new());
    for argument in arguments {
        match argument.split_once('=') {
            Some(("link", text)) => link = link::Link::parse(text),
            Some(("time", address)) => {
                times.push(address.parse().map_err(|_address| StartError::Handed)?);
            }
            Some(("clock", "set")) => is_set = true,
            _ => rest.push(argument),
        }
    }
    let handed = Handed::adopt(rest.into_iter()).map_err(|_handed| StartError::Handed)?;
    Ok(Words { link: link.ok_or(StartError::Handed)?, times, is_set, handed })
}

fn start(arguments: impl Iterator<Item = String>) -> Result<Net, StartError> {
    let Words { link, times, is_set, mut handed } = words(arguments)?;
    let target = handed.target.ok_or(StartError::Handed)?;
    let news = handed.news.take().ok_or(StartError::Handed)?;
    // The first look at the clock asks the kernel where its shared page is, which nobody may in the cell.
    let now = boot_time();
    let packets = PacketSocket::open(link.index)?;
    let kernel = Kernel::open(link.index)?;
    let mut descriptors = handed.numbers.clone();
    descriptors.push(packets.as_fd().as_raw_fd());
    descriptors.extend(kernel.numbers());
    let cell = Cell {
        role: Role::Net,
        target,
        descriptors,
        descriptors_max: DESCRIPTORS_MAX,
        ports: Vec::new(),
        file_bytes_max: 0,
    };
    let refused = |_stop| {
        tell(&news, News::Refused);
        StartError::Cell
    };
    cell.enter(|_applied| {}).map_err(refused)?;
    if handed.launcher.is_some_and(|launcher| !end_with(launcher)) {
        return Err(StartError::System);
    }
    let filter = cell.filter().map_err(refused)?;
    Cell::seal(&filter).map_err(refused)?;
    tell(&news, News::Asking);
    Ok(Net {
        client: Client::new(link.hardware, now),
        time: TimeKeeper::new(handed.ptp.take(), times, is_set, now),
        packets,
        kernel,
        news,
        refused_at: None,
    })
}

/// The channel, the hypervisor's clock, three sockets, one for a question, and what the C library takes.
const DESCRIPTORS_MAX: u64 = 16;

fn tell(channel: &OwnedFd, news: News) {
    // PID 1 that does not listen is gone, and this process with it.
    send(channel, &news.to_bytes(), SendFlags::NOSIGNAL).map(drop).unwrap_or_default();
}

/// See the module.
struct Net {
    client: Client,
    time: TimeKeeper,
    packets: PacketSocket,
    kernel: Kernel,
    news: OwnedFd,
    /// When a refused answer was told of last: a flood of them does not fill the console.
    refused_at: Option<Duration>,
}

impl Net {
    fn run(&mut self) -> ! {
        if let Err(error) = self.kernel.up(None) {
            self.tell_error(&error);
        }
        loop {
            self.ask();
            if let Some(news) = self.time.tick(self.client.lease().is_some()) {
                tell(&self.news, news);
            }
            self.wait();
            self.hear();
        }
    }

    /// Everything that is due of the lease.
    fn ask(&mut self) {
        while self.client.due() <= boot_time() {
            let before = self.client.lease().cloned();
            match self.client.tick(boot_time(), clock::random()) {
                Todo::Nothing => return,
                // What is lost on the way, or not sent because the link is down, is asked again.
                Todo::Broadcast(packet) => self.packets.broadcast(&packet).unwrap_or_default(),
                Todo::Send { to, datagram } => {
                    let from = before.map_or(Ipv4Addr::UNSPECIFIED, |lease| lease.address);
                    kernel::send_from(from, to, &datagram).unwrap_or_default();
                }
                Todo::GiveUp => self.give_up(before.as_ref()),
            }
        }
    }

    /// Until something is heard, or due.
    fn wait(&self) {
        let due = self.client.due().min(self.time.due(self.client.lease().is_some()));
        let patience = Timespec::try_from(due.saturating_sub(boot_time())).ok();
        let mut all = [
            PollFd::new(&self.packets, PollFlags::IN),
            PollFd::from_borrowed_fd(self.kernel.events(), PollFlags::IN),
            PollFd::new(&self.news, PollFlags::empty()),
        ];
        // A signal is as good as a time that has come.
        poll(&mut all, patience.as_ref()).map(drop).unwrap_or_default();
        if all.last().is_some_and(|news| !news.revents().is_empty()) {
            leave(0);
        }
    }

    fn hear(&mut self) {
        if let Some(is_running) = self.kernel.heard() {
            tell(&self.news, News::Link { is_running });
            if is_running {
                self.client.hurry(boot_time());
            }
        }
        let mut buffer = [0; limit::DHCP_BYTES_MAX];
        // A few at a time, so that a flood does not keep what is due from being done.
        for _ in 0..limit::DHCP_REFUSED_MAX {
            let Ok((bytes, _)) = recv(&self.packets, &mut buffer[..], RecvFlags::DONTWAIT) else {
                return;
            };
            let before = self.client.lease().cloned();
            match self.client.take(buffer.get(..bytes).unwrap_or_default(), boot_time()) {
                Ok(Change::Nothing | Change::Offered) => {}
                Ok(Change::Bound(lease)) => self.follow(before.as_ref(), &lease),
                Ok(Change::GiveUp) => self.give_up(before.as_ref()),
                Err(refusal) => {
                    let now = boot_time();
                    let is_quiet = |at: Duration| now.saturating_sub(at) >= limit::DHCP_RETRY_MIN;
                    if self.refused_at.is_none_or(is_quiet) {
                        self.refused_at = Some(now);
                        tell(&self.news, News::AnswerRefused(refusal));
                    }
                }
            }
        }
    }

    /// Makes the machine what the lease says.
    fn follow(&mut self, before: Option<&Lease>, lease: &Lease) {
        if let Some(before) = before.filter(|before| before.address != lease.address) {
            self.give_up(Some(before));
        }
        if let Err(error) = self.kernel.follow(lease) {
            self.tell_error(&error);
            return;
        }
        self.time.learn(&lease.time_servers);
        let mut name_servers: Addresses = [Ipv4Addr::UNSPECIFIED; limit::DHCP_ADDRESSES_MAX];
        name_servers.iter_mut().zip(&lease.name_servers).for_each(|(place, one)| *place = *one);
        let seconds = u32::try_from(lease.length.as_secs()).unwrap_or(u32::MAX);
        tell(
            &self.news,
            News::Address {
                address: lease.address,
                prefix: lease.prefix,
                routes: u8::try_from(lease.routes.len()).unwrap_or(u8::MAX),
                mtu: lease.mtu.unwrap_or(0),
                lease_s: seconds,
                name_servers,
            },
        );
    }

    fn give_up(&mut self, lease: Option<&Lease>) {
        if let Some(Err(error)) = lease.map(|lease| self.kernel.forget(lease)) {
            self.tell_error(&error);
        }
        tell(&self.news, News::Lost);
    }

    fn tell_error(&self, error: &io::Error) {
        let errno = error.raw_os_error().and_then(|errno| u16::try_from(errno).ok()).unwrap_or(0);
        tell(&self.news, News::OrderRefused { errno });
    }
}
