//! Which UDP ports of a machine are not closed, asked from outside: a port is closed when the machine says so, and silence is none.
//!
//! A kernel says so to one asker six times at once and then once a second (`icmp_ratelimit`), so each address of a whole network asks for a
//! few ports only; and a thousand times a second to all (`icmp_msgs_per_sec`), so it is asked more slowly than that. It sends one small
//! datagram a port and nothing to any other machine.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

/// Addresses that ask: 10.45.0.0/16.
const ASKERS: u32 = 0x0a2d_0000;
const ASKERS_COUNT: u32 = 1 << 16;
/// Ports that one address asks for; the kernel answers six.
const PORTS_EACH: u32 = 4;
/// Ports asked for at once, and the least time that this takes: five hundred a second.
const BATCH: usize = 32;
const BATCH_TIME: Duration = Duration::from_millis(64);
/// How long an answer is waited for, in each round; who was silent is asked in the next.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Makes every address that asks one of this thread's network.
pub(crate) fn be_many() {
    let network = format!("{}/16", Ipv4Addr::from_bits(ASKERS));
    let status = Command::new("ip").args(["route", "add", "local", &network, "dev", "lo"]).status();
    assert!(status.is_ok_and(|status| status.success()), "ip route add local {network}");
}

/// The ports of `machine` that answer, or do not say that they are closed, in any of four rounds.
pub(crate) fn not_closed(machine: Ipv4Addr, ports: impl IntoIterator<Item = u16>) -> Vec<u16> {
    let mut left: Vec<u16> = ports.into_iter().collect();
    let mut asked = 0;
    for patience in PATIENCE {
        let round = std::mem::take(&mut left);
        for batch in round.chunks(BATCH) {
            let began = Instant::now();
            left.extend(silent(machine, batch, &mut asked, patience));
            std::thread::sleep(BATCH_TIME.saturating_sub(began.elapsed()));
        }
    }
    left
}

fn silent(machine: Ipv4Addr, ports: &[u16], asked: &mut u32, patience: Duration) -> Vec<u16> {
    let mut open: Vec<(u16, UdpSocket)> = Vec::new();
    for port in ports {
        // The network's own address asks for nothing.
        let asker = ASKERS + 1 + *asked / PORTS_EACH % (ASKERS_COUNT - 2);
        *asked += 1;
        let socket = UdpSocket::bind((Ipv4Addr::from_bits(asker), 0)).unwrap();
        socket.connect((machine, *port)).unwrap();
        socket.set_nonblocking(true).unwrap();
        // The answer to one before it may be what this says; it is asked again then.
        drop(socket.send(b"anybody there?"));
        open.push((*port, socket));
    }
    let until = Instant::now() + patience;
    loop {
        open.retain(|(_, socket)| {
            let heard = socket.recv(&mut [0; 64]);
            !heard.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
        if open.is_empty() || Instant::now() >= until {
            return open.into_iter().map(|(port, _)| port).collect();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The negative control: a neighbour with a port that is open and says nothing.
#[test]
fn a_silent_udp_port_is_told_from_closed_ones() {
    use std::sync::mpsc::channel;
    use ward_tests::network::enter_network;

    const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 44, 0, 2);
    const OPEN: u16 = 20_300;
    fn ip(words: &str) {
        let status = Command::new("ip").args(words.split(' ')).status().unwrap();
        assert!(status.success(), "ip {words}");
    }
    enter_network(&[]);
    be_many();
    let (place, its_place) = channel();
    let (go, gone) = channel();
    let (ready, is_ready) = channel();
    let neighbour = std::thread::spawn(move || {
        enter_network(&[]);
        let (process, thread) = (std::process::id(), rustix::thread::gettid().as_raw_nonzero());
        place.send(format!("/proc/{process}/task/{thread}/ns/net")).unwrap();
        gone.recv_timeout(Duration::from_secs(20)).unwrap();
        ip("address add 10.44.0.2/24 dev there");
        ip("link set there up");
        ip("route add default via 10.44.0.1");
        let _silent = UdpSocket::bind(("0.0.0.0", OPEN)).unwrap();
        ready.send(()).unwrap();
        // Until the asking is over.
        assert!(gone.recv_timeout(Duration::from_secs(60)).is_err(), "nobody says so");
    });
    let place = its_place.recv_timeout(Duration::from_secs(20)).unwrap();
    ip(&format!("link add here type veth peer name there netns {place}"));
    ip("address add 10.44.0.1/24 dev here");
    ip("link set here up");
    go.send(()).unwrap();
    is_ready.recv_timeout(Duration::from_secs(20)).unwrap();
    // A hundred times what one asker is answered.
    assert_eq!(not_closed(NEIGHBOUR, OPEN - 300..OPEN + 300), [OPEN]);
    drop(go);
    neighbour.join().unwrap();
}
