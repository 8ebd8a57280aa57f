//! Request heads: what is judged plain is plain for a strict reader as well, and a longer prefix never
//! turns a refusal into something to serve.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_edge::head::{Judgement, judge};

fuzz_target!(|bytes: &[u8]| {
    let whole = judge(bytes);
    if let Judgement::Plain { end } = whole {
        let head = &bytes[..end];
        assert!(head.ends_with(b"\r\n\r\n"));
        assert_eq!(judge(head), whole, "nothing behind the head matters");
        let text = String::from_utf8_lossy(head);
        let lines: Vec<&str> = text.trim_end_matches("\r\n").split("\r\n").collect();
        let parts: Vec<&str> = lines[0].split(' ').collect();
        let [method, target, "HTTP/1.1"] = parts.as_slice() else { panic!("{}", lines[0]) };
        // What hyper will make of it: a part that it cannot take, it would refuse without our headers.
        assert!(hyper::Method::from_bytes(method.as_bytes()).is_ok());
        let uri: hyper::Uri = target.parse().expect("a plain target is a URI");
        assert_eq!(uri.path_and_query().map(|all| all.as_str()), Some(*target));
        for line in &lines[1..] {
            let (name, value) = line.split_once(':').expect("a field");
            assert!(hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok());
            assert!(hyper::header::HeaderValue::from_bytes(value.trim().as_bytes()).is_ok());
        }
        assert!(lines.iter().all(|line| !line.contains(['\r', '\n', '\0'])));
        let named = |name: &str| {
            lines.iter().filter(|line| line.to_ascii_lowercase().starts_with(name)).count()
        };
        assert_eq!(named("host:"), 1);
        assert!(named("content-length:") + named("transfer-encoding:") <= 1);
        if cfg!(feature = "planted-bug") {
            assert!(!lines[0].contains("/a"), "the planted bug");
        }
    }
    let half = judge(&bytes[..bytes.len() / 2]);
    if matches!(half, Judgement::Refused(_)) {
        assert!(matches!(whole, Judgement::Refused(_)));
    }
});
