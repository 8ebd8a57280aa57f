//! Those whom a machine must believe something: a time server that falls silent or lies, a DHCP server that lies.
//!
//! The liars are ours, because nobody else's server can be told to lie. The honest DHCP server is dnsmasq.

use std::net::UdpSocket;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use crate::built::{drill_image, folder, output};
use crate::caller::{Caller, first_call};
use crate::drills::{GAP_MAX, RECOVERED, row, seconds, served};
use crate::lab::{Lab, TAP};
use crate::machine::{Disk, Event, Machine, Plan};
use ward_policy::limit;
use ward_tests::dhcp::offer;

/// A thread that answers datagrams until the test ends.
struct Answerer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Answerer {
    /// Answers what comes to `port` with what `answer` makes of it; to everyone at `broadcast_to`, if there is one.
    fn new(
        port: u16,
        broadcast_to: Option<u16>,
        mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let socket: OwnedFd =
            socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        // An honest server may have the port as well: what is for everyone comes to both.
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        sockopt::set_socket_reuseport(&socket, true).unwrap();
        bind(socket.as_fd(), &std::net::SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        let socket = UdpSocket::from(socket);
        socket.set_broadcast(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut question = [0; 1_500];
            while !told.load(Ordering::Acquire) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let Some(bytes) = answer(&question[..length]) else { continue };
                if let Some(port) = broadcast_to {
                    socket.send_to(&bytes, ("255.255.255.255", port)).unwrap();
                } else {
                    socket.send_to(&bytes, from).unwrap();
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// What the time server says, in seconds beside the truth.
const SILENT: i64 = i64::MAX;

/// A time server (RFC 5905 §7.3) that is `off` by so many seconds.
fn time_server(off: &Arc<AtomicI64>) -> Answerer {
    let off = Arc::clone(off);
    Answerer::new(123, None, move |question| {
        let off = off.load(Ordering::Acquire);
        if off == SILENT || question.len() < 48 {
            return None;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        // From 1900 to 1970.
        let seconds = i64::try_from(since.as_secs()).unwrap() + off + 2_208_988_800;
        let parts = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        let stamp = (u64::try_from(seconds).unwrap() & 0xffff_ffff) << 32 | parts;
        let mut answer = vec![0; 48];
        // Version 4, server, stratum 2.
        (answer[0], answer[1]) = (0x24, 2);
        answer[24..32].copy_from_slice(&question[40..48]);
        answer[32..40].copy_from_slice(&stamp.to_be_bytes());
        answer[40..48].copy_from_slice(&stamp.to_be_bytes());
        Some(answer)
    })
}

fn value<'e>(event: &'e Event, name: &str) -> &'e str {
    let found = event.fields.iter().find(|(one, _)| one == name);
    found.map_or("", |(_, value)| value.as_str())
}

#[test]
fn a_time_server_that_falls_silent_or_lies_changes_nothing() {
    let folder = folder("clock");
    let lab = Lab::of_agent("echo", &folder);
    lab.name_time_server();
    let off = Arc::new(AtomicI64::new(0));
    let _server = time_server(&off);
    let machine = served(&lab, &drill_image(&folder), true, 256, &folder);
    let set = machine.event_past(0, "INIT-0600", RECOVERED);
    println!("{set:?}");
    let caller = Caller::connect().unwrap();
    // Silent at the next look.
    off.store(SILENT, Ordering::Release);
    let past = machine.lines().len();
    let look = limit::CLOCK_INTERVAL + Duration::from_secs(30);
    let silent = machine.event_past(past, "INIT-0601", look);
    assert_eq!(value(&silent, "why"), "silent");
    // An hour ahead at the one after it, which comes soon.
    off.store(3_600, Ordering::Release);
    let again = limit::CLOCK_RETRY * 2 + Duration::from_secs(10);
    let past = machine.lines().len();
    let lie = machine.event_past(past, "INIT-0601", again);
    assert_eq!(value(&lie, "why"), "too_far");
    // Who comes back has not forgotten that the clock is set.
    let past = machine.lines().len();
    assert_eq!(machine.obey("kill net").len(), 1);
    machine.event_past(past, "INIT-0805", RECOVERED);
    let lie = machine.event_past(past, "INIT-0601", again);
    assert_eq!(value(&lie, "why"), "too_far");
    // Honest again.
    off.store(0, Ordering::Release);
    let begun = Instant::now();
    let right = machine.event_past(past, "INIT-0600", again);
    let moved: i64 = value(&right, "moved_ms").parse().unwrap();
    assert!(moved.abs() < 2_000, "nobody moved it: {right:?}");
    assert!(caller.is_alive(GAP_MAX) && caller.seen().longest < GAP_MAX, "{:?}", caller.seen());
    row(
        "stop the time server, then have it lie by an hour",
        "INIT-0601 `why=silent`, `why=too_far`; INIT-0600",
        "goes on",
        &format!("{} after it is honest again", seconds(begun.elapsed())),
    );
    std::fs::remove_dir_all(folder).unwrap();
}

/// What a lie adds to an offer, and what the console calls it.
type Lie = (&'static [u8], &'static str);

/// In the order in which they are told; each is an option, its length, its bytes. More of them are in `tests/net`: questions come further and
/// further apart, and a machine without an address starts again after a minute.
const LIES: [Lie; 4] = [
    (&[51, 4, 0, 0, 0, 1], "lease"),
    (&[51, 4, 0, 1, 0, 0, 26, 2, 0, 68], "mtu"),
    (&[51, 4, 0, 1, 0, 0, 3, 4, 127, 0, 0, 1], "router"),
    (&[51, 4, 0, 1, 0, 0, 121, 1, 99], "option_121"),
];

#[test]
fn a_dhcp_server_that_lies_is_named_each_time_and_an_honest_one_is_followed() {
    let folder = folder("liar");
    let mut lab = Lab::of_agent("echo", &folder);
    lab.silence_dhcp();
    // Which lie is told: each until it is named, because the console names one a second at most.
    let named = Arc::new(AtomicUsize::new(0));
    let next = Arc::clone(&named);
    let liar = Answerer::new(67, Some(68), move |question| {
        let (lie, _) = LIES[next.load(Ordering::Acquire) % LIES.len()];
        (question.len() >= 240).then(|| offer(question, [10, 44, 0], lie))
    });
    let mut plan = Plan::new(Disk::Virtio, &output("image-raw", "ward.raw"));
    plan.tap = Some(TAP.to_owned());
    plan.fw_cfg = lab.handed(true);
    let begun = Instant::now();
    let machine = Machine::start(&plan, &folder);
    for (_, why) in LIES {
        let word = format!("why={why}");
        let is_it =
            |text: &str| text.contains("INIT-0505") && text.split(' ').any(|field| field == word);
        machine.wait(why, Duration::from_secs(90), is_it);
        named.fetch_add(1, Ordering::AcqRel);
    }
    println!("every lie was named {} after power-on", seconds(begun.elapsed()));
    assert!(!machine.has_said(0, &["INIT-0503"]), "{}", machine.told());
    // Both from here on: the liar answers each question, too.
    lab.answer_dhcp();
    let begun = Instant::now();
    let address = machine.event_past(0, "INIT-0503", Duration::from_secs(60));
    assert!(value(&address, "address").starts_with("10.44.0.2/"), "{address:?}");
    machine.event_past(0, "INIT-0801", Duration::from_secs(60));
    let recovered = first_call(RECOVERED) - begun;
    drop(liar);
    let named = LIES.map(|(_, why)| why).join("`, `");
    row(
        "a DHCP server that lies",
        &format!("INIT-0505 `why=` `{named}`; INIT-0503"),
        "–: none before there is an address",
        &format!("{} after an honest one beside it", seconds(recovered)),
    );
    std::fs::remove_dir_all(folder).unwrap();
}
