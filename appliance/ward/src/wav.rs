//! WAV files: PCM16 or µ-law of any rate in, as the telephone's 8,000 Hz µ-law; PCM16 out.
//!
//! Reads what an operator has lying about; it is not used by any server.

use ward_policy::limit::SAMPLE_RATE_HZ;
use ward_twilio::mulaw;

/// Why a file is no usable WAV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// No RIFF/WAVE header, or cut short.
    #[error("not a WAV file")]
    Riff,
    /// Another coding than PCM16 or µ-law.
    #[error("only 16-bit PCM and 8-bit µ-law are read")]
    Coding,
    /// A sample rate outside 4,000 to 192,000 Hz, or no channel.
    #[error("the sample rate or the number of channels is unusable")]
    Shape,
    /// No samples.
    #[error("no audio in it")]
    Empty,
}

const PCM: u16 = 1;
const MULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xFFFE;

struct Format {
    coding: u16,
    channels: usize,
    rate_hz: usize,
    bits: u16,
}

/// Reads a WAV file as µ-law at 8,000 Hz, its channels mixed to one.
///
/// # Errors
/// [`WavError`].
pub fn read(file: &[u8]) -> Result<Vec<u8>, WavError> {
    let (format, data) = chunks(file)?;
    let samples: Vec<i16> = match (format.coding, format.bits) {
        (PCM, 16) => {
            let pairs = data.chunks_exact(2);
            pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
        }
        (MULAW, 8) => data.iter().map(|byte| mulaw::decode(*byte)).collect(),
        _ => return Err(WavError::Coding),
    };
    let is_plain_mulaw = format.coding == MULAW && format.channels == 1;
    if is_plain_mulaw && format.rate_hz == SAMPLE_RATE_HZ {
        return if data.is_empty() { Err(WavError::Empty) } else { Ok(data.to_vec()) };
    }
    let mono = mix(&samples, format.channels);
    if mono.is_empty() {
        return Err(WavError::Empty);
    }
    let resampled = resample(&mono, format.rate_hz);
    Ok(resampled.into_iter().map(mulaw::encode).collect())
}

fn chunks(file: &[u8]) -> Result<(Format, &[u8]), WavError> {
    let is_wave = file.starts_with(b"RIFF") && file.get(8..12) == Some(b"WAVE");
    let mut rest = file.get(12..).filter(|_| is_wave).ok_or(WavError::Riff)?;
    let mut format = None;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let length = usize::try_from(length).map_err(|_large| WavError::Riff)?;
        // Some writers leave the length of a stream they could not rewind at its maximum.
        let chunk = body.get(..length).unwrap_or(body);
        match &head[..4] {
            b"fmt " => format = Some(parse_format(chunk)?),
            b"data" => return format.map(|format| (format, chunk)).ok_or(WavError::Riff),
            _ => {}
        }
        rest = body.get(length.next_multiple_of(2)..).unwrap_or_default();
    }
    Err(WavError::Riff)
}

fn parse_format(chunk: &[u8]) -> Result<Format, WavError> {
    let word = |at: usize| {
        let pair = chunk.get(at..at + 2).ok_or(WavError::Riff)?;
        Ok(u16::from_le_bytes([pair[0], pair[1]]))
    };
    let coding = match word(0)? {
        EXTENSIBLE => word(24)?,
        plain => plain,
    };
    let rate_hz = usize::from(word(4)?) | (usize::from(word(6)?) << 16);
    let channels = usize::from(word(2)?);
    if channels == 0 || !(4_000..=192_000).contains(&rate_hz) {
        return Err(WavError::Shape);
    }
    Ok(Format { coding, channels, rate_hz, bits: word(14)? })
}

fn mix(samples: &[i16], channels: usize) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a handful of channels")]
    let share = 1.0 / channels as f64;
    let frames = samples.chunks_exact(channels);
    frames.map(|frame| frame.iter().map(|sample| f64::from(*sample)).sum::<f64>() * share).collect()
}

/// Half the length of the filter, in samples of the lower rate.
const LOBES: f64 = 16.0;

