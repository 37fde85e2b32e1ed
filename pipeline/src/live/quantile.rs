//! Quantiles of Prometheus's histograms.
//!
//! In: cumulative counts by upper bound. Out: an estimate. Pure.

/// The quantile of a cumulative histogram, linear within its bucket as Prometheus's `histogram_quantile` has it; `None` when it is empty.
/// Beyond the last finite bound it is that bound.
pub(crate) fn quantile(buckets: &[(f64, u64)], share: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total == 0 {
        return None;
    }
    let rank = share * total as f64;
    let index = buckets.iter().position(|(_, count)| *count as f64 >= rank)?;
    let (lower, below) = if index == 0 { (0.0, 0) } else { buckets[index - 1] };
    let (upper, count) = buckets[index];
    if upper.is_infinite() {
        return Some(lower);
    }
    Some(lower + (upper - lower) * (rank - below as f64) / (count - below) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_where_its_rank_does() {
        let buckets = [(0.1, 50), (0.2, 100), (f64::INFINITY, 100)];
        assert_eq!(quantile(&buckets, 0.5), Some(0.1));
        assert!((quantile(&buckets, 0.75).unwrap() - 0.15).abs() < 1e-9);
        assert_eq!(quantile(&[(0.1, 1), (f64::INFINITY, 100)], 0.99), Some(0.1), "nothing is known beyond the last bound");
        assert_eq!(quantile(&[(0.1, 0), (f64::INFINITY, 0)], 0.99), None);
        assert_eq!(quantile(&[], 0.99), None);
    }
}
