//! Whose memory comes first: where fetched pictures stay in memory until all before them of their partition are through (annotated
//! ones are sent in order), a partition's fetches get their memory in the order in which they were wanted.
//!
//! In: fetches of partitions, in order. Out: a [`Turn`] each. Invariant: nobody's turn comes before all earlier ones of the partition have
//! passed; so whatever holds memory waits only for what has its own, and the first in line gets some in the end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use facestream_schemas::Partition;
use tokio::sync::oneshot;

/// The last turn of each partition.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<Partition, oneshot::Receiver<()>>>);

/// A fetch's turn. The default one comes at once and orders nothing.
#[derive(Debug, Default)]
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    after: Option<oneshot::Sender<()>>,
    is_ordered: bool,
}

impl Turns {
    /// The turn after all that were given out for the partition so far.
    pub(super) fn next(&self, partition: &Partition) -> Turn {
        let (after, passed) = oneshot::channel();
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition.clone(), passed);
        Turn { before, after: Some(after), is_ordered: true }
    }
}

impl Turn {
    /// Waits for it. Whoever stops waiting may begin again.
    pub(super) async fn come(&mut self) {
        if let Some(before) = &mut self.before {
            let _ = before.await;
            self.before = None;
        }
    }

    /// Lets the next one have its turn. Without memory: only once one's own has come, which [`Turn::come`] tells.
    pub(super) fn pass(&mut self) {
        self.after = None;
    }

    /// Whether what it was waited for has to be kept: others go by it.
    pub(super) fn is_kept(&self) -> bool {
        self.is_ordered && self.after.is_none()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_turn_comes_after_all_before_it_in_its_partition() {
        let (turns, of) = (Turns::default(), |number| Partition { topic: "cams".into(), number });
        let [mut first, mut second, mut third] = std::array::from_fn(|_| turns.next(&of(0)));
        let comes = |turn: &mut Turn| turn.come().now_or_never().is_some();
        assert!(comes(&mut turns.next(&of(1))) && comes(&mut Turn::default()), "others wait for nobody");
        assert!(comes(&mut first) && !comes(&mut second) && !comes(&mut third));
        assert!(!first.is_kept());
        first.pass();
        assert!(first.is_kept() && comes(&mut second) && !comes(&mut third));
        drop(second);
        assert!(comes(&mut third) && !Turn::default().is_kept());
    }
}
