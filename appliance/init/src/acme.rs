//! Asking an authority for a certificate, as far as it is the launcher's: the names, and the place where what outlives a run is kept.
//!
//! The place is a folder of the operator's with a file each for the broker and for `sign`, made as long as they will ever be. Each is
//! sealed under a key of its own, made from the operator's; the launcher reads neither file. Without a folder they are in memory and end
//! with the run.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::fs::{FlockOperation, MemfdFlags, OFlags, flock, memfd_create};
use ward_policy::audit::Role;
use ward_policy::limit;
use ward_policy::phi::Secret;

use crate::launch::document;

/// How an authority is asked.
#[derive(Debug)]
pub struct Acme {
    /// The names in the certificate.
    pub names: Vec<String>,
    /// Where account, key and certificate are kept; without it, nowhere.
    pub place: Option<Place>,
}

/// Where something is kept, and what it is sealed with.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// The file with the operator's key: 32 bytes or more, of any kind.
    pub seal_key: PathBuf,
}

/// Why what an authority's certificates take cannot be handed down.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// A file of the operator's is unusable.
    #[error("{}: {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused something.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
    /// There are no random bytes, or no key can be made of them.
    #[error("no key can be made")]
    Key,
}

impl AcmeError {
    fn file(path: &Path, what: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), what: what.to_string() }
    }
}

/// The length of a key, as ring asks for it.
struct SealKey;

impl KeyType for SealKey {
    fn len(&self) -> usize {
        limit::SEAL_KEY_BYTES
    }
}

impl Acme {
    /// Every descriptor that the supervisor is handed for it, by name.
    ///
    /// # Errors
    /// [`AcmeError`].
    pub fn handed(&self) -> Result<Vec<(&'static str, OwnedFd)>, AcmeError> {
        let secret = self.secret()?;
        let seal = |role| Ok::<_, AcmeError>(document("seal", seal(&secret, role)?.expose())?);
        Ok(vec![
            ("names", document("names", &self.names.join("\n"))?),
            ("kept", self.kept(Role::Broker)?),
            ("seal", seal(Role::Broker)?),
            ("sign-kept", self.kept(Role::Sign)?),
            ("sign-seal", seal(Role::Sign)?),
        ])
    }

    /// What the keys are made from: the operator's, or something that nobody has after this run.
    fn secret(&self) -> Result<Secret<Vec<u8>>, AcmeError> {
        let Some(place) = &self.place else {
            let mut bytes = Secret::new(vec![0; limit::SEAL_KEY_BYTES]);
            let filled = SystemRandom::new().fill(bytes.expose_mut());
            filled.map_err(|_random| AcmeError::Key)?;
            return Ok(bytes);
        };
        let path = &place.seal_key;
        let mut bytes = Secret::new(Vec::with_capacity(LONGEST_KEY_BYTES));
        let longest = u64::try_from(LONGEST_KEY_BYTES).unwrap_or(u64::MAX);
        let file = File::open(path).map_err(|error| AcmeError::file(path, error))?;
        file.take(longest)
            .read_to_end(bytes.expose_mut())
            .map_err(|error| AcmeError::file(path, error))?;
        if bytes.expose().len() < limit::SEAL_KEY_BYTES {
            return Err(AcmeError::file(path, "is shorter than 32 bytes"));
        }
        Ok(bytes)
    }

    /// The place of one role.
    fn kept(&self, role: Role) -> Result<OwnedFd, AcmeError> {
        let length = u64::try_from(limit::KEPT_BYTES).unwrap_or(u64::MAX);
        if let Some(place) = &self.place {
            let path = place.folder.join(format!("{}.sealed", role.name()));
            return open(&path, length).map_err(|error| AcmeError::file(&path, error));
        }
        let memory = memfd_create("kept", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
        let memory = File::from(memory);
        memory.set_len(length)?;
        Ok(memory.into())
    }
}

/// What of an operator's key is read, at most, in bytes.
const LONGEST_KEY_BYTES: usize = 4 * 1024;

/// A file of this length that nobody else may read, with what is in it already.
fn open(path: &Path, length: u64) -> std::io::Result<OwnedFd> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    // A name that leads elsewhere is not ours.
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = options.custom_flags(no_link).open(path)?;
    // For as long as any process of this run has it: two runs would each write over what the other keeps.
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_locked| {
        std::io::Error::new(std::io::ErrorKind::ResourceBusy, "another run keeps its keys here")
    })?;
    let is_new = file.metadata()?.len() == 0;
    file.set_len(length)?;
    if is_new {
        // A disk that is full says so now, and not to a process that can tell nobody.
        file.write_all_at(&vec![0; limit::KEPT_BYTES], 0)?;
    }
    Ok(file.into())
}

/// A role's own key, in hexadecimal digits: HKDF with SHA-256 (RFC 5869), the role's name as its purpose.
fn seal(secret: &Secret<Vec<u8>>, role: Role) -> Result<Secret<String>, AcmeError> {
    let failed = |_error| AcmeError::Key;
    let salt = Salt::new(HKDF_SHA256, b"ward: what a role keeps, 1");
    let mut key = Secret::new([0; limit::SEAL_KEY_BYTES]);
    let purpose = [role.name().as_bytes()];
    let made = salt.extract(secret.expose());
    let made = made.expand(&purpose, SealKey).map_err(failed)?;
    made.fill(key.expose_mut()).map_err(failed)?;
    let digits = key.expose().iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let text = digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect();
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_a_key_of_its_own_that_comes_back() {
        let secret = Secret::new(vec![7; 32]);
        let of = |role| seal(&secret, role).unwrap().expose().clone();
        assert_eq!(of(Role::Sign).len(), 64);
        assert_eq!(of(Role::Sign), of(Role::Sign));
        assert_ne!(of(Role::Sign), of(Role::Broker));
        let other = Secret::new(vec![8; 32]);
        assert_ne!(*seal(&other, Role::Sign).unwrap().expose(), of(Role::Sign));
    }

    #[test]
    fn a_place_has_one_length_and_keeps_what_is_in_it() {
        let folder = std::env::temp_dir().join(format!("ward-place-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let seal_key = folder.join("key");
        let acme = Acme {
            names: vec!["media.example.com".to_owned()],
            place: Some(Place { folder: folder.clone(), seal_key: seal_key.clone() }),
        };
        assert!(acme.handed().is_err(), "there is no key");
        std::fs::write(&seal_key, [1; 31]).unwrap();
        assert!(acme.handed().is_err(), "it is too short");
        std::fs::write(&seal_key, [1; 32]).unwrap();
        for content in [&b""[..], b"kept"] {
            let path = folder.join("broker.sealed");
            let file = File::from(acme.kept(Role::Broker).unwrap());
            assert_eq!(file.metadata().unwrap().len(), 64 * 1024);
            let mut bytes = vec![9; content.len()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, content);
            file.write_all_at(b"kept", 0).unwrap();
            assert!(path.exists());
        }
        let held = acme.handed().unwrap();
        assert_eq!(held.len(), 5);
        assert!(acme.handed().is_err(), "another run has it");
        drop(held);
        drop(acme.handed().unwrap());
        let elsewhere = folder.join("elsewhere");
        std::fs::write(&elsewhere, b"").unwrap();
        std::fs::remove_file(folder.join("sign.sealed")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.join("sign.sealed")).unwrap();
        assert!(acme.kept(Role::Sign).is_err(), "a link");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
