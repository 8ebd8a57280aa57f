//! Where settings come from: the environment, an env file, files that hold tokens.
//!
//! The only reader of environment variables. The servers get a document each, cut to what they may
//! know: the media server is never given an auth token, only the handshake signatures made with it, and of ticket keys
//! the public ones alone. What may be replaced while a server runs is in a document of its own ([`AllSettings::followed`]).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ward_broker::settings::BrokerSettings;
use ward_edge::settings::{Problem, Settings};
use ward_init::acme::{Acme, Place};
use ward_media::settings::MediaSettings;
use ward_policy::audit::Role;
use ward_policy::limit;
use ward_policy::phi::Secret;
use ward_policy::setting::{BROKER, MEDIA, PUBLIC_KEYS, TWIML, TWIML_SECRETS};
use ward_twilio::handshake::{document, expected};
use ward_twilio::signature::{AuthToken, Signature};
use ward_twilio::ticket::{TicketPublicKey, TicketPublicKeys};
use ward_twilio::twiml::{StreamPath, TicketForm};
use ward_twilio::url::{Origin, Scheme};
use ward_twiml::credentials::Credentials;
use ward_twiml::settings::TwimlSettings;

use crate::console::Failure;

/// What nobody but this program need know.
const LAUNCHER: &[&str] = &["ACME_PLACE", "ACME_SEAL_KEY_FILE"];

/// Settings that may be given as the name of a file that holds them.
const FROM_FILE: &[&str] = TWIML_SECRETS;

/// Every setting there is.
fn names() -> impl Iterator<Item = &'static str> {
    let servers = TWIML.iter().chain(TWIML_SECRETS).chain(MEDIA).chain([&PUBLIC_KEYS]);
    servers.chain(BROKER).chain(LAUNCHER).copied()
}

/// Every setting of both servers, by name, before it is judged.
#[derive(Default)]
pub struct AllSettings {
    values: BTreeMap<String, Secret<String>>,
    problems: Vec<Problem>,
    /// Tokens that came in an environment variable.
    findings: Vec<String>,
}

impl AllSettings {
    /// Gathers from the environment and, over it, from `env_file`.
    ///
    /// # Errors
    /// [`Failure::Usage`] when `env_file` cannot be read.
    pub fn gather(env_file: Option<&Path>) -> Result<Self, Failure> {
        Self::gather_from(env_file, false)
    }

    /// The same, of a file that may be written meanwhile: one whose last line has no end is half there.
    ///
    /// # Errors
    /// [`Failure::Usage`] for that too.
    pub fn gather_whole(env_file: Option<&Path>) -> Result<Self, Failure> {
        Self::gather_from(env_file, true)
    }

