//! Answers of time servers, the records of the network role, and the kernel's own messages: no crash, and no date that cannot be.
#![no_main]

use std::hint::black_box;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ward_init::net::news::News;
use ward_init::net::sntp::{self, Move};
use ward_init::net::{link::Link, netlink};
use ward_policy::limit;

const NUMBER: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const NOW_S: i64 = limit::BUILD_DATE_S + 86_400;

fuzz_target!(|bytes: &[u8]| {
    let now_ns = NOW_S * 1_000_000_000;
    if let Ok(sample) = sntp::answer(bytes, NUMBER, now_ns, Duration::from_millis(20)) {
        assert!((0..=20_000_000).contains(&sample.round_trip_ns));
        for most in [None, Some(limit::STEP_MAX_RUNNING)] {
            match sntp::judge(now_ns, sample.offset_ns, most) {
                Ok(Move::Set(to)) => {
                    assert!(to / 1_000_000_000 >= limit::BUILD_DATE_S, "before the build");
                    assert!(most.is_none() || (to - now_ns).unsigned_abs() <= 1_000_000_000_000);
                }
                Ok(Move::Slew(micros)) => assert!(micros.abs() <= 500_000),
                Ok(Move::Nothing) | Err(_) => {}
            }
        }
        assert!(!cfg!(feature = "planted-bug"), "the planted bug");
    }
    if let Some(news) = News::from_bytes(bytes) {
        assert_eq!(news.to_bytes(), bytes);
    }
    let _ = black_box(netlink::verdict(bytes, 1));
    let _ = black_box(netlink::is_running(bytes, 1));
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Some(link) = Link::parse(text) {
            assert_eq!(Link::parse(&link.to_text()), Some(link));
        }
    }
});
