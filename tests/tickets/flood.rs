//! Many tickets: none that nobody signed is taken, and those that were used fit into a fixed room.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ward_media::admission::Admission;
use ward_media::settings::HandshakeMode;
use ward_policy::fault::{Refusal, TicketFault};
use ward_policy::limit::{TICKET_LIFE_MAX, TICKETS_REMEMBERED_MAX};
use ward_policy::ticket::{DateMs, Redemptions, Validity};
use ward_tests::memory::resident_bytes;
use ward_tests::random::{Random, fresh};
use ward_twilio::handshake::{HandshakeSet, document};
use ward_twilio::ticket::{TICKET_CHARS, TicketPublicKeys};

use crate::desk::{Fate, Form, call, key, media, named, present, ticket};

const MILLION: usize = 1_000_000;
const THREADS: usize = 4;
/// When the simulated process started, and the first moment whose tickets it takes.
const STARTED: DateMs = 1_700_000_000_000;
const OPEN: DateMs = STARTED + 2_001;

/// What the media server judges with, at a time of the test's own.
fn admission() -> Admission {
    let keys = TicketPublicKeys::new(vec![key(0).public()]).unwrap();
    let set = HandshakeSet::parse(document(&[], &keys).expose()).unwrap();
    Admission::new(HandshakeMode::Ticket, set, STARTED)
}

fn use_up(admission: &Admission, ticket: &str, now_ms: DateMs) -> Result<(), Refusal> {
    let shown = admission.judge([], Some(ticket), now_ms)?;
    admission.take(&shown, now_ms)
}

