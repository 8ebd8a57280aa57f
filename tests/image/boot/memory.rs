//! The whole memory of the machine, as a hypervisor sees it: while a call lives, and after it has ended and the machine runs on.
//!
//! The audio is of the operating system's random bytes, so it is in no program and no recording. What is looked for in vain
//! afterwards has been found before, by the same scan. Of secrets some remain, for the reasons of [`REMAINS`]: more is a failure, and less
//! is one, too, as then this list and `docs/threat-model.md` say something that is not so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use ward_tests::memory::{AUDIO_WINDOW, Hit, Needles, TEXT_WINDOW, scan_bytes};
use ward_tests::random::fresh;

use crate::built::{folder, output};
use crate::lab::{Lab, TAP};
use crate::machine::{Disk, Event, Machine, Plan};

const MEBIBYTES: u32 = 256;
/// Eight seconds of µ-law.
const AUDIO_BYTES: usize = 64_000;

/// What is in a machine's memory for as long as it runs, and why. A call's audio is not among it.
const REMAINS: [(&str, &str); 3] = [
    ("handshake", "PID 1 and the supervisor keep the document for a server's next start"),
    ("tls-key", "the same; and `sign` needs the number for every handshake"),
    ("tls-key document", "the same as for `handshake`"),
];

/// The private number of a key in PEM, and its document's body, which ends with what nobody but the document has in this form.
fn key(pem: &str) -> (Vec<u8>, String) {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(&body).unwrap();
    // SEC 1: version 1, then an octet string of 32 bytes, the private scalar.
    let at = der.windows(5).position(|five| five == [2, 1, 1, 4, 32]).unwrap() + 5;
    (der[at..at + 32].to_vec(), body[body.len() - 60..].to_owned())
}

fn kinds(hits: &[Hit]) -> BTreeSet<&str> {
    hits.iter().map(|hit| hit.name.as_str()).collect()
}

/// A WAV file of µ-law samples.
fn wav(samples: &[u8]) -> Vec<u8> {
    let length = u32::try_from(samples.len()).unwrap();
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((length + 38).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(18_u32.to_le_bytes());
    // µ-law, one channel, 8,000 samples and bytes a second, one byte a sample, eight bits, nothing more.
    for word in [7_u16, 1] {
        file.extend(word.to_le_bytes());
    }
    for word in [8_000_u32, 8_000] {
        file.extend(word.to_le_bytes());
    }
    for word in [1_u16, 8, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(samples);
    file
}

fn dump(machine: &Machine, folder: &Path, needles: &Needles) -> Vec<Hit> {
    let file = folder.join("memory");
    let bytes = u64::from(MEBIBYTES) << 20;
    machine.order("pmemsave", &json!({ "val": 0, "size": bytes, "filename": file }));
    let memory = fs::read(&file).unwrap();
    fs::remove_file(file).unwrap();
    assert_eq!(u64::try_from(memory.len()).unwrap(), bytes);
    assert!(
        memory.iter().filter(|byte| **byte != 0).count() > 1 << 20,
        "a memory with nothing in it"
    );
    scan_bytes(&memory, needles)
}

#[test]
fn nothing_of_a_calls_audio_is_in_the_machine_after_it_and_of_secrets_what_is_stated() {
    let folder = folder("memory");
    // Who is echoed is kept for a moment; a greeter drops what it hears at once, and a scan would have to be very quick.
    let lab = Lab::of_agent("echo", &folder);
    let mut plan = Plan::new(Disk::Virtio, &output("image-raw", "ward.raw"));
    plan.memory = MEBIBYTES;
    plan.tap = Some(TAP.to_owned());
    plan.fw_cfg = lab.handed(true);
    let machine = Machine::start(&plan, &folder);
    machine.wait("ready", Duration::from_secs(150), |text| {
        Event::parse(text).is_some_and(|event| event.code == "INIT-0801")
    });
    let audio = fresh::<AUDIO_BYTES>();
    fs::write(folder.join("noise.wav"), wav(&audio)).unwrap();
    let (scalar, end) = key(&fs::read_to_string(folder.join("tls-key")).unwrap());
    // A number may lie in memory from its last byte on.
    let reversed: Vec<u8> = scalar.iter().rev().copied().collect();
    let handshake = fs::read_to_string(folder.join("handshake")).unwrap();
    let values = handshake.lines().map(|line| ("handshake", line.as_bytes(), TEXT_WINDOW));
    let needles = Needles::of(
        [
            ("audio", &audio[..], AUDIO_WINDOW),
            ("tls-key", &scalar[..], TEXT_WINDOW),
            ("tls-key", &reversed[..], TEXT_WINDOW),
            ("tls-key document", end.as_bytes(), TEXT_WINDOW),
        ]
        .into_iter()
        .chain(values),
    );
    let mut caller = lab
        .caller(&folder.join("noise.wav"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The noise begins after a second and a half, and lasts eight.
    let mut live = Vec::new();
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(1_500));
        live = dump(&machine, &folder, &needles);
        if kinds(&live).contains("audio") {
            break;
        }
    }
    assert!(kinds(&live).contains("audio"), "the scan finds no audio in a call that lives");
    drop(caller.wait());
    std::thread::sleep(Duration::from_secs(3));
    let left = dump(&machine, &folder, &needles);
    println!("while it lives: {} pieces; afterwards: {left:?}", live.len());
    for (name, why) in REMAINS {
        println!("remains: {name}, because {why}");
    }
    assert_eq!(kinds(&left), REMAINS.map(|(name, _)| name).into(), "{left:?}");
    fs::remove_dir_all(folder).unwrap();
}
