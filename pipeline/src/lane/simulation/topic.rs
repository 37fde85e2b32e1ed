//! What the simulated partition holds: messages with gaps between them, and the one row that each must become.

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{Bbox, Detection, Hour, Micros, Offset, SourceId};

use super::chance::Chance;
use crate::journal::samples;

/// Offsets of a partition: those with a message, and one past the last.
#[derive(Debug)]
pub(super) struct Topic {
    messages: Vec<Offset>,
    pub(super) end: Offset,
}

impl Topic {
    /// 15 to 45 offsets, some of them without a message, as transactions and compaction leave them; often at the end, too.
    pub(super) fn new(chance: &Chance) -> Self {
        let end = chance.number(15..45) as i64;
        let messages = (0..end).filter(|_| chance.happens(0.85)).map(Offset).collect();
        Self { messages, end: Offset(end) }
    }

    pub(super) fn messages(&self) -> &[Offset] {
        &self.messages
    }

    /// Messages from `start` on.
    pub(super) fn from(&self, start: Offset) -> impl Iterator<Item = Offset> + '_ {
        self.messages.iter().copied().filter(move |offset| *offset >= start)
    }

    /// How many messages lie from `start` to before `end`.
    pub(super) fn between(&self, start: Offset, end: Offset) -> u64 {
        self.from(start).filter(|offset| *offset < end).count() as u64
    }
}

/// The row of a message: two cameras in turn, 20 s of event time an offset, so that windows close every few rows. Where there is a
/// face there are two, which move towards each other and cross; the smaller one hides at times, as long as a track lasts or longer.
pub(super) fn row(offset: Offset) -> FrameRow {
    let mut row = samples::frame(offset.0);
    let at = Micros(samples::NOON + 1_800_000_000 + offset.0 * 20_000_000);
    row.meta.source_id = SourceId::new(if offset.0 % 3 == 0 { "gate" } else { "door" });
    (row.meta.capture_ts, row.meta.record_ts, row.folder) = (at, at, Hour::of(at));
    if let Ok(faces) = &mut row.outcome
        && let Some(face) = faces.pop()
    {
        let far = offset.0 as f32 * 10.0;
        let boxes = [Bbox { x: far, y: 20.0, w: 40.0, h: 50.0 }, Bbox { x: 300.0 - far, y: 40.0, w: 30.0, h: 35.0 }];
        let seen = if offset.0 % 10 < 6 { 2 } else { 1 };
        faces.extend(boxes.into_iter().take(seen).map(|bbox| Detection { bbox, ..face.clone() }));
    }
    row
}
