//! A memory budget: how many bytes something may hold, and who waits for room.
//!
//! In: bytes taken, reserved and given back. Out: [`Permit`]s, and waits for room. Invariant: what is in use never exceeds the
//! limit as long as the one thread that takes (it polls Kafka) looks for room first.
//!
//! That thread looks, then takes: what it has found room for is *promised* to it, and those who reserve (fetches, each waiting
//! for its turn) leave it alone. They in turn have a share that is *kept* for them, which the thread never counts on. So neither
//! can starve the other, and there is no deadlock: frames that wait for their fetch may fill all that the thread may take, but
//! the first in the line of fetches gets its bytes at the latest when no other fetched picture is in memory, and those leave
//! through workers and lanes, which wait for no budget. A picture that is to be annotated stays in memory until it is out, and so
//! until all before it of its partition are: those have their bytes by then (`fetch/turns.rs`), so they leave, too.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::oneshot;

/// Shared by those who take, those who reserve and those who wait.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    state: Mutex<State>,
    freed: Condvar,
    in_use: IntGauge,
    peak: IntGauge,
}

/// All in bytes.
#[derive(Debug, Default)]
struct State {
    taken: usize,
    reserved: usize,
    /// What whoever takes counts as reserved at least.
    kept: usize,
    /// The most that room was found for at a time and that may be taken yet.
    promised: usize,
    /// Who waits to reserve, the first first.
    line: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    granted: oneshot::Sender<Permit>,
}

impl State {
    fn used(&self) -> usize {
        self.taken + self.reserved
    }

    fn can_take(&self, bytes: usize, limit: usize) -> bool {
        self.used() == 0 || self.taken + bytes + self.reserved.max(self.kept) <= limit
    }

    fn can_reserve(&self, bytes: usize, limit: usize) -> bool {
        let reserved = self.reserved + bytes;
        self.used() == 0 || reserved <= self.kept || self.taken + self.promised + reserved <= limit
    }
}

/// Bytes in use; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    taken: usize,
    reserved: usize,
}

impl Budget {
    /// A budget of `limit` bytes that reports to two gauges.
    #[must_use]
    pub fn new(limit: usize, in_use: IntGauge, peak: IntGauge) -> Self {
        Self(Arc::new(Inner { limit, state: Mutex::default(), freed: Condvar::new(), in_use, peak }))
    }

    /// Keeps a share of `bytes` for those who reserve; the largest that any of them may want.
    pub fn keep(&self, bytes: usize) {
        let mut state = self.state();
        state.kept = state.kept.max(bytes);
    }

