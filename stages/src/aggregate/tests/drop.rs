//! With `drop`: wherever a successor takes over, the windows are those of a reference that is given the same frames in the same order,
//! and the same closings.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::reference::{Content, Invented, Step, contents, invented, steps, window_of};
use super::*;

/// What happened, as the journal has it in the end.
#[derive(Clone, Debug)]
enum Event<'a> {
    Frame(&'a Invented),
    /// Every source is closed as idle.
    Closing,
}

/// (content, late frames, closed by) of each window, as the definition has it, event after event.
fn reference(events: &[Event<'_>]) -> BTreeMap<(String, i64), (Content, i64, ClosedBy)> {
    let mut counted: Vec<&Invented> = Vec::new();
    let mut closings: BTreeMap<(String, i64), (i64, ClosedBy)> = BTreeMap::new();
    for source in ["a", "b", "c"] {
        let (mut highest, mut late) = (None, 0);
        let mut open: BTreeSet<i64> = BTreeSet::new();
        let mut closed_until = 0;
        for event in events {
            let mut closed = Vec::new();
            match event {
                Event::Frame(frame) if frame.source == source => {
                    let end = frame.start() + 10;
                    if frame.second < closed_until || highest.is_some_and(|highest: i64| end <= highest - 2) {
                        late += 1;
                    } else {
                        open.insert(frame.start());
                        counted.push(frame);
                    }
                    highest = highest.max(Some(frame.second));
                    closed.extend(open.iter().filter(|start| Some(**start + 10) <= highest.map(|highest| highest - 2)).copied());
                    closings.extend(closed.iter().map(|start| ((source.to_owned(), *start), (0, ClosedBy::Watermark))));
                }
                Event::Frame(_) => {}
                Event::Closing => {
                    closed.extend(open.iter().copied());
                    closings.extend(closed.iter().map(|start| ((source.to_owned(), *start), (0, ClosedBy::Idle))));
                }
            }
            for start in closed {
                open.remove(&start);
                closed_until = closed_until.max(start + 10);
                closings.get_mut(&(source.to_owned(), start)).unwrap().0 = std::mem::take(&mut late);
            }
        }
    }
    let contents = contents(counted.into_iter());
    contents.into_iter().map(|(window, content)| (window.clone(), (content, closings[&window].0, closings[&window].1))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn windows_are_those_of_the_same_frames_and_closings(frames in prop::collection::vec(invented(120), 0..70), steps in steps()) {
        let now = Instant::now();
        let settings = settings(Late::Drop);
        let mut tested = Windows::new("t".into(), 0, settings, WindowState::default(), now);
        let (mut events, mut rows, mut next) = (Vec::new(), Vec::new(), 0);
        let mut durable = (serde_json::to_string(tested.state()).unwrap(), 0, 0, 0);
        let rest = std::iter::repeat_n(Step::Frame, frames.len());
        for step in steps.into_iter().chain(rest).chain([Step::Idle]) {
            match step {
                Step::Frame => {
                    let Some(frame) = frames.get(next) else { continue };
                    rows.extend(tested.add(&frame.row(), now).closed);
                    events.push(Event::Frame(frame));
                    next += 1;
                }
                Step::Append => {
                    prop_assert!(tested.revise().is_empty(), "nothing is revised");
                    durable = (serde_json::to_string(tested.state()).unwrap(), next, rows.len(), events.len());
                }
                Step::Crash => {
                    tested = Windows::new("t".into(), 0, settings, serde_json::from_str(&durable.0).unwrap(), now);
                    next = durable.1;
                    rows.truncate(durable.2);
                    events.truncate(durable.3);
                }
                Step::Idle => {
                    rows.extend(tested.close_idle(now + settings.idle_timeout));
                    events.push(Event::Closing);
                }
            }
        }
        // What a crash among the last steps took away comes once more.
        for frame in &frames[next..] {
            rows.extend(tested.add(&frame.row(), now).closed);
            events.push(Event::Frame(frame));
        }
        rows.extend(tested.close_all());
        events.push(Event::Closing);

        let told: BTreeMap<_, _> =
            rows.iter().map(|row| (window_of(row), (Content::of(row), row.late_frames, row.closed_by))).collect();
        prop_assert_eq!(told.len(), rows.len(), "a window is emitted once");
        prop_assert!(rows.iter().all(|row| row.revision == 0));
        prop_assert_eq!(told, reference(&events));
    }
}
