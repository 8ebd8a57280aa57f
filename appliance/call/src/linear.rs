//! µ-law as linear samples: G.711's formula, as tables made at compile time.

/// Linear samples, 16 bit, by µ-law byte.
pub(crate) const LINEAR: [i16; 256] = linear();

/// Their squares, scaled down by 64 to fit sums.
pub(crate) const SQUARES: [u32; 256] = squares();

#[expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "runs at compile time over 256 known values; an overflow would stop the build"
)]
const fn linear() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let inverted = !(byte as u8) as i32;
        let magnitude = ((((inverted & 0x0f) << 3) + 0x84) << ((inverted >> 4) & 7)) - 0x84;
        table[byte] = (if inverted & 0x80 == 0 { magnitude } else { -magnitude }) as i16;
        byte += 1;
    }
    table
}

#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "runs at compile time over 256 known values; an overflow would stop the build"
)]
const fn squares() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let magnitude = LINEAR[byte].unsigned_abs() as u32;
        table[byte] = magnitude * magnitude / 64;
        byte += 1;
    }
    table
}
