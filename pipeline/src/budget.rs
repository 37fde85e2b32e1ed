//! A memory budget: how many bytes something may hold, and who waits for room.
//!
//! In: bytes taken and given back. Out: [`Permit`]s, and a bounded wait for room. Invariant: what is in use never exceeds the
//! limit as long as takers look for room first; the poll thread is the only one that does.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;

/// Shared by those who take and those who wait.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    used: Mutex<usize>,
    freed: Condvar,
    in_use: IntGauge,
    peak: IntGauge,
}

/// Bytes in use; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes that reports to two gauges.
    #[must_use]
    pub fn new(limit: usize, in_use: IntGauge, peak: IntGauge) -> Self {
        Self(Arc::new(Inner { limit, used: Mutex::new(0), freed: Condvar::new(), in_use, peak }))
    }

    /// Takes bytes, room or not.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Permit {
        self.change(|used| used + bytes);
        Permit { budget: self.clone(), bytes }
    }

    /// Waits until `need` more bytes fit, or nothing at all is in use, for `longest` at most; whether they do.
    #[must_use]
    pub fn wait_for_room(&self, need: usize, longest: Duration) -> bool {
        let used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |used: &mut usize| *used > 0 && *used + need > self.0.limit;
        let (_used, waited) = self.0.freed.wait_timeout_while(used, longest, full).unwrap_or_else(PoisonError::into_inner);
        !waited.timed_out()
    }

    /// Waits until nothing at all is in use, for `longest` at most; whether that is so.
    #[must_use]
    pub fn wait_until_empty(&self, longest: Duration) -> bool {
        self.wait_for_room(self.0.limit, longest)
    }

    /// Its size in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Whether more than half is in use: time to make room.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner) > self.0.limit / 2
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = change(*used);
        self.0.in_use.set(*used as i64);
        if *used as i64 > self.0.peak.get() {
            self.0.peak.set(*used as i64);
        }
    }
}

impl Permit {
    /// Adds another permit of the same budget to this one.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.change(|used| used - self.bytes);
            self.budget.0.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: usize) -> Budget {
        let gauge = |name| IntGauge::new(name, "help").unwrap();
        Budget::new(limit, gauge("used"), gauge("peak"))
    }

    #[test]
    fn room_is_found_when_bytes_come_back() {
        let budget = budget(100);
        let first = budget.take(60);
        assert!(budget.wait_for_room(40, Duration::ZERO));
        assert!(!budget.wait_for_room(41, Duration::from_millis(1)));
        let waiting = std::thread::spawn({
            let budget = budget.clone();
            move || budget.wait_for_room(41, Duration::from_mins(1))
        });
        drop(first);
        assert!(waiting.join().unwrap());
        assert_eq!((budget.0.in_use.get(), budget.0.peak.get()), (0, 60));
    }

    #[test]
    fn what_is_larger_than_the_budget_gets_through_alone() {
        let budget = budget(10);
        assert!(budget.wait_for_room(50, Duration::ZERO));
        let mut huge = budget.take(50);
        assert!(!budget.wait_for_room(1, Duration::ZERO));
        huge.merge(budget.take(5));
        assert!(budget.is_tight());
        drop(huge);
        assert!(budget.wait_for_room(1, Duration::ZERO));
    }
}
