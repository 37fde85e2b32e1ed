//! What a lane has collected since its last append.
//!
//! In: rows by number, positions. Out: a [`Batch`] for the journal. Pure: no Kafka, no store; time comes in as an argument.
//! Invariant: the batch covers exactly the offsets from the last one's end to `end`, and its memory is that after them; messages to others leave in the
//! order of the rows that they are of.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use facestream_schemas::event;
use facestream_schemas::tables::FrameRow;
use facestream_schemas::{ClosedBy, Micros, Offset, WindowRow};
use facestream_stages::aggregate::Known;
use facestream_stages::order::Order;

use super::Position;
use super::outbox::{Outgoing, Output, Telling, Waiting};
use super::pictures::Picture;
use super::stages::Stages;
use crate::annotate::Shot;
use crate::budget::{Budget, Permit};
use crate::journal::mutation::{self, Mutation};
use crate::journal::record::Rows;
use crate::journal::{Batch, Note};

pub(super) struct Collected {
    order: Order<(FrameRow, Permit, Vec<Waiting>, Option<Picture>)>,
    stages: Stages,
    telling: Telling,
    rows: Rows,
    /// What the rows have to say to others and was not taken yet.
    outgoing: Vec<Waiting>,
    /// Pictures of the rows that were not taken yet.
    pictures: Vec<Picture>,
    bytes: usize,
    /// The memory of `rows`.
    permit: Option<Permit>,
    budget: Budget,
    start: Offset,
    end: Offset,
    until: Option<Offset>,
    newest_record: Option<Micros>,
}

/// Windows that were closed, by what closed them, and those that late frames have changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) by_watermark: u64,
    pub(super) idle: u64,
    pub(super) revised: u64,
}

/// What a finished row led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    /// Frames that came too late for their window.
    pub(super) late: u64,
    /// Frames that are in a window that was closed before they came.
    pub(super) revising: u64,
    pub(super) closed: Closed,
}

impl Collected {
    pub(super) fn new(stages: Stages, telling: Telling, start: Offset, until: Option<Offset>, budget: Budget) -> Self {
        Self {
            order: Order::default(),
            stages,
            telling,
            rows: Rows::default(),
            outgoing: Vec::new(),
            pictures: Vec::new(),
            bytes: 0,
            permit: None,
            budget,
            start,
            end: start,
            until,
            newest_record: None,
        }
    }

    /// Takes a row in, and with it all that were waiting for it: what the stages find is added to them before others are told.
    pub(super) fn insert(
        &mut self,
        number: u64,
        row: FrameRow,
        outgoing: Vec<Outgoing>,
        shot: Option<(Shot, Permit)>,
        now: Instant,
    ) -> Added {
        let picture = shot.map(|(shot, permit)| Picture::of(&row, shot, permit));
        let permit = self.budget.take(row.memory());
        let outgoing = outgoing.into_iter().map(|outgoing| self.counted(outgoing)).collect();
        let number = if mutation::is(Mutation::OrderByOffset) { (row.meta.key.offset.0 - self.start.0) as u64 } else { number };
        self.order.insert(number, (row, permit, outgoing, picture));
        let mut added = Added::default();
        while let Some((mut row, permit, outgoing, picture)) = self.order.pop() {
            self.pictures.extend(picture.map(|picture| picture.hold(&row, &mut self.stages)));
            let window = self.stages.add(&mut row, now);
            self.tell(&row);
            self.outgoing.extend(outgoing);
            added.late += u64::from(window.late);
            added.revising += u64::from(window.revised);
            let closed = self.keep_windows(window.closed);
            added.closed.by_watermark += closed.by_watermark;
            added.closed.idle += closed.idle;
            added.closed.revised += closed.revised;
            self.end = row.meta.key.offset.next();
            self.newest_record = Some(row.meta.record_ts);
            let bytes = row.memory();
            self.bytes += bytes;
            self.keep(self.budget.take(bytes.saturating_sub(permit.bytes())));
            self.keep(permit);
            self.rows.frames.push(row);
        }
        added
    }

