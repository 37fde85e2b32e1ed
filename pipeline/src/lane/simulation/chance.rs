//! The simulation's dice: every choice of a run comes from its seed.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Shared by everything of one run, which has a single thread: the order of throws is as fixed as the seed.
#[derive(Clone, Debug)]
pub(super) struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    fn throw<T>(&self, throw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        throw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&self, probability: f64) -> bool {
        self.throw(fastrand::Rng::f64) < probability
    }

    /// 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.throw(fastrand::Rng::f64)
    }

    /// A number in the range.
    pub(super) fn number(&self, range: Range<u64>) -> u64 {
        self.throw(|rng| rng.u64(range))
    }

    /// One of them.
    pub(super) fn one_of<'a, T>(&self, choices: &'a [T]) -> &'a T {
        &choices[self.number(0..choices.len() as u64) as usize]
    }

    /// A time in the range of milliseconds.
    pub(super) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }
}
