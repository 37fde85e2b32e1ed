//! Whether the store answers, as its users see it, and how often that is worth a line in the log.
//!
//! In: operations that failed or succeeded. Out: what to say, if anything. Invariant: an outage is said when it begins, now and then
//! while it lasts, and when it is over, however many operations run into it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two lines about failures.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Shared by everything of a process that uses one store.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    failing_since: Option<Instant>,
    failures: u64,
    said: Option<Instant>,
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// From its first failure to now.
    pub lasted: Duration,
    /// Operations that failed.
    pub failures: u64,
}

impl Health {
    /// Notes a failure; how many there have been in this outage, if that is worth a line.
    #[must_use]
    pub fn failed(&self, now: Instant) -> Option<u64> {
        let mut state = self.state();
        state.failing_since.get_or_insert(now);
        state.failures += 1;
        let is_due = state.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
        is_due.then(|| {
            state.said = Some(now);
            state.failures
        })
    }

    /// Notes a success; the outage that it ended, if anything was said of that.
    #[must_use]
    pub fn answered(&self, now: Instant) -> Option<Outage> {
        let mut state = self.state();
        let since = state.failing_since.take()?;
        let failures = std::mem::take(&mut state.failures);
        let was_said = state.said.is_some_and(|said| said >= since);
        was_said.then(|| Outage { lasted: now.duration_since(since), failures })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_at_its_beginning_now_and_then_and_at_its_end() {
        let (health, start) = (Health::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(health.answered(at(0)), None);
        let said: Vec<_> = (0..70).filter_map(|second| health.failed(at(second))).collect();
        assert_eq!(said, [1, 31, 61]);
        assert_eq!(health.answered(at(70)), Some(Outage { lasted: Duration::from_secs(70), failures: 70 }));
        // The next one comes too soon for a line: neither its beginning nor its end is said.
        assert_eq!(health.failed(at(75)), None);
        assert_eq!(health.answered(at(76)), None);
        assert_eq!(health.failed(at(95)), Some(1));
    }
}
