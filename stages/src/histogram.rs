//! A histogram of durations with logarithmic buckets: small, mergeable by addition, exact to 2.5 %.
//!
//! In: milliseconds. Out: quantiles. Invariant: at most [`LogHistogram::BUCKETS`] entries, whatever comes in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts by bucket; bucket `b > 0` holds (1.05^(b-1), 1.05^b] times 10 µs, bucket 0 everything up to 10 µs, negatives included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogHistogram(BTreeMap<u16, u64>);

impl LogHistogram {
    /// Buckets that exist: the last one holds everything from 30 years on.
    pub const BUCKETS: u16 = 660;
    const GROWTH: f64 = 1.05;
    const SMALLEST_MS: f64 = 0.01;

    /// Counts a duration in ms.
    pub fn record(&mut self, ms: f64) {
        let bucket = (ms / Self::SMALLEST_MS).max(1.0).ln() / Self::GROWTH.ln();
        *self.0.entry((bucket.ceil() as u16).min(Self::BUCKETS - 1)).or_default() += 1;
    }

    /// The value in ms that a share `q` of the durations does not exceed, to 2.5 %; `None` without any.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total: u64 = self.0.values().sum();
        let rank = ((q * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.0 {
            seen += count;
            if seen >= rank {
                let upper = Self::SMALLEST_MS * Self::GROWTH.powi(i32::from(*bucket));
                return Some(if *bucket == 0 { 0.0 } else { upper * 2.0 / (1.0 + Self::GROWTH) });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error(mut values in prop::collection::vec(0.02_f64..1e9, 1..300), q in 0.0_f64..1.0) {
            let mut histogram = LogHistogram::default();
            for ms in &values {
                histogram.record(*ms);
            }
            values.sort_by(f64::total_cmp);
            let exact = values[((q * values.len() as f64).ceil() as usize).max(1) - 1];
            let found = histogram.quantile(q).unwrap();
            prop_assert!((found / exact - 1.0).abs() <= 0.025, "{} for {}", found, exact);
        }
    }

    #[test]
    fn absurd_durations_are_counted_too() {
        let mut histogram = LogHistogram::default();
        for ms in [f64::NAN, f64::NEG_INFINITY, -5.0, 0.0, f64::INFINITY] {
            histogram.record(ms);
        }
        assert_eq!(histogram.quantile(0.5), Some(0.0));
        assert!(histogram.quantile(1.0).unwrap() > 1e11);
        assert_eq!(LogHistogram::default().quantile(0.5), None);
    }
}
