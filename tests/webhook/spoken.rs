//! `ward call` with `apps/web` as the site and `ward-media` as the media host: a spoken call.

use std::process::Command;

use ward_tests::binaries::{release, root};
use ward_tests::servers::{ACCOUNT, Running, TOKEN, ca_certificate};
use ward_tests::site::{Kind, Site};
use ward_tests::spoken_call::SpokenCall;

#[test]
fn a_call_through_the_web_host_is_spoken_as_in_the_demo() {
    let media = Running::media("MEDIA_WSS_URL=wss://localhost:{port}\nMEDIA_AGENT=greeter");
    let settings = format!(
        "NEXT_PUBLIC_SITE_URL=https://localhost:{{port}}\nMEDIA_WSS_URL=wss://localhost:{}",
        media.port
    );
    let site = Site::start(Kind::Web, &settings);
    let folder = root().join("target/webhook-test");
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name);
    std::fs::write(file("ca.pem"), ca_certificate()).unwrap();
    std::fs::write(file("token"), TOKEN).unwrap();
    let output = Command::new(release("ward"))
        .args(["call", "--json", "--dtmf", "5*", "--account-sid", ACCOUNT, "--hangup-after", "45"])
        .args(["--webhook", &format!("https://localhost:{}/api/voice/incoming", site.port)])
        .arg("--auth-token-file")
        .arg(file("token"))
        .arg("--ca")
        .arg(file("ca.pem"))
        .arg("--audio")
        .arg(root().join("tests/corpus/appointment.wav"))
        .arg("--record")
        .arg(file("heard.wav"))
        .arg("--packets")
        .arg(file("packets.jsonl"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let call = SpokenCall::read(&text, &file("packets.jsonl"), &file("heard.wav"));
    call.check();
    let ended = media.logs.first("call_ended");
    assert_eq!(ended["reason"], "agent_finished");
    let count = |name: &str| ended["counts"][name].as_u64().unwrap_or(0);
    assert_eq!(call.figures["frames_sent"], count("frames_in") + count("after_stop"));
    assert_eq!(call.figures["frames_received"], count("frames_out"));
    assert_eq!(site.logs.first("webhook_answered")["token"], 1);
}
