//! Memory that ends: somebody takes all of it, and the kernel must end somebody.
//!
//! Who takes it is the drill's own program, which the kernel may not choose, so that it chooses among those that ship.

use std::time::{Duration, Instant};

use crate::built::folder;
use crate::caller::{Caller, first_call};
use crate::drills::{RECOVERED, row, seconds, with_orders};
use crate::lab::Lab;

/// One bite, in KiB.
const BITE: u32 = 1_024;
const MEBIBYTES: u32 = 256;

#[test]
fn when_memory_ends_media_does_and_nobody_else() {
    let folder = folder("hunger");
    let lab = Lab::of_agent("echo", &folder);
    let machine = with_orders(&lab, MEBIBYTES, &folder);
    println!("name, KiB resident, score, added: {:#?}", machine.obey("ps"));
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
    // It does not get better for a while.
    std::thread::sleep(Duration::from_secs(5));
    println!("{:#?}", machine.obey("ps"));
    machine.obey("let-go");
    let begun = Instant::now();
    let recovered = first_call(RECOVERED) - begun;
    for line in machine.lines().iter().skip(past) {
        println!("{:?} {}", line.at, line.text);
    }
    println!("{:?}", caller.seen());
    row("take all memory", "", "", &seconds(recovered));
    std::fs::remove_dir_all(folder).unwrap();
}
