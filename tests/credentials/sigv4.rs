//! Signatures of AWS: the published vectors, and botocore over random requests.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use ward_broker::sigv4::{Credentials, ToSign, amz_date, authorization};
use ward_policy::date::Date;
use ward_tests::digest::sha256;
use ward_tests::random::{fresh, fresh_text};

use crate::bench::python;

/// The vectors that our signer is no signer for: it makes no query and normalises no path.
const OTHERS: [&str; 16] = [
    "get-relative-normalized",
    "get-relative-relative-normalized",
    "get-slash-dot-slash-normalized",
    "get-slash-normalized",
    "get-slash-pointless-dot-normalized",
    "get-slashes-normalized",
    "get-space-normalized",
    "get-space-unnormalized",
    "get-utf8",
    "get-vanilla-empty-query-key",
    "get-vanilla-query-order-encoded",
    "get-vanilla-query-order-key-case",
    "get-vanilla-query-unreserved",
    "get-vanilla-utf8-query",
    "post-vanilla-empty-query-value",
    "post-vanilla-query",
];

/// `2015-08-30T12:36:00Z`, in seconds since 1970.
fn seconds(text: &str) -> u64 {
    let (day, time) = text.trim_end_matches('Z').split_once('T').unwrap();
    let days = Date::from_days(0).days_until(Date::parse(day).unwrap());
    let time = time.split(':').fold(0, |all, part| all * 60 + part.parse::<u64>().unwrap());
    u64::try_from(days).unwrap() * 86_400 + time
}

/// What we sign for a vector.
fn signed(vector: &Value) -> String {
    let text = |name: &str| vector[name].as_str().unwrap();
    let request = text("request");
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    // Lines that go on with the next are one.
    let head = head.trim_end().replace("\n ", " ");
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let at_s = seconds(text("timestamp"));
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| {
        let (name, value) = (name.to_lowercase(), value.trim().to_owned());
        match headers.iter_mut().find(|(known, _)| *known == name) {
            // One that is there twice is one with a list (RFC 9110 §5.3).
            Some((_, list)) => *list = format!("{list},{value}"),
            None => headers.push((name, value)),
        }
    };
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        add(name, value);
    }
    add("x-amz-date", &amz_date(at_s));
    if let Some(token) = vector["token"].as_str() {
        add("x-amz-security-token", token);
    }
    if vector["sign_body"] == true {
        add("x-amz-content-sha256", &sha256(body.as_bytes()));
    }
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (region, service) = (text("region"), text("service"));
    let body = body.as_bytes();
    let request = ToSign { method, path, headers: &headers, body, region, service, at_s };
    let secret_access_key = text("secret_access_key").as_bytes();
    authorization(&request, Credentials { access_key_id: text("access_key_id"), secret_access_key })
}

#[test]
fn the_published_vectors_hold() {
    let file: Value = serde_json::from_str(include_str!("sigv4-vectors.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let mut held = 0;
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        if OTHERS.contains(&name) {
            continue;
        }
        assert_eq!(signed(vector), vector["authorization"].as_str().unwrap(), "{name}");
        // The controls: another body, time or key would be seen.
        for (field, from, to) in [
            ("request", "example.amazonaws.com", "example.amazonaws.con"),
            ("timestamp", "12:36:00", "12:36:01"),
            ("secret_access_key", "wJalr", "wJals"),
        ] {
            let mut other = vector.clone();
            other[field] = vector[field].as_str().unwrap().replace(from, to).into();
            assert_ne!(other[field], vector[field]);
            assert_ne!(signed(&other), vector["authorization"].as_str().unwrap(), "{name} {field}");
        }
        held += 1;
    }
    assert_eq!((held, vectors.len()), (22, 38));
}

#[test]
fn botocore_signs_a_thousand_random_requests_as_we_do() {
    const LETTERS: &[u8] =
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+=-._~ ";
    let text = |most: u8| fresh_text(LETTERS, usize::from(fresh::<1>()[0] % most) + 1);
    let mut oracle =
        python("oracle.py").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = oracle.stdin.take().unwrap();
    let (mut asked, mut ours) = (String::new(), Vec::new());
    for number in 0..1_000 {
        let at_s = u64::from(u32::from_be_bytes(fresh()));
        let (date, token, body) = (amz_date(at_s), text(200), text(255));
        let (key, region) = (text(60), text(20).replace([' ', '/', '='], "x"));
        let path = format!("/{}", text(30).replace([' ', '+', '=', '/', '.'], "x"));
        let more = (format!("x-more-{number}"), text(60));
        let headers = [
            ("host", "secretsmanager.us-east-1.amazonaws.com"),
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-date", &date),
            ("x-amz-security-token", token.trim()),
            (more.0.as_str(), more.1.trim()),
        ];
        let (access_key_id, service) = ("AKIDEXAMPLE", "secretsmanager");
        let region = region.as_str();
        let object = json!({
            "method": "POST", "path": path, "body": body, "region": region, "service": service,
            "access_key_id": access_key_id, "secret_access_key": key,
            "headers": headers.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        });
        asked += &format!("{object}\n");
        let request = ToSign {
            method: "POST",
            path: &path,
            headers: &headers,
            body: body.as_bytes(),
            region,
            service,
            at_s,
        };
        let credentials = Credentials { access_key_id, secret_access_key: key.as_bytes() };
        ours.push(authorization(&request, credentials));
    }
    let writing = std::thread::spawn(move || input.write_all(asked.as_bytes()).unwrap());
    let output = oracle.wait_with_output().unwrap();
    writing.join().unwrap();
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<String> =
        theirs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(theirs.len(), ours.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    // No two are alike, so none is compared with what it always is.
    let all: std::collections::BTreeSet<&String> = ours.iter().collect();
    assert_eq!(all.len(), ours.len());
}
