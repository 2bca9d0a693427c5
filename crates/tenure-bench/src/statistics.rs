//! Medians and percentiles.

/// What rounds came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Summary {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut values = values.to_vec();
        Self {
            least: percentile(&mut values, 0),
            median: percentile(&mut values, 50),
            most: percentile(&mut values, 100),
        }
    }
}

/// The value below which so many hundredths lie; of nothing, zero.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last * percent + 50) / 100;
    values.get(at).copied().unwrap_or_default()
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn figure(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values = [4.0, 1.0, 3.0, 2.0, 5.0];
        for (percent, expected) in [(0, 1.0), (50, 3.0), (99, 5.0), (100, 5.0)] {
            assert!((percentile(&mut values, percent) - expected).abs() < 1e-9);
        }
        assert!(percentile(&mut [], 50).abs() < 1e-9);
    }
}
