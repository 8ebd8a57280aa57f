//! Every page, route, file and error of `apps/web` carries the whole header set, and no nonce twice.
//!
//! Where the platform answers by itself, before the application is asked, the row says so; such an
//! answer must be an error or a redirect without a document.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ward_tests::edge_cases::{HEADERS, row_of};
use ward_tests::headers::{check, check_file, check_page, values};
use ward_tests::site::{Kind, Site};
use ward_tests::wire::{Wire, exchange, status};

use crate::ask::{PATH, body, get, rightful};

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Thing {
    Answer,
    Page,
    File,
}

/// Which status a method gets at a path, and what kind of thing answers.
fn expectation(path: &str, method: &str) -> (u16, Thing) {
    let is_read = matches!(method, "GET" | "HEAD");
    match path {
        "/health" => (if is_read { 200 } else { 405 }, Thing::Answer),
        PATH => (if method == "POST" { 403 } else { 405 }, Thing::Answer),
        "/" => (if is_read { 200 } else { 405 }, Thing::Page),
        "/icon.svg" => (if is_read { 200 } else { 405 }, Thing::File),
        _ if path.starts_with("/_next/static/") => (404, Thing::File),
        _ => (if is_read { 404 } else { 405 }, Thing::Page),
    }
}

#[test]
fn every_page_route_file_and_error_of_the_web_host_carries_every_header() {
    let site = Site::start(Kind::Web, "");
    let mut nonces = BTreeSet::new();
    let mut count = 0;
    for path in [
        "/",
        "/health",
        PATH,
        "/nowhere",
        "/a?b",
        "/%00",
        "/%zz",
        "/rtm/voice",
        "/api",
        "/api/other",
        "/icon.svg",
        "/_next/static/none.js",
        "/_next/data/x",
        "/_next/image",
        "/_global-error",
    ] {
        for method in METHODS {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            let response = exchange(site.port, request.as_bytes());
            let (expected, thing) = expectation(path, method);
            assert_eq!(status(&response), expected, "{method} {path}\n{response}");
            let nonce = match thing {
                Thing::Answer => Some(check(&response)),
                Thing::Page => Some(check_page(&response)),
                Thing::File => {
                    check_file(&response);
                    None
                }
            };
            if let Some(nonce) = nonce {
                // What cannot be read as a page has no script that a nonce would have to reach.
                let is_document = body(&response).contains("<script");
                assert!(!is_document || body(&response).contains(&format!("nonce=\"{nonce}\"")));
                assert!(nonces.insert(nonce), "a nonce was used twice");
            }
            if expected == 405 {
                assert!(!values(&response, "allow").is_empty() || thing == Thing::File);
            }
            count += 1;
        }
        row_of(Kind::Web, HEADERS, path, "every method: the whole set", None);
    }
    assert_eq!((count, nonces.len()), (15 * 7, 13 * 7));
}

#[test]
fn the_nonce_reaches_every_script_and_style_of_the_page_and_no_other_does() {
    let site = Site::start(Kind::Web, "");
    // A nonce that the sender chose must not be taken for ours.
    let more = "Content-Security-Policy: script-src 'nonce-evil'\r\nx-nonce: evil\r\n";
    for request in [get("/", ""), get("/", more), get("/nowhere", more)] {
        let response = exchange(site.port, request.as_bytes());
        let nonce = check_page(&response);
        let document = body(&response);
        let tags: Vec<&str> = document
            .split('<')
            .filter(|tag| {
                tag.starts_with("script")
                    || tag.starts_with("style")
                    || tag.starts_with("link rel=\"stylesheet\"")
            })
            .map(|tag| tag.split('>').next().unwrap())
            .collect();
        assert!(tags.len() > 5, "{document}");
        for tag in tags {
            assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "{tag}");
        }
        assert!(!document.contains("evil"), "{document}");
        // Nothing of another origin, and no style or handler that the policy would have to allow.
        for outside in ["http://", "https://", "src=\"//", " style=\"", " onload="] {
            assert!(!document.contains(outside), "{outside} in {document}");
        }
        for file in document.split("/_next/static/").skip(1) {
            let name = file.split(['"', '\\']).next().unwrap();
            let response =
                exchange(site.port, get(&format!("/_next/static/{name}"), "").as_bytes());
            assert_eq!(status(&response), 200, "{name}");
            check_file(&response);
        }
    }
}

