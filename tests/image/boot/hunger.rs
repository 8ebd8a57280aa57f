//! Memory that ends: somebody takes all of it, and the kernel must end somebody.
//!
//! Who takes it is the drill's own program, which the kernel may not choose, so that it chooses among those that ship.

use std::time::{Duration, Instant};

use ward_policy::audit::Role;
use ward_policy::cell::gives_way;

use crate::built::folder;
use crate::caller::{Caller, first_call};
use crate::drills::{RECOVERED, row, seconds, with_orders};
use crate::lab::Lab;

/// One bite, in KiB.
const BITE: u32 = 1_024;
const MEBIBYTES: u32 = 256;

/// How long there is none. Media is ended whenever it comes back, and not so often that the machine is given up.
const SHORT: Duration = Duration::from_secs(2);

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
fn when_memory_ends_media_does_and_nobody_else() {
    let folder = folder("hunger");
    let lab = Lab::of_agent("echo", &folder);
    let machine = with_orders(&lab, MEBIBYTES, &folder);
    let processes = machine.obey("ps");
    println!("name, KiB resident, score, added: {processes:#?}");
    assert_eq!(processes.len(), 8);
    assert!(processes.iter().all(|line| is_in_its_place(line)));
    let caller = Caller::connect().unwrap();
    let past = machine.lines().len();
    let mut eaten = String::new();
    for _ in 0..MEBIBYTES {
        eaten = machine.obey(&format!("eat {BITE}")).concat();
        if machine.has_said(past, &["Out of memory"]) {
            break;
        }
    }
    assert!(machine.has_said(past, &["Out of memory"]), "{eaten} KiB are not enough");
    std::thread::sleep(SHORT);
    machine.obey("let-go");
    let begun = Instant::now();
    let recovered = first_call(RECOVERED) - begun;
    let lines = machine.lines();
    let ended = lines.iter().skip(past).filter(|line| line.text.contains("Out of memory: Killed"));
    let ended: Vec<_> = ended.map(|line| line.text.as_str()).collect();
    println!("{eaten} KiB: {ended:#?}");
    assert!(ended.iter().all(|text| text.contains("(ward-media)")), "{}", machine.told());
    for word in ["INIT-0804", "INIT-0805", "INIT-0806"] {
        assert!(!machine.has_said(past, &[word]), "{}", machine.told());
    }
    let (_, end) = caller.ended(RECOVERED).expect("its server is gone");
    row(
        "take all memory for two seconds",
        "the kernel's `Out of memory: Killed process … (ward-media)`; `role_ended`, `role_started`",
        &format!("ends ({end:?})"),
        &format!(
            "{} after there is some again; media ended {} times",
            seconds(recovered),
            ended.len()
        ),
    );
    std::fs::remove_dir_all(folder).unwrap();
}