    fn gather_from(env_file: Option<&Path>, must_be_whole: bool) -> Result<Self, Failure> {
        let mut all = Self::default();
        for name in names() {
            all.gather_variable(name);
        }
        for name in FROM_FILE {
            all.gather_variable(&format!("{name}_FILE"));
        }
        if let Some(path) = env_file {
            let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))?;
            if must_be_whole && !text.ends_with('\n') {
                let what = "its last line has no end: it is half written";
                return Err(Failure::Usage(format!("{}: {what}", path.display())));
            }
            all.gather_file(&text);
        }
        all.read_token_files();
        Ok(all)
    }

    /// Everything that stays as it is while a server runs, by name.
    #[must_use]
    pub fn fixed(&self) -> BTreeMap<String, String> {
        let is_fixed = |name: &str| !TWIML_SECRETS.contains(&name) && name != PUBLIC_KEYS;
        let fixed = self.values.iter().filter(|(name, _)| is_fixed(name));
        fixed.map(|(name, value)| (name.clone(), value.expose().clone())).collect()
    }

    /// Whether there is an auth token, current or next.
    #[must_use]
    pub fn has_token(&self) -> bool {
        let names = ["TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN_NEXT"];
        names.iter().any(|name| self.values.contains_key(*name))
    }

    /// Settings from a document alone, for a run that nothing outside may change.
    #[must_use]
    pub fn from_document(document: &str) -> Self {
        let mut all = Self::default();
        all.gather_file(document);
        all.read_token_files();
        all
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    fn gather_variable(&mut self, name: &str) {
        let Ok(value) = std::env::var(name) else {
            return;
        };
        #[cfg(negative_control)]
        ward_edge::log::leak::leak(value.as_bytes());
        if FROM_FILE.contains(&name) {
            self.findings.push(format!(
                "{name} came in an environment variable, which stays readable in the process; \
                 use {name}_FILE"
            ));
        }
        self.values.insert(name.to_owned(), Secret::new(value));
    }

    fn gather_file(&mut self, text: &str) {
        #[cfg(negative_control)]
        ward_edge::log::leak::leak(text.as_bytes());
        let mut document = Settings::parse(text);
        let token_files = FROM_FILE.iter().map(|name| format!("{name}_FILE"));
        let known = names().map(str::to_owned).chain(token_files);
        for name in known {
            if let Some(value) = document.take(&name) {
                self.values.insert(name, value);
            }
        }
        self.problems.extend(document.into_problems());
    }

    fn read_token_files(&mut self) {
        for name in FROM_FILE {
            let file_name = format!("{name}_FILE");
            let Some(path) = self.values.remove(&file_name) else { continue };
            if self.values.contains_key(*name) {
                let what = format!("is set beside {name}; only one of them can be meant");
                self.problems.push(Problem { setting: file_name, what });
                continue;
            }
            match read_token(Path::new(path.expose())) {
                Ok(token) => {
                    self.values.insert((*name).to_owned(), token);
                }
                Err(error) => self
                    .problems
                    .push(Problem { setting: file_name, what: format!("cannot be read: {error}") }),
            }
        }
    }

    /// Whether the responder is to speak plain HTTP.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.values.contains_key("TWIML_PLAIN_HTTP")
    }

    /// What works and should be known: tokens that came in the environment, or no token at all.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let mut findings = self.findings.clone();
        if !self.values.contains_key("TWILIO_AUTH_TOKEN") {
            let what = "no auth token is set: every webhook and every stream without a ticket in its \
                path will be refused";
            findings.push(what.to_owned());
        }
        findings
    }

    /// The responder's document.
    #[must_use]
    pub fn twiml_document(&self) -> Secret<String> {
        self.document(TWIML)
    }

    /// The media server's document.
    #[must_use]
    pub fn media_document(&self) -> Secret<String> {
        self.document(MEDIA)
    }

    /// The broker's document. Without a name server of its own it gets the machine's.
    #[must_use]
    pub fn broker_document(&self) -> Secret<String> {
        let mut document = self.document(BROKER);
        if !self.values.contains_key("BROKER_NAMESERVERS") {
            let text = document.expose_mut();
            text.push_str("BROKER_NAMESERVERS=");
            text.push_str(&machines_nameservers());
            text.push('\n');
        }
        if self.values.contains_key("ACME_PLACE") {
            document.expose_mut().push_str("ACME_KEPT=on\n");
        }
        document
    }

    /// How an authority is asked for a certificate, if it is to be.
    #[must_use]
    pub fn acme(&self) -> Option<Acme> {
        let asked = BrokerSettings::parse(self.broker_document().expose()).ok()?.acme?;
        let path = |name: &str| self.values.get(name).map(|path| PathBuf::from(path.expose()));
        let place = path("ACME_PLACE").zip(path("ACME_SEAL_KEY_FILE"));
        let place = place.map(|(folder, seal_key)| Place { folder, seal_key });
        Some(Acme { names: asked.names, place })
    }

    fn document(&self, names: &[&str]) -> Secret<String> {
        let mut document = Secret::new(String::new());
        for name in names {
            if let Some(value) = self.values.get(*name) {
                let text = document.expose_mut();
                text.push_str(name);
                text.push('=');
                text.push_str(value.expose());
                text.push('\n');
            }
        }
        document
    }

    /// The document of `role` that may be replaced while it runs: for the responder its auth tokens and ticket key, for
    /// the media server what handshakes are compared with.
    ///
    /// # Errors
    /// What is wrong with the settings in it.
    pub fn followed(&self, role: Role) -> Result<Secret<String>, Vec<Problem>> {
        if role == Role::Twiml {
            let document = self.credentials();
            Credentials::parse(document.expose(), self.ticket_form())?;
            return Ok(document);
        }
        let mut problems = Vec::new();
        let values = self.handshake_values().map_err(|found| problems.extend(found));
        let keys = self.ticket_public_keys().map_err(|found| problems.extend(found));
        match (values, keys) {
            (Ok(values), Ok(keys)) => Ok(document(&values, &keys)),
            _ => Err(problems),
        }
    }

    /// The responder's auth tokens and ticket key, whatever is wrong with them: it judges them itself.
    #[must_use]
    pub fn credentials(&self) -> Secret<String> {
        self.document(TWIML_SECRETS)
    }

    /// What is followed, once nothing at all is wrong with the settings.
    ///
    /// # Errors
    /// [`Failure::Usage`] with every problem, a line each.
    pub fn checked(&self, role: Role) -> Result<Secret<String>, Failure> {
        let problems = self.problems();
        let followed = if problems.is_empty() { self.followed(role) } else { Err(problems) };
        followed.map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::Usage(lines.join("\n"))
        })
    }

    /// How calls carry tickets; not at all where the setting is wrong, which is a problem of its own.
    fn ticket_form(&self) -> TicketForm {
        let text = self.values.get("STREAM_TICKET").map_or("", |text| text.expose());
        TicketForm::from_name(text).unwrap_or_default()
    }

    /// The keys whose tickets the media server takes.
    fn ticket_public_keys(&self) -> Result<TicketPublicKeys, Vec<Problem>> {
        let problem = |what: String| vec![Problem { setting: PUBLIC_KEYS.to_owned(), what }];
        let text = self.values.get(PUBLIC_KEYS).map_or("", |text| text.expose());
        let keys: Result<Vec<_>, _> =
            text.split_ascii_whitespace().map(TicketPublicKey::parse).collect();
        let keys = keys.map_err(|error| problem(error.to_string()))?;
        let handshake = self.values.get("MEDIA_HANDSHAKE").map_or("", |text| text.expose());
        if keys.is_empty() && handshake.ends_with("ticket") {
            return Err(problem("is required by MEDIA_HANDSHAKE".to_owned()));
        }
        let most = limit::TICKET_KEYS_MAX;
        TicketPublicKeys::new(keys)
            .ok_or_else(|| problem(format!("may have {most} keys at most, each once")))
    }

    /// The handshake signatures that the media server should expect; none without a token.
    ///
    /// # Errors
    /// What is wrong with `MEDIA_WSS_URL`, `MEDIA_PATH` or a token.
    pub fn handshake_values(&self) -> Result<Vec<Signature>, Vec<Problem>> {
        let used = ["MEDIA_WSS_URL", "MEDIA_PATH", "TWILIO_AUTH_TOKEN", "TWILIO_AUTH_TOKEN_NEXT"];
        let mut settings = Settings::parse(self.document(&used).expose());
        let origin = settings.required("MEDIA_WSS_URL", |text| Origin::parse(text, &[Scheme::Wss]));
        let path = settings.optional("MEDIA_PATH", StreamPath::parse);
        let mut token =
            |name| settings.optional(name, |text| AuthToken::new(&Secret::new(text.to_owned())));
        let tokens = [token("TWILIO_AUTH_TOKEN"), token("TWILIO_AUTH_TOKEN_NEXT")];
        let problems = settings.into_problems();
        let path = path.or_else(|| StreamPath::parse(StreamPath::DEFAULT).ok());
        match (origin, path) {
            (Some(origin), Some(path)) if problems.is_empty() => {
                let tokens: Vec<&AuthToken> = tokens.iter().flatten().collect();
                Ok(expected(&origin, path.as_str(), &tokens))
            }
            _ => Err(problems),
        }
    }

    /// Every problem of the settings themselves, of both servers and the broker, each once.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.problems.clone();
        let twiml = TwimlSettings::parse(self.twiml_document().expose()).err();
        let media = MediaSettings::parse(self.media_document().expose()).err();
        let broker = BrokerSettings::parse(self.broker_document().expose()).err();
        let followed = [Role::Twiml, Role::Media].map(|role| self.followed(role).err());
        let is_set = |name: &&str| self.values.contains_key(*name);
        let is_asked = ["ACME_CA", "ACME_NAMES"].iter().all(is_set);
        for (name, other, is_right) in [
            ("ACME_PLACE", "ACME_CA", is_asked),
            ("ACME_PLACE", "ACME_SEAL_KEY_FILE", is_set(&"ACME_SEAL_KEY_FILE")),
            ("ACME_SEAL_KEY_FILE", "ACME_PLACE", is_set(&"ACME_PLACE")),
        ] {
            if is_set(&name) && !is_right {
                let what = format!("goes with {other}");
                problems.push(Problem { setting: name.to_owned(), what });
            }
        }
        let servers = twiml.into_iter().chain(media).chain(broker);
        for problem in servers.chain(followed.into_iter().flatten()).flatten() {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }
}

