//! The configuration file: one TOML document of a closed schema, judged whole. No secret may stand in it.
//!
//! ```toml
//! role = "media"
//!
//! [settings]
//! TWILIO_ACCOUNT_SID = "AC…"
//! MEDIA_AGENT = "echo"
//!
//! [clock]
//! servers = ["169.254.169.123"]
//! ```
//!
//! It reads no file. What is wrong is named by the place and by what is wrong there, never by the value: an operator may have pasted a
//! secret where none belongs. The values of settings are judged by the role that gets them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use toml::{Table, Value};
use ward_policy::audit::Role;
use ward_policy::limit;
use ward_policy::setting::{BROKER, MEDIA, PUBLIC_KEYS, TWIML, TWIML_SECRETS};

/// What the operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which server: `media` or `twiml`.
    pub role: Role,
    /// Who is asked for the time, if anyone in particular.
    pub time_servers: Vec<Ipv4Addr>,
    /// Settings by name.
    settings: BTreeMap<String, String>,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where: a line, or a key.
    pub place: String,
    /// What.
    pub what: What,
}

/// The closed list of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum What {
    /// No TOML.
    #[error("syntax")]
    Syntax,
    /// A key that there is not.
    #[error("unknown")]
    Unknown,
    /// A key without which nothing can start.
    #[error("missing")]
    Missing,
    /// A value of another kind, or not of those that it can be.
    #[error("value")]
    Value,
    /// A secret. It is one no longer, and must be replaced.
    #[error("secret")]
    Secret,
    /// A setting that is another role's.
    #[error("other_role")]
    OtherRole,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl Config {
    /// Judges a document.
    ///
    /// # Errors
    /// Every problem in it.
    pub fn parse(text: &str) -> Result<Self, Vec<ConfigProblem>> {
        let table: Table = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count().saturating_add(1);
            vec![ConfigProblem { place: format!("line_{line}"), what: What::Syntax }]
        })?;
        let mut judge = Judge::default();
        let role = judge.role(table.get("role"));
        let mut config = Self {
            role: role.unwrap_or(Role::Media),
            time_servers: Vec::new(),
            settings: BTreeMap::new(),
        };
        for (key, value) in &table {
            match (key.as_str(), value) {
                ("role", _) => {}
                ("settings", Value::Table(settings)) => {
                    for (name, value) in settings {
                        judge.setting(name, value, role, &mut config.settings);
                    }
                }
                ("clock", Value::Table(clock)) => {
                    for (name, value) in clock {
                        if name == "servers" {
                            config.time_servers = judge.servers(value);
                        } else {
                            judge.problem(&format!("clock.{}", shown(name)), What::Unknown);
                        }
                    }
                }
                ("settings" | "clock", _) => judge.problem(key, What::Value),
                _ => judge.problem(shown(key), What::Unknown),
            }
        }
        if judge.0.is_empty() { Ok(config) } else { Err(judge.0) }
    }

    /// The value of a setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// The server's document.
    #[must_use]
    pub fn server_document(&self) -> String {
        self.document(if self.role == Role::Twiml { TWIML } else { MEDIA })
    }

    /// The broker's document; without name servers of the operator's, it gets those of the network.
    #[must_use]
    pub fn broker_document(&self, name_servers: &[Ipv4Addr]) -> String {
        let mut document = self.document(BROKER);
        if self.setting("BROKER_NAMESERVERS").is_none() {
            let all: Vec<String> = name_servers.iter().map(ToString::to_string).collect();
            document.push_str("BROKER_NAMESERVERS=");
            document.push_str(&all.join(" "));
            document.push('\n');
        }
        document
    }

    /// The names that an authority is asked to certify, if one is.
    #[must_use]
    pub fn certificate_names(&self) -> Option<Vec<String>> {
        self.setting("ACME_CA")?;
        let names = self.setting("ACME_NAMES")?.split([' ', ',']);
        Some(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// The public keys of tickets that the media server takes, as its document has them.
    #[must_use]
    pub fn ticket_keys(&self) -> String {
        let keys = self.setting(PUBLIC_KEYS).unwrap_or_default().split_ascii_whitespace();
        keys.map(|key| format!("ticket-key {key}\n")).collect()
    }

    fn document(&self, names: &[&str]) -> String {
        let set = names.iter().filter_map(|name| Some((name, self.setting(name)?)));
        set.map(|(name, value)| format!("{name}={value}\n")).collect()
    }
}

#[derive(Default)]
struct Judge(Vec<ConfigProblem>);

impl Judge {
    fn problem(&mut self, place: &str, what: What) {
        self.0.push(ConfigProblem { place: place.to_owned(), what });
    }

    fn role(&mut self, value: Option<&Value>) -> Option<Role> {
        let role = match value.map(Value::as_str) {
            None => {
                self.problem("role", What::Missing);
                return None;
            }
            Some(name) => name.and_then(Role::from_name),
        };
        let server = role.filter(|role| matches!(role, Role::Media | Role::Twiml));
        if server.is_none() {
            self.problem("role", What::Value);
        }
        server
    }

    fn setting(
        &mut self,
        name: &str,
        value: &Value,
        role: Option<Role>,
        settings: &mut BTreeMap<String, String>,
    ) {
        let place = format!("settings.{}", shown(name));
        if TWIML_SECRETS.contains(&name) {
            return self.problem(&place, What::Secret);
        }
        let is_of = |role: Role| match role {
            Role::Twiml => TWIML.contains(&name),
            _ => MEDIA.contains(&name) || name == PUBLIC_KEYS,
        };
        // A document that serves both servers would have settings of both; on a machine there is one.
        if !BROKER.contains(&name) && !role.is_none_or(is_of) {
            let is_known = is_of(Role::Media) || is_of(Role::Twiml);
            return self.problem(&place, if is_known { What::OtherRole } else { What::Unknown });
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            _ => return self.problem(&place, What::Value),
        };
        // It becomes a line of a document: nothing in it may begin another.
        if text.is_empty() || text.len() > VALUE_BYTES_MAX || text.contains(char::is_control) {
            return self.problem(&place, What::Value);
        }
        settings.insert(name.to_owned(), text);
    }

    fn servers(&mut self, value: &Value) -> Vec<Ipv4Addr> {
        let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let servers: Option<Vec<Ipv4Addr>> =
            all.iter().map(|server| server.as_str()?.parse().ok()).collect();
        match servers.filter(|servers| (1..=limit::DHCP_ADDRESSES_MAX).contains(&servers.len())) {
            Some(servers) => servers,
            None => {
                self.problem("clock.servers", What::Value);
                Vec::new()
            }
        }
    }
}

/// The longest value of a setting, in bytes: a dozen names, or keys.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// A key as it may be shown: what does not look like one may be anything.
fn shown(key: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    // Longer than any key there is: it may be a secret that lost its place.
    if key.len() <= 26 && !key.is_empty() && key.bytes().all(is_plain) { key } else { "a_key" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA_FILE: &str = "role = \"media\"\n[settings]\n\
        TWILIO_ACCOUNT_SID = \"AC00000000000000000000000000000000\"\nMEDIA_AGENT = \"echo\"\n\
        CALLS_PER_WORKER_MAX = 100\nLOG_SINK = \"collector\"\n[clock]\nservers = [\"10.0.0.9\"]\n";

    #[test]
    fn a_file_becomes_the_documents_of_its_roles() {
        let config = Config::parse(MEDIA_FILE).unwrap();
        assert_eq!((config.role, config.time_servers.len()), (Role::Media, 1));
        let document = config.server_document();
        assert!(document.contains("CALLS_PER_WORKER_MAX=100\n") && !document.contains("LOG_SINK"));
        let broker = config.broker_document(&[Ipv4Addr::new(10, 0, 0, 2)]);
        assert_eq!(broker, "LOG_SINK=collector\nBROKER_NAMESERVERS=10.0.0.2\n");
        assert_eq!(config.certificate_names(), None);
        let acme = format!("{MEDIA_FILE}\n[settings.x]\n");
        assert!(Config::parse(&acme).is_err());
    }

    #[test]
    fn every_problem_is_named_and_no_value_is() {
        let check = |text: &str| {
            let problems = Config::parse(text).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("", "role: missing"),
            ("role = 1", "role: value"),
            ("role = \"init\"", "role: value"),
            ("role = \"media\"\nrole = \"media\"", "line_2: syntax"),
            ("role = \"media\"\n\nx = = 1", "line_3: syntax"),
            ("role = \"media\"\nshell = true", "shell: unknown"),
            ("role = \"media\"\nsettings = 1", "settings: value"),
            ("role = \"media\"\n[settings]\nTYPO = \"x\"", "settings.TYPO: unknown"),
            ("role = \"media\"\n[settings]\nMEDIA_PATH = true", "settings.MEDIA_PATH: value"),
            (
                "role = \"media\"\n[settings]\nMEDIA_PATH = \"a\\nB=c\"",
                "settings.MEDIA_PATH: value",
            ),
            (
                "role = \"media\"\n[settings]\nSTREAM_TICKET = \"path\"",
                "settings.STREAM_TICKET: other_role",
            ),
            (
                "role = \"twiml\"\n[settings]\nTWILIO_AUTH_TOKEN = \"hunter2\"",
                "settings.TWILIO_AUTH_TOKEN: secret",
            ),
            ("role = \"media\"\n[clock]\nservers = [\"time.example\"]", "clock.servers: value"),
            ("role = \"media\"\n[clock]\nserver = 1", "clock.server: unknown"),
            ("role = \"media\"\n0123456789abcdef0123456789abcdef = 1", "a_key: unknown"),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
        assert_eq!(check("a = 1\nb = 2").split(' ').count(), 6);
    }
}
