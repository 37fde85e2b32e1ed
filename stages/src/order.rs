//! Restores the order in which messages were polled.
//!
//! In: items numbered densely from zero as they were polled, finished in any order. Out: the items in that order.
//! Invariant: order is restored by that number, never by offset: a gap in offsets looks like a frame that is still
//! being worked on.

use std::collections::VecDeque;

/// Items that are finished or awaited, first awaited first.
#[derive(Debug)]
pub struct Order<T> {
    first: u64,
    slots: VecDeque<Option<T>>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { first: 0, slots: VecDeque::new() }
    }
}

impl<T> Order<T> {
    /// Puts a finished item in its place. A number that was delivered before is ignored; that happens to no caller that
    /// numbers its items once.
    pub fn insert(&mut self, number: u64, item: T) {
        let Some(place) = number.checked_sub(self.first) else { return };
        // Fewer items are in flight than fit in memory.
        let place = place as usize;
        if place >= self.slots.len() {
            self.slots.resize_with(place + 1, || None);
        }
        self.slots[place].get_or_insert(item);
    }

    /// The next item in order, once it is finished.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.slots.front_mut()?.take()?;
        self.slots.pop_front();
        self.first += 1;
        Some(item)
    }

    /// The number of the item that is awaited next: how many were delivered so far.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_interleaving_comes_out_in_order_exactly_once(order in (0..200_u64).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle())) {
            let mut restored = Order::default();
            let mut out = Vec::new();
            for (done, number) in order.iter().enumerate() {
                restored.insert(*number, *number);
                out.extend(std::iter::from_fn(|| restored.pop()));
                // Delivered is exactly the run of numbers that are all finished.
                let finished = &order[..=done];
                let run = (0..=done as u64).take_while(|n| finished.contains(n)).count();
                prop_assert_eq!(out.len(), run);
                prop_assert_eq!(restored.next(), run as u64);
            }
            prop_assert_eq!(out, (0..order.len() as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_number_that_was_delivered_is_ignored() {
        let mut restored = Order::default();
        restored.insert(0, 'a');
        assert_eq!(restored.pop(), Some('a'));
        restored.insert(0, 'b');
        assert_eq!(restored.pop(), None);
    }
}
