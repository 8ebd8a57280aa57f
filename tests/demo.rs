//! `ward demo`, and its figures computed a second time from the packets and the recording.

use std::path::{Path, PathBuf};
use std::process::Command;

use ward_tests::binaries::{release, root};
use ward_tests::spoken_call::SpokenCall;

fn run(name: &str, audio: Option<&Path>) -> SpokenCall {
    let folder = root().join("target/demo-test");
    std::fs::create_dir_all(&folder).unwrap();
    let file = |kind: &str| -> PathBuf { folder.join(format!("{name}.{kind}")) };
    let mut command = Command::new(release("ward"));
    command.args(["demo", "--json"]);
    command.arg("--record").arg(file("wav")).arg("--packets").arg(file("jsonl"));
    if let Some(audio) = audio {
        command.arg("--audio").arg(audio);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.trim().lines().count(), 1, "one JSON object: {text}");
    SpokenCall::read(&text, &file("jsonl"), &file("wav"))
}

fn check(demo: &SpokenCall) {
    assert_eq!(demo.figures["unsigned_status"], 403);
    assert_eq!(demo.figures["frames_lost"], 0);
    demo.check();
}

#[test]
fn the_demos_figures_follow_from_its_packets_and_recording() {
    let other = root().join("tests/corpus/prescription.wav");
    let second = std::thread::spawn(move || run("prescription", Some(&other)));
    let first = run("appointment", None);
    let second = second.join().unwrap();
    check(&first);
    check(&second);
    // Another sentence, another call.
    for name in ["frames_sent", "barge_in_to_silence_ms", "recording"] {
        assert_ne!(first.figures[name], second.figures[name], "{name}");
    }
    // The check itself: a recording that was cut, or the other call's, does not pass.
    let swapped = SpokenCall { recording: second.recording.clone(), ..first.clone() };
    let shifted = SpokenCall { recording: first.recording[400..].to_vec(), ..first.clone() };
    for broken in [swapped, shifted] {
        let caught = std::panic::catch_unwind(|| check(&broken));
        assert!(caught.is_err(), "a wrong recording was taken for a right one");
    }
}
