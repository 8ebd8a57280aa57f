//! GUID partition tables (UEFI 2.10, chapter 5), as far as finding the EFI system partition takes.

use ward_policy::limit;

use super::{DiskError, ReadAt};

const SECTOR: u64 = 512;
/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it lies on disk.
const SYSTEM: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];

/// Where the EFI system partition begins, in bytes.
///
/// # Errors
/// [`DiskError`].
pub fn system_partition<D: ReadAt + ?Sized>(disk: &D) -> Result<u64, DiskError> {
    let mut header = [0; 92];
    if !disk.read_at(SECTOR, &mut header) {
        return Err(DiskError::Short);
    }
    if header.get(..8) != Some(b"EFI PART") || number(&header, 12) != 92 {
        return Err(DiskError::Table);
    }
    let told = number(&header, 16);
    if let Some(place) = header.get_mut(16..20) {
        place.fill(0);
    }
    if sum(&header) != told {
        return Err(DiskError::Table);
    }
    let first = u64::from(number(&header, 72)) | u64::from(number(&header, 76)) << 32;
    let (count, size) = (number(&header, 80), number(&header, 84));
    if size != 128 || count > limit::PARTITIONS_MAX {
        return Err(DiskError::Table);
    }
    for index in 0..count {
        let mut entry = [0; 128];
        let at = first.saturating_mul(SECTOR).saturating_add(u64::from(index).saturating_mul(128));
        if !disk.read_at(at, &mut entry) {
            return Err(DiskError::Short);
        }
        if entry.get(..16) == Some(&SYSTEM) {
            let start = u64::from(number(&entry, 32)) | u64::from(number(&entry, 36)) << 32;
            return start.checked_mul(SECTOR).ok_or(DiskError::Table);
        }
    }
    Err(DiskError::Partition)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    four.map_or(0, |four| u32::from_le_bytes(*four))
}

/// CRC-32 as in Ethernet; a table's header is too short for it to matter how.
fn sum(bytes: &[u8]) -> u32 {
    let all = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _bit| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    });
    !all
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A disk with one system partition that begins at sector 64.
    pub(crate) fn disk(content: &[u8]) -> Vec<u8> {
        let mut disk = vec![0; 64 * 512];
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[524] = 92;
        disk[584] = 2;
        disk[592] = 128;
        disk[596] = 128;
        disk[1_024 + 128..1_024 + 144].copy_from_slice(&SYSTEM);
        disk[1_024 + 160] = 64;
        let sum = sum(&disk[512..604]).to_le_bytes();
        disk[528..532].copy_from_slice(&sum);
        disk.extend(content);
        disk
    }

    #[test]
    fn the_system_partition_is_found_and_a_broken_table_is_not_believed() {
        assert_eq!(sum(b"123456789"), 0xcbf4_3926);
        let whole = disk(&[]);
        assert_eq!(system_partition(&whole[..]), Ok(64 * 512));
        for at in [512, 524, 584, 590, 592, 596, 599] {
            let mut broken = whole.clone();
            broken[at] ^= 1;
            assert_eq!(system_partition(&broken[..]), Err(DiskError::Table), "{at}");
        }
        let mut other = whole.clone();
        other[1_024 + 128] = 0;
        assert_eq!(system_partition(&other[..]), Err(DiskError::Partition));
        assert_eq!(system_partition(&whole[..600]), Err(DiskError::Short));
        assert_eq!(system_partition(&[][..]), Err(DiskError::Short));
    }
}
