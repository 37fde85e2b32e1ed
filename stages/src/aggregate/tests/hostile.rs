//! Whatever event times, numbers and settings come, in whatever order: nothing panics, nothing is lost, nothing comes twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..300 * SECOND,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, -1, 0, Micros::MAX.0 - 1, Micros::MAX.0, i64::MAX]),
    ]
}

fn any_settings() -> impl Strategy<Value = WindowSettings> {
    let length = prop_oneof![4 => prop::sample::select(vec![5, 10, 15, 60]).prop_map(Duration::from_secs), 1 => Just(Duration::from_micros(1)), 1 => Just(Duration::ZERO), 1 => Just(Duration::MAX)];
    let some = || prop_oneof![6 => (0..100_u64).prop_map(Duration::from_secs), 1 => Just(Duration::MAX)];
    let late = prop_oneof![1 => Just(Late::Drop), 2 => some().prop_map(|grace| Late::Revise { grace })];
    (length, some(), late).prop_map(|(length, max_out_of_orderness, late)| WindowSettings {
        length,
        max_out_of_orderness,
        late,
        ..settings(late)
    })
}

#[derive(Clone, Debug)]
enum Event {
    Frame(i64, Option<i64>),
    Restart(WindowSettings),
    Append,
    Idle,
}

fn any_event() -> impl Strategy<Value = Event> {
    let number = prop::option::of(prop_oneof![4 => 0..50_i64, 1 => any::<i64>()]);
    prop_oneof![
        20 => (any_time(), number).prop_map(|(at, number)| Event::Frame(at, number)),
        1 => any_settings().prop_map(Event::Restart),
        2 => Just(Event::Append),
        1 => Just(Event::Idle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn every_frame_is_late_or_in_one_window_of_dense_revisions(first in any_settings(), events in prop::collection::vec(any_event(), 0..80)) {
        let now = Instant::now();
        let mut tested = Windows::new("t".into(), 0, first, WindowState::default(), now);
        let (mut rows, mut late, mut frames) = (Vec::new(), 0, 0);
        for event in events {
            match event {
                Event::Frame(at, number) => {
                    let mut row = frame("a", 0, Some(1));
                    (row.meta.capture_ts, row.meta.frame_seq) = (Micros(at), number);
                    let added = tested.add(&row, now);
                    late += i64::from(added.late);
                    frames += 1;
                    rows.extend(added.closed);
                }
                // Between appends, too: the state says all.
                Event::Restart(settings) => {
                    let state = serde_json::to_string(tested.state()).unwrap();
                    tested = Windows::new("t".into(), 0, settings, serde_json::from_str(&state).unwrap(), now);
                }
                Event::Append => rows.extend(tested.revise()),
                Event::Idle => rows.extend(tested.close_all()),
            }
        }
        rows.extend(tested.close_all());
        rows.extend(tested.revise());

        let mut windows: BTreeMap<Micros, &WindowRow> = BTreeMap::new();
        for row in &rows {
            let before = windows.insert(row.window_start, row);
            prop_assert_eq!(row.revision, before.map_or(0, |before| before.revision + 1));
            prop_assert!(before.is_none_or(|before| before.window_end == row.window_end));
            prop_assert!(row.frames_missing.is_none_or(|missing| missing >= 0));
        }
        let spans: Vec<_> = windows.values().map(|row| (row.window_start, row.window_end)).collect();
        prop_assert!(spans.iter().all(|(start, end)| start < end), "{:?}", spans);
        prop_assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "windows overlap: {:?}", spans);
        prop_assert_eq!(windows.values().map(|row| row.frames_ok).sum::<i64>() + late, frames);
    }
}
