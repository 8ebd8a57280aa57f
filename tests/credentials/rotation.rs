//! A vendor's key is rotated under live calls: none of them notices, and the old key is worth nothing afterwards.

use std::time::{Duration, Instant};

use ward_tests::servers::Running;
use ward_tests::websocket::Stream;

use crate::bench::{Bench, all_infrastructure, await_event, await_fetch, fresh_key, keyed, lines};

const CALLS: u64 = 100;

/// Calls that live, and those that come while something is rotated.
struct Calls<'s> {
    server: &'s Running,
    /// Each with how often it has said something.
    live: Vec<(Stream, u64)>,
    number: u64,
}

impl Calls<'_> {
    /// New calls, each with a vendor's connection of its own.
    fn begin(&mut self, count: u64) {
        let connected = |text: &str| text.matches("\"event\":\"vendor_connected\"").count();
        let before = connected(&self.server.logs.text());
        for _ in 0..count {
            self.number += 1;
            self.live.push((Stream::named(self.server, self.number), 0));
        }
        let until = Instant::now() + Duration::from_secs(20);
        let expected = before + usize::try_from(count).unwrap();
        while connected(&self.server.logs.text()) < expected {
            let text = self.server.logs.text();
            assert!(!text.contains("vendor_failed") && Instant::now() < until, "{text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn prove_alive(&mut self) {
        for (stream, said) in &mut self.live {
            *said += 1;
            stream.proves_alive(*said);
        }
    }
}

#[test]
fn a_vendors_key_is_rotated_under_a_hundred_calls_and_none_fails() {
    let mut keys: Vec<String> = (0..4).map(|_| fresh_key()).collect();
    let mut bench = Bench::new(&keys[0]);
    bench.sources.keep("vault", "ward/minted", &keys[0]);
    let mut all = all_infrastructure();
    all.push(keyed("minted", "vault", "secret/data/ward/minted", "/data/key", 3));
    let server = bench.serve(all, None, "minted:audio");
    drop(await_fetch(&server, 0, "minted"));
    let mut calls = Calls { server: &server, live: Vec::new(), number: 0 };
    calls.begin(CALLS);
    calls.prove_alive();
    // With both good for a while, as a vendor's own rotation has it: nobody is refused, ever.
    for next in 1..3 {
        let at = lines(&server);
        bench.minter.accept(&[&keys[next - 1], &keys[next]]);
        bench.sources.keep("vault", "ward/minted", &keys[next]);
        calls.begin(10);
        let (fetched, _) = await_event(&server, at, "the new key", |line| {
            line["event"] == "credential_fetched" && line["vendor"] == "minted"
        });
        drop(fetched);
        // One that was being fetched may still be the old one.
        drop(await_fetch(&server, lines(&server), "minted"));
        bench.minter.accept(&[&keys[next]]);
        calls.begin(10);
        assert_eq!(bench.minter.refused(), 0, "somebody came with the old key");
        calls.prove_alive();
    }
    // Without: the old one is refused at once, and the source has another. The call has its token all the same.
    bench.sources.keep("vault", "ward/minted", &keys[3]);
    bench.minter.accept(&[&keys[3]]);
    calls.begin(20);
    calls.prove_alive();
    println!("refused and mended: {}", bench.minter.refused());
    let text = server.logs.text();
    for nothing in ["vendor_failed", "vendor_refused", "call_ended", "source_failed", "role_ended"]
    {
        assert!(!text.contains(&format!("\"event\":\"{nothing}\"")), "{nothing}:\n{text}");
    }
    assert_eq!(calls.live.len(), 160);
    // The control, and what the old one is worth: with it, and without a newer one, there is no token.
    bench.sources.keep("vault", "ward/minted", &keys.remove(0));
    let after = lines(&server);
    drop(await_fetch(&server, after, "minted"));
    drop(await_fetch(&server, lines(&server), "minted"));
    let refused = bench.minter.refused();
    let _stream = Stream::named(&server, 1_000);
    let (failed, _) =
        await_event(&server, after, "vendor_failed", |line| line["event"] == "vendor_failed");
    assert_eq!(failed["reason"], "mint_refused");
    assert!(bench.minter.refused() > refused);
}
