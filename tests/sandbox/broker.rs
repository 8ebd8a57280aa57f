//! Who is dialled, and who is not: a whole server, a real name server and a vendor's stand-in in a network of the
//! test's own. Then the same with a media server that has been taken over.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ward::vendors::Vendors;
use ward_policy::audit::Role;
use ward_policy::phi::Secret;
use ward_tests::binaries::hostile;
use ward_tests::memory::{Needles, scan, scan_until};
use ward_tests::network::{NAME_SERVER_PORT, enter_network, name_server};
use ward_tests::servers::Running;
use ward_tests::vendor::{Vendor, entry, minted};
use ward_tests::websocket::Stream;

use crate::hostile::tried;

const VENDOR: &str = "93.184.216.34";
/// Where the tokens of `minted` come from, which is its own address too.
const MINTER: &str = "93.184.216.35";
const METADATA: &str = "169.254.169.254";
const KEY: &str = "a key that media never sees 0123456789";

/// The network of these tests: the vendor's address, and a metadata service's.
fn network() -> ward_tests::network::Running {
    enter_network(&[
        &format!("{VENDOR}/32"),
        &format!("{MINTER}/32"),
        &format!("{METADATA}/32"),
        "10.0.0.1/32",
    ]);
    name_server(&[
        ("asr.vendor.test", VENDOR),
        ("token.vendor.test", MINTER),
        ("metadata.vendor.test", METADATA),
        ("private.vendor.test", "10.0.0.1"),
        ("other.vendor.test", VENDOR),
        // Lies, or is wrong: one of them is not the vendor's.
        ("mixed.vendor.test", VENDOR),
        ("mixed.vendor.test", "10.0.0.1"),
    ])
}

fn mint(id: &str, path: &str) -> (String, String) {
    minted(id, "token.vendor.test", "token.vendor.test", path)
}

/// Entries of every kind that is refused, and `standin` and `minted`, which are not.
fn vendors(standin: &[(&str, &str)]) -> Vendors {
    let signed = "status = \"signed\"";
    let registry = vec![
        entry("standin", "asr.vendor.test", standin),
        entry("pending", "pending.vendor.test", &[(signed, "status = \"pending\"")]),
        entry(
            "expired",
            "expired.vendor.test",
            &[("next_review", "expires = \"2026-02-01\"\nnext_review")],
        ),
        entry(
            "overdue",
            "overdue.vendor.test",
            &[("next_review = \"2199-12-31\"", "next_review = \"2026-02-01\"")],
        ),
        entry("metadata", "metadata.vendor.test", &[]),
        entry("private", "private.vendor.test", &[]),
        entry("nowhere", "nowhere.vendor.test", &[]),
        entry("mixed", "mixed.vendor.test", &[]),
        // Its certificate is another's.
        entry("other", "other.vendor.test", &[]),
        entry(
            "static",
            "static.vendor.test",
            &[("class = \"signed-token\"", "class = \"static-key\"")],
        ),
        // Several services of one vendor, under one agreement, at one host.
        mint("minted", "/grant"),
        mint("mint-wrong", "/grant"),
        mint("mint-late", "/late"),
        mint("mint-huge", "/huge"),
        mint("mint-garbage", "/garbage"),
        mint("mint-over", "/over"),
        minted("mint-private", "token.vendor.test", "private.vendor.test", "/grant"),
    ];
    let all = registry.iter().map(|(name, _)| name.trim_end_matches(".toml"));
    let key = |id: &str| if id == "mint-wrong" { "another key" } else { KEY };
    let keys: String = all.map(|id| format!("{id}={}\n", key(id))).collect();
    let settings = format!("BROKER_NAMESERVERS=127.0.0.1:{NAME_SERVER_PORT}\n");
    Vendors { registry, keys: Secret::new(keys), settings }
}

