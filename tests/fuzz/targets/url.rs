//! URLs: an origin needs no escaping anywhere, and spellings never invent a host.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ward_twilio::twiml::{StreamPath, connect_stream};
use ward_twilio::url::{Origin, Scheme, spellings};

fuzz_target!(|text: &str| {
    let list = spellings(text);
    assert!((1..=3).contains(&list.len()));
    assert!(list.iter().all(|url| !url.contains('#')));
    let (first, rest) = text.split_once('|').unwrap_or((text, "/rtm/voice"));
    let all = [Scheme::Https, Scheme::Wss, Scheme::Http];
    let (Ok(origin), Ok(path)) = (Origin::parse(first, &all), StreamPath::parse(rest)) else {
        return;
    };
    assert_eq!(Origin::parse(&origin.to_string(), &all).as_ref(), Ok(&origin));
    assert_ne!(origin.port(), 0);
    let twiml = connect_stream(&origin, &path);
    let inner = twiml.strip_prefix("<Response><Connect><Stream url=\"").expect("the beginning");
    let url = inner.strip_suffix("\"/></Connect></Response>").expect("the end");
    assert!(!url.contains(['<', '>', '"', '\'', '&', ' ', '?', '#', '@']), "{url}");
    if cfg!(feature = "planted-bug") {
        assert_ne!(origin.port(), 8, "the planted bug");
    }
});
