//! What goes wrong on a machine that serves, done on purpose: what the console says, what calls see, how long until a new one is taken.
//!
//! Each drill prints a row of the table in `docs/deploy/drills.md`. Killing and eating memory is `drill.rs`'s; everything else is done from
//! outside to the image as it ships.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use ward_policy::limit;

use crate::built::{drill_image, folder, output};
use crate::caller::{Caller, End, first_call};
use crate::lab::{Lab, TAP};
use crate::machine::{Disk, Machine, Plan};

/// From power-on to serving.
const SERVING: Duration = Duration::from_secs(150);
/// A new call after any of these, at the latest, on an emulated machine.
pub(crate) const RECOVERED: Duration = Duration::from_secs(30);
/// What a live call may not hear when it is none of a drill's business: two seconds of an emulated machine that starts a process.
pub(crate) const GAP_MAX: Duration = Duration::from_secs(2);

/// One row of the table.
pub(crate) fn row(what: &str, console: &str, call: &str, recovery: &str) {
    println!("| {what} | {console} | {call} | {recovery} |");
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The image as it ships, or with the drill's program, serving.
pub(crate) fn served(
    lab: &Lab,
    image: &Path,
    takes_orders: bool,
    memory: u32,
    folder: &Path,
) -> Machine {
    let mut plan = Plan::new(Disk::Virtio, image);
    (plan.memory, plan.takes_orders) = (memory, takes_orders);
    plan.tap = Some(TAP.to_owned());
    plan.fw_cfg = lab.handed(true);
    let machine = Machine::start(&plan, folder);
    machine.event_past(0, "INIT-0801", SERVING);
    first_call(RECOVERED);
    machine
}

pub(crate) fn with_orders(lab: &Lab, memory: u32, folder: &Path) -> Machine {
    served(lab, &drill_image(folder), true, memory, folder)
}

pub(crate) fn as_shipped(lab: &Lab, folder: &Path) -> Machine {
    served(lab, &output("image-raw", "ward.raw"), false, 256, folder)
}

#[test]
fn whoever_is_killed_comes_back_and_only_media_takes_calls_along() {
    let folder = folder("kills");
    let lab = Lab::of_agent("echo", &folder);
    let machine = with_orders(&lab, 256, &folder);
    // Nothing can end PID 1, not even root: the kernel keeps such signals from it.
    let caller = Caller::connect().unwrap();
    let past = machine.lines().len();
    assert_eq!(machine.obey("kill init"), ["1 0"]);
    assert!(caller.is_alive(GAP_MAX));
    for word in ["INIT-", "\"role_ended\""] {
        assert!(!machine.has_said(past, &[word]), "{}", machine.told());
    }
    row("kill PID 1", "nothing", "goes on", "–: the kernel keeps the signal from it");
    for name in ["broker", "sign", "log", "net"] {
        let past = machine.lines().len();
        caller.begin_watch();
        let begun = Instant::now();
        assert_eq!(machine.obey(&format!("kill {name}")).len(), 1, "{name}");
        let recovered = first_call(RECOVERED) - begun;
        let (said, again) = said_of(&machine, past, name, begun);
        std::thread::sleep(Duration::from_secs(1));
        let longest = caller.seen().longest;
        assert!(caller.is_alive(GAP_MAX) && longest < GAP_MAX, "{name}: {longest:?}");
        let call = format!("goes on; {:.0} ms without sound at most", longest.as_secs_f64() * 1e3);
        let recovery = format!("{}; the process after {again}", seconds(recovered));
        row(&format!("kill `{name}`"), &said, &call, &recovery);
    }
    let past = machine.lines().len();
    let begun = Instant::now();
    assert_eq!(machine.obey("kill media").len(), 1);
    let recovered = first_call(RECOVERED) - begun;
    let (at, end) = caller.ended(GAP_MAX).expect("its server is gone");
    assert_eq!(end, End::Cut);
    let (said, _) = said_of(&machine, past, "media", begun);
    let call = format!("ends after {} ({end:?})", seconds(at.saturating_duration_since(begun)));
    row("kill `media`", &said, &call, &seconds(recovered));
    // The last, because with the supervisor everybody is ended, the drill's own program among them.
    let caller = Caller::connect().unwrap();
    let past = machine.lines().len();
    let begun = Instant::now();
    let _order = machine.tell("kill supervise");
    machine.event_past(past, "INIT-0804", RECOVERED);
    let (at, end) = caller.ended(GAP_MAX).expect("its server is gone");
    assert_eq!(end, End::Cut);
    let recovered = first_call(RECOVERED) - begun;
    machine.event_past(past, "INIT-0801", RECOVERED);
    let call = format!("ends after {} ({end:?})", seconds(at.saturating_duration_since(begun)));
    row("kill the supervisor", "INIT-0804, INIT-0805, INIT-0801", &call, &seconds(recovered));
    std::fs::remove_dir_all(folder).unwrap();
}

/// What the console has on an end and a new start, and how long after `begun` the new start was told.
fn said_of(machine: &Machine, past: usize, name: &str, begun: Instant) -> (String, String) {
    let (end, start) = if name == "net" {
        (vec!["INIT-0805"], vec!["INIT-0501"])
    } else {
        (vec!["\"role_ended\"", name], vec!["\"role_started\"", name])
    };
    let has = |text: &str, words: &[&str]| words.iter().all(|word| text.contains(word));
    machine.wait_past(past, "the end", RECOVERED, |text| has(text, &end));
    machine.wait_past(past, "the start", RECOVERED, |text| has(text, &start));
    let again = seconds(begun.elapsed());
    let said = if name == "net" { "INIT-0805, INIT-0501" } else { "`role_ended`, `role_started`" };
    (said.to_owned(), format!("{again} at most"))
}

#[test]
fn who_ends_too_often_takes_the_machine_along() {
    let folder = folder("too-often");
    let lab = Lab::of_agent("echo", &folder);
    let mut machine = with_orders(&lab, 256, &folder);
    // Who ends a few times before it has ever lived so long is taken for one that cannot start, which ends sooner.
    std::thread::sleep(limit::ROLE_STARTED_AFTER_ON_IMAGE + Duration::from_secs(1));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) && !machine.has_said(0, &["INIT-0806"]) {
        // With the machine its program ends, too, which need not answer.
        let _order = machine.tell("kill media");
        std::thread::sleep(Duration::from_millis(300));
    }
    let is_end = |text: &str| text.contains("\"role_ended\"") && text.contains("\"media\"");
    let kills = machine.lines().iter().filter(|line| is_end(&line.text)).count();
    let event = machine.event_past(0, "INIT-0806", Duration::from_secs(5));
    assert!(event.fields.contains(&("then".to_owned(), "restart".to_owned())), "{event:?}");
    machine.event_past(0, "INIT-0911", Duration::from_secs(5));
    let status = machine.ended(Duration::from_secs(30)).expect("it starts again");
    assert!(status.success(), "{status}");
    let said = format!("INIT-0806 after {kills} ends in {}, INIT-0911", seconds(begun.elapsed()));
    row("kill `media` again and again", &said, "each ends", "a boot, after a pause of 10 s");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_wire_that_is_pulled_for_a_moment_is_waited_for_and_for_half_a_minute_is_not() {
    let folder = folder("wire");
    let lab = Lab::of_agent("echo", &folder);
    let machine = as_shipped(&lab, &folder);
    let wire = |up: bool| machine.order("set_link", &json!({ "name": "net", "up": up }));
    for (length, lives) in [(4, true), (30, false)] {
        let caller = Caller::connect().unwrap();
        let past = machine.lines().len();
        caller.begin_watch();
        wire(false);
        let down = machine.event_past(past, "INIT-0502", RECOVERED);
        assert_eq!(down.fields[1], ("running".to_owned(), "no".to_owned()), "{down:?}");
        std::thread::sleep(Duration::from_secs(length));
        let past = machine.lines().len();
        wire(true);
        let begun = Instant::now();
        let up = machine.event_past(past, "INIT-0502", RECOVERED);
        assert_eq!(up.fields[1], ("running".to_owned(), "yes".to_owned()), "{up:?}");
        let recovered = first_call(RECOVERED) - begun;
        let call = if lives {
            assert!(caller.is_alive(Duration::from_secs(10)), "{:?}", caller.seen());
            format!("goes on; {} without sound", seconds(caller.seen().longest))
        } else {
            // The server has given it up after the longest silence that it bears.
            let (at, end) = caller.ended(Duration::from_secs(60)).expect("given up");
            assert_eq!(end, End::Closed(1001));
            format!("ends {} after the wire is back ({end:?})", seconds(at - begun))
        };
        assert!(!machine.has_said(0, &["INIT-0504"]), "the address stays");
        let what = format!("pull the wire for {length} s");
        row(&what, "INIT-0502 `running=no`, then `yes`", &call, &seconds(recovered));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn after_the_power_button_calls_end_as_they_like_and_new_ones_are_refused() {
    let folder = folder("drain");
    let lab = Lab::of_agent("echo", &folder);
    let mut machine = as_shipped(&lab, &folder);
    let caller = Caller::connect().unwrap();
    machine.order("system_powerdown", &json!({}));
    machine.event_past(0, "INIT-0902", RECOVERED);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(Caller::connect().err().as_deref(), Some("503"));
    assert!(caller.is_alive(GAP_MAX), "a live call is let finish");
    assert!(!machine.has_said(0, &["INIT-0903"]));
    caller.hang_up();
    let begun = Instant::now();
    machine.event_past(0, "INIT-0903", RECOVERED);
    machine.event_past(0, "INIT-0910", RECOVERED);
    assert!(machine.ended(RECOVERED).is_some_and(|status| status.success()));
    row(
        "press the power button",
        "INIT-0901, INIT-0902; INIT-0903, INIT-0910",
        "goes on to its end; a new one gets 503",
        &format!("off {} after the last call", seconds(begun.elapsed())),
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_second_press_of_the_power_button_does_not_wait() {
    let folder = folder("twice");
    let lab = Lab::of_agent("echo", &folder);
    let mut machine = as_shipped(&lab, &folder);
    let caller = Caller::connect().unwrap();
    machine.order("system_powerdown", &json!({}));
    // Two signals that come together are one: the second press is one when the first has been heard.
    machine.wait("the drain", RECOVERED, |text| text.contains("\"draining\""));
    let past = machine.lines().len();
    let begun = Instant::now();
    machine.order("system_powerdown", &json!({}));
    machine.event_past(past, "INIT-0901", RECOVERED);
    let (at, end) = caller.ended(RECOVERED).expect("an end");
    assert_eq!(end, End::Closed(1001));
    assert!(machine.ended(RECOVERED).is_some_and(|status| status.success()));
    row(
        "press it twice",
        "INIT-0901, INIT-0902, twice; INIT-0903, INIT-0910",
        &format!("ends after {} (close 1001)", seconds(at - begun)),
        &format!("off after {}", seconds(begun.elapsed())),
    );
    std::fs::remove_dir_all(folder).unwrap();
}
