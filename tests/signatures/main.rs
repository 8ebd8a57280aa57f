//! Our signatures against both official SDKs, both ways, over thousands of random cases.
//!
//! An SDK signs and we verify; we sign and the SDK verifies; a damaged signature is refused by all.
//! The cases come from a fixed seed, so a failure can be seen again.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use ward_policy::phi::Secret;
use ward_tests::binaries::root;
use ward_tests::python::python;
use ward_tests::random::Random;
use ward_twilio::form::Form;
use ward_twilio::signature::{AuthToken, AuthTokens, Signature};

/// Random cases; the issue of trust is settled by thousands, not dozens.
const CASES: usize = 4_000;

/// Up to `longest` pieces of text that are hard to sign.
fn text(random: &mut Random, longest: usize) -> String {
    const PARTS: &[&str] = &[
        "a", "Z", "0", "9", " ", "+", "&", "=", "%", "/", "?", "#", "'", "\"", "<", "é", "ß", "日",
        "🏥", "\u{7f}", "\t", "\n", "~", "CallSid", "From", "ward",
    ];
    (0..random.below(longest + 1)).map(|_| random.pick(PARTS)).collect()
}

struct Case {
    token: String,
    /// The URL that was signed, and the one that the verifier believes it has.
    signed: String,
    presented: String,
    fields: Vec<(String, String)>,
    body: Option<String>,
    is_damaged: bool,
}

fn case(random: &mut Random) -> Case {
    let scheme = random.pick(&["https", "http"]);
    let host = random.pick(&["mycompany.com", "a.example", "xn--bcher-kva.example", "127.0.0.1"]);
    let own = if scheme == "https" { ":443" } else { ":80" };
    let path =
        random.pick(&["", "/", "/myapp.php", "/api/voice/incoming", "/a/b/", "/caf%C3%A9", "/a+b"]);
    let query = random.pick(&["", "?foo=1&bar=2", "?a=%20b", "?x", "?q=caf%C3%A9&q=2"]);
    let ports = ["", own, ":1234", ":8443"];
    let port = random.pick(&ports);
    // Twilio's back end adds or drops the port; both sides must see through that in the same way.
    let other = if random.below(2) == 0 { port } else { random.pick(&ports) };
    let path = if path.is_empty() && !query.is_empty() { "/" } else { path };
    let url = |port: &str| format!("{scheme}://{host}{port}{path}{query}");
    let (mut signed, mut presented) = (url(port), url(other));
    let body = (random.below(5) == 0).then(|| format!("{{\"k\": {:?}}}", text(random, 6)));
    let mut fields: Vec<(String, String)> = Vec::new();
    if let Some(body) = &body {
        let with_digest = |url: &str| ward::signature::with_body_digest(url, body.as_bytes());
        (signed, presented) = (with_digest(&signed), with_digest(&presented));
    } else {
        for _ in 0..random.below(8) {
            fields.push((format!("N{}", text(random, 3)), text(random, 6)));
        }
        for _ in 0..random.below(3) {
            if let Some((name, _)) = fields.first().cloned() {
                fields.push((name, text(random, 2)));
            }
        }
    }
    let token = format!("{:032x}", random.below(usize::MAX));
    Case { token, signed, presented, fields, body, is_damaged: random.below(10) == 0 }
}

