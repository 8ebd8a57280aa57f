//! `ward lab`: the files with which an image starts in the lab: its configuration, and the secrets that come beside it there.
//!
//! It writes into one folder, made for that, and starts nothing. On a machine of a cloud the image refuses all of it.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use ward_policy::audit::Role;
use ward_policy::setting::PUBLIC_KEYS;

use crate::console::{Console, Failure};
use crate::development_ca::DevelopmentCa;
use crate::settings::AllSettings;
use crate::stage::write_private;

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Settings, one NAME=value a line; they win over the environment.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Which server the image is to be.
    #[arg(long, value_enum, default_value = "media")]
    role: ServerName,
    /// A name or address in the certificate; may be given more than once.
    #[arg(long = "name", value_name = "NAME", default_values = ["localhost", "127.0.0.1"])]
    names: Vec<String>,
    /// The folder to make.
    folder: PathBuf,
}

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ServerName {
    /// The media server.
    Media,
    /// The responder.
    Twiml,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] when a setting is wrong, or the folder is there already.
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let all = AllSettings::gather(arguments.env_file.as_deref())?;
    let (role, document) = match arguments.role {
        ServerName::Media => (Role::Media, all.media_document()),
        ServerName::Twiml => (Role::Twiml, all.twiml_document()),
    };
    let followed = all.checked(role)?;
    let folder = &arguments.folder;
    let file = |path: &Path, error| Failure::file(path, error);
    for place in [folder.clone(), folder.join("secret")] {
        let made = std::fs::DirBuilder::new().mode(0o700).create(&place);
        made.map_err(|error| file(&place, error))?;
    }
    let ca = DevelopmentCa::new()?;
    let names: Vec<&str> = arguments.names.iter().map(String::as_str).collect();
    let identity = ca.issue(&names)?;
    let mut files = vec![
        ("config".to_owned(), config(role, document.expose(), followed.expose())),
        ("ca.pem".to_owned(), ca.certificate()),
        ("secret/tls-chain".to_owned(), identity.chain),
        ("secret/tls-key".to_owned(), identity.key.expose().clone()),
    ];
    let lines = followed.expose().lines();
    if role == Role::Media {
        let values: Vec<&str> = lines.filter(|line| !line.starts_with(TICKET_KEY)).collect();
        files.push(("secret/handshake".to_owned(), values.join("\n")));
    } else {
        let values = lines.filter_map(|line| line.split_once('='));
        files.extend(values.map(|(name, value)| (format!("secret/{name}"), value.to_owned())));
    }
    for (name, text) in &files {
        write_private(&folder.join(name), text)?;
    }
    let words: Vec<String> = files
        .iter()
        .filter(|(name, _)| name != "ca.pem")
        .map(|(name, _)| {
            format!("-fw_cfg name=opt/org.ward/{name},file={}", folder.join(name).display())
        })
        .collect();
    console.result(&json!({ "qemu": words }), &words.join("\n"));
    Ok(true)
}

/// What a line of a followed document begins with that names a key of tickets.
const TICKET_KEY: &str = "ticket-key ";

/// The configuration file: settings, and of what is followed the part that is no secret.
fn config(role: Role, settings: &str, followed: &str) -> String {
    let mut text = format!("role = \"{}\"\n\n[settings]\n", role.name());
    // JSON's strings are TOML's.
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{name} = {}\n", json!(value)));
    };
    for (name, value) in settings.lines().filter_map(|line| line.split_once('=')) {
        line(name, value);
    }
    let keys: Vec<&str> =
        followed.lines().filter_map(|line| line.strip_prefix(TICKET_KEY)).collect();
    if !keys.is_empty() {
        line(PUBLIC_KEYS, &keys.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_init::config::Config;

    #[test]
    fn what_is_written_is_what_the_image_reads() {
        let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let followed = format!("c2lnbmF0dXJl\nticket-key {key}\n");
        let text = config(Role::Media, "MEDIA_AGENT=echo\nMEDIA_PATH=/a\"b\n", &followed);
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.setting("MEDIA_PATH"), Some("/a\"b"));
        assert_eq!(config.ticket_keys(), format!("ticket-key {key}\n"));
        assert!(!text.contains("c2lnbmF0dXJl"), "a secret");
    }
}
