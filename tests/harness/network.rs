//! A network of the test's own: a namespace with loopback and whatever addresses the test gives it.
//!
//! Nothing in it reaches another machine. A thread is in it, and what the thread starts.

use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A process that is ended with the test.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Moves this thread into a new network, in which loopback has `addresses` too.
///
/// Only root may give a network addresses such as that of a metadata service.
pub fn enter_network(addresses: &[&str]) {
    assert!(rustix::process::geteuid().is_root(), "this test needs root: it makes a network");
    let mut holder = Command::new("unshare");
    holder.args(["--net", "sleep", "60"]).stdin(Stdio::null());
    let holder = Running(holder.spawn().unwrap());
    let path = format!("/proc/{}/ns/net", holder.0.id());
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_link(&path).is_ok_and(|theirs| theirs == ours) {
        assert!(Instant::now() < until, "no network");
        std::thread::sleep(Duration::from_millis(5));
    }
    let namespace = std::fs::File::open(path).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    ip(&["link", "set", "lo", "up"]);
    for address in addresses {
        ip(&["address", "add", address, "dev", "lo"]);
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}");
}

/// The port of [`name_server`].
pub const NAME_SERVER_PORT: u16 = 5_353;

/// A name server on loopback that knows `names` and nobody else.
#[must_use]
pub fn name_server(names: &[(&str, &str)]) -> Running {
    let mut command = Command::new("dnsmasq");
    command.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
    ]);
    command.args(["--bind-interfaces", "--listen-address=127.0.0.1", "--pid-file="]);
    command.arg(format!("--port={NAME_SERVER_PORT}"));
    // Whatever else is asked does not exist.
    command.arg("--address=/#/");
    for (name, address) in names {
        command.arg(format!("--host-record={name},{address}"));
    }
    // So that an answer with many addresses is cut, and asked for again over TCP.
    command.arg("--edns-packet-max=512");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", NAME_SERVER_PORT)).is_err() {
        assert!(Instant::now() < until, "no name server");
        std::thread::sleep(Duration::from_millis(10));
    }
    running
}
