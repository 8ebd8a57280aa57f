//! G.711 µ-law: one byte a sample, 8,000 samples a second.
//!
//! ITU-T G.711 Table 2a/2b. Both directions are tables made at compile time, and the tests go through
//! every value of both.

/// The byte for silence: the positive zero.
pub const SILENCE: u8 = 0xFF;

/// Added before the segment is found: 33 steps of the 14-bit scale, on the 16-bit one.
const BIAS: i32 = 0x84;
/// The largest magnitude that µ-law can carry, on the 16-bit scale.
const CLIP: i32 = 32_635;

const DECODED: [i16; 256] = decoded_table();

#[expect(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "runs at compile time over 256 known values; an overflow would stop the build"
)]
const fn decoded_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let inverted = !(byte as u8);
        let exponent = (inverted >> 4) & 0x07;
        let mantissa = (inverted & 0x0f) as i32;
        let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
        let negative = inverted & 0x80 != 0;
        table[byte] = if negative { -magnitude as i16 } else { magnitude as i16 };
        byte += 1;
    }
    table
}

/// The linear sample for one byte.
#[must_use]
#[expect(clippy::indexing_slicing, reason = "a byte cannot exceed a table of 256")]
pub const fn decode(byte: u8) -> i16 {
    DECODED[byte as usize]
}

/// The byte for one linear sample.
#[must_use]
pub fn encode(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP).saturating_add(BIAS);
    // The highest bit of the biased magnitude, 7 to 14, names the segment.
    let exponent = 24_u32.saturating_sub(magnitude.leading_zeros());
    let mantissa = (magnitude >> exponent.saturating_add(3)) & 0x0f;
    let exponent = u8::try_from(exponent).unwrap_or(7);
    let mantissa = u8::try_from(mantissa).unwrap_or(0x0f);
    !(sign | (exponent << 4) | mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_the_standard() {
        for (byte, sample) in [
            (0xFF, 0),
            (0x7F, 0),
            (0x80, 32_124),
            (0x00, -32_124),
            (0xFE, 8),
            (0x7E, -8),
            (0xF0, 120),
            (0xEF, 132),
        ] {
            assert_eq!(decode(byte), sample, "{byte:#04x}");
        }
    }

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        for byte in 0..=u8::MAX {
            let expected = if byte == 0x7F { SILENCE } else { byte };
            assert_eq!(encode(decode(byte)), expected, "{byte:#04x}");
        }
    }

    #[test]
    fn every_sample_is_coded_by_its_own_decision_interval() {
        for sample in i16::MIN..=i16::MAX {
            let byte = encode(sample);
            let error = (i32::from(decode(byte)) - i32::from(sample)).abs();
            let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
            let segment = 24 - magnitude.leading_zeros();
            // Half of the segment's step, except where the input was clipped.
            let half_step = 4 << segment;
            let clipped = i32::from(sample).abs() - i32::from(decode(byte)).abs();
            assert!(
                error <= half_step || (i32::from(sample).abs() > CLIP && clipped <= 644),
                "{sample}"
            );
        }
    }

    #[test]
    fn coding_never_reverses_the_order_of_samples() {
        let mut last = decode(encode(i16::MIN));
        for sample in i16::MIN..=i16::MAX {
            let now = decode(encode(sample));
            assert!(now >= last, "{sample}");
            last = now;
        }
    }
}
