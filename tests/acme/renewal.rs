//! Renewal at two thirds of the life, or when the authority says; and calls that go on meanwhile as if nothing were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use ward_tests::authority::NAME;
use ward_tests::websocket::{Stream, media, upgrade_request};
use ward_tests::wire::{Wire, status};

use crate::{alone, started};

const FRAME: usize = 160;

/// Calls that go on across a renewal.
const CALLS: u64 = 200;

/// What one call heard of what it said.
#[derive(Debug)]
struct Heard {
    sent: u64,
    /// Frames that came back as they were sent, in order.
    whole: u64,
    is_alive: bool,
}

/// The frame that has a number: like no other of its call.
fn frame(number: u64) -> Vec<u8> {
    let number = u32::try_from(number).unwrap().to_be_bytes();
    number.iter().copied().cycle().take(FRAME).collect()
}

/// Speaks for as long as it is told to, hears its echo, and says what came back.
fn speak(mut stream: Stream, over: &AtomicBool) -> Heard {
    let begun = Instant::now();
    let (mut sent, mut echo, mut is_alive) = (0_u64, Vec::new(), true);
    let mut hear = |stream: &mut Stream, until: Instant| {
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|l| !l.is_zero())
        {
            stream.set_patience(left);
            match stream.try_next_frame() {
                None => return true,
                Some(Some((1, body))) => {
                    let message: Value = serde_json::from_slice(&body).unwrap();
                    let payload = message["media"]["payload"].as_str().unwrap_or_default();
                    echo.extend(STANDARD.decode(payload).unwrap());
                }
                Some(Some((9, _))) => {}
                Some(_) => return false,
            }
        }
        true
    };
    while is_alive && !over.load(Ordering::Relaxed) {
        sent += 1;
        stream.send(&media(sent, &frame(sent)));
        is_alive = hear(&mut stream, begun + Duration::from_millis(20 * sent));
    }
    // What is still on its way: the lead of play-out, and a crowded machine.
    is_alive = is_alive && hear(&mut stream, Instant::now() + Duration::from_secs(2));
    is_alive = is_alive && stream.close() == 1000;
    Heard { sent, whole: whole(&echo, sent), is_alive }
}

/// How many of the first `sent` frames are in `echo` as they were sent, in order.
fn whole(echo: &[u8], sent: u64) -> u64 {
    let (mut whole, mut rest) = (0, echo);
    for number in 1..=sent {
        if let Some(after) = rest.strip_prefix(frame(number).as_slice()) {
            (rest, whole) = (after, whole + 1);
        } else if let Some(place) = rest.chunks_exact(FRAME).position(|one| one == frame(number)) {
            // Something else came in between: the frame is there, later.
            (rest, whole) = (&rest[(place + 1) * FRAME..], whole + 1);
        }
    }
    whole
}

#[test]
fn a_frame_that_is_lost_changed_or_late_is_counted_as_lost() {
    // The control of the figure below: what would be found if a renewal cost frames.
    let echo: Vec<Vec<u8>> = (1..=100).map(frame).collect();
    assert_eq!(whole(&echo.concat(), 100), 100);
    let mut lost = echo.clone();
    drop(lost.drain(40..43));
    assert_eq!(whole(&lost.concat(), 100), 97);
    let mut changed = echo.clone();
    changed[50][7] ^= 1;
    assert_eq!(whole(&changed.concat(), 100), 99);
    let mut swapped = echo;
    swapped.swap(60, 61);
    assert_eq!(whole(&swapped.concat(), 100), 99);
    assert_eq!(whole(&[], 100), 0);
}

