//! Two networks with a wire between them: servers at one end, the role at the other.

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use ward_init::net::link::Link;
use ward_init::net::news::{self, News};
use ward_init::net::refusal::Refusal;
use ward_tests::binaries::release;
use ward_tests::dhcp::offer;

/// The servers' end of the wire.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Ended with the test.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) struct Rig {
    servers: Running,
    client: Running,
    folder: std::path::PathBuf,
}

fn network() -> Running {
    let mut holder = Command::new("unshare");
    holder.args(["--net", "sleep", "120"]).stdin(Stdio::null());
    let holder = Running(holder.spawn().unwrap());
    let path = format!("/proc/{}/ns/net", holder.0.id());
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while std::fs::read_link(&path).is_ok_and(|theirs| theirs == ours) {
        assert!(Instant::now() < until, "no network");
        std::thread::sleep(Duration::from_millis(5));
    }
    holder
}

fn run(place: u32, words: &[&str]) -> String {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{place}/ns/net")).args(words);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Rig {
    pub(crate) fn new(name: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root: it makes networks");
        let (servers, client) = (network(), network());
        let there = client.0.id().to_string();
        let rig = Self {
            servers,
            client,
            folder: std::env::temp_dir().join(format!("ward-net-{}-{name}", std::process::id())),
        };
        std::fs::create_dir(&rig.folder).unwrap();
        rig.outside(&[
            "ip", "link", "add", "s0", "type", "veth", "peer", "name", "c0", "netns", &there,
        ]);
        rig.outside(&["ip", "address", "add", "10.77.0.1/24", "dev", "s0"]);
        rig.outside(&["ip", "link", "set", "s0", "up"]);
        rig.outside(&["ip", "link", "set", "lo", "up"]);
        rig.outside(&["ip", "route", "add", "255.255.255.255", "dev", "s0"]);
        rig
    }

    /// Runs a command at the servers' end.
    pub(crate) fn outside(&self, words: &[&str]) -> String {
        run(self.servers.0.id(), words)
    }

    /// Runs one at the role's end.
    pub(crate) fn inside(&self, words: &[&str]) -> String {
        run(self.client.0.id(), words)
    }

    fn server(&self, words: &[&str]) -> Running {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.servers.0.id())).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// A real DHCP server with these options more.
    pub(crate) fn dnsmasq(&self, options: &[&str]) -> Running {
        let leases = format!("--dhcp-leasefile={}", self.folder.join("leases").display());
        let mut words = vec![
            "dnsmasq",
            "--no-daemon",
            "--conf-file=/dev/null",
            "--user=root",
            "--pid-file=",
            "--port=0",
            "--interface=s0",
            "--bind-interfaces",
            "--no-ping",
            "--dhcp-authoritative",
            "--dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0,120",
            &leases,
        ];
        words.extend(options);
        self.server(&words)
    }

    /// A real time server that tells this machine's own time, and never touches it.
    pub(crate) fn chrony(&self) -> Running {
        let file = self.folder.join("chrony.conf");
        let pid = self.folder.join("chrony.pid");
        let text = format!(
            "local stratum 5\nallow all\nbindaddress 10.77.0.1\ncmdport 0\npidfile {}\n",
            pid.display()
        );
        std::fs::write(&file, text).unwrap();
        let running =
            self.server(&["chronyd", "-x", "-d", "-u", "root", "-f", file.to_str().unwrap()]);
        let until = Instant::now() + Duration::from_secs(10);
        while !self.outside(&["ss", "-Hlnu"]).contains(":123 ") {
            assert!(Instant::now() < until, "no time server");
            std::thread::sleep(Duration::from_millis(20));
        }
        running
    }

    /// A server that answers each question with the first lie, until it is told to go on: an answer may come too late for its question.
    pub(crate) fn liar(&self, lies: Vec<(&'static [u8], Refusal)>) -> Liar {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, ended) = (lies.clone(), Arc::clone(&stop));
        let now = Arc::new(AtomicUsize::new(0));
        let which = Arc::clone(&now);
        let place = format!("/proc/{}/ns/net", self.servers.0.id());
        let thread = std::thread::spawn(move || {
            let place = std::fs::File::open(place).unwrap();
            move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let socket = UdpSocket::bind("0.0.0.0:67").unwrap();
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            while !ended.load(Ordering::Acquire) {
                let mut question = [0; 1_500];
                let Ok((length, _)) = socket.recv_from(&mut question) else { continue };
                let lie = told[which.load(Ordering::Acquire)].0;
                socket
                    .send_to(&offer(&question[..length], [10, 77, 0], lie), "255.255.255.255:68")
                    .unwrap();
            }
        });
        Liar { lies, now, stop, thread: Some(thread) }
    }

    /// Starts the role as PID 1 does.
    pub(crate) fn start(&self, words: &[&str]) -> Role {
        let text = self.inside(&["ip", "-o", "link", "show", "c0"]);
        let index: u32 = text.split(':').next().unwrap().parse().unwrap();
        let hardware = text.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
        let link = Link::parse(&format!("{index},{hardware}")).unwrap();
        let (news, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None)
                .unwrap();
        rustix::io::fcntl_setfd(&news, rustix::io::FdFlags::CLOEXEC).unwrap();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.client.0.id()));
        command.arg(release("ward-init")).arg("net").args(words);
        command.arg(format!("link={}", link.to_text()));
        command.arg(format!("target={}", ward::launch::target().name()));
        command.arg(format!("launcher={}", std::process::id()));
        command.arg(format!("news={}", theirs.as_raw_fd()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Role { process: Running(command.spawn().unwrap()), news }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// See [`Rig::liar`].
pub(crate) struct Liar {
    pub(crate) lies: Vec<(&'static [u8], Refusal)>,
    now: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Liar {
    /// Which of its lies it tells from now on.
    pub(crate) fn tell(&self, which: usize) {
        self.now.store(which, Ordering::Release);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

/// The running role.
pub(crate) struct Role {
    process: Running,
    news: OwnedFd,
}

impl Role {
    /// What it says next.
    pub(crate) fn next(&mut self, patience: Duration) -> News {
        let patience = Timespec::try_from(patience).unwrap();
        let mut one = [PollFd::new(&self.news, PollFlags::IN)];
        let ready = poll(&mut one, Some(&patience)).unwrap();
        let ended = self.process.0.try_wait().unwrap();
        assert!(ready == 1, "it says nothing; {ended:?}");
        let mut record = [0; news::BYTES + 1];
        let (length, _) = recv(&self.news, &mut record[..], RecvFlags::empty()).unwrap();
        News::from_bytes(&record[..length]).unwrap_or_else(|| panic!("{length} bytes; {ended:?}"))
    }

    /// The first of this kind that it says in a while.
    pub(crate) fn await_one(&mut self, is_it: impl Fn(&News) -> bool) -> News {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let news = self.next(Duration::from_secs(30));
            if is_it(&news) {
                return news;
            }
            assert!(Instant::now() < until, "{news:?}");
        }
    }

    /// Whether its cell is on: three powers, a filter, nobody else's user.
    pub(crate) fn is_confined(&self) {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(':').unwrap().1.trim().to_owned()
        };
        // NET_BIND_SERVICE 10, NET_ADMIN 12, SYS_TIME 25.
        let powers = 1_u64 << 10 | 1 << 12 | 1 << 25;
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), powers, "{set}");
        }
        assert_eq!(field("CapBnd"), "0000000000000000");
        assert_eq!((field("Seccomp"), field("NoNewPrivs")), ("2".to_owned(), "1".to_owned()));
        assert!(field("Uid").starts_with("65115"), "{}", field("Uid"));
    }
}
