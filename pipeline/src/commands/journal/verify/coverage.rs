//! Which offsets of a partition are covered by which seal: once, with no overlap.
//!
//! In: the range of each seal, from records and from files. Out: overlaps as findings, holes as notes. Pure. Invariant: memory is
//! some dozen bytes a seal, whatever the rows and files.

use std::collections::BTreeMap;
use std::sync::Arc;

use facestream_schemas::Partition;

use super::finding::{Finding, Kind, Note, Verdict};
use crate::journal::header::{Jump, Why};

/// Holes that are listed one by one; the others are counted.
const LISTED_HOLES: u64 = 5;

/// What a seal covers: offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// First offset.
    pub(super) first: i64,
    /// One past the last.
    pub(super) end: i64,
    /// Kafka's id of the topic; `None` where it was not known.
    pub(super) topic_id: Option<Arc<str>>,
}

/// The ranges of one partition, by the seal's seq.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    ranges: BTreeMap<u64, Range>,
    topic_ids: Vec<Arc<str>>,
}

/// Where consuming went on elsewhere, as the records that are kept say.
pub(super) type Jumps = BTreeMap<u64, Jump>;

impl Coverage {
    /// Takes the range of seal `seq`; false where it is known to be another one.
    pub(super) fn add(&mut self, seq: u64, first: i64, end: i64, topic_id: Option<&str>) -> bool {
        let topic_id = topic_id.map(|id| self.intern(id));
        let range = Range { first, end, topic_id };
        *self.ranges.entry(seq).or_insert_with(|| range.clone()) == range
    }

    fn intern(&mut self, id: &str) -> Arc<str> {
        if let Some(known) = self.topic_ids.iter().find(|known| ***known == *id) {
            return Arc::clone(known);
        }
        self.topic_ids.push(id.into());
        Arc::clone(&self.topic_ids[self.topic_ids.len() - 1])
    }

    /// Walks over the ranges in the order of the log.
    pub(super) fn verdict(&self, partition: &Partition, jumps: &Jumps) -> Verdict {
        let mut verdict = Verdict::default();
        let mut before: Option<(u64, Range)> = None;
        let mut holes = 0;
        for (seq, range) in &self.ranges {
            let mut covered = range.clone();
            if let Some((before_seq, before)) =
                before.take().filter(|(before_seq, before)| goes_on(before, *before_seq, range, *seq, jumps))
            {
                covered.topic_id = covered.topic_id.or(before.topic_id);
                covered.end = covered.end.max(before.end);
                if range.first < before.end {
                    let end = before.end.min(range.end);
                    let what = format!("offsets {}..{end} are covered by the seal of seq {before_seq}, too", range.first);
                    verdict.findings.push(Finding::new(Kind::Overlap, files(partition, *seq, range), what));
                } else if range.first > before.end && !is_jumped(before.end, range.first, jumps) {
                    holes += 1;
                    if holes <= LISTED_HOLES {
                        verdict.notes.push(hole(partition, before.end, range.first));
                    }
                }
            }
            before = Some((*seq, covered));
        }
        if holes > LISTED_HOLES {
            let what = format!("and {} more such holes", holes - LISTED_HOLES);
            verdict.notes.push(Note::new(partition.to_string(), what));
        }
        verdict
    }
}

/// Whether two seals count offsets of the same topic, with no step back in between that the journal tells of.
fn goes_on(before: &Range, before_seq: u64, range: &Range, seq: u64, jumps: &Jumps) -> bool {
    let is_new = matches!((&before.topic_id, &range.topic_id), (Some(before), Some(after)) if before != after);
    let went_back = |jump: &Jump| jump.why == Why::NewTopic || jump.to < jump.from;
    !is_new && !jumps.range(before_seq..=seq).any(|(_, jump)| went_back(jump))
}

fn is_jumped(from: i64, to: i64, jumps: &Jumps) -> bool {
    jumps.values().any(|jump| (jump.from.0, jump.to.0) == (from, to))
}

fn hole(partition: &Partition, from: i64, to: i64) -> Note {
    let what = format!(
        "no file covers the offsets {from}..{to}: older files were deleted, or a gap or a reset skipped them, of which the journal keeps no record any more"
    );
    Note::new(partition.to_string(), what)
}

/// The files of a seal, in every table and hour.
pub(super) fn files(partition: &Partition, seq: u64, range: &Range) -> String {
    let Partition { topic, number } = partition;
    format!("*/*/*/{topic}-{number}-{seq}-{}-{}.parquet", range.first, range.end)
}