#[test]
fn two_hundred_calls_go_on_across_a_renewal() {
    let _alone = alone();
    let (server, authority) = started(|habits| habits.life_s = 60);
    drop(server.logs.first("certificate_issued"));
    let config = authority.trusting();
    let leaf = Wire::open_as(server.port, NAME, Arc::clone(&config)).shown()[0].to_vec();
    let over = Arc::new(AtomicBool::new(false));
    let calls: Vec<_> = (1..=CALLS)
        .map(|number| {
            let wire = Wire::open_as(server.port, NAME, Arc::clone(&config));
            let (stream, over) = (Stream::started_over(wire, number), Arc::clone(&over));
            std::thread::spawn(move || speak(stream, &over))
        })
        .collect();
    // Handshakes go on all the time, one after the other: what each is shown, and whether it is a call's.
    let shaking = {
        let (over, config, port) = (Arc::clone(&over), Arc::clone(&config), server.port);
        std::thread::spawn(move || {
            let mut shaken = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let mut wire = Wire::open_as(port, NAME, Arc::clone(&config));
                let shown = wire.shown().first().map(|leaf| leaf.to_vec()).unwrap_or_default();
                wire.send(upgrade_request("/rtm/voice", &[]).as_bytes());
                shaken.push((shown, status(&wire.receive_head())));
                std::thread::sleep(Duration::from_millis(5));
            }
            shaken
        })
    };
    // The second certificate comes while all of them speak: at two thirds of a minute, or up to three seconds earlier.
    let until = Instant::now() + Duration::from_secs(60);
    while server.logs.text().matches("\"event\":\"certificate_issued\"").count() < 2 {
        assert!(Instant::now() < until, "no renewal:\n{}", server.logs.text());
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(server.logs.nth("certificate_set", 2));
    // Newcomers see the new one, and go on beside the others.
    let mut newcomer = Wire::open_as(server.port, NAME, authority.trusting());
    assert_ne!(newcomer.shown()[0].to_vec(), leaf);
    let mut newcomer = Stream::started_over(newcomer, CALLS + 1);
    newcomer.proves_alive(1);
    std::thread::sleep(Duration::from_secs(3));
    over.store(true, Ordering::Relaxed);
    let heard: Vec<Heard> = calls.into_iter().map(|call| call.join().unwrap()).collect();
    assert_eq!(newcomer.close(), 1000);
    let shaken = shaking.join().unwrap();
    let failed = shaken.iter().filter(|(shown, status)| shown.is_empty() || *status != 101).count();
    let with_old = shaken.iter().filter(|(shown, _)| *shown == leaf).count();
    println!("{} handshakes meanwhile, {with_old} with the old one, {failed} failed", shaken.len());
    assert_eq!(failed, 0, "{}", server.logs.text());
    // The control: the old one was shown before, and then never again.
    assert!(with_old > 0 && with_old < shaken.len());
    assert!(shaken.iter().skip_while(|(shown, _)| *shown == leaf).all(|(shown, _)| *shown != leaf));
    let worst = heard.iter().map(|call| call.sent - call.whole).max().unwrap();
    let sent: u64 = heard.iter().map(|call| call.sent).sum();
    let whole: u64 = heard.iter().map(|call| call.whole).sum();
    println!("{CALLS} calls, {sent} frames sent, {whole} heard, at most {worst} lost by a call");
    let dropped = heard.iter().filter(|call| !call.is_alive).count();
    let text = server.logs.text();
    let ends = text.lines().filter(|line| line.contains("\"event\":\"call_ended\""));
    let ends: Vec<&str> = ends.filter_map(|line| line.split("\"reason\"").nth(1)).collect();
    assert_eq!(dropped, 0, "{heard:?}\n{}", ends.join("\n"));
    assert!(worst <= 1, "{heard:?}");
    assert!(heard.iter().all(|call| call.sent > 500), "they really spoke: {heard:?}");
    assert!(!server.logs.text().contains("signing_failed"), "{}", server.logs.text());
}

#[test]
fn what_the_authority_says_about_renewal_is_asked_for_and_followed() {
    let _alone = alone();
    let listeners = ward_tests::servers::listen_once();
    let mut habits = crate::habits(&listeners);
    // Two thirds of it are far away: only the authority's word can bring a renewal in this test.
    habits.life_s = 120;
    let authority = ward_tests::authority::Authority::start(habits);
    authority.advise(Some((-60, 0, 3_600)));
    let server = ward_tests::servers::Running::certified(
        ward_policy::audit::Role::Media,
        listeners,
        authority.vendors(""),
        crate::nowhere(),
    );
    let first = server.logs.first("certificate_issued");
    // The renewal fails at first: it is tried again after five seconds, not at another moment of the authority's.
    let bad = || ward_tests::authority::Scripted {
        path: "/order-plz",
        status: 400,
        problem: "badNonce",
        headers: String::new(),
    };
    authority.script([bad(), bad(), bad()]);
    let advised = server.logs.first("renewal_advised");
    // "Now", and not before a tenth of the life is over.
    let renew_in_s = advised["renew_in_s"].as_u64().unwrap();
    assert!((9..=12).contains(&renew_in_s), "{advised}");
    assert!(first["renew_in_s"].as_u64().unwrap() > 60, "{first}");
    // The next one is left alone.
    let until = Instant::now() + Duration::from_secs(15);
    while !authority.seen().iter().any(|seen| seen.line.contains("/ari/")) {
        assert!(Instant::now() < until, "nobody asked");
        std::thread::sleep(Duration::from_millis(20));
    }
    authority.advise(Some((86_400, 90_000, 3_600)));
    drop(server.logs.nth("certificate_issued", 2));
    let seen = authority.seen();
    let asked = seen.iter().find(|seen| seen.line.contains("/ari/")).unwrap();
    let id = asked.line.split("/ari/").nth(1).unwrap();
    assert_eq!(id.split('.').count(), 2, "key identifier and serial number: {id}");
    let orders: Vec<_> = seen.iter().filter(|seen| seen.line.contains("/order-plz")).collect();
    assert_eq!(orders.len(), 5, "three were scripted");
    assert_eq!(orders[0].payload["replaces"], Value::Null);
    assert_eq!(orders[4].payload["replaces"], id, "it says what it replaces");
    let again = orders[4].at - orders[3].at;
    assert!((5..10).contains(&again.as_secs()), "{again:?}");
    let text = server.logs.text();
    let advice = text.split("certificate_failed").nth(1).unwrap();
    let before_it_was_there = advice.split("certificate_issued").next().unwrap();
    assert!(!before_it_was_there.contains("renewal_advised"), "{text}");
}

