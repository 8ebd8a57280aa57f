//! What a role keeps beyond its life: one sealed record in a place that it was handed, and that never grows.
//!
//! The place is a file of [`limit::KEPT_BYTES`], opened by the launcher: the operator's, or one in memory that ends with this run. The
//! record is sealed with ChaCha20-Poly1305 (RFC 8439) under a key of the role's own, so whoever has the file has nothing, and what was
//! changed in it is not opened. Who puts an old record back is not noticed.
//!
//! The place has two halves, written in turn: a machine that stops while one is written has the record before it in the other.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::io::{Errno, pread, pwrite};
use ward_policy::audit::Role;
use ward_policy::limit;
use ward_policy::phi::Secret;

/// A place for one record.
pub struct Kept {
    place: OwnedFd,
    key: LessSafeKey,
    role: Role,
    /// The number of the newest record and the half where it lies: a process that is sealed cannot look any more.
    newest: Mutex<Option<(u64, u8)>>,
}

/// Why there is no record, or no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// The key is not [`limit::SEAL_KEY_BYTES`] in hexadecimal digits.
    #[error("the key that seals is not 32 bytes in hexadecimal digits")]
    Key,
    /// The record was not sealed by this role with this key, or was changed.
    #[error("the record cannot be opened")]
    Unreadable,
    /// It is longer than its place.
    #[error("the record is longer than its place")]
    Long,
    /// The operating system's.
    #[error("the operating system refused: {0}")]
    System(#[from] Errno),
}

/// In front of the sealed bytes: their length, then the nonce.
const HEAD_BYTES: usize = 4 + NONCE_LEN;
/// In front of the record, sealed with it: how many were kept before it.
const NUMBER_BYTES: usize = 8;
const HALF_BYTES: usize = limit::KEPT_BYTES / 2;

impl Kept {
    /// Takes a place, and the key that seals what is in it.
    ///
    /// # Errors
    /// [`KeptError::Key`].
    pub fn new(place: OwnedFd, key: &Secret<String>, role: Role) -> Result<Self, KeptError> {
        let mut bytes = Secret::new([0; limit::SEAL_KEY_BYTES]);
        let text = key.expose().trim_end().as_bytes();
        if text.len() != limit::SEAL_KEY_BYTES.saturating_mul(2) {
            return Err(KeptError::Key);
        }
        for (slot, pair) in bytes.expose_mut().iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return Err(KeptError::Key) };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = digit(*high).zip(digit(*low)).ok_or(KeptError::Key)?;
            *slot = high << 4 | low;
        }
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes.expose());
        let key = LessSafeKey::new(key.map_err(|_length| KeptError::Key)?);
        Ok(Self { place, key, role, newest: Mutex::default() })
    }

    /// The newest record; `None` when there has never been one. It is asked before anything is stored.
    ///
    /// # Errors
    /// [`KeptError::Unreadable`] when none can be opened, [`KeptError::System`].
    pub fn load(&self) -> Result<Option<Secret<Vec<u8>>>, KeptError> {
        let newest = self.look()?;
        let place = newest.as_ref().map(|newest| (newest.number, newest.half));
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = place;
        Ok(newest.map(|newest| newest.record))
    }

    fn look(&self) -> Result<Option<Newest>, KeptError> {
        let halves = [self.half(0), self.half(1)];
        if let Some(Err(KeptError::System(error))) =
            halves.iter().find(|half| matches!(half, Err(KeptError::System(_))))
        {
            return Err((*error).into());
        }
        let is_unreadable = halves.iter().any(Result::is_err);
        let there = halves.into_iter().flatten().flatten();
        match there.max_by_key(|newest| newest.number) {
            // One that was half written when the machine stopped is no loss: the other is what there was before.
            Some(newest) => Ok(Some(newest)),
            None if is_unreadable => Err(KeptError::Unreadable),
            None => Ok(None),
        }
    }

    /// One half of the place: `None` when nothing was ever written there.
    fn half(&self, half: u8) -> Result<Option<Newest>, KeptError> {
        let Some(sealed) = self.sealed(half)? else { return Ok(None) };
        let (number, record) =
            sealed.expose().split_first_chunk::<NUMBER_BYTES>().ok_or(KeptError::Unreadable)?;
        let record = Secret::new(record.to_vec());
        Ok(Some(Newest { number: u64::from_be_bytes(*number), half, record }))
    }

    fn sealed(&self, half: u8) -> Result<Option<Secret<Vec<u8>>>, KeptError> {
        let from = offset(half);
        let mut all = Secret::new(vec![0; HALF_BYTES]);
        let mut length = 0;
        while let Some(rest) = all.expose_mut().get_mut(length..).filter(|rest| !rest.is_empty()) {
            let place = u64::try_from(length).unwrap_or(u64::MAX).saturating_add(from);
            match pread(&self.place, rest, place) {
                Ok(0) => break,
                Ok(count) => length = length.saturating_add(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (sealed, rest) = all.expose().split_first_chunk::<4>().ok_or(KeptError::Unreadable)?;
        let sealed = usize::try_from(u32::from_be_bytes(*sealed)).unwrap_or(usize::MAX);
        if sealed == 0 {
            return Ok(None);
        }
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(KeptError::Unreadable)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut record = Secret::new(rest.get(..sealed).ok_or(KeptError::Unreadable)?.to_vec());
        let opened = self.key.open_in_place(nonce, self.aad(), record.expose_mut());
        let opened = opened.map_err(|_changed| KeptError::Unreadable)?.len();
        record.expose_mut().truncate(opened);
        Ok(Some(record))
    }

    /// Puts `record` in the place of the one before the newest.
    ///
    /// # Errors
    /// [`KeptError::Long`], [`KeptError::System`].
    pub fn store(&self, record: &[u8]) -> Result<(), KeptError> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, half) =
            newest.map_or((0, 0), |(number, half)| (number.saturating_add(1), half ^ 1));
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_random| KeptError::System(Errno::IO))?;
        let mut sealed = Secret::new(Vec::with_capacity(limit::KEPT_BYTES));
        sealed.expose_mut().extend_from_slice(&number.to_be_bytes());
        sealed.expose_mut().extend_from_slice(record);
        let key = Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(key, self.aad(), sealed.expose_mut())
            .map_err(|_length| KeptError::Long)?;
        let length = u32::try_from(sealed.expose().len()).map_err(|_long| KeptError::Long)?;
        let all = [&length.to_be_bytes()[..], &nonce, sealed.expose()].concat();
        if all.len() > HALF_BYTES {
            return Err(KeptError::Long);
        }
        let from = offset(half);
        let mut written = 0;
        while let Some(rest) = all.get(written..).filter(|rest| !rest.is_empty()) {
            let place = u64::try_from(written).unwrap_or(u64::MAX).saturating_add(from);
            match pwrite(&self.place, rest, place) {
                Ok(0) => return Err(Errno::IO.into()),
                Ok(count) => written = written.saturating_add(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        *newest = Some((number, half));
        Ok(())
    }

    /// A record is its role's: put into another's place it is none.
    fn aad(&self) -> Aad<&'static [u8]> {
        Aad::from(self.role.name().as_bytes())
    }
}

/// A record, and where it lies.
struct Newest {
    number: u64,
    half: u8,
    record: Secret<Vec<u8>>,
}

/// Where a half begins.
fn offset(half: u8) -> u64 {
    u64::try_from(HALF_BYTES).unwrap_or(u64::MAX).saturating_mul(u64::from(half))
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(…)")
    }
}

