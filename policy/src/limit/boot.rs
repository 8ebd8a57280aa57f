//! The image: how long a boot waits for what, how much it reads of what others wrote, and what PID 1 does then.

use std::time::Duration;

// --- Boot ---

/// The kernel's random number generator, from its first asking to seeded. A machine with a virtual random device is seeded before
/// PID 1 runs; one without gathers it from timer jitter within a second or two (Linux, `drivers/char/random.c`).
pub const ENTROPY_DEADLINE: Duration = Duration::from_secs(30);
/// A configuration, from the first look to finding one: disks on a slow bus appear after PID 1 does.
pub const CONFIGURATION_DEADLINE: Duration = Duration::from_secs(5);
/// The pause between two looks at the disks.
pub const DISKS_PAUSE: Duration = Duration::from_millis(50);
/// An address, from the first question to being on the network. Four questions of RFC 2131 §4.1 and their pauses.
pub const NETWORK_DEADLINE: Duration = Duration::from_secs(60);
/// The servers, from their start to serving. The slowest part is a certificate's key.
pub const SERVERS_DEADLINE: Duration = Duration::from_secs(60);
/// The same as [`super::ROLE_STARTED_AFTER`] on the image, whose machine may be an emulated one: a role that finds its settings wrong needs
/// longer for that than a fast machine does.
pub const ROLE_STARTED_AFTER_ON_IMAGE: Duration = Duration::from_secs(5);
/// The configuration file, in bytes.
pub const CONFIGURATION_BYTES_MAX: usize = 64 * 1024;
/// The pause before the machine starts again when what failed lies outside it. Long enough that a fleet does not fall on whatever
/// failed, short enough that a caller's next try finds it mended.
pub const REBOOT_DELAY: Duration = Duration::from_secs(10);
/// A line of the console whose other end takes nothing; after it, lines are left out and counted until one is taken.
pub const CONSOLE_PATIENCE: Duration = Duration::from_secs(1);
/// What waits in the console before the machine is switched off: a slow serial line needs this for its last lines.
pub const CONSOLE_DRAIN: Duration = Duration::from_millis(100);

// --- A running machine ---

/// The hardware watchdog starts the machine again when PID 1 has said nothing for this long, in whole seconds.
pub const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(60);
/// How often PID 1 speaks to it.
pub const WATCHDOG_INTERVAL: Duration = Duration::from_secs(15);
/// How often the network role or the supervisor may end within [`super::RESTARTS_WINDOW`].
pub const KEPT_STARTS_MAX: u32 = 5;
/// Records of the network role's that PID 1 reads before it looks at anything else: each is a line of a slow console.
pub const NEWS_AT_ONCE: usize = 16;
/// The pause before either is started again, times the number of its ends within the window.
pub const KEPT_DELAY: Duration = Duration::from_millis(100);

// --- Disks ---

/// Partitions of a disk that are looked at (UEFI 2.10 §5.3: at least 128 are there).
pub const PARTITIONS_MAX: u32 = 128;
/// Entries of one directory that are looked at. Ward's own has a handful.
pub const DIRECTORY_ENTRIES_MAX: usize = 512;

// --- DHCP (RFC 2131) ---

/// One message in bytes: what every client must take (§2: 576 with its headers), and what an Ethernet frame can carry.
pub const DHCP_BYTES_MAX: usize = 1_500;
/// The first pause before a question is asked again (§4.1: 4 s; a virtual network loses little and answers in milliseconds).
pub const DHCP_RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest (§4.1: 64 s; a call that waits for an address cannot).
pub const DHCP_RETRY_MAX: Duration = Duration::from_secs(16);
/// Answers that are refused before the search begins anew: a hostile server that is first each time is outlasted.
pub const DHCP_REFUSED_MAX: u32 = 8;
/// The shortest lease that is taken, in seconds: a shorter one is no lease but a way to keep a machine busy.
pub const LEASE_S_MIN: u32 = 60;
/// A renewal is not asked for again sooner than this (§4.4.5).
pub const RENEW_RETRY_MIN: Duration = Duration::from_secs(60);
/// Name servers, time servers and routers that are kept of an answer, each.
pub const DHCP_ADDRESSES_MAX: usize = 3;
/// Routes of option 121 that are kept (RFC 3442).
pub const DHCP_ROUTES_MAX: usize = 8;
/// The smallest MTU that is taken: what every IPv4 host must take (RFC 791), and with less no handshake fits into a few packets.
pub const MTU_MIN: u16 = 576;
/// The largest: AWS has 9,001.
pub const MTU_MAX: u16 = 9_216;
/// Domain names of option 119, in bytes after decompression (RFC 3397).
pub const DHCP_SEARCH_BYTES_MAX: usize = 512;

// --- The clock ---

/// How long the first questions for the time may take before the machine goes on with the date that it has.
pub const CLOCK_DEADLINE: Duration = Duration::from_secs(3);
/// One answer of a time server.
pub const SNTP_DEADLINE: Duration = Duration::from_secs(1);
/// Answers of one server, of which the one that came fastest counts: half of its way is what the time can be wrong by.
pub const SNTP_SAMPLES: u32 = 4;
/// Between two measurements once the clock is set.
pub const CLOCK_INTERVAL: Duration = Duration::from_secs(256);
/// The same while nobody answers, or nobody answers usably.
pub const CLOCK_RETRY: Duration = Duration::from_secs(16);
/// A round trip that is longer says too little about the time.
pub const SNTP_ROUND_TRIP_MAX: Duration = Duration::from_millis(800);
/// An error of the clock that is corrected slowly, without a jump: the kernel's own limit for that (adjtimex(2), 0.5 s).
pub const SLEW_MAX: Duration = Duration::from_millis(500);
/// The furthest that a running machine lets servers move its clock within [`STEP_WINDOW`], in sum: tickets live half a minute, and a
/// certificate's day must not be chosen by whoever answers for a time server. It would take them three months to a day.
pub const STEP_MAX_RUNNING: Duration = Duration::from_secs(1_000);
/// See [`STEP_MAX_RUNNING`]: a day.
pub const STEP_WINDOW: Duration = Duration::from_secs(86_400);
/// No date before this is believed, in seconds since 1970: 2026-11-01, when this was written. It is not the date of the build, which an
/// image does not know: the same sources give the same image on any day. A release moves it forward by hand.
pub const BUILD_DATE_S: i64 = 1_793_491_200;
/// No date further after [`BUILD_DATE_S`] is believed either, in seconds: twenty years.
pub const BUILD_AGE_S_MAX: i64 = 20 * 365 * 86_400;
