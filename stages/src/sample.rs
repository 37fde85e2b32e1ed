//! The load policy `sample`: which frames are looked at, chosen by event time.
//!
//! In: the frames of a partition in offset order. Out: yes or no. Invariant: the choice depends on sources and event times alone, so
//! that a replay of the same offsets chooses the same frames; where no frame is further out of order than allowed, no more than
//! one frame of a source is chosen per slot of 1/fps seconds.

use std::collections::HashMap;
use std::time::Duration;

use facestream_schemas::{Micros, SourceId};

use crate::aggregate::MAX_SOURCES;

/// At most so many frames per source and second of event time.
///
/// Event time is cut into slots of 1/fps s (rounded up to a whole ns), and a frame is chosen if its slot is later than that of its source's last chosen frame. So
/// of frames that span `t` seconds at most `fps * t + 2` are chosen, however they are out of order within the limit. Whoever lies
/// further back than that follows a clock that was set back, and starts over from there: each such step may choose slots again.
#[derive(Clone, Debug)]
pub struct Sampler {
    slot_ns: i64,
    /// Further back than this behind the last chosen frame, in µs, the clock was set back.
    set_back_us: i64,
    /// Event time of each source's last chosen frame.
    last: HashMap<SourceId, Micros>,
}

impl Sampler {
    /// Goes on from what was seen so far: [`all_looked_at`](crate::aggregate::WindowState::all_looked_at) of the journal's head.
    /// `fps` is above zero; a frame may be out of order by `max_out_of_orderness`.
    #[must_use]
    pub fn new(fps: f64, max_out_of_orderness: Duration, seen: impl Iterator<Item = (SourceId, Micros)>) -> Self {
        // Saturates, so that no number of frames is too absurd. Rounded up, a slot is never too short.
        let slot_ns = ((1e9 / fps).ceil() as i64).max(1);
        let allowed = i64::try_from(max_out_of_orderness.as_micros()).unwrap_or(i64::MAX);
        let set_back_us = allowed.saturating_add(slot_ns / 1_000 + 1);
        Self { slot_ns, set_back_us, last: seen.collect() }
    }

    /// Whether a frame is to be looked at. To be asked of every frame in the order of offsets, once.
    pub fn chooses(&mut self, source: &SourceId, capture_ts: Micros) -> bool {
        let chosen = self.last.get(source).is_none_or(|last| {
            let set_back = capture_ts.0 < last.0.saturating_sub(self.set_back_us);
            set_back || self.slot(capture_ts) > self.slot(*last)
        });
        if chosen {
            self.note(source, capture_ts);
        }
        chosen
    }

    /// Takes note of a frame that gets another row than `sampled_out` without having been asked for (its envelope is broken, say): a
    /// successor will find it among those that were looked at.
    pub fn note(&mut self, source: &SourceId, capture_ts: Micros) {
        if self.last.insert(source.clone(), capture_ts).is_none() {
            self.forget_stalest();
        }
    }

    fn slot(&self, at: Micros) -> i128 {
        (i128::from(at.0) * 1_000).div_euclid(i128::from(self.slot_ns))
    }

    /// Keeps the number of sources bounded, whatever the keys are: an eighth goes at a time, lowest event time first.
    fn forget_stalest(&mut self) {
        if self.last.len() <= MAX_SOURCES {
            return;
        }
        let mut by_age: Vec<_> = self.last.iter().map(|(source, at)| (*at, source.clone())).collect();
        by_age.sort();
        for (_, source) in by_age.iter().take(MAX_SOURCES / 8) {
            self.last.remove(source);
        }
    }
}

#[cfg(test)]
mod tests;