#[test]
fn a_call_has_its_vendors_and_goes_on_without_those_it_may_not_have() {
    let names = network();
    let standin = Vendor::serve("asr.vendor.test", &format!("{VENDOR}:443"));
    let wanted = "MEDIA_VENDORS=standin:audio expired:audio standin:transcript other:audio\n";
    let server = Running::media_with(vendors(&[]), None, wanted);
    let mut stream = Stream::started(&server);
    assert_eq!(server.logs.first("vendor_connected")["vendor"], "standin");
    for (number, reason) in [(1, "baa_expired"), (2, "data_class"), (3, "vendor_tls")] {
        // They come in any order.
        let failed: Vec<_> =
            (1..=3).map(|number| server.logs.nth("vendor_failed", number)).collect();
        assert!(failed.iter().any(|failed| failed["reason"] == reason), "{number} {failed:?}");
    }
    stream.proves_alive(1);
    // Closed when the call ends, and the broker lets its own copy go too. TLS 1.3 ends for us before it does for them.
    standin.wait("the end of their handshake", |seen| seen.greeted == 1);
    assert_eq!(stream.close(), 1000);
    assert_eq!(server.logs.first("vendor_ended")["reason"], "call_over");
    standin.wait("the end of both connections", |seen| seen.ended == 2);
    drop(names);
}

#[test]
fn a_token_is_minted_for_each_connection_and_the_key_stays_where_nobody_can_read_it() {
    let names = network();
    let minter = Vendor::mint("token.vendor.test", &format!("{MINTER}:443"), KEY);
    let server = Running::media_with(vendors(&[]), None, "MEDIA_VENDORS=minted:audio\n");
    let mut streams = [Stream::started(&server), Stream::named(&server, 2)];
    for number in 1..=2 {
        let event = server.logs.nth("vendor_minted", number);
        assert_eq!((&event["vendor"], &event["token_ttl_s"]), (&"minted".into(), &30.into()));
        assert_eq!(server.logs.nth("vendor_dialled", number)["token_ttl_s"], 30);
        drop(server.logs.nth("vendor_connected", number));
    }
    let tokens = minter.minted();
    assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{tokens:?}");
    // Two connections of calls, and two of the broker's own that are over.
    minter.wait("the end of what was said for tokens", |seen| seen.ended == 2);
    let needles = [("key", KEY), ("first token", &tokens[0]), ("second token", &tokens[1])];
    let needles = Needles::texts(&needles);
    // Where the kernel has no memory that nobody can read, the broker's place for keys is seen, and media's for tokens.
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.process(Role::Broker)));
    let has_secret_memory = maps.unwrap().contains("secretmem");
    let is_gone = |found: &ward_tests::memory::Scan| {
        let has_token = found.has("first token") || found.has("second token");
        !has_token && (found.has("key") != has_secret_memory)
    };
    let patience = Duration::from_secs(1);
    let (left, _) = scan_until(server.process(Role::Broker), &needles, patience, is_gone);
    assert!(is_gone(&left), "broker: {left:#?}");
    for role in [Role::Init, Role::Log, Role::Sign, Role::Media] {
        let found = scan(server.process(role), &needles);
        assert!(!found.has("key"), "{}: {found:#?}", role.name());
    }
    // The control: this process has all of them.
    let ours = scan(std::process::id(), &needles);
    assert!(ours.has("key") && ours.has("first token") && ours.has("second token"));
    for stream in &mut streams {
        stream.proves_alive(1);
    }
    minter.wait("still there", |seen| seen.taken == 4 && seen.ended == 2);
    drop(names);
}

#[test]
fn a_session_ends_when_its_time_is_over_and_the_call_goes_on() {
    let names = network();
    let standin = Vendor::serve("asr.vendor.test", &format!("{VENDOR}:443"));
    let short = [("max_session_s = 600", "max_session_s = 2")];
    let server = Running::media_with(vendors(&short), None, "MEDIA_VENDORS=standin:audio\n");
    let mut stream = Stream::started(&server);
    drop(server.logs.first("vendor_connected"));
    let took = standin.wait("the end", |seen| seen.ended == 1);
    assert!((1..4).contains(&took.as_secs()), "{took:?}");
    // Media's own clock began first.
    assert_eq!(server.logs.first("vendor_ended")["reason"], "session_over");
    stream.proves_alive(1);
    drop(names);
}

