//! When a lane appends, and when an append seals. Plain decisions over values.

use std::time::Duration;

use facestream_schemas::{Hour, Micros, Offset};

use crate::journal::Note;
use crate::journal::header::Header;
use crate::metrics::SealReason;

/// Rows of one lane that are appended at once, whatever the time: bounds memory and the size of a record.
const PIECE_BYTES: usize = 4 << 20;
/// More open hour folders than this are sealed, so that a publish stays small.
const OPEN_FOLDERS: usize = 16;

/// When appends and seals are due.
#[derive(Clone, Copy, Debug)]
pub struct Rolling {
    /// A busy lane appends this often.
    pub append_every: Duration,
    /// A seal is due at this many journal bytes.
    pub roll_bytes: u64,
    /// A seal is due at this age of the oldest unsealed row.
    pub roll_every: Duration,
}

/// What the decision depends on.
pub(super) struct Situation<'a> {
    /// The journal's newest record.
    pub(super) head: &'a Header,
    /// One past the last offset collected.
    pub(super) end: Offset,
    /// Memory of the collected rows.
    pub(super) pending_bytes: usize,
    /// Whether rows were collected.
    pub(super) has_rows: bool,
    /// Lowest watermark of active sources.
    pub(super) low_watermark: Option<Micros>,
    /// Since the last append began.
    pub(super) since_append: Duration,
    /// How long the oldest unsealed row has waited.
    pub(super) unsealed_age: Option<Duration>,
    /// Whether rows must not wait: their budget runs out, or earlier owners died without progress.
    pub(super) urgent: bool,
    /// Whether a run until the end has collected everything.
    pub(super) at_the_end: bool,
}

/// An append that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// Why it seals, if it does.
    pub(super) seal: Option<SealReason>,
    /// What the record has to say besides.
    pub(super) note: Note,
}

/// What is due now. A partition with nothing new appends only a due seal.
pub(super) fn due(rolling: &Rolling, situation: &Situation<'_>) -> Option<Action> {
    let seal = seal_due(rolling, situation);
    let something_new = situation.has_rows || situation.end > situation.head.end_offset;
    let append = something_new
        && (situation.since_append >= rolling.append_every
            || situation.pending_bytes >= PIECE_BYTES
            || (situation.urgent && situation.has_rows)
            || situation.at_the_end);
    (append || seal.is_some()).then_some(Action { seal, note: Note::Same })
}

fn seal_due(rolling: &Rolling, situation: &Situation<'_>) -> Option<SealReason> {
    let unsealed = &situation.head.unsealed;
    let age = situation.unsealed_age?;
    let low_hour = situation.low_watermark.map(Hour::of);
    if unsealed.bytes >= rolling.roll_bytes {
        Some(SealReason::Size)
    } else if age >= rolling.roll_every {
        Some(SealReason::Age)
    } else if unsealed.watermark_hour.is_some() && low_hour > unsealed.watermark_hour {
        Some(SealReason::Hour)
    } else if unsealed.hours() > OPEN_FOLDERS {
        Some(SealReason::Folders)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use facestream_schemas::tables::Table;

    use super::*;
    use crate::journal::header::{Seq, Unsealed};
    use crate::journal::samples;

    const ROLLING: Rolling =
        Rolling { append_every: Duration::from_secs(10), roll_bytes: 1_000, roll_every: Duration::from_hours(1) };
    const HOUR_US: i64 = 3_600_000_000;

    fn quiet(head: &Header) -> Situation<'_> {
        Situation {
            head,
            end: head.end_offset,
            pending_bytes: 0,
            has_rows: false,
            low_watermark: Some(Micros(HOUR_US / 2)),
            since_append: Duration::from_mins(50),
            unsealed_age: head.unsealed.since.map(|_| Duration::ZERO),
            urgent: true,
            at_the_end: true,
        }
    }

    fn head(unsealed_hours: i64) -> Header {
        let mut unsealed = Unsealed::starting(Seq(0), Offset(0));
        if unsealed_hours > 0 {
            unsealed.since = Some(Micros(0));
            unsealed.watermark_hour = Some(Hour(0));
            unsealed.rows.insert(Table::Frames, (0..unsealed_hours).map(|hour| (Hour(hour), 1)).collect());
        }
        Header { unsealed, ..samples::header(Seq(0)) }
    }

    #[test]
    fn an_idle_partition_appends_nothing() {
        assert_eq!(due(&ROLLING, &quiet(&head(0))), None);
        assert_eq!(due(&ROLLING, &quiet(&head(3))), None);
    }

    #[test]
    fn rows_are_appended_when_it_is_time_or_memory_runs_out_or_the_end_is_reached() {
        let head = head(1);
        let rows =
            || Situation { has_rows: true, since_append: Duration::ZERO, urgent: false, at_the_end: false, ..quiet(&head) };
        let append = Some(Action { seal: None, note: Note::Same });
        assert_eq!(due(&ROLLING, &rows()), None);
        assert_eq!(due(&ROLLING, &Situation { since_append: Duration::from_secs(10), ..rows() }), append);
        assert_eq!(due(&ROLLING, &Situation { pending_bytes: PIECE_BYTES, ..rows() }), append);
        assert_eq!(due(&ROLLING, &Situation { urgent: true, ..rows() }), append);
        assert_eq!(due(&ROLLING, &Situation { at_the_end: true, ..rows() }), append);
    }

    #[test]
    fn a_gap_in_offsets_is_walked_over_when_it_is_time() {
        let head = head(0);
        let gap = || Situation { end: head.end_offset.next(), at_the_end: false, ..quiet(&head) };
        assert_eq!(due(&ROLLING, &gap()), Some(Action { seal: None, note: Note::Same }));
        assert_eq!(due(&ROLLING, &Situation { since_append: Duration::ZERO, ..gap() }), None);
    }

    #[test]
    fn each_reason_seals() {
        let sealed = |situation: &Situation<'_>| due(&ROLLING, situation).and_then(|action| action.seal);
        let (one, many) = (head(1), head(17));
        assert_eq!(sealed(&quiet(&one)), None);
        assert_eq!(sealed(&quiet(&many)), Some(SealReason::Folders));
        let old = Situation { unsealed_age: Some(Duration::from_hours(1)), ..quiet(&one) };
        assert_eq!(sealed(&old), Some(SealReason::Age));
        let crossed = Situation { low_watermark: Some(Micros(HOUR_US)), ..quiet(&one) };
        assert_eq!(sealed(&crossed), Some(SealReason::Hour));
        let mut large = head(1);
        large.unsealed.bytes = 1_000;
        assert_eq!(sealed(&quiet(&large)), Some(SealReason::Size));
        // Nothing is sealed where there are no rows.
        assert_eq!(sealed(&Situation { low_watermark: Some(Micros(HOUR_US)), ..quiet(&head(0)) }), None);
    }
}
