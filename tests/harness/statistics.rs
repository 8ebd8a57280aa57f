//! A share and how sure it is: Wilson's interval. It never rounds a share to certainty.

use std::fmt;

/// The quantile of the normal distribution for 95 % between both sides.
const Z: f64 = 1.959_963_984_540_054;

/// `part` of `of` lines.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// How many of them.
    pub part: u64,
    /// How many there are.
    pub of: u64,
}

impl Share {
    /// In per cent; 0 of nothing is 0.
    #[must_use]
    pub fn percent(self) -> f64 {
        if self.of == 0 { 0.0 } else { 100.0 * self.part as f64 / self.of as f64 }
    }

    /// Wilson's 95 % interval, in per cent (E. B. Wilson, 1927). Of nothing it is everything.
    #[must_use]
    pub fn interval(self) -> (f64, f64) {
        self.interval_of(self.of)
    }

    /// The same when only `independent` of the lines were drawn independently, as where several are made of one
    /// template: the share of all of them, as sure as that few can make it.
    #[must_use]
    pub fn interval_of(self, independent: u64) -> (f64, f64) {
        if self.of == 0 || independent == 0 {
            return (0.0, 100.0);
        }
        let (n, share) = (independent as f64, self.part as f64 / self.of as f64);
        let scale = 1.0 + Z * Z / n;
        let middle = (share + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        // At the ends the formula is exact, and only its arithmetic is not.
        let low = if self.part == 0 { 0.0 } else { middle - half };
        let high = if self.part == self.of { 1.0 } else { middle + half };
        (100.0 * low, 100.0 * high)
    }

    /// `98.7 % (98.1 to 99.2)` with the interval of [`Share::interval_of`], rounded away from certainty.
    #[must_use]
    pub fn written(self, independent: u64) -> String {
        let (low, high) = self.interval_of(independent);
        let outward = [(low * 10.0).floor() / 10.0, (high * 10.0).ceil() / 10.0];
        // What is not all is not written as all.
        let percent = if self.part < self.of { self.percent().min(99.9) } else { self.percent() };
        format!("{percent:.1} % ({:.1} to {:.1})", outward[0], outward[1])
    }
}

/// `98.7 % (98.1 to 99.2)`, rounded away from certainty.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(self.of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table I of R. G. Newcombe, Statistics in Medicine 17 (1998), method 3: to four decimals.
    #[test]
    fn wilson_agrees_with_published_values() {
        for (part, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = Share { part, of }.interval();
            assert!((found.0 / 100.0 - low).abs() < 0.000_05, "{part} of {of}: {found:?}");
            assert!((found.1 / 100.0 - high).abs() < 0.000_05, "{part} of {of}: {found:?}");
            // And its mirror image.
            let mirrored = Share { part: of - part, of }.interval();
            assert!((mirrored.0 / 100.0 - (1.0 - high)).abs() < 0.000_05, "{mirrored:?}");
            assert!((mirrored.1 / 100.0 - (1.0 - low)).abs() < 0.000_05, "{mirrored:?}");
        }
    }

    #[test]
    fn lines_of_one_template_make_no_share_surer() {
        let (one, eight) = (Share { part: 30, of: 40 }, Share { part: 240, of: 320 });
        assert_eq!(eight.interval_of(40), one.interval());
        assert!(eight.interval().0 > one.interval().0);
        assert_eq!(eight.interval_of(0), (0.0, 100.0));
    }

    #[test]
    fn a_share_is_written_without_more_certainty_than_there_is() {
        for (part, of, expected) in [
            (0, 0, "0.0 % (0.0 to 100.0)"),
            (0, 20, "0.0 % (0.0 to 16.2)"),
            (20, 20, "100.0 % (83.8 to 100.0)"),
            (99_999, 100_000, "99.9 % (99.9 to 100.0)"),
            (81, 263, "30.8 % (25.5 to 36.7)"),
        ] {
            assert_eq!(Share { part, of }.to_string(), expected);
        }
    }
}
