//! What lies in a partition that the pipeline has not yet taken into its journal.
//!
//! In: sizes of messages in the order of their offsets, and committed offsets. Out: how many bytes and messages are unread.
//! Invariant: the partition was empty at the start and has one producer, so the n-th message has offset n.

use std::collections::VecDeque;

/// The unread end of one partition.
#[derive(Default)]
pub(super) struct Unread {
    sizes: VecDeque<u64>,
    /// Offset of the first unread message.
    first: i64,
    bytes: u64,
}

impl Unread {
    /// A message of `bytes` bytes was appended.
    pub(super) fn produced(&mut self, bytes: u64) {
        self.sizes.push_back(bytes);
        self.bytes += bytes;
    }

    /// Everything before `offset` has been consumed. An older offset than one given before changes nothing.
    pub(super) fn consumed_to(&mut self, offset: i64) {
        while self.first < offset {
            let Some(size) = self.sizes.pop_front() else { return };
            self.bytes -= size;
            self.first += 1;
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn messages(&self) -> u64 {
        self.sizes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the plain definition: the sum over all messages from the highest offset committed so far.
        #[test]
        fn unread_is_what_lies_beyond_the_highest_commit(
            steps in prop::collection::vec((0_u64..100_000, 0_usize..40), 1..60),
        ) {
            let (mut unread, mut all, mut committed) = (Unread::default(), Vec::new(), 0);
            for (size, offset) in steps {
                unread.produced(size);
                all.push(size);
                let offset = offset.min(all.len());
                unread.consumed_to(offset as i64);
                committed = committed.max(offset);
                prop_assert_eq!(unread.bytes(), all[committed..].iter().sum::<u64>());
                prop_assert_eq!(unread.messages(), (all.len() - committed) as u64);
            }
        }
    }
}
