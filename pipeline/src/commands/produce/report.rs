//! What became of the frames, counted as it happens, and the report at the end.
//!
//! In: sendings, deliveries, failures, from any thread. Out: lines on stderr, and an error if anything did not arrive.
//! Invariant: every frame that was sent is counted as delivered or failed once the sender has finished.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use facestream_stages::histogram::LogHistogram;
use indicatif::{HumanBytes, HumanCount, ProgressBar};

use crate::commands::grid;

/// More failures than this are counted, not printed.
const FAILURES_SHOWN: u64 = 10;
/// More inputs, files or frames that cannot be read than this are counted, not printed.
const UNREADABLE_SHOWN: u64 = 100;
/// More cameras than this are not listed: those that failed first.
const CAMERAS_SHOWN: usize = 32;

/// Counts of one camera.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    /// Of the values that were delivered.
    bytes: AtomicU64,
}

/// All counts.
pub(super) struct Tally {
    cameras: Vec<(String, Counts)>,
    /// From sending to acknowledgement, in ms.
    latency: Mutex<LogHistogram>,
    unreadable: AtomicU64,
    failures: AtomicU64,
    bar: ProgressBar,
}

impl Tally {
    pub(super) fn new(cameras: Vec<String>, bar: ProgressBar) -> Self {
        let cameras = cameras.into_iter().map(|camera| (camera, Counts::default())).collect();
        Self { cameras, latency: Mutex::default(), unreadable: AtomicU64::new(0), failures: AtomicU64::new(0), bar }
    }

    /// From now on time counts.
    pub(super) fn begin(&self) {
        self.bar.reset();
    }

    /// The name of a camera.
    pub(super) fn camera(&self, source: usize) -> &str {
        &self.cameras[source].0
    }

    pub(super) fn sent(&self, source: usize) {
        self.cameras[source].1.sent.fetch_add(1, Relaxed);
    }

    pub(super) fn delivered(&self, source: usize, bytes: usize, after: Duration) {
        let counts = &self.cameras[source].1;
        counts.delivered.fetch_add(1, Relaxed);
        counts.bytes.fetch_add(bytes as u64, Relaxed);
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).record(after.as_secs_f64() * 1e3);
        self.bar.inc(1);
    }

    pub(super) fn failed(&self, source: usize, frame_id: &str, error: &dyn Display) {
        self.cameras[source].1.failed.fetch_add(1, Relaxed);
        if self.failures.fetch_add(1, Relaxed) < FAILURES_SHOWN {
            self.note(format_args!("not delivered: {frame_id}: {error}"));
        }
    }

    /// Something that was to be sent cannot be read.
    pub(super) fn unreadable(&self, what: impl Display) {
        if self.unreadable.fetch_add(1, Relaxed) < UNREADABLE_SHOWN {
            self.note(format_args!("cannot read {what}"));
        }
    }

    /// Tells people something, above the progress bar.
    pub(super) fn note(&self, what: impl Display) {
        self.bar.suspend(|| eprintln!("{what}"));
    }

    /// Prints the report. An error if not everything was delivered.
    pub(super) fn report(&self, topic: &str) -> anyhow::Result<()> {
        let elapsed = self.bar.elapsed().as_secs_f64();
        let total = |count: fn(&Counts) -> &AtomicU64| self.cameras.iter().map(|(_, counts)| count(counts).load(Relaxed)).sum();
        let (delivered, failed): (u64, u64) = (total(|counts| &counts.delivered), total(|counts| &counts.failed));
        let bytes: u64 = total(|counts| &counts.bytes);
        let cameras = match self.cameras.as_slice() {
            [(only, _)] => only.clone(),
            several => {
                eprintln!("{}", table(several));
                format!("{} cameras", several.len())
            }
        };
        eprintln!(
            "{} frames ({}) of {cameras} delivered to {topic} in {elapsed:.1} s, {:.1} frames/s{}",
            HumanCount(delivered),
            HumanBytes(bytes),
            delivered as f64 / elapsed.max(0.001),
            self.latencies(),
        );
        let unreadable = self.unreadable.load(Relaxed);
        if failed + unreadable > 0 {
            bail!("{failed} frames were not delivered, {unreadable} files, frames or cameras could not be read");
        }
        Ok(())
    }

    fn latencies(&self) -> String {
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        match (latency.quantile(0.5), latency.quantile(0.99)) {
            (Some(p50), Some(p99)) => format!(", acknowledged after {p50:.1} ms (median), {p99:.1} ms (99 %)"),
            _ => String::new(),
        }
    }
}

/// A line for each camera, those that failed most first where there are too many for all.
fn table(cameras: &[(String, Counts)]) -> String {
    let mut shown: Vec<_> = cameras.iter().collect();
    if shown.len() > CAMERAS_SHOWN {
        shown.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.failed.load(Relaxed)));
    }
    let mut table = grid(["camera", "sent", "delivered", "failed", "bytes"]);
    for (camera, counts) in shown.iter().take(CAMERAS_SHOWN) {
        let count = |counter: &AtomicU64| HumanCount(counter.load(Relaxed)).to_string();
        let bytes = HumanBytes(counts.bytes.load(Relaxed)).to_string();
        table.add_row([camera.clone(), count(&counts.sent), count(&counts.delivered), count(&counts.failed), bytes]);
    }
    match shown.len().saturating_sub(CAMERAS_SHOWN) {
        0 => table.to_string(),
        more => format!("{table}\n … and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(cameras: usize) -> Tally {
        Tally::new((0..cameras).map(|n| format!("camera-{n:03}")).collect(), ProgressBar::hidden())
    }

    #[test]
    fn each_camera_has_its_line_with_its_counts() {
        let tally = tally(2);
        for _ in 0..3 {
            tally.sent(1);
        }
        tally.delivered(1, 1_000, Duration::from_millis(5));
        tally.delivered(1, 500, Duration::from_millis(5));
        tally.failed(1, "x.jpg", &"too large");
        let table = table(&tally.cameras);
        let line = table.lines().find(|line| line.contains("camera-001")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["camera-001", "3", "2", "1", "1.46", "KiB"]);
        assert!(tally.report("t").unwrap_err().to_string().contains("1 frames were not delivered, 0 files"));
    }

    #[test]
    fn what_failed_is_shown_however_many_cameras_there_are() {
        let tally = tally(1_000);
        tally.failed(777, "x.jpg", &"too large");
        let table = table(&tally.cameras);
        assert!(table.contains("camera-777") && table.contains("and 968 more"), "{table}");
        assert!(table.lines().count() <= CAMERAS_SHOWN + 2);
    }

    #[test]
    fn what_could_not_be_read_is_an_error_too() {
        let tally = tally(1);
        tally.delivered(0, 10, Duration::from_millis(5));
        assert!(tally.report("t").is_ok());
        assert!(tally.latencies().contains("5.0 ms"), "{}", tally.latencies());
        tally.unreadable("x.jpg: gone");
        assert!(tally.report("t").unwrap_err().to_string().contains("1 files"));
    }
}
