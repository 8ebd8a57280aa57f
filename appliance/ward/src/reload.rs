//! What `ward run` does on SIGHUP: reads the settings again, and hands over what may be replaced while the server runs.
//!
//! All or nothing: what has a problem, is half written, would have the server go on with other settings than it was started with, or would
//! lock out everybody, replaces nothing. It never changes what the server was started with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ward_edge::tls::provider;
use ward_policy::audit::Role;
use ward_policy::certificate::CertificateSource;
use ward_policy::phi::Secret;

use crate::console::Failure;
use crate::development_ca::Identity;
use crate::launch::Replacer;
use crate::settings::AllSettings;

/// Where the operator's certificate is.
#[derive(Debug)]
pub(crate) struct Files {
    /// The chain in PEM, leaf first.
    pub(crate) chain: PathBuf,
    /// Its key in PEM.
    pub(crate) key: PathBuf,
}

impl Files {
    /// What is in them now, unjudged.
    ///
    /// # Errors
    /// [`Failure::Usage`] when one cannot be read.
    pub(crate) fn read(&self) -> Result<Identity, Failure> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))
        };
        let (chain, key) = (read(&self.chain)?, Secret::new(read(&self.key)?));
        Ok(Identity { chain, key, source: CertificateSource::Files })
    }
}

/// Judges whether chain and key can be used and belong together: one of two files may have been replaced before the other.
fn judge(identity: &Identity) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::Usage(what.to_owned());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect();
    let chain = chain.map_err(|_pem| wrong("--tls-chain: is no chain of certificates in PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes());
    let key = key.map_err(|_pem| wrong("--tls-key: is no private key in PEM"))?;
    let key = provider().key_provider.load_private_key(key);
    let key = key.map_err(|_kind| wrong("--tls-key: is a key of no kind that is used here"))?;
    let both = CertifiedKey::new(chain, key).keys_match();
    both.map_err(|_other| wrong("--tls-chain and --tls-key do not belong together"))
}

/// What a reload is compared with.
#[derive(Debug)]
pub(crate) struct Reload {
    role: Role,
    env_file: Option<PathBuf>,
    files: Option<Files>,
    /// Every setting that a reload cannot change.
    fixed: BTreeMap<String, String>,
    /// Whether there has been an auth token.
    has_token: bool,
}

impl Reload {
    /// For a server that is started with `all`.
    pub(crate) fn new(
        role: Role,
        env_file: Option<PathBuf>,
        files: Option<Files>,
        all: &AllSettings,
    ) -> Self {
        Self { role, env_file, files, fixed: all.fixed(), has_token: all.has_token() }
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
        let mut changed =
            names.into_iter().filter(|name| self.fixed.get(*name) != fixed.get(*name));
        // What is handed over is made with them: signatures that the server's own settings do not go with would refuse every call.
        if let Some(name) = changed.next() {
            let what = "is another than at the start; it needs a restart";
            return Err(Failure::Usage(format!("{name}: {what}")));
        }
        if self.has_token && !all.has_token() {
            let what =
                "TWILIO_AUTH_TOKEN: there was one, and without any every call would be refused";
            return Err(Failure::Usage(what.to_owned()));
        }
        let identity = self.files.as_ref().map(Files::read).transpose()?;
        if let Some(identity) = &identity {
            judge(identity)?;
            replacer.replace_identity(identity)?;
        }
        replacer.replace(&followed)?;
        self.has_token |= all.has_token();
        Ok(())
    }
}
