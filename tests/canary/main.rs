//! The canary matrix: no identifier of a patient or caller, and no secret, leaves Ward's servers where it should not.
//!
//! A canary is a random value in the shape of an identifier. One of each class and encoding goes in on every way
//! there is, from outside and into the programs that ship, a conversation's vendors included; then everything that
//! came out, and what each vendor was told, is searched for all of them in every encoding, and what is there by
//! right is counted apart. The negative control sends the same to a build that writes what it reads into its log, and
//! must find nearly all of it: a detector that finds nothing there would prove nothing here.
//!
//! It needs root: it makes a network for the vendor, reads other users' processes and the kernel's log.

mod class;
mod detector;
mod ward;
mod edge;
mod webhook;
mod stream;
mod vendor;
mod scripted;
mod answers;
mod dialects;
mod conversation;
mod tool;
mod matrix;
mod sinks;

use std::path::{Path, PathBuf};

use ward_tests::binaries::{negative_control, release, variant};

use crate::class::Canary;
use crate::matrix::{Run, run, run_servers};
use crate::ward::Build;

fn shipped() -> Build {
    // In the same folder as the servers.
    drop(variant("ward-media-teller"));
    Build { tool: release("ward"), folder: folder_of(&release("ward-media")) }
}

fn controlled() -> Build {
    Build { tool: negative_control("ward"), folder: folder_of(&negative_control("ward-media")) }
}

fn folder_of(program: &Path) -> PathBuf {
    program.parent().unwrap().to_owned()
}

/// Ways in, and canaries, below which the matrix has shrunk.
const PATHS_MIN: usize = 251;
const CANARIES_MIN: usize = 39_000;
/// Of a hundred canaries, how many the negative control must find.
const FOUND_PERCENT_MIN: usize = 95;

#[test]
fn nothing_that_came_in_comes_out_and_the_same_search_finds_it_where_it_does() {
    // Each on a thread, and so in a network, of its own.
    let on_its_own =
        |build: Build, name| std::thread::spawn(move || run(&build, name)).join().unwrap();
    let run = on_its_own(shipped(), "shipped");
    run.write("target/canary.md");
    assert_is_whole(&run);
    println!("by right: {:?}", run.rightful);
    assert!(run.found.is_empty(), "{}", run.describe_found());
    // What has to go on or come back, did: the search was made where it does.
    for (right, least) in conversation::RIGHTS_MIN {
        let count = run.rightful.get(right).copied().unwrap_or_default();
        assert!(count >= least, "{count} {right}: {:?}", run.rightful);
    }

    let control = on_its_own(controlled(), "control");
    control.write("target/canary-control.md");
    assert_is_whole(&control);
    println!("{}", control.describe_missed());
    for (what, is_of) in [
        ("all ways", (|_| true) as fn(&Canary) -> bool),
        ("a conversation's ways", conversation::is_of_conversation),
    ] {
        let all = control.canaries.0.iter().filter(|one| is_of(one)).count();
        let found = all - control.missed().into_iter().filter(|one| is_of(one)).count();
        println!("the negative control, {what}: {found} of {all} canaries found");
        assert!(found * 100 >= all * FOUND_PERCENT_MIN, "{what}: {found} of {all}");
    }
}

fn assert_is_whole(run: &Run) {
    let (paths, canaries) = (run.canaries.paths().len(), run.canaries.0.len());
    println!("{}", run.summary());
    assert!(paths >= PATHS_MIN, "{paths} ways in");
    assert!(canaries >= CANARIES_MIN, "{canaries} canaries");
    assert_eq!(run.bytes.len(), ward::Sinks::ALL.len(), "{:?}", run.bytes);
    for (sink, bytes) in &run.bytes {
        // Only these can be empty: nothing is to be in them.
        let is_silent = ["stderr", "vendor", "core dumps", "files", "kernel log"].contains(sink);
        assert!(is_silent || *bytes > 100, "{sink} was not looked at: {bytes} bytes");
    }
}

#[test]
fn the_log_alone_stops_what_leaky_servers_write() {
    // The leaky servers beside the log as it ships.
    let folder = ward::folder("mixed");
    for name in ["ward-media", "ward-twiml", "ward-broker", "ward-media-teller"] {
        std::fs::copy(negative_control(name), folder.join(name)).unwrap();
    }
    std::fs::copy(release("ward-init"), folder.join("ward-init")).unwrap();
    let build = Build { tool: release("ward"), folder };
    let (run, log) = run_servers(&build, "last-wall");
    println!("{}", run.summary());
    assert!(run.found.is_empty(), "{}", run.describe_found());
    for event in ["line_refused", "scrubber_alarm"] {
        let count = log.matches(&format!("\"role\":\"log\",\"event\":\"{event}\"")).count();
        println!("{count} events {event}");
        assert!(count > 0, "no {event}");
    }
    assert!(log.contains("\"role\":\"media\",\"event\":\"call_ended\""), "other lines go on");
}

#[test]
fn what_ships_has_no_trace_of_the_negative_control() {
    const MARKER: &[u8] = b"negative control: this build writes what it reads into its log";
    let has_marker = |path: PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(MARKER.len()).any(|window| window == MARKER)
    };
    for name in ["ward", "ward-init", "ward-broker", "ward-media", "ward-twiml"] {
        assert!(!has_marker(release(name)), "{name}");
        assert!(has_marker(negative_control(name)), "{name}");
    }
}
