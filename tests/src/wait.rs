//! Waiting for a condition: bounded by a deadline, and with something to read when it is missed.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(20);

/// Looks again and again until `look` gives a value, and returns that. Panics after `limit` with what was awaited and what
/// `look` last said it saw instead.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if start.elapsed() >= limit => panic!("waited {limit:?} for {what}; last seen: {seen}"),
            Err(_) => thread::sleep(EVERY),
        }
    }
}
