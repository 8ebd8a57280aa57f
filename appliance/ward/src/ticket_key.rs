//! `ward ticket-key`: a fresh key for stream tickets. The private half goes into a file that nobody else may read, and
//! is never printed; the public half is what media hosts are told.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use ward_policy::phi::Secret;
use ward_twilio::ticket::TicketKey;

use crate::console::{Console, Failure};
use crate::settings::read_token;

/// The command's own arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the private half is: a new file, unless --show.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Make nothing: print the public half of the key that is in FILE.
    #[arg(long)]
    show: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] when the file is there already, or cannot be written or read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<bool, Failure> {
    let path = &arguments.file;
    let text = if arguments.show {
        read_token(path).map_err(|error| Failure::file(path, error))?
    } else {
        fresh()?
    };
    let key = TicketKey::parse(&text).map_err(|error| Failure::file(path, error))?;
    if !arguments.show {
        let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
        let written = file.and_then(|mut file| writeln!(file, "{}", text.expose()));
        written.map_err(|error| Failure::file(path, error))?;
    }
    let public = key.public();
    let (name, key_id) = (public.to_base64(), public.id().hex());
    let lines = [
        format!("responder    STREAM_TICKET_KEY_FILE={}", path.display()),
        format!("media host   STREAM_TICKET_PUBLIC_KEYS={name}"),
        format!("key id       {key_id}"),
    ];
    console.result(&json!({ "public_key": name, "key_id": key_id }), &lines.join("\n"));
    Ok(true)
}

/// 32 random bytes in base64.
fn fresh() -> Result<Secret<String>, Failure> {
    let mut seed = Secret::new([0; 32]);
    SystemRandom::new()
        .fill(seed.expose_mut())
        .map_err(|_random| Failure::Checked("no random bytes".to_owned()))?;
    Ok(Secret::new(STANDARD.encode(seed.expose())))
}
