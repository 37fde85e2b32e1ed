//! With `revise`: whatever the order within grace and wherever a successor takes over, the highest revisions are those of a
//! reference that sees all frames at once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::reference::{Content, Invented, Step, contents, invented, steps, window_of};
use super::*;

/// Which frames come when the watermark is already more than `grace` seconds beyond their window's end.
fn beyond_grace(frames: &[Invented], grace: i64) -> Vec<bool> {
    let mut highest: BTreeMap<&str, i64> = BTreeMap::new();
    let judged = frames.iter().map(|frame| {
        let beyond = highest.get(frame.source).is_some_and(|highest| highest - 2 > frame.start() + 10 + grace);
        let highest = highest.entry(frame.source).or_insert(frame.second);
        *highest = (*highest).max(frame.second);
        beyond
    });
    judged.collect()
}

/// A partition: what is durable, and what is not yet.
struct Partition<'a> {
    frames: &'a [Invented],
    settings: WindowSettings,
    windows: Windows,
    next: usize,
    fresh: Vec<WindowRow>,
    /// As windows judged them at last.
    late: Vec<bool>,
    durable: (String, usize),
    rows: Vec<WindowRow>,
    start: Instant,
}

impl<'a> Partition<'a> {
    fn new(frames: &'a [Invented], settings: WindowSettings) -> Self {
        let start = Instant::now();
        let windows = Windows::new("t".into(), 0, settings, WindowState::default(), start);
        let durable = (serde_json::to_string(windows.state()).unwrap(), 0);
        let late = vec![false; frames.len()];
        Self { frames, settings, windows, next: 0, fresh: vec![], late, durable, rows: vec![], start }
    }

    /// A second of processing time passes with each frame.
    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.next as u64)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Frame => {
                let Some(frame) = self.frames.get(self.next) else { return };
                let added = self.windows.add(&frame.row(), self.now());
                self.late[self.next] = added.late;
                self.fresh.extend(added.closed);
                self.next += 1;
            }
            Step::Append => {
                let revised = self.windows.revise();
                self.fresh.extend(revised);
                self.rows.append(&mut self.fresh);
                self.durable = (serde_json::to_string(self.windows.state()).unwrap(), self.next);
            }
            Step::Crash => {
                self.fresh.clear();
                self.next = self.durable.1;
                let state = serde_json::from_str(&self.durable.0).unwrap();
                self.windows = Windows::new("t".into(), 0, self.settings, state, self.now());
            }
            Step::Idle => {
                // Sources that were heard of within the last five seconds stay open.
                let now = self.now() + self.settings.idle_timeout.saturating_sub(Duration::from_secs(5));
                self.fresh.extend(self.windows.close_idle(now));
            }
        }
    }

    fn finish(mut self) -> (Vec<WindowRow>, Vec<bool>) {
        while self.next < self.frames.len() {
            self.step(Step::Frame);
        }
        let closed = self.windows.close_all();
        self.fresh.extend(closed);
        self.step(Step::Append);
        (self.rows, self.late)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn the_highest_revisions_are_those_of_all_frames_at_once(
        frames in prop::collection::vec(invented(120), 0..70),
        steps in steps(),
        grace in 1..100_i64,
    ) {
        let late = Late::Revise { grace: Duration::from_secs(grace as u64) };
        let mut partition = Partition::new(&frames, settings(late));
        for step in steps {
            partition.step(step);
        }
        let (rows, late) = partition.finish();

        let beyond = beyond_grace(&frames, grace);
        prop_assert_eq!(&late, &beyond, "late is what came beyond grace");
        let mut highest: BTreeMap<_, &WindowRow> = BTreeMap::new();
        for row in &rows {
            let before = highest.insert(window_of(row), row);
            prop_assert_eq!(row.revision, before.map_or(0, |before| before.revision + 1), "revisions are dense, from 0");
            prop_assert_eq!(row.closed_by, before.map_or(row.closed_by, |before| before.closed_by));
        }
        let told: BTreeMap<_, _> = highest.iter().map(|(window, row)| (window.clone(), Content::of(row))).collect();
        let within = frames.iter().zip(&beyond).filter(|(_, beyond)| !**beyond).map(|(frame, _)| frame);
        prop_assert_eq!(told, contents(within));
        let told_late: i64 = highest.values().map(|row| row.late_frames).sum();
        prop_assert!(told_late <= beyond.iter().filter(|beyond| **beyond).count() as i64);
    }
}
