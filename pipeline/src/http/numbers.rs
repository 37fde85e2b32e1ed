//! Numbers read off the metrics, for the live page.
//!
//! In: the metrics. Out: totals, a histogram. Invariant: reading makes no series that was not there.

use std::collections::BTreeMap;

use prometheus::core::Metric;

use crate::metrics::{Labels, Metrics, Since, Status, Until};

/// Frames so far by the status of their row, those above 0.
pub(super) fn frames(metrics: &Metrics) -> BTreeMap<&'static str, u64> {
    let counted = Status::all().into_iter().map(|status| (status.values()[0], metrics.frames.of(status).get()));
    counted.filter(|(_, frames)| *frames > 0).collect()
}

/// From event time to detected: upper bounds in seconds, and how many frames so far took that long or less.
pub(super) fn latencies(metrics: &Metrics) -> Vec<(f64, u64)> {
    let metric = metrics.e2e_seconds.of((Since::Event, Until::Detected)).metric();
    let histogram = metric.get_histogram();
    let buckets = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    buckets.filter(|(bound, _)| bound.is_finite()).chain([(f64::INFINITY, histogram.get_sample_count())]).collect()
}

/// What a histogram counted between two readings.
pub(super) fn between(before: &[(f64, u64)], after: &[(f64, u64)]) -> Vec<(f64, u64)> {
    let counted = before.iter().zip(after).map(|((_, before), (bound, after))| (*bound, after.saturating_sub(*before)));
    counted.collect()
}

/// JSON has no other numbers.
pub(super) fn finite(number: f64) -> f64 {
    if number.is_finite() { number } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use facestream_schemas::Reason;

    use super::*;

    #[test]
    fn totals_name_what_happened_only() {
        let metrics = Metrics::new();
        metrics.frames.of(Status::Ok).inc_by(3);
        metrics.frames.of(Status::Not(Reason::Stale)).inc();
        assert_eq!(frames(&metrics), BTreeMap::from([("ok", 3), ("stale", 1)]));
    }

    #[test]
    fn latencies_between_two_readings_are_those_of_the_frames_between() {
        let metrics = Metrics::new();
        let observe = |seconds| metrics.e2e_seconds.of((Since::Event, Until::Detected)).observe(seconds);
        observe(100.0);
        let before = latencies(&metrics);
        (0..100).for_each(|_| observe(0.2));
        let between = between(&before, &latencies(&metrics));
        assert_eq!(between.last(), Some(&(f64::INFINITY, 100)));
        let p99 = crate::live::quantile(&between, 0.99).unwrap();
        assert!((0.1..=0.25).contains(&p99), "{p99}");
    }
}