    /// Walks over gaps that compaction or transactions left, once no message is in flight, and closes idle windows at the end.
    pub(super) fn advance(&mut self, position: Position, now: Instant) -> Closed {
        if self.delivered() < position.bound || mutation::is(Mutation::PositionIgnored) {
            return Closed::default();
        }
        let reachable = self.until.map_or(position.offset, |until| position.offset.min(until));
        self.end = self.end.max(reachable);
        if position.high.is_none_or(|high| position.offset < high) {
            return Closed::default();
        }
        let rows = self.stages.windows.close_idle(now);
        self.keep_windows(rows)
    }

    /// The sources that have come so far.
    pub(super) fn sources(&self, now: Instant) -> impl Iterator<Item = Known<'_>> {
        self.stages.windows.sources(now)
    }

    /// Closes all windows as idle.
    pub(super) fn close_windows(&mut self) -> Closed {
        let rows = self.stages.windows.close_all();
        self.keep_windows(rows)
    }

    fn keep_windows(&mut self, rows: Vec<WindowRow>) -> Closed {
        let mut closed = Closed::default();
        for row in &rows {
            match row.closed_by {
                _ if row.revision > 0 => closed.revised += 1,
                ClosedBy::Watermark => closed.by_watermark += 1,
                ClosedBy::Idle => closed.idle += 1,
            }
        }
        let bytes = rows.len() * size_of::<WindowRow>();
        if bytes > 0 {
            self.bytes += bytes;
            let permit = self.budget.take(bytes);
            self.keep(permit);
        }
        self.rows.windows.extend(rows);
        closed
    }

    /// What others are to hear of a row: its events. A panic there is a bug of ours, and no reason to lose the row.
    fn tell(&mut self, row: &FrameRow) {
        let Some(settings) = self.telling.events else { return };
        let events = catch_unwind(AssertUnwindSafe(|| event::of_frame(row, settings))).unwrap_or_else(|_| {
            tracing::error!(record = %row.meta.key, "nobody is told of this frame: a panic, which is a bug");
            Vec::new()
        });
        for message in events {
            let waiting = self.counted(Outgoing { to: Output::Events, message });
            self.outgoing.push(waiting);
        }
    }

    /// A message with its share of the budget, until it is acknowledged.
    fn counted(&self, outgoing: Outgoing) -> Waiting {
        let permit = self.budget.take(outgoing.message.memory());
        Waiting { outgoing, permit }
    }

    /// What is to be sent, in the order of the rows that it is of.
    pub(super) fn take_outgoing(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.outgoing)
    }

    /// The pictures that are to be made, in the order of their rows.
    pub(super) fn take_pictures(&mut self) -> Vec<Picture> {
        std::mem::take(&mut self.pictures)
    }

    fn keep(&mut self, permit: Permit) {
        match &mut self.permit {
            Some(kept) => kept.merge(permit),
            None => self.permit = Some(permit),
        }
    }

    /// Everything collected, as a batch with the memory that it holds. Windows that late frames have changed are emitted here, so
    /// once per append and with those frames.
    pub(super) fn take(&mut self, seal: bool, note: Note) -> (Batch, Option<Permit>, Closed) {
        let revised = self.stages.windows.revise();
        let closed = self.keep_windows(revised);
        // Told with their append, not before: what a window comes to depends on when it was closed, which a crash may change.
        if let Some(format) = self.telling.windows {
            let told =
                self.rows.windows.iter().map(|row| Outgoing { to: Output::Windows, message: event::of_window(row, format) });
            let told: Vec<_> = told.map(|outgoing| self.counted(outgoing)).collect();
            self.outgoing.extend(told);
        }
        self.bytes = 0;
        let batch = Batch {
            rows: std::mem::take(&mut self.rows),
            end_offset: self.end,
            memory: self.stages.memory(),
            low_watermark: self.low_watermark(),
            seal,
            note,
        };
        (batch, self.permit.take(), closed)
    }

    /// How many messages have come through in order.
    pub(super) fn delivered(&self) -> u64 {
        self.order.next()
    }

    pub(super) fn end(&self) -> Offset {
        self.end
    }

    pub(super) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn low_watermark(&self) -> Option<Micros> {
        self.stages.windows.low_watermark()
    }

    pub(super) fn newest_record(&self) -> Option<Micros> {
        self.newest_record
    }

    /// Whether a run until the end has got there.
    pub(super) fn is_at_the_end(&self) -> bool {
        self.until.is_some_and(|until| self.end >= until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use facestream_schemas::Partition;
    use facestream_stages::aggregate::{Late, WindowSettings, Windows};
    use prometheus::IntGauge;

    use super::*;
    use crate::journal::memory::Memory;
    use crate::journal::samples;

    /// Frames come back from the workers in any order; what others are told is in the rows' order and says what the stages found.
    #[test]
    fn events_are_of_followed_faces_and_memory_is_counted_as_it_is() {
        use facestream_schemas::event::{EventFormat, EventSettings, What};
        use facestream_stages::track::TrackSettings;
        let minute = Duration::from_mins(1);
        let settings = WindowSettings { length: minute, max_out_of_orderness: minute, idle_timeout: minute, late: Late::Drop };
        let tracks = TrackSettings { max_gap: Duration::from_hours(1), min_iou: 0.3 };
        let events = EventSettings { format: EventFormat::Json, what: What::Faces };
        let telling = Telling { events: Some(events), windows: None };
        let (now, gauge) = (Instant::now(), IntGauge::new("gauge", "help").expect("a gauge"));
        let partition = Partition { topic: "cams".into(), number: 0 };
        let stages = Stages::new(&partition, Some(tracks), settings, None, Memory::default(), now);
        let budget = Budget::new(1 << 20, gauge.clone(), gauge.clone());
        let mut collected = Collected::new(stages, telling, Offset(0), None, budget);
        // Frames 0 and 2 have a face each, at nearly the same place; frame 1 has none.
        for number in [2, 1, 0] {
            collected.insert(number, samples::frame(number as i64), Vec::new(), None, now);
        }
        let told: Vec<serde_json::Value> = collected
            .take_outgoing()
            .into_iter()
            .map(|waiting| serde_json::from_slice(waiting.outgoing.message.value.as_deref().expect("a body")).expect("JSON"))
            .collect();
        let of = |name: &str| told.iter().map(|event| event[name].as_str().unwrap_or("none").to_owned()).collect::<Vec<_>>();
        assert_eq!(of("event_id"), ["cams/0/0/0", "cams/0/2/0"]);
        assert_eq!(of("track_id"), ["cams/0/0/0", "cams/0/0/0"]);

        let (batch, permit, _) = collected.take(false, Note::Same);
        let rows: usize = batch.rows.frames.iter().map(FrameRow::memory).sum();
        let windows = batch.rows.windows.len() * size_of::<WindowRow>();
        assert_eq!(permit.as_ref().map(Permit::bytes), Some(rows + windows));
        assert!(!batch.memory.tracks.is_empty());
        let started: Vec<_> = batch.rows.windows.iter().map(|window| window.tracks_started).collect();
        assert_eq!(started, [Some(1), Some(0)], "windows count where faces are followed, and the last one is still open");
        drop((told, permit));
        assert_eq!(gauge.get(), 0, "all of it comes back");
    }

    /// A face that was seen before an append stays hidden for a successor that has only what was appended, and the frame's memory is
    /// its picture's until that is out.
    #[test]
    fn a_face_stays_hidden_across_a_takeover() {
        use facestream_schemas::{Bbox, Size};
        use facestream_stages::annotate::{Region, What};
        let (minute, late) = (Duration::from_mins(1), Late::Drop);
        let settings = WindowSettings { length: minute, max_out_of_orderness: minute, idle_timeout: minute, late };
        let (now, gauge) = (Instant::now(), IntGauge::new("gauge", "help").expect("a gauge"));
        let rows = || IntGauge::new("rows", "help").expect("a gauge");
        let (in_flight, pending) = (Budget::new(1 << 20, gauge.clone(), gauge.clone()), rows());
        let partition = Partition { topic: "cams".into(), number: 0 };
        let taken_over = |memory| {
            let stages = Stages::new(&partition, None, settings, Some(2), memory, now);
            let budget = Budget::new(1 << 20, pending.clone(), rows());
            Collected::new(stages, Telling::default(), Offset(0), None, budget)
        };
        let shot = |weak: &[Bbox]| {
            let image = bytes::Bytes::from(vec![0; 5_000]);
            Some((Shot::of(What::Blur, image, 1_000, Size { w: 100, h: 100 }, &[], weak), in_flight.take(1)))
        };

        let mut owner = taken_over(Memory::default());
        let face = Bbox { x: 25.0, y: 50.0, w: 25.0, h: 25.0 };
        owner.insert(0, samples::frame(0), Vec::new(), shot(&[face]), now);
        assert!(gauge.get() > 5_000 && pending.get() == samples::frame(0).memory() as i64);
        let (batch, permit, _) = owner.take(false, Note::Same);
        drop(permit);
        assert!(gauge.get() > 5_000 && pending.get() == 0, "pictures do not wait for appends");
        drop(owner.take_pictures());
        assert_eq!(gauge.get(), 0);

        let mut successor = taken_over(batch.memory);
        for offset in 1..4 {
            successor.insert(offset as u64 - 1, samples::frame(offset), Vec::new(), shot(&[]), now);
        }
        let hidden: Vec<_> = successor.take_pictures().into_iter().map(|picture| picture.shot.regions).collect();
        let face = vec![Region { left: 0.25, top: 0.5, right: 0.5, bottom: 0.75 }];
        assert_eq!(hidden, [face.clone(), face, Vec::new()]);
    }

    /// As many late frames as may come between two appends: their window is emitted once more, in the record that has them.
    #[test]
    fn late_frames_make_one_revision_per_append() {
        let late = Late::Revise { grace: Duration::from_hours(1) };
        let (length, idle_timeout) = (Duration::from_mins(1), Duration::from_secs(30));
        let settings = WindowSettings { length, max_out_of_orderness: Duration::from_secs(2), idle_timeout, late };
        let (now, gauge) = (Instant::now(), || IntGauge::new("gauge", "help").expect("a gauge"));
        let partition = Partition { topic: "cams".into(), number: 0 };
        let stages = Stages::new(&partition, None, settings, None, Memory::default(), now);
        let mut collected = Collected::new(stages, Telling::default(), Offset(0), None, Budget::new(1 << 20, gauge(), gauge()));
        let revisions = |batch: &Batch| batch.rows.windows.iter().map(|row| (row.revision, row.frames_ok)).collect::<Vec<_>>();

        // The second frame is six minutes later and closes the first one's window.
        let mut added = collected.insert(0, samples::frame(0), Vec::new(), None, now);
        assert_eq!(added, Added::default());
        added = collected.insert(1, samples::frame(1), Vec::new(), None, now);
        assert_eq!(added.closed, Closed { by_watermark: 1, ..Closed::default() });
        let (batch, _, closed) = collected.take(false, Note::Same);
        assert_eq!((revisions(&batch), closed), (vec![(0, 1)], Closed::default()));

        for offset in 2..5 {
            let mut late = samples::frame(0);
            late.meta.key.offset = Offset(offset);
            assert_eq!(
                collected.insert(offset as u64, late, Vec::new(), None, now),
                Added { revising: 1, ..Added::default() },
                "not too late, nor closing anything"
            );
        }
        let (batch, permit, closed) = collected.take(false, Note::Same);
        assert_eq!((revisions(&batch), batch.end_offset), (vec![(1, 4)], Offset(5)));
        assert_eq!(closed, Closed { revised: 1, ..Closed::default() });
        assert!(permit.is_some());
        // A successor that starts with the record's state has nothing left to say of it.
        let mut successor = Windows::new("cams".into(), 0, settings, batch.memory.windows, now);
        assert_eq!(successor.revise(), []);
        assert!(collected.take(false, Note::Same).0.rows.is_empty());
    }
}
