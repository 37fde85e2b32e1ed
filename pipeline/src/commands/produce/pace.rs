//! When the next frame is due.
//!
//! In: frames a second, and the time now. Out: how long to wait, or whether there is one too many. Invariant: on average never
//! faster than asked.

use std::time::{Duration, Instant};

/// What is later than this is not caught up with.
const CATCH_UP: Duration = Duration::from_secs(1);

/// A frame each interval; without an interval at any time.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// `fps` frames a second, the first at once.
    pub(super) fn new(fps: Option<f64>) -> Self {
        Self { interval: fps.map(|fps| Duration::from_secs_f64(1.0 / fps)), next: Instant::now() }
    }

    /// How long from `now` until the next frame is due. One that is late by more than a second is not caught up with.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        let Some(interval) = self.interval else { return Duration::ZERO };
        let due = self.next.max(now.checked_sub(CATCH_UP).unwrap_or(now));
        self.next = due + interval;
        due.saturating_duration_since(now)
    }

    /// Whether a frame that comes by itself at `now` is one too many. A camera's jitter of half an interval is let through.
    pub(super) fn is_surplus(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else { return false };
        if now + interval / 2 < self.next {
            return true;
        }
        self.next = self.next.max(now.checked_sub(interval).unwrap_or(now)) + interval;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_due_at_the_rate_and_a_long_stall_is_not_caught_up_with() {
        let mut pace = Pace::new(Some(4.0));
        let start = pace.next;
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.wait(at(0)), Duration::ZERO);
        assert_eq!(pace.wait(at(0)), Duration::from_millis(250));
        assert_eq!(pace.wait(at(100)), Duration::from_millis(400));
        // Ten seconds late: of the forty missed frames those of one second follow at once, and then it is a frame each 250 ms.
        let burst = (0..10).take_while(|_| pace.wait(at(10_750)).is_zero()).count();
        assert_eq!(burst, 5);
        assert_eq!(Pace::new(None).wait(at(0)), Duration::ZERO);
    }

    #[test]
    fn of_a_camera_with_too_many_frames_as_many_are_kept_as_were_asked_for() {
        let mut pace = Pace::new(Some(5.0));
        let start = pace.next;
        // Ten seconds of a camera with 30 frames a second, each up to 10 ms late.
        let frames = (0..300_u64).map(|n| start + Duration::from_millis(n * 1000 / 30 + n * 7 % 10));
        let kept = frames.filter(|at| !pace.is_surplus(*at)).count();
        assert!((49..=51).contains(&kept), "{kept}");
        // One that is slower than asked loses nothing.
        let mut pace = Pace::new(Some(25.0));
        let start = pace.next;
        assert!((0..50).all(|n| !pace.is_surplus(start + Duration::from_millis(n * 100))));
    }
}
