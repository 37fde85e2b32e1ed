//! Where the newest records of a partition's journal end: what this group can have committed lately.
//!
//! In: a partition. Out: ends of offsets, read from the store. Invariant: nothing is written.

use facestream_schemas::{Micros, Offset, Partition};

use super::{JournalError, Lanes};
use crate::journal::header::Seq;
use crate::journal::log::Log;

/// Commits are made every second for what was appended: an own one is of one of these many records.
const RECORDS: usize = 32;
/// No own commit is older than this when it is the newest.
const COMMITTED_WITHIN_US: i64 = 60_000_000;

/// The newest records of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Where they end, the newest first.
    ends: Vec<Offset>,
    /// Where the oldest of them starts, and when it was made.
    oldest: (Offset, Micros),
    /// Whether there was none before it, or more than fit here.
    is_whole: bool,
}

impl Recent {
    /// Whether somebody else must have committed `committed`: no record of late ends there.
    #[must_use]
    pub fn is_foreign(&self, committed: Offset, now: Micros) -> bool {
        let (start, made) = self.oldest;
        let known = self.ends.contains(&committed) || committed == start;
        // Where older records were collected, a lower offset may be of one of those, unless that was long ago.
        let beyond = self.ends.first().is_some_and(|end| committed > *end);
        !known && (self.is_whole || beyond || committed > start || now.0 - made.0 > COMMITTED_WITHIN_US)
    }
}

impl Lanes {
    /// The newest records of a partition's journal; `None` without one.
    pub async fn recent(&self, partition: &Partition) -> Result<Option<Recent>, JournalError> {
        let log = Log::new(self.store.clone(), partition, self.metrics.clone());
        let Some(head) = log.head().await? else { return Ok(None) };
        let mut header = head.header;
        let mut recent = Recent { ends: Vec::new(), oldest: (header.start_offset, header.created_us), is_whole: true };
        loop {
            recent.ends.push(header.end_offset);
            recent.oldest = (header.start_offset, header.created_us);
            let before = header.seq.0.checked_sub(1).filter(|_| recent.ends.len() < RECORDS);
            let Some(before) = before else { return Ok(Some(recent)) };
            match log.read(Seq(before)).await? {
                Some(record) => header = record.header,
                None => return Ok(Some(Recent { is_whole: false, ..recent })),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_record_of_late_ends_at_was_committed_by_somebody_else() {
        let recent = Recent { ends: [50, 40, 30].map(Offset).to_vec(), oldest: (Offset(20), Micros(0)), is_whole: true };
        for own in [50, 40, 30, 20] {
            assert!(!recent.is_foreign(Offset(own), Micros(0)), "{own}");
        }
        for foreign in [0, 19, 35, 51] {
            assert!(recent.is_foreign(Offset(foreign), Micros(0)), "{foreign}");
        }
        // Where older records are gone, a commit of late may be of one of them.
        let cut = Recent { is_whole: false, ..recent };
        let later = Micros(COMMITTED_WITHIN_US + 1);
        assert!(!cut.is_foreign(Offset(10), Micros(0)) && cut.is_foreign(Offset(10), later));
        assert!(
            cut.is_foreign(Offset(35), Micros(0)) && cut.is_foreign(Offset(51), Micros(0)) && !cut.is_foreign(Offset(40), later)
        );
    }
}