#[test]
fn media_ends_a_session_itself_when_the_broker_does_not() {
    let names = network();
    let standin = Vendor::serve("asr.vendor.test", &format!("{VENDOR}:443"));
    let short = [("max_session_s = 600", "max_session_s = 3")];
    let server = Running::media_with(vendors(&short), None, "MEDIA_VENDORS=standin:audio\n");
    let mut stream = Stream::started(&server);
    drop(server.logs.first("vendor_connected"));
    let broker = server.process(Role::Broker);
    super::kills::signal(broker, rustix::process::Signal::STOP);
    assert_eq!(server.logs.first("vendor_ended")["reason"], "session_over");
    stream.proves_alive(1);
    super::kills::signal(broker, rustix::process::Signal::CONT);
    standin.wait("the end", |seen| seen.ended == 1);
    drop(names);
}

#[test]
fn a_name_with_many_addresses_is_asked_for_again_over_tcp() {
    enter_network(&[&format!("{VENDOR}/32")]);
    // 60 addresses of 16 bytes are more than a datagram of 512 takes.
    let all: Vec<(String, String)> =
        (1..=60).map(|last| ("asr.vendor.test".to_owned(), format!("93.184.217.{last}"))).collect();
    let mut all: Vec<(&str, &str)> = all.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
    all.push(("asr.vendor.test", VENDOR));
    let names = name_server(&all);
    let server = Running::media_with(vendors(&[]), None, "MEDIA_VENDORS=standin:audio\n");
    let mut stream = Stream::started(&server);
    // Whichever address it was: there is a name, and nobody behind most of it here.
    let reason = server.logs.first("vendor_failed")["reason"].clone();
    assert!(reason == "connect_failed" || reason == "dial_late", "{reason}");
    stream.proves_alive(1);
    assert!(!server.logs.text().contains("role_ended"), "{}", server.logs.text());
    drop(names);
}

/// What the hostile build asks for and does not get, in its order.
const REFUSED: [(&str, &str); 16] = [
    ("nobody audio", "unknown_vendor"),
    ("pending audio", "baa_missing"),
    ("expired audio", "baa_expired"),
    ("overdue audio", "review_overdue"),
    ("standin transcript", "data_class"),
    ("metadata audio", "address_refused"),
    ("private audio", "address_refused"),
    ("mixed audio", "address_refused"),
    ("nowhere audio", "no_address"),
    ("static audio", "no_credential"),
    ("mint-wrong audio", "mint_refused"),
    ("mint-private audio", "address_refused"),
    ("mint-late audio", "mint_late"),
    ("mint-huge audio", "mint_garbage"),
    ("mint-garbage audio", "mint_garbage"),
    ("mint-over audio", "mint_over"),
];

