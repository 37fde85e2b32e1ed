//! What a running demo tells: one line that is rewritten in place on a terminal, a line every few seconds elsewhere.
//!
//! In: the pipeline's metrics. Out: text on stderr. Invariant: nothing is measured here; the line says what the
//! metrics say.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::live::quantile;

/// How often the line is rewritten on a terminal.
pub(super) const REFRESH: Duration = Duration::from_millis(500);

/// How often a line is printed elsewhere.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The rate is that of the last so many refreshes: two seconds.
const RATE_OVER: usize = 4;

/// What the metrics say at one moment.
#[derive(Clone, Default)]
pub(super) struct Reading {
    /// Frames with a row, whatever their status.
    pub(super) frames: u64,
    /// Faces found.
    pub(super) faces: u64,
    /// Frames in Kafka beyond those with a row in the journal.
    pub(super) lag: i64,
    /// From capture to detection: upper bounds in seconds, and how many frames took that long or less.
    pub(super) latency: Vec<(f64, u64)>,
}

/// The status line.
pub(super) struct Status {
    /// `None` where stderr is no terminal.
    bar: Option<ProgressBar>,
    readings: Vec<(Instant, u64)>,
    printed: Instant,
}

impl Status {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}").expect("a valid template");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
        });
        Self { bar, readings: Vec::new(), printed: Instant::now() }
    }

    /// Shows the state of things: `what` is going on, and the metrics.
    pub(super) fn show(&mut self, what: &str, reading: &Reading) {
        self.readings.push((Instant::now(), reading.frames));
        let text = format!("{what}  {}", line(reading, self.rate()));
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.tick();
        } else if self.printed.elapsed() >= LINE_EVERY {
            eprintln!("{text}");
            self.printed = Instant::now();
        }
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Frames a second over the last readings.
    fn rate(&mut self) -> f64 {
        let old = self.readings.len().saturating_sub(RATE_OVER + 1);
        self.readings.drain(..old);
        match (self.readings.first(), self.readings.last()) {
            (Some((from, before)), Some((to, after))) if to > from => (after - before) as f64 / (*to - *from).as_secs_f64(),
            _ => 0.0,
        }
    }
}

fn line(reading: &Reading, rate: f64) -> String {
    let p99 = quantile(&reading.latency, 0.99).map_or_else(|| "-".to_owned(), |seconds| format!("{:.0} ms", seconds * 1000.0));
    let Reading { frames, faces, lag, .. } = reading;
    format!("{rate:.1} frames/s  {frames} frames  {faces} faces  lag {lag}  e2e p99 {p99}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_every_number() {
        let reading = Reading { frames: 640, faces: 1234, lag: 7, latency: vec![(0.1, 100), (0.2, 100)] };
        assert_eq!(line(&reading, 31.96), "32.0 frames/s  640 frames  1234 faces  lag 7  e2e p99 99 ms");
    }
}
