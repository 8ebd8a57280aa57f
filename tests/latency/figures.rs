//! Percentiles and table rows. No measuring.

/// Numbers of one kind, in milliseconds unless it is said otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// Sorted.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest of them that `percent` of them do not exceed (nearest rank); not a number of none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// `p50 / p95`, rounded.
    pub(crate) fn written(&self) -> String {
        if self.0.is_empty() {
            return "–".to_owned();
        }
        format!("{:.0} / {:.0}", self.percentile(50), self.percentile(95))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_numbers_themselves() {
        let figures = Figures::new((1..=20).rev().map(f64::from));
        let of = |percent| figures.percentile(percent).round() as u32;
        assert_eq!((of(50), of(95), of(100), of(0)), (10, 19, 20, 1));
        assert_eq!(Figures::new([7.0]).written(), "7 / 7");
        assert_eq!(Figures::default().written(), "–");
    }
}
