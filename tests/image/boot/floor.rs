//! How small it is: the files that ship, and the least memory with which the machine boots and holds a thousand calls.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use ward_policy::limit;

use crate::built::{folder, output};
use crate::caller::{Line, first_call};
use crate::drills::RECOVERED;
use crate::lab::{Lab, TAP};
use crate::machine::{Disk, Machine, Plan};

/// Memory is tried in steps of so many MiB.
const STEP: u32 = 8;
/// With so many MiB it boots and serves a call: what was seen, 96, and two steps.
const BOOT_MIB_MAX: u32 = 112;
/// With so many it holds [`CALLS`] idle ones; the same was seen: below it nothing boots.
const CALLS_MIB_MAX: u32 = 112;
/// Calls that are there and say nothing.
const CALLS: usize = 1_000;
/// How long they are held: longer than the silence that ends a call whose caller does not answer.
const HELD: Duration = Duration::from_secs(30);

#[test]
fn the_files_that_ship_are_as_small_as_they_are_said_to_be() {
    let bytes = |path: std::path::PathBuf| std::fs::metadata(path).unwrap().len();
    let (uki, raw) = (bytes(output("uki", "ward.efi")), bytes(output("image-raw", "ward.raw")));
    println!("UKI {uki} bytes, raw {raw} bytes");
    assert!(uki <= u64::try_from(limit::UKI_BYTES_MAX).unwrap(), "{uki}");
    assert!(raw <= u64::try_from(limit::DISK_BYTES).unwrap(), "{raw}");
}

/// The machine with so much memory, if it comes to serve; else the last that it said.
fn serving(lab: &Lab, mebibytes: u32, folder: &Path) -> Result<Machine, String> {
    let folder = folder.join(mebibytes.to_string());
    std::fs::create_dir(&folder).unwrap();
    let mut plan = Plan::new(Disk::Virtio, &output("image-raw", "ward.raw"));
    plan.memory = mebibytes;
    plan.tap = Some(TAP.to_owned());
    plan.fw_cfg = lab.handed(true);
    let mut machine = Machine::start(&plan, &folder);
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if machine.has_said(0, &["INIT-0801"]) {
            return Ok(machine);
        }
        // The firmware's own end, too: it would try the disk again and again.
        let is_over = machine.ended(Duration::from_millis(50)).is_some();
        if is_over || machine.has_said(0, &["BdsDxe: failed"]) || machine.has_said(0, &["panic"]) {
            break;
        }
    }
    let lines = machine.lines();
    let says = |words: &str| lines.iter().find(|line| line.text.contains(words));
    let last = lines.iter().rev().find(|line| !line.text.trim().is_empty());
    let last = says("panic").or_else(|| says("Out of memory")).or(last);
    Err(last.map_or("nothing", |line| line.text.trim()).to_owned())
}

/// The least of the steps down from `most` with which `serves` still does; one of room has to be left.
fn least(most: u32, mut serves: impl FnMut(u32) -> Result<(), String>) {
    let mut least = None;
    for mebibytes in (STEP..=most).rev().step_by(STEP as usize) {
        if let Err(last) = serves(mebibytes) {
            println!("{mebibytes} MiB: {last}");
            break;
        }
        least = Some(mebibytes);
    }
    let least = least.unwrap_or_else(|| panic!("not with {most} MiB"));
    println!("least: {least} MiB");
    assert!(least < most, "no step of room is left: {least} MiB");
}

#[test]
fn it_boots_with_little_memory() {
    let folder = folder("floor");
    let lab = Lab::of_agent("echo", &folder);
    least(BOOT_MIB_MAX, |mebibytes| {
        let machine = serving(&lab, mebibytes, &folder)?;
        first_call(RECOVERED);
        assert!(!machine.has_said(0, &["Out of memory"]), "{}", machine.told());
        Ok(())
    });
    std::fs::remove_dir_all(folder).unwrap();
}

/// What the log gives as reasons for the ends of calls, each once.
fn reasons(machine: &Machine) -> String {
    let lines = machine.lines();
    let ended = lines.iter().filter(|line| line.text.contains("\"call_ended\""));
    let reasons = ended.filter_map(|line| line.text.split("\"reason\":").nth(1)?.split(',').next());
    reasons.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

fn hear(lines: &mut [Line]) {
    for line in lines {
        // Pings are answered in passing; echoes there are none of.
        line.listen();
    }
}

/// Whether a machine with so much memory holds the calls; how many it had when it did not.
fn holds(lab: &Lab, mebibytes: u32, folder: &Path) -> Result<(), String> {
    let machine = serving(lab, mebibytes, folder)?;
    let (begun, mut lines) = (Instant::now(), Vec::new());
    while lines.len() < CALLS {
        match Line::connect() {
            Ok(line) => lines.push(line),
            Err(why) => return Err(format!("{why} after {} calls", lines.len())),
        }
        // Who was there first is asked whether it lives.
        if lines.len() % 50 == 0 {
            hear(&mut lines);
        }
    }
    println!("{mebibytes} MiB: {CALLS} calls after {:.1?}", begun.elapsed());
    let until = Instant::now() + HELD;
    while Instant::now() < until {
        hear(&mut lines);
        std::thread::sleep(Duration::from_millis(20));
    }
    let open = lines.iter().filter(|line| line.is_open()).count();
    let is_short = machine.has_said(0, &["Out of memory"]);
    if open == CALLS && !is_short {
        // One more is served like any other.
        first_call(RECOVERED);
        return Ok(());
    }
    let ends: BTreeSet<String> = lines.iter().map(|line| format!("{:?}", line.end())).collect();
    let short = if is_short { ", memory is not" } else { "" };
    Err(format!("{open} calls are left{short}: {ends:?}\n{}", reasons(&machine)))
}

#[test]
fn a_thousand_idle_calls_are_held_with_little_memory() {
    let folder = folder("idle");
    let lab = Lab::of_agent("echo", &folder);
    least(CALLS_MIB_MAX, |mebibytes| holds(&lab, mebibytes, &folder));
    std::fs::remove_dir_all(folder).unwrap();
}