    /// Takes bytes, room or not.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Permit {
        let mut state = self.state();
        state.taken += bytes;
        self.report(&state);
        Permit { budget: self.clone(), taken: bytes, reserved: 0 }
    }

    /// Takes bytes once there is room for them and everybody before has got theirs. Whoever stops waiting leaves the line.
    pub async fn reserve(&self, bytes: usize) -> Permit {
        loop {
            let granted = {
                let mut state = self.state();
                if state.line.is_empty() && state.can_reserve(bytes, self.0.limit) {
                    return self.reserved(&mut state, bytes);
                }
                let (granted, wait) = oneshot::channel();
                state.line.push_back(Waiting { bytes, granted });
                wait
            };
            // The line may hold only those who have stopped waiting.
            self.grant();
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    /// Waits until `need` more bytes can be taken, or nothing at all is in use, for `longest` at most; whether they can.
    #[must_use]
    pub fn wait_for_room(&self, need: usize, longest: Duration) -> bool {
        let full = |state: &mut State| !state.can_take(need, self.0.limit);
        let (mut state, waited) =
            self.0.freed.wait_timeout_while(self.state(), longest, full).unwrap_or_else(PoisonError::into_inner);
        if !waited.timed_out() {
            state.promised = state.promised.max(need);
        }
        !waited.timed_out()
    }

    /// Waits until nothing at all is in use, for `longest` at most; whether that is so.
    #[must_use]
    pub fn wait_until_empty(&self, longest: Duration) -> bool {
        let in_use = |state: &mut State| state.used() > 0;
        let waited = self.0.freed.wait_timeout_while(self.state(), longest, in_use).unwrap_or_else(PoisonError::into_inner).1;
        !waited.timed_out()
    }

    /// Its size in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Whether more than half is in use: time to make room.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.state().used() > self.0.limit / 2
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserved(&self, state: &mut State, bytes: usize) -> Permit {
        state.reserved += bytes;
        self.report(state);
        Permit { budget: self.clone(), taken: 0, reserved: bytes }
    }

    /// Lets in from the front of the line whom there is room for.
    fn grant(&self) {
        loop {
            let mut state = self.state();
            let Some(first) = state.line.pop_front() else { return };
            if first.granted.is_closed() {
                continue;
            }
            if !state.can_reserve(first.bytes, self.0.limit) {
                return state.line.push_front(first);
            }
            let permit = self.reserved(&mut state, first.bytes);
            // Whoever has stopped waiting just now drops the permit, which takes the lock.
            drop(state);
            let _ = first.granted.send(permit);
        }
    }

    fn give_back(&self, taken: usize, reserved: usize) {
        if taken + reserved == 0 {
            return;
        }
        let somebody_waits = {
            let mut state = self.state();
            state.taken -= taken;
            state.reserved -= reserved;
            self.report(&state);
            !state.line.is_empty()
        };
        self.0.freed.notify_all();
        if somebody_waits {
            self.grant();
        }
    }

    fn report(&self, state: &State) {
        let used = state.used() as i64;
        self.0.in_use.set(used);
        if used > self.0.peak.get() {
            self.0.peak.set(used);
        }
    }
}

impl Permit {
    /// Adds another permit of the same budget to this one.
    pub fn merge(&mut self, mut other: Self) {
        self.taken += std::mem::take(&mut other.taken);
        self.reserved += std::mem::take(&mut other.reserved);
    }

    /// How many bytes it is for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.taken + self.reserved
    }

    /// Makes it one for `bytes`, room or not: more is taken, less given back, first of what was reserved.
    pub fn resize(&mut self, bytes: usize) {
        let more = self.budget.take(bytes.saturating_sub(self.bytes()));
        self.merge(more);
        let less = self.bytes() - bytes;
        let reserved = less.min(self.reserved);
        self.reserved -= reserved;
        self.taken -= less - reserved;
        self.budget.give_back(less - reserved, reserved);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.taken, self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

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

    #[test]
    fn reservations_are_granted_in_turn_and_the_rest_of_one_lets_in_the_next() {
        let budget = budget(100);
        let mut first = budget.reserve(80).now_or_never().unwrap();
        let mut large = Box::pin(budget.reserve(90));
        let mut small = Box::pin(budget.reserve(5));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "it waits behind the large one, or that would wait for ever");
        first.resize(10);
        assert_eq!(first.bytes(), 10);
        let large = large.now_or_never().unwrap();
        assert!(small.as_mut().now_or_never().is_none());
        drop(large);
        assert_eq!(small.now_or_never().unwrap().bytes(), 5);
        drop(first);
        assert_eq!((budget.0.in_use.get(), budget.0.peak.get()), (0, 100));
    }

    #[test]
    fn who_stops_waiting_holds_up_nobody_and_keeps_nothing() {
        let budget = budget(100);
        let held = budget.reserve(50).now_or_never().unwrap();
        let mut large = Box::pin(budget.reserve(100));
        assert!(large.as_mut().now_or_never().is_none());
        drop(large);
        assert!(budget.reserve(50).now_or_never().is_some(), "nobody is before it any more");
        let mut granted = Box::pin(budget.reserve(100));
        assert!(granted.as_mut().now_or_never().is_none());
        drop(held);
        drop(granted);
        assert_eq!(budget.0.in_use.get(), 0, "what was granted but never looked at came back");
    }

    #[test]
    fn frames_that_wait_for_their_fetch_never_keep_it_from_its_bytes() {
        let budget = budget(100);
        budget.keep(20);
        let mut frames = Vec::new();
        while budget.wait_for_room(10, Duration::ZERO) {
            frames.push(budget.take(1));
        }
        assert_eq!(frames.len(), 71, "room for 10 more and the 20 that are kept");
        let one = budget.reserve(20).now_or_never().expect("the share that is kept");
        let mut next = Box::pin(budget.reserve(20));
        assert!(next.as_mut().now_or_never().is_none());
        drop(one);
        assert!(next.now_or_never().is_some());
    }

    #[test]
    fn reservations_leave_alone_what_the_taker_has_found_room_for() {
        let budget = budget(100);
        budget.keep(20);
        assert!(budget.wait_for_room(60, Duration::ZERO));
        let reserved = budget.reserve(40).now_or_never().unwrap();
        assert!(budget.reserve(1).now_or_never().is_none());
        let taken = budget.take(60);
        assert_eq!(budget.0.peak.get(), 100);
        drop(reserved);
        assert!(!budget.wait_for_room(30, Duration::ZERO), "20 stay kept");
        assert!(budget.wait_for_room(20, Duration::ZERO));
        drop(taken);
    }

    #[test]
    fn a_reserver_on_tokio_and_a_taker_on_its_thread_both_get_through() {
        let budget = budget(1_000);
        budget.keep(100);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let fetches: Vec<_> = (0..8)
            .map(|i| {
                let budget = budget.clone();
                runtime.spawn(async move {
                    for _ in 0..500 {
                        let permit = budget.reserve(50 + i).await;
                        tokio::task::yield_now().await;
                        drop(permit);
                    }
                })
            })
            .collect();
        for _ in 0..2_000 {
            assert!(budget.wait_for_room(300, Duration::from_secs(20)), "the taker is not starved");
            drop(budget.take(300));
        }
        for fetch in fetches {
            runtime.block_on(fetch).unwrap();
        }
        assert!(budget.0.peak.get() <= 1_000);
        assert_eq!(budget.0.in_use.get(), 0);
    }

    proptest! {
        #[test]
        fn the_limit_holds_whatever_is_taken_reserved_and_given_back(steps in prop::collection::vec((0..4_u8, 1..40_usize), 1..200)) {
            let budget = budget(100);
            budget.keep(40);
            let (mut taken, mut reserved, mut waiting) = (Vec::new(), VecDeque::new(), VecDeque::new());
            for (step, bytes) in steps {
                match step {
                    0 if budget.wait_for_room(bytes, Duration::ZERO) => taken.push(budget.take(bytes)),
                    1 => waiting.push_back(Box::pin(budget.reserve(bytes))),
                    2 => drop(taken.pop()),
                    3 => drop(reserved.pop_front()),
                    _ => {}
                }
                while let Some(mut first) = waiting.pop_front() {
                    let Some(permit) = first.as_mut().now_or_never() else {
                        waiting.push_front(first);
                        break;
                    };
                    reserved.push_back(permit);
                }
                prop_assert!(budget.0.in_use.get() <= 100);
                prop_assert!(waiting.is_empty() || !reserved.is_empty(), "with no picture in memory the first gets its bytes");
            }
            taken.clear();
            while let Some(first) = waiting.pop_front() {
                reserved.clear();
                reserved.push_back(first.now_or_never().expect("room"));
            }
            reserved.clear();
            prop_assert_eq!(budget.0.in_use.get(), 0);
        }
    }
}
