//! What `ward run` does on SIGHUP: reads the settings again, and hands over what may be replaced while the server runs.
//!
//! All or nothing: what has a problem, is half written, would have the server go on with other settings than it was started with, or would
//! lock out everybody, replaces nothing. It never changes what the server was started with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ward_policy::audit::Role;

use crate::console::Failure;
use crate::launch::Replacer;
use crate::settings::AllSettings;

/// What a reload is compared with.
#[derive(Debug)]
pub(crate) struct Reload {
    role: Role,
    env_file: Option<PathBuf>,
    /// Every setting that a reload cannot change.
    fixed: BTreeMap<String, String>,
    /// Whether there has been an auth token.
    has_token: bool,
}

impl Reload {
    /// For a server that is started with `all`.
    pub(crate) fn new(role: Role, env_file: Option<PathBuf>, all: &AllSettings) -> Self {
        Self { role, env_file, fixed: all.fixed(), has_token: all.has_token() }
    }

    /// Reads everything, judges everything, and only then replaces anything.
    ///
    /// # Errors
    /// Why nothing was replaced.
    pub(crate) fn run(&mut self, replacer: &Replacer) -> Result<(), Failure> {
        let all = AllSettings::gather_whole(self.env_file.as_deref())?;
        let followed = all.checked(self.role)?;
        let fixed = all.fixed();
        let names: std::collections::BTreeSet<&String> =
            self.fixed.keys().chain(fixed.keys()).collect();
        let mut changed = names.into_iter().filter(|name| self.fixed.get(*name) != fixed.get(*name));
        // What is handed over is made with them: signatures that the server's own settings do not go with would refuse every call.
        if let Some(name) = changed.next() {
            let what = "is another than at the start; it needs a restart";
            return Err(Failure::Usage(format!("{name}: {what}")));
        }
        if self.has_token && !all.has_token() {
            let what = "TWILIO_AUTH_TOKEN: there was one, and without any every call would be refused";
            return Err(Failure::Usage(what.to_owned()));
        }
        replacer.replace(&followed)?;
        self.has_token |= all.has_token();
        Ok(())
    }
}