#[test]
fn a_media_server_that_was_taken_over_gets_what_the_registry_allows_and_no_more() {
    let names = network();
    let standin = Vendor::serve("asr.vendor.test", &format!("{VENDOR}:443"));
    let minter = Vendor::mint("token.vendor.test", &format!("{MINTER}:443"), KEY);
    // Nobody must come here.
    let forbidden = [METADATA, "10.0.0.1"].map(|address| {
        let listener = TcpListener::bind((address, 443)).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let short = [("max_session_s = 600", "max_session_s = 3")];
    let server = Running::media_with(vendors(&short), Some(hostile()), "");
    drop(server.logs.nth("vendor_dialled", 2));
    let reader = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    reader.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut lines = BufReader::new(reader)
        .lines()
        .map(|line| line.unwrap_or_else(|error| panic!("{error} after\n{}", server.logs.text())));
    let told: Vec<String> =
        lines.by_ref().take_while(|line| !line.starts_with("answered")).collect();
    let refused = REFUSED.map(|(question, reason)| format!("{question}: {reason}"));
    let others = [
        "pass a descriptor away: sigsys",
        "make a socket: sigsys",
        "minted audio: granted",
        "path of minted: /v1/listen",
        "standin audio: granted",
        "path of standin: ",
    ];
    for expected in refused.into_iter().chain(others.map(str::to_owned)) {
        assert!(told.contains(&expected), "{expected} in {told:#?}");
    }
    // A token for that vendor alone, and not the key.
    let token = told.iter().find_map(|line| line.strip_prefix("token of standin: ")).unwrap();
    assert_eq!(token.split('.').count(), 3);
    let token = told.iter().find_map(|line| line.strip_prefix("token of minted: ")).unwrap();
    // The vendor's own, and its last: those before it were in answers that were refused.
    assert_eq!(minter.minted().last().unwrap(), token);
    assert!(!token.contains(KEY) && !told.join("\n").contains(KEY));
    for listener in &forbidden {
        assert!(listener.accept().is_err(), "somebody came to {listener:?}");
    }
    // Each refusal is an event of the broker's, by name.
    for (number, (_, reason)) in (1..).zip(REFUSED) {
        assert_eq!(server.logs.nth("vendor_refused", number)["reason"], reason);
    }
    // It never lets go; the broker ends it all the same.
    let ended = lines.next().unwrap();
    let after: u64 = ended.split(' ').nth(2).unwrap().parse().unwrap_or_else(|_| panic!("{ended}"));
    // Three seconds, less what it took to come here: the vendor and it hold on for as long as they can.
    assert!((500..10_000).contains(&after), "{ended}");
    assert_eq!(server.logs.first("vendor_cut")["reason"], "session_over");
    standin.wait("the end", |seen| seen.ended == 1);
    drop(names);
}

/// The port that the hostile build dials, on loopback and at the metadata service's address.
const PORT: u16 = 47_313;

#[test]
fn a_media_server_that_was_taken_over_reaches_nobody_itself() {
    enter_network(&[&format!("{METADATA}/32")]);
    let listeners =
        ["127.0.0.1", METADATA].map(|address| TcpListener::bind((address, PORT)).unwrap());
    for (layers, is_reached) in [("sealed", false), ("open", false), ("bare", true)] {
        let tried = tried("reach", layers, Role::Media);
        for (address, listener) in ["127.0.0.1", METADATA].iter().zip(&listeners) {
            let outcome = &tried[&format!("connect {address}")];
            assert_eq!(outcome.starts_with("value"), is_reached, "{layers} {address}: {outcome}");
            listener.set_nonblocking(true).unwrap();
            assert_eq!(listener.accept().is_ok(), is_reached, "{layers} {address}");
            listener.set_nonblocking(false).unwrap();
        }
    }
}

#[test]
fn the_broker_connects_to_the_registrys_ports_and_to_no_other() {
    enter_network(&[]);
    let listener = TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    listener.set_nonblocking(true).unwrap();
    // It has the network, and Landlock is what keeps it from a port; with the port among its own, it gets there.
    let outcome = |layers: &str| tried("reach", layers, Role::Broker)["connect 127.0.0.1"].clone();
    assert_eq!(outcome("open"), "errno 13");
    assert_eq!(outcome("open+443"), "errno 13");
    assert!(outcome(&format!("open+{PORT}")).starts_with("value"));
    // Landlock does not see a connection that begins with data; the filter does.
    for (layers, expected) in [("sealed", "sigsys"), ("open", "value 1")] {
        let tried = tried("reach", layers, Role::Broker);
        for way in ["sendto", "sendmsg"] {
            assert_eq!(tried[&format!("{way} 127.0.0.1 at once")], expected, "{layers} {way}");
        }
    }
}

#[test]
fn without_the_broker_calls_go_on_and_new_ones_do_without_vendors_until_it_is_back() {
    let names = network();
    let standin = Vendor::serve("asr.vendor.test", &format!("{VENDOR}:443"));
    let server = Running::media_with(vendors(&[]), None, "MEDIA_VENDORS=standin:audio\n");
    let mut first = Stream::started(&server);
    drop(server.logs.nth("vendor_connected", 1));
    // Hanging is the worst of it: nobody answers, and nobody starts another.
    let broker = server.process(Role::Broker);
    super::kills::signal(broker, rustix::process::Signal::STOP);
    let mut second = Stream::named(&server, 2);
    assert_eq!(server.logs.first("vendor_failed")["reason"], "broker_silent");
    first.proves_alive(1);
    second.proves_alive(1);
    super::kills::signal(broker, rustix::process::Signal::KILL);
    let begun = Instant::now();
    while server.process(Role::Broker) == broker {
        assert!(begun.elapsed() < Duration::from_secs(5), "the broker is not back");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The connection that was there is still there, and the next call has its own.
    let mut third = Stream::named(&server, 3);
    drop(server.logs.nth("vendor_connected", 2));
    for stream in [&mut first, &mut second, &mut third] {
        stream.proves_alive(2);
    }
    // What was dialled for a question that nobody waits for any more is given back.
    assert!(standin.seen().ended <= 1);
    drop(names);
}
