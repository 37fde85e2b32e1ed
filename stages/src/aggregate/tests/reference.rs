//! What windows should say, worked out from the definitions by looking at all frames at once, with nothing clever.

use std::collections::{BTreeMap, BTreeSet};

use facestream_schemas::{Reason, WindowRow};
use proptest::prelude::*;

use super::super::fixtures::{SECOND, frame, skipped};
use super::*;

/// A frame as the tests invent it.
#[derive(Clone, Debug)]
pub(super) struct Invented {
    pub(super) source: &'static str,
    pub(super) second: i64,
    /// Faces, broken, or left out.
    pub(super) what: What,
    pub(super) number: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Faces(usize),
    Broken,
    LeftOut,
}

impl Invented {
    pub(super) fn row(&self) -> FrameRow {
        let mut row = match self.what {
            What::Faces(faces) => frame(self.source, self.second, Some(faces)),
            What::Broken => frame(self.source, self.second, None),
            What::LeftOut => skipped(self.source, self.second, Reason::Stale),
        };
        row.meta.frame_seq = self.number;
        row
    }

    pub(super) fn start(&self) -> i64 {
        self.second - self.second % 10
    }
}

/// Frames of three cameras within `seconds`: most are numbered about as they were taken, some in a numbering that began anew or
/// jumped, some not at all.
pub(super) fn invented(seconds: i64) -> impl Strategy<Value = Invented> {
    let what = prop_oneof![4 => (0..3_usize).prop_map(What::Faces), 1 => Just(What::Broken), 1 => Just(What::LeftOut)];
    let from = prop_oneof![8 => Just(0), 1 => Just(3_000), 1 => Just(250_000)];
    let number = prop::option::weighted(0.9, (from, 0..6_i64));
    (prop::sample::select(vec!["a", "b", "c"]), 0..seconds, what, number).prop_map(|(source, second, what, number)| Invented {
        source,
        second,
        what,
        number: number.map(|(from, jitter)| from + second + jitter),
    })
}

/// What a row says, processing time aside.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    ok: i64,
    failed: i64,
    skipped: i64,
    missing: Option<i64>,
    with_face: i64,
    faces: i64,
    mean: Option<f64>,
    max: Option<i64>,
    score: Option<f64>,
    has_e2e: bool,
}

impl Content {
    pub(super) fn of(row: &WindowRow) -> Self {
        Self {
            ok: row.frames_ok,
            failed: row.frames_failed,
            skipped: row.frames_skipped,
            missing: row.frames_missing,
            with_face: row.frames_with_face,
            faces: row.faces_total,
            mean: row.faces_per_frame_mean,
            max: row.faces_per_frame_max,
            score: row.score_mean,
            has_e2e: row.e2e_ms_p50.is_some() && row.e2e_ms_p99.is_some(),
        }
    }

    /// Of the frames of one window; `before` is the highest number of the nearest earlier one that has any.
    fn expected(frames: &[&Invented], before: Option<i64>) -> Self {
        let faces: Vec<_> =
            frames.iter().filter_map(|f| if let What::Faces(n) = f.what { Some(n as i64) } else { None }).collect();
        let ok = faces.len() as i64;
        let failed = frames.iter().filter(|f| f.what == What::Broken).count() as i64;
        let sum: i64 = faces.iter().sum();
        Self {
            ok,
            failed,
            skipped: frames.iter().filter(|f| f.what == What::LeftOut).count() as i64,
            missing: missing(&frames.iter().filter_map(|f| f.number).collect(), before),
            with_face: faces.iter().filter(|n| **n > 0).count() as i64,
            faces: sum,
            mean: (ok > 0).then(|| sum as f64 / ok as f64),
            max: faces.iter().max().copied(),
            score: (sum > 0).then_some(0.5),
            has_e2e: ok + failed > 0,
        }
    }
}

/// The numbers between neighbours of the running numbering, and of one that began anew, unless they are too far apart.
fn missing(seen: &BTreeSet<i64>, before: Option<i64>) -> Option<i64> {
    if seen.is_empty() {
        return None;
    }
    let in_numbering = |wanted: &dyn Fn(i64) -> bool, from: Option<i64>| {
        let numbers: Vec<i64> = from.into_iter().chain(seen.iter().copied().filter(|n| wanted(*n))).collect();
        let between = |pair: &[i64]| if pair[1] - pair[0] <= 100_000 { (pair[0] + 1..pair[1]).count() as i64 } else { 0 };
        numbers.windows(2).map(between).sum::<i64>()
    };
    Some(match before {
        None => in_numbering(&|_| true, None),
        Some(before) => in_numbering(&|n| n > before, Some(before)) + in_numbering(&|n| n < before - 1_000, None),
    })
}

/// By source and window start in s: what the windows of these frames say.
pub(super) fn contents<'a>(frames: impl Iterator<Item = &'a Invented>) -> BTreeMap<(String, i64), Content> {
    let mut windows: BTreeMap<(String, i64), Vec<&Invented>> = BTreeMap::new();
    for frame in frames {
        windows.entry((frame.source.to_owned(), frame.start())).or_default().push(frame);
    }
    let mut expected = BTreeMap::new();
    for (window, frames) in &windows {
        let earlier = windows.iter().filter(|((source, start), _)| *source == window.0 && *start < window.1);
        let before = earlier.filter_map(|(_, frames)| frames.iter().filter_map(|f| f.number).max()).next_back();
        expected.insert(window.clone(), Content::expected(frames, before));
    }
    expected
}

/// The window that a row is of.
pub(super) fn window_of(row: &WindowRow) -> (String, i64) {
    assert_eq!(row.window_start.0 % SECOND, 0);
    (row.source_id.to_string(), row.window_start.0 / SECOND)
}

/// What a partition's owner and fate do between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Frame,
    /// Rows and state become durable.
    Append,
    /// All since the last append is lost, and done again.
    Crash,
    /// The partition is caught up, and some sources have been silent for long.
    Idle,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![12 => Just(Step::Frame), 2 => Just(Step::Append), 1 => Just(Step::Crash), 1 => Just(Step::Idle)];
    prop::collection::vec(step, 0..90)
}
