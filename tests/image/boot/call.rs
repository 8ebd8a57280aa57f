//! The image as it ships, from the flashable file to a call: every disk, both ways of its settings, an address by DHCP.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ward_image::{disk, qcow2};

use crate::built::{Bare, folder, output};
use crate::lab::{GUEST, Lab, MTU, TAP};
use crate::machine::{Disk, Event, Machine, Plan};
use crate::{BOOT, is_handed_over, ports};

/// From power-on to serving.
const SERVING: Duration = Duration::from_secs(150);
/// How much longer than a bare program the system may take from the hand-over to its first handshake.
const TIMES_OF_BARE_MAX: f64 = 2.0;

fn event(machine: &Machine, code: &str, limit: Duration) -> Event {
    let line = machine
        .wait(code, limit, |text| Event::parse(text).is_some_and(|event| event.code == code));
    Event::parse(&line.text).expect("an event")
}

/// The flashable file with the lab's settings in it, or without.
fn image(lab: &Lab, of: Disk, with_settings: bool, folder: &Path) -> PathBuf {
    if !with_settings {
        return if of == Disk::Qcow2 {
            output("image-qcow2", "ward.qcow2")
        } else {
            output("image-raw", "ward.raw")
        };
    }
    let raw = std::fs::read(output("image-raw", "ward.raw")).unwrap();
    let configuration = std::fs::read(lab.configuration()).unwrap();
    let configured = disk::configure(&raw, Some(configuration)).unwrap();
    let file = folder.join("configured");
    std::fs::write(
        &file,
        if of == Disk::Qcow2 { qcow2::write(&configured).unwrap() } else { configured },
    )
    .unwrap();
    file
}

fn machine(lab: &Lab, of: Disk, settings_on_disk: bool, folder: &Path) -> Machine {
    let mut plan = Plan::new(of, &image(lab, of, settings_on_disk, folder));
    plan.memory = 512;
    plan.tap = Some(TAP.to_owned());
    plan.fw_cfg = lab.handed(!settings_on_disk);
    Machine::start(&plan, folder)
}

fn booted_and_called(name: &str, of: Disk, settings_on_disk: bool) {
    let folder = folder(name);
    let lab = Lab::new(&folder);
    let machine = machine(&lab, of, settings_on_disk, &folder);
    let configured = event(&machine, "INIT-0400", BOOT);
    let source = if settings_on_disk { "disk" } else { "fw_cfg" };
    assert!(
        configured.fields.contains(&("source".to_owned(), source.to_owned())),
        "{configured:?}"
    );
    let address = event(&machine, "INIT-0503", SERVING);
    assert!(address.fields.iter().any(|(_, value)| value.starts_with(GUEST)), "{address:?}");
    assert!(address.fields.contains(&("mtu".to_owned(), MTU.to_string())), "{address:?}");
    let ready = event(&machine, "INIT-0801", SERVING);
    println!("{name}: ready after {:.2} s of the kernel's clock", ready.seconds);
    lab.call().check();
    drop(machine);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn from_a_raw_virtio_disk_with_settings_past_it() {
    booted_and_called("virtio", Disk::Virtio, false);
}

#[test]
fn from_a_raw_nvme_disk_with_settings_on_it() {
    booted_and_called("nvme", Disk::Nvme, true);
}

#[test]
fn from_a_qcow2_disk_with_settings_on_it() {
    booted_and_called("qcow2", Disk::Qcow2, true);
}

#[test]
fn a_machine_that_names_a_cloud_takes_no_secret_from_its_host() {
    let folder = folder("cloud");
    let lab = Lab::new(&folder);
    let mut plan = Plan::new(Disk::Virtio, &output("image-raw", "ward.raw"));
    plan.tap = Some(TAP.to_owned());
    plan.fw_cfg = lab.handed(true);
    plan.more = ["-smbios", "type=1,manufacturer=Amazon EC2"].map(str::to_owned).into();
    let mut machine = Machine::start(&plan, &folder);
    let refused = event(&machine, "INIT-0404", BOOT);
    assert!(refused.fields.contains(&("cloud".to_owned(), "aws".to_owned())), "{refused:?}");
    assert!(machine.ended(BOOT).is_some(), "it goes on\n{}", machine.told());
    assert!(!machine.has_said(0, &["INIT-0801"]), "{}", machine.told());
    std::fs::remove_dir_all(folder).unwrap();
}

/// Pairs of boots, one of each; the middle one counts.
const PAIRS: usize = 3;

#[test]
fn the_first_handshake_comes_soon_after_the_hand_over() {
    let folder = folder("soon");
    let bare = Bare::build(&folder);
    let lab = Lab::new(&folder);
    let mut times = Vec::new();
    for pair in 0..PAIRS {
        let own = folder.join(format!("pair-{pair}"));
        std::fs::create_dir(&own).unwrap();
        let hello = Machine::start(&Plan::new(Disk::Virtio, &bare.raw), &own);
        let said = hello.wait("hello", BOOT, |text| text == "hello").at;
        let bare = said - hello.wait("the hand-over", BOOT, is_handed_over).at;
        drop(hello);
        let started = Instant::now();
        let machine = machine(&lab, Disk::Virtio, false, &folder);
        let handshake = lab.first_handshake(SERVING) - started;
        let ours = handshake - machine.wait("the hand-over", BOOT, is_handed_over).at;
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        println!("hello {bare:.2?}, first handshake {ours:.2?}: {ratio:.2} times");
        times.push(ratio);
    }
    times.sort_by(f64::total_cmp);
    let middle = times[PAIRS / 2];
    assert!(middle <= TIMES_OF_BARE_MAX, "{middle:.2}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn one_port_is_open_and_the_power_button_ends_it() {
    let folder = folder("ports");
    let lab = Lab::new(&folder);
    let mut machine = machine(&lab, Disk::Virtio, false, &folder);
    event(&machine, "INIT-0801", SERVING);
    let open: Vec<u16> = (1..=u16::MAX)
        .filter(|port| {
            let address = SocketAddr::new(GUEST.parse().unwrap(), *port);
            TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok()
        })
        .collect();
    assert_eq!(open, [443]);
    // Every one says that it is closed.
    ports::be_many();
    let silent = ports::not_closed(GUEST.parse().unwrap(), 1..=u16::MAX);
    assert!(silent.is_empty(), "UDP: {silent:?}");
    machine.order("system_powerdown", &serde_json::json!({}));
    event(&machine, "INIT-0901", Duration::from_secs(20));
    assert!(machine.ended(Duration::from_secs(60)).is_some_and(|status| status.success()));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_machine_without_dhcp_waits_and_goes_on_when_it_comes() {
    let folder = folder("late");
    let mut lab = Lab::new(&folder);
    lab.silence_dhcp();
    let machine = machine(&lab, Disk::Virtio, false, &folder);
    event(&machine, "INIT-0501", BOOT);
    std::thread::sleep(Duration::from_secs(5));
    assert!(
        !machine.lines().iter().any(|line| line.text.contains("INIT-0503")),
        "an address out of nowhere"
    );
    lab.answer_dhcp();
    event(&machine, "INIT-0801", SERVING);
    std::fs::remove_dir_all(folder).unwrap();
}
