//! The registry's entries of the stand-ins. The agreement in them is invented, as is every call that may be
//! sent there: they belong to a demo or a test and never to an operator's registry.

use ward_policy::service::Service;

use super::id;

/// What each may be given, how it is spoken to, and what every request must carry.
const fn terms(part: Service) -> (&'static str, &'static str, &'static str) {
    match part {
        Service::Recogniser => ("audio", "wss", OPT_OUT),
        Service::Model => (
            "prompt\", \"transcript",
            "https",
            "[[request_must]]\nwhere = \"body\"\nname = \"store\"\nvalue = \"false\"\n",
        ),
        Service::Voice => ("synth-text", "https", OPT_OUT),
    }
}

/// How it is spoken to: the dialect, the path and the model.
const fn connector(part: Service) -> (&'static str, &'static str, &'static str) {
    match part {
        Service::Recogniser => ("deepgram-listen", "/v1/listen", "nova-3"),
        Service::Model => ("chat-completions", "/v1/chat/completions", "appointments"),
        Service::Voice => ("deepgram-speak", "/v1/speak", "aura-2-thalia-en"),
    }
}

/// How a token is fetched, as `tests/vendors/standin.py` grants it.
const MINT: &str = r#"
[credential.mint]
method = "POST"
path = "/v1/auth/grant"
key_header = "authorization"
key_prefix = "Token "
body = '{"ttl_seconds":30}'
token = "/access_token"
expires_in = "/expires_in"
"#;

const OPT_OUT: &str =
    "[[request_must]]\nwhere = \"query\"\nname = \"mip_opt_out\"\nvalue = \"true\"\n";

/// The registry's files for stand-ins at `hosts`, which lead to the certificates of `roots_pem`: names and texts.
#[must_use]
pub fn entries(hosts: &[(Service, &str, u16)], roots_pem: &str) -> Vec<(String, String)> {
    let text = |(part, host, port): &(Service, &str, u16)| {
        (format!("{}.toml", id(*part)), entry(*part, host, *port, roots_pem))
    };
    hosts.iter().map(text).collect()
}

fn entry(part: Service, host: &str, port: u16, roots_pem: &str) -> String {
    let (class, protocol, must) = terms(part);
    let (id, role) = (id(part), part.name());
    let (dialect, path, model) = connector(part);
    let (credential, token_host, mint) = match part {
        Service::Model => ("signed-token", String::new(), ""),
        Service::Recogniser | Service::Voice => {
            ("token", self::host(host, port, "https", "token"), MINT)
        }
    };
    let data_host = self::host(host, port, protocol, "data");
    format!(
        r#"# A stand-in on this machine, for invented calls.

id = "{id}"
vendor_legal_name = "A stand-in"
service = "{role}: invented calls only"
role = "{role}"
data_classes_allowed = ["{class}"]
training_opt_out = true
region = "this machine"
approved_by = "whoever started it"
approved_on = "2026-01-01"
roots_pem = """
{roots_pem}"""

{data_host}{token_host}[connector]
dialect = "{dialect}"
path = "{path}"
model = "{model}"

[baa]
status = "signed"
reference = "none: invented calls only"
document_sha256 = "{:0>64}"
effective = "2026-01-01"
reviewed_on = "2026-01-01"
next_review = "2199-12-31"

[retention]
mode = "zero"
evidence = "none"

{must}
[credential]
class = "{credential}"
max_ttl_s = 60
max_session_s = 3600
single_use = false
{mint}
[source]
title = "tests/vendors/README.md"
date = "2026-11-22"
"#,
        ""
    )
}

fn host(name: &str, port: u16, protocol: &str, purpose: &str) -> String {
    format!(
        "[[hosts]]\nname = \"{name}\"\nport = {port}\nprotocol = \"{protocol}\"\npurpose = \"{purpose}\"\n\n"
    )
}

#[cfg(test)]
mod tests {
    use ward_policy::date::Date;
    use ward_policy::vendor::{DataClass, Registry, VendorRefusal};

    use super::*;
    use crate::development_ca::DevelopmentCa;

    const HOSTS: [(Service, &str, u16); 3] = [
        (Service::Recogniser, "asr.local.example", 1_001),
        (Service::Model, "llm.local.example", 1_002),
        (Service::Voice, "tts.local.example", 1_003),
    ];

    #[test]
    fn each_is_approved_for_its_own_class_of_data_alone() {
        let ca = DevelopmentCa::new().unwrap().certificate();
        let files = entries(&HOSTS, &ca);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let registry = Registry::parse(files).unwrap();
        let today = Date::parse("2026-11-22").unwrap();
        for (part, classes) in [
            (Service::Recogniser, &[DataClass::Audio][..]),
            (Service::Model, &[DataClass::Prompt, DataClass::Transcript]),
            (Service::Voice, &[DataClass::SynthText]),
        ] {
            for class in DataClass::ALL {
                let approved = registry.approve(id(part), class, today).map(drop);
                let expected =
                    if classes.contains(&class) { Ok(()) } else { Err(VendorRefusal::DataClass) };
                assert_eq!(approved, expected, "{} {}", id(part), class.name());
            }
        }
    }
}
