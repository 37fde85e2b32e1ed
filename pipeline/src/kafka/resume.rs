//! Where a partition goes on, and whether it may: a plain function of what the journal and the brokers say.
//!
//! In: the journal's end and topic, the topic as it is now, what can be read of it. Out: go on, ask more, or stop and say why.
//! Invariant: with a journal, the group's committed offset decides nothing.

use facestream_schemas::{Offset, Partition};

use super::brokers::Range;
use crate::config::{OnGap, Start};
use crate::lane::{Jump, Resume, Why};

/// What is known of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Known<'a> {
    /// Where its journal ends and the id of the topic that this belongs to, where it has one.
    pub(super) journal: Option<(Offset, Option<&'a str>)>,
    /// The topic's id now, where the brokers tell one.
    pub(super) topic_id: Option<&'a str>,
    /// What the group has committed. Without a journal, `None` means that it has committed nothing.
    pub(super) committed: Option<Offset>,
    /// What can be read; `None` where that was not asked.
    pub(super) range: Option<&'a Range>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Consume from here.
    GoOn(Resume),
    /// It depends on what was not asked, or not answered.
    Depends,
    /// A person has to look; this says why, and what can be done.
    Stop(String),
}

impl Known<'_> {
    /// Whether the topic was deleted and made anew since the journal's end.
    pub(super) fn is_new_topic(&self) -> bool {
        matches!((self.journal, self.topic_id), (Some((_, Some(recorded))), Some(now)) if recorded != now)
    }

    /// Why Kafka does not have what comes after `end`, and where it can be gone on; `None` where it has.
    fn gap(&self, end: Offset, recorded: Option<&str>) -> Option<(Why, Offset)> {
        let (low, high) = self.range.map(|range| (*range.start(), *range.end()))?;
        // Without ids, a log that ends before the journal does is more likely a new topic than one that was cut short.
        let no_ids = recorded.is_none() || self.topic_id.is_none();
        if self.is_new_topic() || (end > high && no_ids) {
            Some((Why::NewTopic, low))
        } else if end < low {
            Some((Why::Gap, low))
        } else if end > high {
            Some((Why::Gap, high))
        } else {
            None
        }
    }

    /// Where `partition` goes on.
    pub(super) fn verdict(&self, partition: &Partition, start: Start, on_gap: OnGap) -> Verdict {
        let topic_id = self.topic_id.map(str::to_owned);
        let Some((end, recorded)) = self.journal else {
            let beginning = self.range.map(|range| match start {
                Start::Earliest => *range.start(),
                Start::Latest => *range.end(),
            });
            let at = self.committed.or(beginning);
            return at.map_or(Verdict::Depends, |at| Verdict::GoOn(Resume { at, jump: None, topic_id }));
        };
        // A log that ends before the journal: only the id tells a topic made anew from one that was cut short.
        let is_short = self.range.is_some_and(|range| end > *range.end());
        if (self.is_new_topic() && self.range.is_none()) || (is_short && recorded.is_some() && self.topic_id.is_none()) {
            return Verdict::Depends;
        }
        match self.gap(end, recorded) {
            None => Verdict::GoOn(Resume { at: end, jump: None, topic_id }),
            Some((why, to)) if on_gap == OnGap::Skip => {
                Verdict::GoOn(Resume { at: end, jump: Some(Jump { why, from: end, to }), topic_id })
            }
            Some((why, to)) => Verdict::Stop(self.explain(partition, end, why, to)),
        }
    }

    fn explain(&self, Partition { topic, number }: &Partition, end: Offset, why: Why, to: Offset) -> String {
        let (low, high) = self.range.map_or((end, end), |range| (*range.start(), *range.end()));
        let what = match why {
            Why::NewTopic if self.is_new_topic() => {
                format!("the topic {topic} was deleted and made anew, and its offsets count anew")
            }
            Why::NewTopic => format!("the topic {topic} was probably deleted and made anew"),
            _ if end < low => format!("{} records were deleted before they were consumed", low.0 - end.0),
            _ => format!("the log of {topic} was cut short"),
        };
        let skip = format!("to go on at offset {to}, start again with kafka.on_gap = \"skip\"");
        // A journal is never moved back by hand.
        let way_out = if to > end {
            format!(
                "{skip}, or after `facestream journal reset --topic {topic} --partition {number} --to-offset {to}`, and give the \
                 topic more retention or the group more processes"
            )
        } else {
            format!("{skip}, or consume into a new kafka.group with a new store.url")
        };
        format!(
            "the journal of {topic}, partition {number}, ends at offset {end}, and Kafka has {low} to {high}: {what}; {way_out}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Offset = Offset(50);

    fn verdict(known: &Known<'_>, on_gap: OnGap) -> Verdict {
        known.verdict(&Partition { topic: "cams".into(), number: 3 }, Start::Earliest, on_gap)
    }

    fn go_on(at: i64, jump: Option<(Why, i64)>, topic_id: Option<&str>) -> Verdict {
        let jump = jump.map(|(why, to)| Jump { why, from: Offset(at), to: Offset(to) });
        Verdict::GoOn(Resume { at: Offset(at), jump, topic_id: topic_id.map(str::to_owned) })
    }

    fn range(low: i64, high: i64) -> Range {
        Offset(low)..=Offset(high)
    }

    #[test]
    fn without_a_journal_the_commit_decides_then_the_configuration() {
        let range = range(5, 9);
        let committed = Known { committed: Some(Offset(7)), topic_id: Some("id"), ..Known::default() };
        assert_eq!(verdict(&committed, OnGap::Stop), go_on(7, None, Some("id")));
        assert_eq!(verdict(&Known::default(), OnGap::Stop), Verdict::Depends);
        let nothing = Known { range: Some(&range), ..Known::default() };
        assert_eq!(verdict(&nothing, OnGap::Stop), go_on(5, None, None));
        let partition = Partition { topic: "cams".into(), number: 3 };
        assert_eq!(nothing.verdict(&partition, Start::Latest, OnGap::Stop), go_on(9, None, None));
    }

    #[test]
    fn the_journals_end_counts_wherever_kafka_has_it() {
        for (low, high) in [(0, 50), (50, 50), (50, 60), (0, 60)] {
            let range = range(low, high);
            let known = Known { journal: Some((END, None)), committed: Some(Offset(1)), range: Some(&range), ..Known::default() };
            assert_eq!(verdict(&known, OnGap::Stop), go_on(50, None, None), "{range:?}");
        }
        let unasked = Known { journal: Some((END, Some("id"))), topic_id: Some("id"), ..Known::default() };
        assert_eq!(verdict(&unasked, OnGap::Stop), go_on(50, None, Some("id")));
    }

    #[test]
    fn what_kafka_no_longer_has_is_skipped_or_stops_the_partition() {
        let cases = [
            // Retention; a log that was cut short; a new topic, of whatever length; probably a new one.
            ((60, 70), Some("old"), Some("old"), (Why::Gap, 60), "10 records were deleted"),
            ((0, 40), Some("old"), Some("old"), (Why::Gap, 40), "cut short"),
            ((0, 40), Some("old"), Some("new"), (Why::NewTopic, 0), "deleted and made anew"),
            ((0, 70), Some("old"), Some("new"), (Why::NewTopic, 0), "deleted and made anew"),
            ((3, 40), None, Some("new"), (Why::NewTopic, 3), "probably deleted"),
            ((60, 70), None, None, (Why::Gap, 60), "10 records were deleted"),
        ];
        for ((low, high), recorded, topic_id, (why, to), text) in cases {
            let range = range(low, high);
            let known = Known { journal: Some((END, recorded)), topic_id, range: Some(&range), ..Known::default() };
            assert_eq!(verdict(&known, OnGap::Skip), go_on(50, Some((why, to)), topic_id), "{known:?}");
            let Verdict::Stop(said) = verdict(&known, OnGap::Stop) else { panic!("{known:?}") };
            let numbers = format!("ends at offset 50, and Kafka has {low} to {high}");
            for part in [text, &numbers, "kafka.on_gap = \"skip\"", &format!("go on at offset {to}")] {
                assert!(said.contains(part), "{part}: {said}");
            }
            // Only forward can a journal be moved by hand.
            let command = format!("facestream journal reset --topic cams --partition 3 --to-offset {to}`");
            assert_eq!(said.contains(&command), to > 50, "{said}");
        }
        let unasked = Known { journal: Some((END, Some("old"))), topic_id: Some("new"), ..Known::default() };
        assert_eq!(verdict(&unasked, OnGap::Skip), Verdict::Depends);
        // Nobody guesses while the brokers may still tell.
        let range = range(3, 40);
        let unanswered = Known { topic_id: None, range: Some(&range), ..unasked };
        assert_eq!(verdict(&unanswered, OnGap::Skip), Verdict::Depends);
    }
}