/// A windowed sinc: one output sample at a time, cut off below half the lower of the two rates.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "indices of a file in memory and clamped samples"
)]
fn resample(input: &[f64], rate_hz: usize) -> Vec<i16> {
    let clamp = |value: f64| value.round().clamp(-32_768.0, 32_767.0) as i16;
    if rate_hz == SAMPLE_RATE_HZ {
        return input.iter().copied().map(clamp).collect();
    }
    let step = rate_hz as f64 / SAMPLE_RATE_HZ as f64;
    let cutoff = 0.95 / step.max(1.0);
    let half = LOBES * step.max(1.0);
    let count = (input.len() as f64 / step) as usize;
    let one = |index: usize| {
        let centre = index as f64 * step;
        let first = (centre - half).max(0.0) as usize;
        let last = ((centre + half) as usize).min(input.len().saturating_sub(1));
        let weighted = (first..=last).map(|at| {
            let distance = at as f64 - centre;
            let angle = std::f64::consts::PI * distance * cutoff;
            let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
            let window = (std::f64::consts::FRAC_PI_2 * distance / half).cos();
            input.get(at).copied().unwrap_or(0.0) * sinc * window * window * cutoff
        });
        clamp(weighted.sum())
    };
    (0..count).map(one).collect()
}

/// A PCM16 WAV file of µ-law samples at 8,000 Hz.
#[must_use]
pub fn write(audio: &[u8]) -> Vec<u8> {
    let rate = u32::try_from(SAMPLE_RATE_HZ).unwrap_or(8_000);
    let bytes = u32::try_from(audio.len().saturating_mul(2)).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(audio.len() * 2 + 44);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&bytes.saturating_add(36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&PCM.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate * 2).to_le_bytes());
    file.extend_from_slice(&2_u16.to_le_bytes());
    file.extend_from_slice(&16_u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&bytes.to_le_bytes());
    for byte in audio {
        file.extend_from_slice(&mulaw::decode(*byte).to_le_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let audio: Vec<u8> = (0..=255).filter(|byte| *byte != 0x7F).collect();
        assert_eq!(read(&write(&audio)).unwrap(), audio);
    }

    #[test]
    fn other_rates_and_channels_become_the_telephones() {
        let tone: Vec<i16> = (0..44_100_u32)
            .flat_map(|index| {
                let angle = f64::from(index) / 44_100.0 * 440.0 * std::f64::consts::TAU;
                #[expect(clippy::cast_possible_truncation, reason = "a sine of 10,000")]
                let sample = (angle.sin() * 10_000.0) as i16;
                [sample, sample]
            })
            .collect();
        let mut file = write(&[]);
        file[22] = 2;
        file[24..28].copy_from_slice(&44_100_u32.to_le_bytes());
        let bytes: Vec<u8> = tone.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let length = u32::try_from(bytes.len()).unwrap();
        file[40..44].copy_from_slice(&length.to_le_bytes());
        file.extend(bytes);
        let audio = read(&file).unwrap();
        assert_eq!(audio.len(), 8_000);
        let crossings = audio[400..7_600]
            .windows(2)
            .filter(|pair| (mulaw::decode(pair[0]) < 0) != (mulaw::decode(pair[1]) < 0))
            .count();
        assert!(
            (780..=804).contains(&crossings),
            "440 Hz for 0.9 s crosses zero {crossings} times"
        );
    }

    #[test]
    fn what_is_no_wav_is_refused() {
        let good = write(&[1, 2, 3]);
        assert_eq!(read(b"").unwrap_err(), WavError::Riff);
        for length in [4, 12, 20, 43] {
            assert!(read(&good[..length]).is_err(), "{length}");
        }
        let mut other = good.clone();
        other[20] = 3;
        assert_eq!(read(&other).unwrap_err(), WavError::Coding);
        let mut slow = good.clone();
        slow[24..28].copy_from_slice(&100_u32.to_le_bytes());
        assert_eq!(read(&slow).unwrap_err(), WavError::Shape);
        assert_eq!(read(&write(&[])).unwrap_err(), WavError::Empty);
    }
}