/// The leaf that the server shows now.
fn leaf(
    server: &ward_tests::servers::Running,
    authority: &ward_tests::authority::Authority,
) -> Vec<u8> {
    Wire::open_as(server.port, NAME, authority.trusting()).shown()[0].to_vec()
}

#[test]
fn chains_that_the_server_cannot_show_leave_the_one_that_it_shows_its_key() {
    let _alone = alone();
    let listeners = ward_tests::servers::listen_once();
    let mut habits = crate::habits(&listeners);
    habits.life_s = 180;
    let authority = ward_tests::authority::Authority::start(habits);
    // "Now", which is a tenth of the life after the first.
    authority.advise(Some((-60, 0, 3_600)));
    let server = ward_tests::servers::Running::certified(
        ward_policy::audit::Role::Media,
        listeners,
        authority.vendors(""),
        crate::nowhere(),
    );
    drop(server.logs.first("certificate_issued"));
    let shown = leaf(&server, &authority);
    authority.issue(ward_tests::authority::Strange::Critical);
    for round in 1..=2 {
        let until = Instant::now() + Duration::from_secs(60);
        while server.logs.text().matches("\"event\":\"certificate_failed\"").count() < round {
            assert!(Instant::now() < until, "no renewal:\n{}", server.logs.text());
            std::thread::sleep(Duration::from_millis(100));
        }
        let failed = server.logs.nth("certificate_failed", round);
        assert_eq!(failed["reason"], "acme_unfit", "{failed}");
        let refused = server.logs.nth("certificate_refused", round);
        assert_eq!(refused["reason"], "certificate_garbage", "{refused}");
        assert_eq!(leaf(&server, &authority), shown, "round {round}");
        if round == 1 {
            // A broker that is started again waits a tenth of the life once more, and not a minute: the same, sooner.
            let role = ward_policy::audit::Role::Broker;
            let before = server.process(role);
            crate::kill(before);
            crate::until(Duration::from_secs(10), "broker", &server, || {
                server.process(role) != before
            });
        }
    }
    let ordered = authority.seen().into_iter().filter(|seen| seen.line.contains("/order-plz"));
    assert_eq!(ordered.count(), 3, "two chains were refused");
    // Whoever is started anew is told of the good one, and has its key.
    crate::kill(server.process(ward_policy::audit::Role::Media));
    server.logs.wait_for_count("\"role\":\"media\",\"event\":\"started\"", 2);
    crate::until(Duration::from_secs(20), "trust", &server, || {
        crate::is_trusted(&server, &authority)
    });
    assert_eq!(leaf(&server, &authority), shown);
}

#[test]
fn a_certificate_that_is_old_when_it_comes_is_not_asked_for_again_and_again() {
    let _alone = alone();
    let (server, authority) = crate::started_with(
        |_habits| {},
        |authority| {
            authority.issue(ward_tests::authority::Strange::Old);
        },
    );
    let issued = server.logs.first("certificate_issued");
    // Two thirds of ten years are over since years: an hour is the soonest that it is done again.
    let renew_in_s = issued["renew_in_s"].as_u64().unwrap();
    assert!((3_500..=3_600).contains(&renew_in_s), "{issued}");
    std::thread::sleep(Duration::from_secs(8));
    let ordered = authority.seen().into_iter().filter(|seen| seen.line.contains("/order-plz"));
    assert_eq!(ordered.count(), 1, "{}", server.logs.text());
}