#[cfg(test)]
mod tests {
    use facestream_schemas::Offset;
    use proptest::prelude::*;

    use super::*;

    fn partition() -> Partition {
        Partition { topic: "cams".into(), number: 0 }
    }

    fn verdict(ranges: &[(u64, i64, i64, Option<&str>)], jumps: &[(u64, Why, i64, i64)]) -> Verdict {
        let mut coverage = Coverage::default();
        for (seq, first, end, topic_id) in ranges {
            assert!(coverage.add(*seq, *first, *end, *topic_id));
        }
        let jump = |(seq, why, from, to): &(u64, Why, i64, i64)| (*seq, Jump { why: *why, from: Offset(*from), to: Offset(*to) });
        coverage.verdict(&partition(), &jumps.iter().map(jump).collect())
    }

    #[test]
    fn ranges_that_follow_on_each_other_are_fine_and_others_are_not() {
        assert_eq!(verdict(&[(3, 0, 10, None), (9, 10, 12, None), (12, 12, 12, None)], &[]), Verdict::default());
        let overlap = verdict(&[(3, 0, 10, None), (9, 8, 12, None)], &[]);
        assert_eq!(overlap.findings.len(), 1);
        assert_eq!(overlap.findings[0].kind, Kind::Overlap);
        assert!(overlap.findings[0].what.contains("8..10") && overlap.findings[0].path.contains("cams-0-9-8-12"));
        let hole = verdict(&[(3, 0, 10, None), (9, 11, 12, None)], &[]);
        assert_eq!((hole.findings.len(), hole.notes.len()), (0, 1));
        assert!(hole.notes[0].what.contains("10..11"));
    }

    #[test]
    fn the_offsets_of_a_new_topic_count_anew() {
        assert_eq!(verdict(&[(3, 0, 10, Some("a")), (9, 0, 12, Some("b"))], &[]), Verdict::default());
        // An id that was not known yet is that of the files after it.
        assert_eq!(verdict(&[(3, 0, 10, None), (5, 10, 20, Some("a")), (9, 0, 12, Some("b"))], &[]), Verdict::default());
        assert_eq!(verdict(&[(3, 0, 10, None), (9, 0, 12, None)], &[(7, Why::NewTopic, 10, 0)]), Verdict::default());
        assert_eq!(verdict(&[(3, 0, 10, Some("a")), (5, 0, 9, Some("b")), (7, 3, 12, Some("b"))], &[]).findings.len(), 1);
        // A seal that does not know its topic is held against the one before.
        assert_eq!(verdict(&[(3, 0, 10, Some("a")), (5, 0, 9, None)], &[]).findings.len(), 1);
    }

    #[test]
    fn a_hole_that_the_journal_explains_is_none() {
        let ranges = [(3, 0, 10, None), (9, 50, 60, None)];
        assert_eq!(verdict(&ranges, &[(5, Why::Reset, 10, 50)]), Verdict::default());
        assert_eq!(verdict(&ranges, &[(5, Why::Gap, 10, 40)]).notes.len(), 1);
        let many: Vec<_> = (0..9).map(|n| (n as u64, n * 10, n * 10 + 5, None)).collect();
        assert_eq!(verdict(&many, &[]).notes.len(), 6, "five holes and a count of the others");
    }

    #[test]
    fn a_seal_has_one_range() {
        let mut coverage = Coverage::default();
        assert!(coverage.add(3, 0, 10, Some("a")) && coverage.add(3, 0, 10, Some("a")));
        assert!(!coverage.add(3, 0, 11, Some("a")));
    }

    proptest! {
        /// An offset that two seals cover is found, wherever it is; ranges that only touch are fine.
        #[test]
        fn an_overlap_is_found_wherever_it_is(lengths in prop::collection::vec(1..50_i64, 2..20), which in any::<prop::sample::Index>(), back in 1..20_i64) {
            let mut end = 0;
            let mut ranges: Vec<_> = lengths.iter().enumerate().map(|(n, length)| {
                let first = end;
                end += length;
                (n as u64 * 3, first, end, None)
            }).collect();
            prop_assert_eq!(verdict(&ranges, &[]), Verdict::default());
            let at = which.index(ranges.len() - 1) + 1;
            ranges[at].1 = (ranges[at].1 - back).max(0);
            prop_assert!(verdict(&ranges, &[]).findings.iter().all(|finding| finding.kind == Kind::Overlap));
            prop_assert!(!verdict(&ranges, &[]).findings.is_empty());
        }
    }
}