const _: () = assert!(HEAD_BYTES + NUMBER_BYTES < HALF_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    fn place() -> OwnedFd {
        let place = memfd_create("kept", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&place, u64::try_from(limit::KEPT_BYTES).unwrap()).unwrap();
        place
    }

    fn kept(place: &OwnedFd, key: char, role: Role) -> Kept {
        let key = Secret::new(String::from(key).repeat(64));
        Kept::new(place.try_clone().unwrap(), &key, role).unwrap()
    }

    #[test]
    fn a_record_comes_back_to_whoever_sealed_it_and_to_nobody_else() {
        let place = place();
        let ours = kept(&place, 'a', Role::Broker);
        assert!(ours.load().unwrap().is_none(), "nothing was ever there");
        for record in [&b"an account and its key"[..], b"shorter", b"", b"an account and its key"] {
            ours.store(record).unwrap();
            assert_eq!(ours.load().unwrap().unwrap().expose(), record);
        }
        for other in [kept(&place, 'b', Role::Broker), kept(&place, 'a', Role::Sign)] {
            assert!(matches!(other.load(), Err(KeptError::Unreadable)));
        }
        let mut all = vec![0; limit::KEPT_BYTES];
        pread(&place, &mut all, 0).unwrap();
        assert!(!all.windows(7).any(|part| part == b"account"), "it is sealed");
        // Whatever becomes of the newest, half written perhaps: the one before it is there, and the next takes its place.
        let newest = u64::try_from(HALF_BYTES).unwrap();
        pwrite(&place, &[all[HALF_BYTES + 20] ^ 1], newest + 20).unwrap();
        assert_eq!(ours.load().unwrap().unwrap().expose(), b"");
        ours.store(b"another").unwrap();
        assert_eq!(ours.load().unwrap().unwrap().expose(), b"another");
        pread(&place, &mut all, 0).unwrap();
        for half in [0, HALF_BYTES] {
            pwrite(&place, &[all[half + 20] ^ 1], u64::try_from(half + 20).unwrap()).unwrap();
        }
        assert!(matches!(ours.load(), Err(KeptError::Unreadable)), "both were changed");
        ours.store(b"anew").unwrap();
        assert_eq!(ours.load().unwrap().unwrap().expose(), b"anew");
    }

    #[test]
    fn a_place_does_not_grow_and_a_key_has_one_length() {
        let place = place();
        let ours = kept(&place, '0', Role::Sign);
        let most = HALF_BYTES - HEAD_BYTES - NUMBER_BYTES - CHACHA20_POLY1305.tag_len();
        ours.store(&vec![7; most]).unwrap();
        assert_eq!(ours.load().unwrap().unwrap().expose().len(), most);
        assert_eq!(ours.store(&vec![7; most + 1]), Err(KeptError::Long));
        for key in ["", "00", &"g".repeat(64), &"0".repeat(66)] {
            let place = place.try_clone().unwrap();
            let error = Kept::new(place, &Secret::new(key.to_owned()), Role::Sign).err();
            assert_eq!(error, Some(KeptError::Key), "{key}");
        }
    }
}
