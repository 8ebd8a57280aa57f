//! Memory for credentials: a few places of one size that nobody else can read, wiped when they are given back.
//!
//! Where the kernel has it this is `memfd_secret` (Linux 5.14; a boot parameter before 6.5): pages that leave
//! the kernel's own map and that no other process can read, not even through `/proc`. Elsewhere the pages are
//! locked and kept out of core dumps. It is made once, before the process is sealed, and never grows. What a
//! library copies out of it is not its business.

use std::fmt;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What protects the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// `memfd_secret`.
    Secret,
    /// Locked, and left out of core dumps.
    Locked,
}

/// The kernel gives no memory that is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel gives no memory for secrets: error {0}")]
pub struct SecretError(pub i32);

/// Places of one size.
#[derive(Clone)]
pub struct SecretPool(Arc<Pool>);

struct Pool {
    memory: NonNull<u8>,
    length: usize,
    place_bytes: usize,
    protection: Protection,
    free: Mutex<Vec<usize>>,
}

// SAFETY: the pointer is to a mapping that lives as long as the pool. Each place is reached through the one
// `SecretPlace` that has its index, and the list of free ones is behind a lock.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

static LOCKED_ONLY: AtomicBool = AtomicBool::new(false);

/// Makes every pool of this process out of locked memory, which `/proc` shows to who may trace the process: for
/// the builds that search memory for what should not be in it. No program that ships calls it.
pub fn use_memory_that_can_be_searched() {
    LOCKED_ONLY.store(true, Ordering::Relaxed);
}

impl SecretPool {
    /// `places` of `place_bytes` each.
    ///
    /// # Errors
    /// [`SecretError`] when neither kind of memory is to be had: more than may be locked (`RLIMIT_MEMLOCK`).
    pub fn new(places: usize, place_bytes: usize) -> Result<Self, SecretError> {
        let length = places.saturating_mul(place_bytes).max(1);
        let secret = if LOCKED_ONLY.load(Ordering::Relaxed) { None } else { map_secret(length) };
        let (memory, protection) = match secret {
            Some(memory) => (memory, Protection::Secret),
            None => (map_locked(length)?, Protection::Locked),
        };
        let free = Mutex::new((0..places).collect());
        Ok(Self(Arc::new(Pool { memory, length, place_bytes, protection, free })))
    }

    /// As many places as are to be had, from `most` down to `fewest`.
    ///
    /// # Errors
    /// [`SecretError`] when not even `fewest` are.
    pub fn up_to(most: usize, fewest: usize, place_bytes: usize) -> Result<Self, SecretError> {
        let mut places = most.max(fewest);
        loop {
            match Self::new(places, place_bytes) {
                Err(_more_than_may_be) if places > fewest => places = (places / 2).max(fewest),
                made => return made,
            }
        }
    }

    /// Whether a place is free.
    #[must_use]
    pub fn has_place(&self) -> bool {
        !self.0.free.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What protects it.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.0.protection
    }

    /// A place, all zero; none when every one is taken.
    #[must_use]
    pub fn place(&self) -> Option<SecretPlace> {
        let index = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(SecretPlace { pool: Arc::clone(&self.0), index })
    }
}

impl fmt::Debug for SecretPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretPool").field("protection", &self.0.protection).finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the mapping is this pool's, of this length, and no place of it is left: each holds the pool.
        // It can only fail for a mapping that is not there.
        let _unmapped = unsafe { libc::munmap(self.memory.as_ptr().cast(), self.length) };
    }
}

/// One place; wiped and given back when dropped.
pub struct SecretPlace {
    pool: Arc<Pool>,
    index: usize,
}

impl SecretPlace {
    fn start(&self) -> *mut u8 {
        let offset = self.index.saturating_mul(self.pool.place_bytes);
        // SAFETY: an index is below the number of places, so the offset lies within the mapping.
        unsafe { self.pool.memory.as_ptr().add(offset) }
    }

    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the place is `place_bytes` long, mapped and initialised, and this is its only owner.
        unsafe { std::slice::from_raw_parts(self.start(), self.pool.place_bytes) }
    }

    /// All its bytes, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.pool.place_bytes) }
    }
}

impl fmt::Debug for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretPlace(…)")
    }
}

