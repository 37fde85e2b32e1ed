//! Instants of many rows, counted instead of kept: their latencies are taken once the rows are visible, all at the same time.
//!
//! In: times, one by one. Out: observations of a histogram. Invariant: at most [`MOST_TICKS`] counts, however many rows there are
//! and however far apart: ticks grow with the span, so that what a tick blurs is small next to the latencies.

use std::collections::HashMap;
use std::time::Duration;

use facestream_schemas::Micros;
use prometheus::Histogram;

const MOST_TICKS: usize = 1 << 15;
const FIRST_TICK: Duration = Duration::from_millis(1);

/// How many of something there were when.
#[derive(Debug)]
pub struct Instants {
    tick_us: i64,
    counts: HashMap<i64, u64>,
}

impl Default for Instants {
    fn default() -> Self {
        Self { tick_us: FIRST_TICK.as_micros() as i64, counts: HashMap::new() }
    }
}

impl Instants {
    /// Counts one.
    pub fn add(&mut self, at: Micros) {
        self.count(at.0.div_euclid(self.tick_us), 1);
    }

    /// Counts all of another.
    pub fn merge(&mut self, other: &Self) {
        for (tick, count) in &other.counts {
            let at = tick.saturating_mul(other.tick_us).saturating_add(other.tick_us / 2);
            self.count(at.div_euclid(self.tick_us), *count);
        }
    }

    fn count(&mut self, tick: i64, count: u64) {
        *self.counts.entry(tick).or_default() += count;
        while self.counts.len() > MOST_TICKS {
            self.tick_us = self.tick_us.saturating_mul(4);
            for (tick, count) in std::mem::take(&mut self.counts) {
                *self.counts.entry(tick.div_euclid(4)).or_default() += count;
            }
        }
    }

    /// Observes how long ago each was, seen from `now`; one that lies ahead counts as 0.
    pub fn observe(&self, histogram: &Histogram, now: Micros) {
        let local = histogram.local();
        for (tick, count) in &self.counts {
            let at = Micros(tick.saturating_mul(self.tick_us).saturating_add(self.tick_us / 2));
            let seconds = (now.millis_since(at) / 1e3).max(0.0);
            for _ in 0..*count {
                local.observe(seconds);
            }
        }
        local.flush();
    }
}

#[cfg(test)]
mod tests {
    use prometheus::HistogramOpts;

    use super::*;

    #[test]
    fn each_is_observed_once_and_memory_is_bounded_over_any_span() {
        let histogram = Histogram::with_opts(HistogramOpts::new("age", "help")).unwrap();
        let mut instants = Instants::default();
        // A year of one a minute, then a thousand at once.
        let (minute, year) = (60_000_000, 365 * 24 * 60);
        for n in 0..year {
            instants.add(Micros(n * minute));
        }
        let mut others = Instants::default();
        for _ in 0..1_000 {
            others.add(Micros(year * minute));
        }
        instants.merge(&others);
        assert!(instants.counts.len() <= MOST_TICKS);
        instants.observe(&histogram, Micros(year * minute));
        assert_eq!(histogram.get_sample_count(), year as u64 + 1_000);
        // The mean age is half a year, to the thousandth.
        let mean = histogram.get_sample_sum() / year as f64;
        assert!((mean / (year as f64 * 30.0) - 1.0).abs() < 0.001, "{mean}");
    }

    #[test]
    fn a_few_are_told_to_the_millisecond() {
        let histogram = Histogram::with_opts(HistogramOpts::new("age", "help")).unwrap();
        let mut instants = Instants::default();
        instants.add(Micros(1_000_000));
        instants.add(Micros(9_000_000));
        instants.observe(&histogram, Micros(2_000_000));
        assert_eq!(histogram.get_sample_count(), 2);
        assert!((histogram.get_sample_sum() - 1.0).abs() < 0.002, "the one ahead counts as 0");
    }
}
