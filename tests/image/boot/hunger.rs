//! Memory that ends: somebody takes all of it, and the kernel must end somebody.
//!
//! Who takes it is a child of the drill's own program, which stands behind media for its size. One that could not be ended at all
//! would have the kernel end everybody else again and again, whatever their order; nobody who ships and grows is such a one.

use std::time::Instant;

use ward_policy::audit::Role;
use ward_policy::cell::gives_way;

use crate::built::folder;
use crate::caller::{Caller, End, first_call};
use crate::drills::{RECOVERED, row, seconds, with_orders};
use crate::lab::Lab;

const MEBIBYTES: u32 = 256;

/// Every process has the place in the queue that policy gives its role; the drill's own is in none.
fn is_in_its_place(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let (name, added) = (words[0], words[3]);
    let role = match name {
        "init" | "supervise" => Some(Role::Init),
        // It writes no log, and is not among those that do.
        "net" => Some(Role::Net),
        other => Role::from_name(other),
    };
    let place = role.map_or(-1_000, gives_way);
    added.parse() == Ok(place)
}

#[test]
fn when_memory_ends_media_does_first_and_nobody_who_is_not_in_the_way() {
    let folder = folder("hunger");
    let lab = Lab::of_agent("echo", &folder);
    let machine = with_orders(&lab, MEBIBYTES, &folder);
    let processes = machine.obey("ps");
    println!("name, KiB resident, score, added: {processes:#?}");
    assert_eq!(processes.len(), 8);
    assert!(processes.iter().all(|line| is_in_its_place(line)));
    let caller = Caller::connect().unwrap();
    let past = machine.lines().len();
    let gorged = machine.obey("gorge").concat();
    let begun = Instant::now();
    let recovered = first_call(RECOVERED) - begun;
    let (pid, signal) = gorged.split_once(' ').expect("who it was, and what ended it");
    assert_eq!(signal, "9");
    // Who took it all is ended, too, at the latest when it is larger than whoever stands before it.
    machine.wait_past(past, "the end", RECOVERED, |text| {
        text.contains(&format!("Out of memory: Killed process {pid} "))
    });
    let lines = machine.lines();
    let ended = lines.iter().skip(past).filter_map(|line| line.text.split_once("Killed process "));
    let ended: Vec<&str> = ended.filter_map(|(_, who)| who.split(" total").next()).collect();
    println!("{ended:#?}");
    assert!(ended[0].ends_with("(ward-media)"), "{}", machine.told());
    let in_the_way = |who: &str| who.ends_with("(ward-media)") || who.ends_with("(ward-broker)");
    let others = ended.iter().filter(|who| !in_the_way(who) && !who.starts_with(pid));
    assert_eq!(others.count(), 0, "{}", machine.told());
    for word in ["INIT-0804", "INIT-0805", "INIT-0806"] {
        assert!(!machine.has_said(past, &[word]), "{}", machine.told());
    }
    let (_, end) = caller.ended(RECOVERED).expect("its server is gone");
    assert_eq!(end, End::Cut);
    row(
        "take all memory",
        "the kernel's `Out of memory: Killed process … (ward-media)`, then whoever took it; `role_ended`, `role_started`",
        &format!("ends ({end:?})"),
        &seconds(recovered),
    );
    std::fs::remove_dir_all(folder).unwrap();
}