impl Drop for SecretPlace {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(self.bytes_mut());
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

fn map_secret(length: usize) -> Option<NonNull<u8>> {
    // SAFETY: memfd_secret(2) takes flags and gives a descriptor or -1.
    let raw = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let raw = i32::try_from(raw).ok().filter(|raw| *raw >= 0)?;
    // SAFETY: the kernel has just made the descriptor, and nobody else has it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
    rustix::fs::ftruncate(&descriptor, u64::try_from(length).ok()?).ok()?;
    let memory = map(length, libc::MAP_SHARED, raw).ok()?;
    // The pages come with the first touch, and the machine may have none: that must show here, not later.
    // SAFETY: the mapping is `length` bytes long and writable; zero is what it holds.
    unsafe { std::ptr::write_bytes(memory.as_ptr(), 0, length) };
    Some(memory)
}

fn map_locked(length: usize) -> Result<NonNull<u8>, SecretError> {
    let memory = map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: the range is the mapping that was just made.
    let locked = unsafe { libc::mlock(memory.as_ptr().cast(), length) };
    // SAFETY: as above; the advice changes no content.
    let left_out = unsafe { libc::madvise(memory.as_ptr().cast(), length, libc::MADV_DONTDUMP) };
    if locked == 0 && left_out == 0 {
        return Ok(memory);
    }
    let error = last_error();
    // SAFETY: the mapping that was just made, and that nobody has.
    let _unmapped = unsafe { libc::munmap(memory.as_ptr().cast(), length) };
    Err(error)
}

fn map(length: usize, flags: i32, descriptor: i32) -> Result<NonNull<u8>, SecretError> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice; it touches nothing that is there.
    let memory =
        unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, descriptor, 0) };
    if memory == libc::MAP_FAILED {
        return Err(last_error());
    }
    NonNull::new(memory.cast()).ok_or_else(last_error)
}

fn last_error() -> SecretError {
    SecretError(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    /// Whether the kernel has it, asked in the plainest way.
    fn has_secret_memory() -> bool {
        // SAFETY: memfd_secret(2) without a flag; the descriptor it may give is taken at once.
        let raw = unsafe { libc::syscall(libc::SYS_memfd_secret, 0) };
        let raw = i32::try_from(raw).unwrap();
        // SAFETY: the kernel has just made the descriptor, and nobody else has it.
        raw >= 0 && unsafe { OwnedFd::from_raw_fd(raw) }.as_raw_fd() == raw
    }

    fn check(memory: NonNull<u8>, protection: Protection) {
        let free = Mutex::new(vec![0, 1]);
        let pool = Pool { memory, length: 2 * 64, place_bytes: 64, protection, free };
        let pool = SecretPool(Arc::new(pool));
        let (mut one, mut two) = (pool.place().unwrap(), pool.place().unwrap());
        assert!(pool.place().is_none() && !pool.has_place());
        one.bytes_mut().fill(1);
        two.bytes_mut().fill(2);
        assert!(one.bytes().iter().all(|byte| *byte == 1) && one.bytes().len() == 64);
        assert!(two.bytes().iter().all(|byte| *byte == 2));
        drop(one);
        assert!(pool.place().unwrap().bytes().iter().all(|byte| *byte == 0), "not wiped");
        assert!(!format!("{pool:?} {two:?}").contains('2'));
    }

    #[test]
    fn both_kinds_hold_what_is_written_and_forget_it() {
        check(map_locked(128).unwrap(), Protection::Locked);
        if has_secret_memory() {
            check(map_secret(128).unwrap(), Protection::Secret);
        }
        let expected = if has_secret_memory() { Protection::Secret } else { Protection::Locked };
        assert_eq!(SecretPool::new(2, 64).unwrap().protection(), expected);
    }

    #[test]
    fn secret_pages_cannot_be_read_through_proc() {
        use std::os::unix::fs::FileExt as _;
        let pool = SecretPool::new(1, 64).unwrap();
        let mut place = pool.place().unwrap();
        place.bytes_mut().fill(0x5A);
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut seen = [0; 64];
        let address = u64::try_from(place.bytes().as_ptr().addr()).unwrap();
        let read = memory.read_exact_at(&mut seen, address);
        match pool.protection() {
            Protection::Secret => assert!(read.is_err() && seen != [0x5A; 64]),
            Protection::Locked => assert!(read.is_ok() && seen == [0x5A; 64]),
        }
    }
}