/// A ticket of random bytes, every fourth with a head as a right one has it: so its signature must be judged.
fn random_ticket(random: &mut Random, number: usize, head: &[u8]) -> String {
    let mut bytes: Vec<u8> = (0..130).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
    if number.is_multiple_of(4) {
        bytes[..head.len()].copy_from_slice(head);
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn of_a_million_random_tickets_none_is_taken() {
    let admission = admission();
    let right = key(0).issue(&call(1), Validity { issued_ms: OPEN, life_s: 60 }, fresh());
    // Version, key, time and life.
    let head = &URL_SAFE_NO_PAD.decode(&right).unwrap()[..18];
    let faults: [AtomicUsize; 3] = Default::default();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (admission, faults) = (&admission, &faults);
            scope.spawn(move || {
                let mut random = Random(u64::from_be_bytes(fresh()) | 1);
                for number in 0..MILLION / THREADS {
                    let ticket = random_ticket(&mut random, number, head);
                    assert_eq!(ticket.len(), TICKET_CHARS);
                    let place = match use_up(admission, &ticket, OPEN) {
                        Err(Refusal::TicketMalformed) => 0,
                        Err(Refusal::TicketUnknownKey) => 1,
                        Err(Refusal::TicketWrong) => 2,
                        other => panic!("thread {thread}: {other:?}: {ticket}"),
                    };
                    faults[place].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let [malformed, unknown, wrong] = faults.map(|count| count.into_inner());
    println!(
        "{MILLION} random tickets in {:.1} s: {malformed} malformed, {unknown} of no key, {wrong} \
         with a wrong signature, 0 taken",
        begin.elapsed().as_secs_f64()
    );
    assert_eq!(malformed + unknown + wrong, MILLION);
    assert!(wrong >= MILLION / 4, "{wrong}");
    assert_eq!(admission.remembered(), 0);
    // The control: the one that the head was taken from.
    assert_eq!(use_up(&admission, &right, OPEN), Ok(()));
}

/// Set for this test when it runs again in a process of its own: others would be in the measurement.
const ALONE: &str = "WARD_TICKETS_ALONE";
/// What the memory of used tickets may take, in bytes: 16 for each, a tree of them, and what an allocator keeps.
const ROOM_BYTES: usize = 8 * 1024 * 1024;

#[test]
fn a_million_rightful_tickets_fit_into_a_fixed_room() {
    if std::env::var_os(ALONE).is_none() {
        let name = "flood::a_million_rightful_tickets_fit_into_a_fixed_room";
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture"]).env(ALONE, "1");
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{text}");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
        return;
    }
    let admission = admission();
    // Signed and verified: so many as there is time for, always more than there is room for.
    let count = std::env::var("WARD_TICKETS").map_or(100_000, |text| text.parse().unwrap());
    assert!(count > TICKETS_REMEMBERED_MAX);
    // As fast as no telephone network calls: all of them within a minute.
    let per_second = u64::try_from(count).unwrap() / TICKET_LIFE_MAX.as_secs();
    let (taken, full) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (before, begin) = (resident_bytes(std::process::id()), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (admission, taken, full) = (&admission, &taken, &full);
            scope.spawn(move || {
                let (key, call) = (key(0), call(1));
                for number in (thread..count).step_by(THREADS) {
                    let now = OPEN + u64::try_from(number).unwrap() * 1_000 / per_second;
                    let validity = Validity { issued_ms: now, life_s: 60 };
                    let ticket = key.issue(&call, validity, fresh());
                    match use_up(admission, &ticket, now) {
                        Ok(()) => taken.fetch_add(1, Ordering::Relaxed),
                        Err(Refusal::TicketMemoryFull) => full.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{number}: {other:?}"),
                    };
                }
            });
        }
    });
    let grown = resident_bytes(std::process::id()).saturating_sub(before);
    let (taken, full) = (taken.into_inner(), full.into_inner());
    println!(
        "{count} rightful tickets in {:.1} s: {taken} taken, {full} refused, ticket_memory_full; \
         {} KiB more resident",
        begin.elapsed().as_secs_f64(),
        grown / 1_024
    );
    assert_eq!(taken + full, count);
    assert_eq!(taken, TICKETS_REMEMBERED_MAX);
    assert_eq!(admission.remembered(), TICKETS_REMEMBERED_MAX);
    assert!(grown < ROOM_BYTES, "{grown} bytes");
    // What remembers knows no signatures: the same for a million, verified already.
    let before = resident_bytes(std::process::id());
    let mut redemptions = Redemptions::new(STARTED);
    let outcomes = (0..MILLION).map(|_| {
        let validity = Validity { issued_ms: OPEN, life_s: 60 };
        redemptions.redeem(OPEN, validity, fresh())
    });
    let full = outcomes.filter(|outcome| *outcome == Err(TicketFault::MemoryFull)).count();
    let grown = resident_bytes(std::process::id()).saturating_sub(before);
    println!("{MILLION} that were verified: {full} refused, {} KiB more resident", grown / 1_024);
    assert_eq!(full, MILLION - TICKETS_REMEMBERED_MAX);
    assert!(grown < ROOM_BYTES, "{grown} bytes");
    // The control: what is kept without an end is seen by the same measurement.
    let before = resident_bytes(std::process::id());
    let kept: Vec<Box<[u8; 16]>> = (0..MILLION).map(|_| Box::new(fresh())).collect();
    let grown = resident_bytes(std::process::id()).saturating_sub(before);
    assert!(grown > ROOM_BYTES, "{} of {grown} bytes", kept.len());
    // And room again, once they are over.
    let later = OPEN + 200_000;
    let ticket = key(0).issue(&call(1), Validity { issued_ms: later, life_s: 60 }, fresh());
    assert_eq!(use_up(&admission, &ticket, later), Ok(()));
    assert_eq!(admission.remembered(), 1);
}

#[test]
fn a_server_that_has_taken_thousands_refuses_each_of_them_again() {
    const COUNT: u64 = 2_000;
    let server = media("ticket");
    let id = server.id();
    let tickets: Vec<(u64, String)> = (0..COUNT).map(|number| (number, ticket(number))).collect();
    let pass = |expected: u16| {
        std::thread::scope(|scope| {
            for part in tickets.chunks(tickets.len().div_ceil(THREADS)) {
                let server = &server;
                scope.spawn(move || {
                    for (number, ticket) in part {
                        let status = match present(server, Form::Path, ticket, *number) {
                            Fate::Live(_) => 101,
                            Fate::Refused(status) => status,
                            other @ Fate::Closed(_) => panic!("{other:?}"),
                        };
                        assert_eq!(status, expected, "{number}");
                    }
                });
            }
        });
    };
    pass(101);
    let before = resident_bytes(id);
    pass(403);
    server.logs.wait_for(&named("ticket_used"));
    let grown = resident_bytes(id).saturating_sub(before);
    println!("{COUNT} tickets taken, each refused again; {} KiB more resident", grown / 1_024);
    assert!(grown < ROOM_BYTES, "{grown}");
}
