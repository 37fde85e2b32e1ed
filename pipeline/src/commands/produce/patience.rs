//! How often a camera that fails is tried again, and when.
//!
//! Invariant: it is reached again and again as long as it gives a frame now and then.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Waits between attempts: doubling, with a jitter, so that many cameras do not come all at once.
#[derive(Debug)]
pub(super) struct Patience {
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
}

impl Patience {
    /// `attempts` in a row, 0 for ever.
    pub(super) fn new(attempts: usize) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(10))
            .with_jitter();
        // The first attempt is none of the delays.
        let builder = if attempts == 0 { builder.without_max_times() } else { builder.with_max_times(attempts - 1) };
        Self { delays: builder.build(), builder }
    }

    /// It gave a frame: from now on it may fail as often as at first.
    pub(super) fn succeeded(&mut self) {
        self.delays = self.builder.build();
    }

    /// It failed: how long to wait before the next attempt, `None` if that was the last.
    pub(super) fn failed(&mut self) -> Option<Duration> {
        self.delays.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_in_a_row_are_counted_and_their_distance_grows() {
        let mut patience = Patience::new(3);
        let first = patience.failed().unwrap();
        assert!(patience.failed().unwrap() > first && first >= Duration::from_millis(500));
        assert_eq!(patience.failed(), None);
        patience.succeeded();
        assert!(patience.failed().is_some());
        assert_eq!(Patience::new(1).failed(), None);
        let mut forever = Patience::new(0);
        let delays: Vec<_> = (0..100).map(|_| forever.failed().unwrap()).collect();
        assert!(delays[99] <= Duration::from_secs(20) && delays[99] >= Duration::from_secs(10), "{:?}", delays[99]);
    }
}