/// What the platform answers before the application is asked.
const PLATFORM: &[(&str, &str, &str)] = &[
    (
        "a bare line feed in the head",
        "GET /health HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
        PARSER,
    ),
    ("a folded header", "GET /health HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", PARSER),
    ("a line without a colon", "GET /health HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", PARSER),
    ("a NUL in a header", "GET /health HTTP/1.1\r\nHost: a\r\nX: a\0\r\n\r\n", PARSER),
    ("HTTP/3.0", "GET /health HTTP/3.0\r\nHost: a\r\n\r\n", PARSER),
    ("no Host header", "GET /health HTTP/1.1\r\n\r\n", PARSER),
    ("a length that is none", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", PARSER),
    (
        "a length and chunks",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        PARSER,
    ),
    ("an unknown method", "BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", PARSER),
    ("nonsense", "nonsense\r\n\r\n", PARSER),
    (
        "TRACE",
        "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "Next.js cannot represent the method and answers 500 by itself",
    ),
    (
        "TRACE of the webhook",
        "TRACE /api/voice/incoming HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "Next.js cannot represent the method and answers 500 by itself",
    ),
    (
        "a method that Node knows and Next.js does not",
        "PROPFIND /api/voice/incoming HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "Next.js refuses it before it looks for a route",
    ),
    (
        "the target *",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "Next.js takes it for a URL and answers 500 by itself",
    ),
    (
        "an expectation",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: x\r\n\r\n",
        PARSER,
    ),
    ("a target beyond ASCII", "GET /é HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", PARSER),
    (
        "chunks that are none",
        "POST /api/voice/incoming HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nX-Twilio-Signature: RSOYDt4T1cUTdK1PDd93/VVr8B8=\r\n\
         Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        PARSER,
    ),
    (
        "repeated slashes",
        "GET //health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "Next.js redirects to the path with single slashes by itself",
    ),
    (
        "an absolute target",
        "GET http://a/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "Next.js redirects by itself",
    ),
    (
        "a request of its router's, without its mark",
        "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRSC: 1\r\n\r\n",
        "Next.js redirects to the marked target by itself",
    ),
];

const PARSER: &str = "Node's parser refuses it before the application is asked; on a platform with an \
    edge of its own, that does";

#[test]
fn what_the_platform_answers_by_itself_is_never_a_document() {
    let web = Site::start(Kind::Web, "");
    let responder = Site::start(Kind::Responder, "");
    for (what, request, why) in PLATFORM {
        let response = exchange(web.port, request.as_bytes());
        let code = status(&response);
        assert!((300..600).contains(&code), "{what}: {response}");
        assert!(!response.contains("<Response>") && !response.contains("<html"), "{response}");
        row_of(Kind::Web, HEADERS, what, "no document; not every header", Some(why));
        let response = exchange(responder.port, request.as_bytes());
        drop(check(&response));
        row_of(Kind::Responder, HEADERS, what, "the whole set", None);
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000));
    for (site, meaning, why) in
        [(&web, "431; not every header", Some(PARSER)), (&responder, "431, the whole set", None)]
    {
        assert_eq!(status(&exchange(site.port, long.as_bytes())), 431);
        row_of(site.kind, HEADERS, "a target of 20,000 characters", meaning, why);
    }
    // Both still answer after all that.
    for site in [&web, &responder] {
        assert_eq!(status(&exchange(site.port, rightful().as_bytes())), 200);
    }
}

#[test]
fn neither_host_takes_a_websocket() {
    for kind in Kind::BOTH {
        let site = Site::start(kind, "");
        drop(exchange(site.port, get("/health", "").as_bytes()));
        let before = site.descriptors();
        for path in ["/rtm/voice", PATH, "/", "/health", "/_next/static/none", "/_next/webpack-hmr"]
        {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            let mut wire = Wire::open(site.port);
            wire.send(request.as_bytes());
            for _ in 0..20 {
                let mut wire = Wire::open(site.port);
                wire.send(request.as_bytes());
                let response = String::from_utf8(wire.receive_all()).unwrap();
                assert_ne!(status(&response), 101, "{kind} {path}");
            }
            row_of(
                kind,
                HEADERS,
                &format!("20 upgrades on {path}"),
                "no WebSocket, all closed",
                None,
            );
        }
        // Nothing stays behind: whoever asks often enough could otherwise use up every descriptor.
        let until = Instant::now() + Duration::from_secs(10);
        while site.descriptors() > before && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(site.descriptors() <= before, "{kind}: {} of {before}", site.descriptors());
        assert_eq!(status(&exchange(site.port, rightful().as_bytes())), 200, "{kind}");
    }
}

#[test]
fn the_check_catches_a_page_and_a_file_without_their_headers() {
    let site = Site::start(Kind::Web, "");
    let page = exchange(site.port, get("/", "").as_bytes());
    let file = exchange(site.port, get("/icon.svg", "").as_bytes());
    for line in page.split("\r\n\r\n").next().unwrap().lines().skip(1) {
        let name = line.split(':').next().unwrap().to_ascii_lowercase();
        let is_ours = name.contains("policy")
            || name.starts_with("x-")
            || matches!(&*name, "strict-transport-security" | "cache-control");
        if is_ours {
            let broken = page.replace(&format!("{line}\r\n"), "");
            assert!(std::panic::catch_unwind(|| check_page(&broken)).is_err(), "{line}");
        }
    }
    assert!(std::panic::catch_unwind(|| check_file(&page)).is_err());
    assert!(std::panic::catch_unwind(|| check_page(&file)).is_err());
    let told = page.replacen("\r\n", "\r\nX-Powered-By: Next.js\r\n", 1);
    assert!(std::panic::catch_unwind(|| check_page(&told)).is_err());
}