impl std::fmt::Debug for AllSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

/// The name servers of `resolv.conf`(5), which the broker cannot read; none when there is no such file.
fn machines_nameservers() -> String {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let words = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    // A scope is of no use in another process's eyes.
    let addresses = words.filter_map(|word| word.trim().parse::<std::net::IpAddr>().ok());
    let addresses: Vec<String> =
        addresses.take(limit::NAME_SERVERS_MAX).map(|address| address.to_string()).collect();
    addresses.join(" ")
}

/// Reads an auth token from a file; a line end after it is not part of it.
///
/// # Errors
/// The operating system's.
pub fn read_token(path: &Path) -> std::io::Result<Secret<String>> {
    let text = Secret::new(std::fs::read_to_string(path)?);
    #[cfg(negative_control)]
    ward_edge::log::leak::leak(text.expose().as_bytes());
    Ok(Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned()))
}

/// Reads the token in `path` and makes it ready to sign.
///
/// # Errors
/// [`Failure::Usage`] when there is no usable token in it.
pub fn auth_token(path: &Path) -> Result<AuthToken, Failure> {
    let text = read_token(path).map_err(|error| Failure::file(path, error))?;
    AuthToken::new(&text).map_err(|error| Failure::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "MEDIA_WSS_URL=wss://media.example.com\n\
        NEXT_PUBLIC_SITE_URL=https://www.example.com\n\
        TWILIO_ACCOUNT_SID=AC00000000000000000000000000000000\n\
        TWILIO_AUTH_TOKEN=12345\nMEDIA_AGENT=echo\n";

    #[test]
    fn each_server_gets_what_it_may_know_and_media_no_token() {
        let all = AllSettings::from_document(BOTH);
        assert!(all.problems().is_empty());
        let followed = |all: &AllSettings, role| all.followed(role).unwrap().expose().clone();
        assert!(followed(&all, Role::Twiml).contains("TWILIO_AUTH_TOKEN=12345"));
        for document in [all.twiml_document(), all.media_document()] {
            assert!(!document.expose().contains("12345"));
        }
        assert!(!followed(&all, Role::Media).contains("12345"));
        let values = all.handshake_values().unwrap();
        assert_eq!(values.len(), 4);
        assert_eq!(values[0].to_base64(), "hT6TllFCjXqRGzPszuGWRqAQ2lY=");
    }

    #[test]
    fn tickets_need_their_keys_and_each_server_gets_its_half() {
        // RFC 8032 §7.1, test 1.
        let (key, public) = (
            "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
            "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        );
        let modes = "STREAM_TICKET=path\nMEDIA_HANDSHAKE=ticket\n";
        let names = |more: &str| -> Vec<String> {
            let all = AllSettings::from_document(&format!("{BOTH}{modes}{more}"));
            all.problems().into_iter().map(|problem| problem.setting).collect()
        };
        assert_eq!(names(""), ["STREAM_TICKET_KEY", "STREAM_TICKET_PUBLIC_KEYS"]);
        let wrong =
            format!("STREAM_TICKET_KEY={key}\nSTREAM_TICKET_PUBLIC_KEYS={public} {public}\n");
        assert_eq!(names(&wrong), ["STREAM_TICKET_PUBLIC_KEYS"]);
        let right = format!("STREAM_TICKET_KEY={key}\nSTREAM_TICKET_PUBLIC_KEYS={public}\n");
        assert_eq!(names(&right), Vec::<String>::new());
        let all = AllSettings::from_document(&format!("{BOTH}{modes}{right}"));
        let followed = |role| all.followed(role).unwrap().expose().clone();
        assert!(followed(Role::Twiml).contains(key) && !followed(Role::Twiml).contains(public));
        assert!(followed(Role::Media).contains(public) && !followed(Role::Media).contains(key));
    }

    #[test]
    fn what_a_reload_may_change_is_credentials_alone() {
        let of = |more: &str| AllSettings::from_document(&format!("{BOTH}{more}")).fixed();
        let plain = of("");
        assert_eq!(plain["MEDIA_WSS_URL"], "wss://media.example.com");
        assert!(!format!("{plain:?}").contains("12345"), "no token is among it");
        let keys = "STREAM_TICKET_KEY=x\nSTREAM_TICKET_PUBLIC_KEYS=y\nTWILIO_AUTH_TOKEN_NEXT=z\n";
        assert_eq!(of(keys), plain);
        for more in ["MEDIA_PATH=/other\n", "MEDIA_HANDSHAKE=ticket\n", "LOG_SINK=sink\n"] {
            assert_ne!(of(more), plain, "{more}");
        }
    }

    #[test]
    fn the_problems_of_both_servers_come_together() {
        let broken = BOTH.replace("wss:", "ws:").replace("echo", "hal")
            + "TYPO=1\nTWILIO_AUTH_TOKEN_NEXT_FILE=/nowhere\n";
        let all = AllSettings::from_document(&broken);
        let names: Vec<String> =
            all.problems().into_iter().map(|problem| problem.setting).collect();
        assert_eq!(names, ["TYPO", "TWILIO_AUTH_TOKEN_NEXT_FILE", "MEDIA_WSS_URL", "MEDIA_AGENT"]);
        assert!(all.handshake_values().is_err());
    }
}