fn form(case: &Case) -> Form<'_> {
    Form::from_fields(case.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn our_signature(case: &Case) -> String {
    let token = AuthToken::new(&Secret::new(case.token.clone())).unwrap();
    let mut signature = token.sign_form(&case.signed, &form(case)).to_base64();
    if case.is_damaged {
        let first = if signature.starts_with('A') { "B" } else { "A" };
        signature.replace_range(..1, first);
    }
    signature
}

/// Whether we believe `signature` for the URL that is presented.
fn we_accept(case: &Case, signature: &str) -> bool {
    let token = AuthToken::new(&Secret::new(case.token.clone())).unwrap();
    let tokens = AuthTokens::new(Some(token), None);
    let Ok(signature) = Signature::parse(signature.as_bytes()) else {
        return false;
    };
    match &case.body {
        Some(body) => tokens.verify_body(&case.presented, body.as_bytes(), &signature).is_ok(),
        None => tokens.verify_form(&case.presented, form(case), &signature).is_ok(),
    }
}

/// The same through the wire form of the fields: encoded as a body and parsed again.
fn we_accept_encoded(case: &Case, signature: &str) -> bool {
    let token = AuthToken::new(&Secret::new(case.token.clone())).unwrap();
    let body = form(case).encode();
    let parsed = Form::parse(body.as_bytes()).unwrap();
    let signature = Signature::parse(signature.as_bytes()).unwrap();
    AuthTokens::new(Some(token), None).verify_form(&case.presented, parsed, &signature).is_ok()
}

fn oracle(mut command: Command, cases: &[Case]) -> Vec<Value> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = cases
        .iter()
        .map(|case| {
            let line = json!({
                "token": case.token, "signed": case.signed, "presented": case.presented,
                "fields": case.fields, "body": case.body, "ours": our_signature(case),
            });
            format!("{line}\n")
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn folder() -> PathBuf {
    root().join("tests/signatures")
}

fn node() -> Command {
    if !folder().join("node_modules/twilio").exists() {
        let installed = Command::new("npm")
            .args(["ci", "--silent", "--no-audit", "--no-fund"])
            .current_dir(folder())
            .status()
            .unwrap();
        assert!(installed.success(), "the SDK for Node cannot be installed");
    }
    let mut command = Command::new("node");
    command.arg(folder().join("oracle.js"));
    command
}

#[test]
fn both_official_sdks_agree_with_us_both_ways() {
    let mut random = Random(0x5EED_0F3A_11C0_FFEE);
    let cases: Vec<Case> = (0..CASES).map(|_| case(&mut random)).collect();
    let python = python("signatures", "oracle.py", "signature-oracle-python", "twilio");
    let (node, python) = (oracle(node(), &cases), oracle(python, &cases));
    assert_eq!((node.len(), python.len()), (CASES, CASES));
    let mut counts = [0_usize; 6];
    for ((case, node), python) in cases.iter().zip(&node).zip(&python) {
        let ours = our_signature(case);
        let [of_node, of_python] =
            [node, python].map(|verdict| verdict["signature"].as_str().unwrap());
        let shown = format!(
            "{} presented as {} {:?} {:?}",
            case.signed, case.presented, case.fields, case.body
        );
        // Node sorts names by UTF-16 code unit, Python and we by code point: seen only with names
        // beyond the basic plane, which Twilio does not send.
        let do_sdks_agree = of_node == of_python;
        counts[0] += usize::from(!do_sdks_agree);
        // An SDK signed, we verify.
        let accepted = we_accept(case, of_python);
        assert_eq!(accepted, we_accept(case, of_node) || !do_sdks_agree, "{shown}");
        // We signed (and sometimes damaged it), the SDKs verify.
        let verdict = we_accept(case, &ours);
        assert_eq!(python["accepts"], verdict, "python: {shown}");
        if do_sdks_agree {
            assert_eq!(node["accepts"], verdict, "node: {shown}");
        }
        if case.is_damaged {
            assert!(!verdict, "{shown}");
            counts[1] += 1;
        } else {
            assert_eq!(ours, of_python, "{shown}");
            counts[2] += 1;
        }
        counts[3] += usize::from(verdict);
        counts[4] += usize::from(case.body.is_some());
        if case.body.is_none() {
            assert_eq!(we_accept_encoded(case, of_python), accepted, "{shown}");
            counts[5] += 1;
        }
    }
    let [disagree, damaged, signed, accepted, bodies, encoded] = counts;
    println!(
        "{CASES} cases: {signed} signed alike, {accepted} accepted by all, {damaged} damaged and refused \
         by all, {bodies} with a JSON body, {encoded} also through the encoded form; the SDKs differ \
         from each other in {disagree}"
    );
    assert!(signed >= 3_000 && accepted >= 2_000 && damaged >= 300 && bodies >= 500);
    assert!(disagree < CASES / 100);
}
