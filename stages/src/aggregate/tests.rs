//! Windows: the cases that the references of the property tests do not know.

use facestream_schemas::Reason;

use super::fixtures::{SECOND, frame, numbered, settings, skipped};
use super::source::MAX_WINDOWS;
use super::*;

mod drop;
mod hostile;
mod reference;
mod revise;

const REVISE: Late = Late::Revise { grace: Duration::from_mins(1) };

fn windows(late: Late, state: WindowState, now: Instant) -> Windows {
    Windows::new("t".into(), 0, settings(late), state, now)
}

/// (start in s, revision) of each row.
fn told(rows: &[WindowRow]) -> Vec<(i64, i32)> {
    rows.iter().map(|row| (row.window_start.0 / SECOND, row.revision)).collect()
}

#[test]
fn a_silent_source_is_closed_and_a_lively_one_is_not() {
    let start = Instant::now();
    let mut tested = windows(Late::Drop, WindowState::default(), start);
    tested.add(&frame("silent", 3, Some(2)), start);
    tested.add(&frame("lively", 3, Some(0)), start + Duration::from_secs(29));
    assert_eq!(tested.close_idle(start + Duration::from_secs(29)), []);
    let active = |second| {
        let now = start + Duration::from_secs(second);
        let sources = tested.sources(now).map(|known| (known.source.as_str().to_owned(), known.is_active, known.watermark));
        sources.collect::<Vec<_>>()
    };
    let known = |source: &str, is_active| (source.to_owned(), is_active, Micros(SECOND));
    assert_eq!(active(29), [known("lively", true), known("silent", true)]);
    assert_eq!(active(30), [known("lively", true), known("silent", false)]);
    let closed = tested.close_idle(start + Duration::from_secs(30));
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].source_id.as_str(), closed[0].closed_by, closed[0].faces_total), ("silent", ClosedBy::Idle, 2));
    assert_eq!((closed[0].window_start, closed[0].window_end), (Micros(0), Micros(10 * SECOND)));

    // A frame for the window that was closed is late, and the source's next window says so.
    assert!(tested.add(&frame("silent", 5, Some(1)), start).late);
    tested.add(&frame("silent", 11, None), start);
    let closed = tested.close_all();
    let silent = closed.iter().find(|row| row.source_id.as_str() == "silent").unwrap();
    assert_eq!((silent.late_frames, silent.frames_failed, silent.faces_per_frame_mean), (1, 1, None));
}

#[test]
fn a_window_that_was_closed_as_idle_is_revised_by_what_still_comes() {
    let now = Instant::now();
    let mut tested = windows(REVISE, WindowState::default(), now);
    tested.add(&frame("a", 3, Some(2)), now);
    assert_eq!(told(&tested.close_all()), [(0, 0)]);
    assert!(tested.add(&frame("a", 5, Some(1)), now).revised);
    assert!(tested.add(&frame("a", 6, None), now).revised);
    let rows = tested.revise();
    assert_eq!(told(&rows), [(0, 1)], "two frames, one append, one revision");
    assert_eq!((rows[0].faces_total, rows[0].frames_failed, rows[0].closed_by), (3, 1, ClosedBy::Idle));
    assert_eq!((tested.revise(), tested.close_all()), (vec![], vec![]));
}

#[test]
fn a_late_frame_within_grace_opens_a_window_that_had_none() {
    let now = Instant::now();
    let mut tested = windows(REVISE, WindowState::default(), now);
    tested.add(&frame("a", 50, Some(0)), now);
    let added = tested.add(&frame("a", 25, Some(1)), now);
    assert_eq!((added.late, added.revised, added.closed), (false, true, vec![]));
    let rows = tested.revise();
    assert_eq!(told(&rows), [(20, 0)]);
    assert_eq!((rows[0].closed_by, rows[0].late_frames), (ClosedBy::Watermark, 0));
}

#[test]
fn grace_ends_where_the_watermark_has_passed_it() {
    let now = Instant::now();
    let mut tested = windows(REVISE, WindowState::default(), now);
    tested.add(&frame("a", 5, Some(0)), now);
    // The watermark is at 70 s: exactly the grace beyond 10 s.
    assert_eq!(told(&tested.add(&frame("a", 72, Some(0)), now).closed), [(0, 0)]);
    assert!(tested.add(&frame("a", 6, Some(0)), now).revised);
    // One second more, and the window says its last before anybody asks.
    let rows = tested.add(&frame("a", 73, Some(0)), now).closed;
    assert_eq!((told(&rows), rows[0].frames_ok), (vec![(0, 1)], 2));
    assert!(tested.add(&frame("a", 7, Some(0)), now).late);
    assert!(tested.revise().is_empty());
    assert_eq!(tested.close_all()[0].late_frames, 1);
}

#[test]
fn late_frames_of_the_highest_revisions_sum_up_to_all() {
    let now = Instant::now();
    let mut tested = windows(REVISE, WindowState::default(), now);
    for second in [100, 5, 6, 115, 105, 7] {
        tested.add(&frame("a", second, Some(0)), now);
    }
    // 5 and 6 came too late and are told of by the window of 100, 7 by its revision for 105, and on top.
    assert_eq!(tested.revise().iter().map(|row| (row.revision, row.late_frames)).collect::<Vec<_>>(), [(1, 3)]);
}

#[test]
fn a_late_number_changes_what_the_window_after_it_misses() {
    let now = Instant::now();
    let mut tested = windows(REVISE, WindowState::default(), now);
    let mut rows = Vec::new();
    for (second, number) in [(1, 1), (11, 5), (21, 6), (33, 7)] {
        rows.extend(tested.add(&numbered("a", second, number), now).closed);
    }
    let missing =
        |rows: &[WindowRow]| rows.iter().map(|row| (row.window_start.0 / SECOND, row.frames_missing)).collect::<Vec<_>>();
    assert_eq!(missing(&rows), [(0, Some(0)), (10, Some(3)), (20, Some(0))]);
    // 3 is the first window's own: 2 is missing there, and only 4 in the one after.
    tested.add(&numbered("a", 2, 3), now);
    assert_eq!(missing(&tested.revise()), [(0, Some(1)), (10, Some(1))]);
    // 2 changes nothing for the window after.
    tested.add(&numbered("a", 3, 2), now);
    assert_eq!(missing(&tested.revise()), [(0, Some(0))]);
}

#[test]
fn what_a_load_policy_left_out_is_skipped_and_neither_failed_nor_timed() {
    let now = Instant::now();
    let mut tested = windows(Late::Drop, WindowState::default(), now);
    tested.add(&skipped("a", 1, Reason::SampledOut), now);
    tested.add(&skipped("a", 2, Reason::Stale), now);
    let only_skipped = tested.close_all().remove(0);
    assert_eq!((only_skipped.frames_skipped, only_skipped.frames_ok, only_skipped.frames_failed), (2, 0, 0));
    assert_eq!((only_skipped.e2e_ms_p50, only_skipped.e2e_ms_p99), (None, None));

    tested.add(&skipped("a", 11, Reason::Stale), now);
    tested.add(&frame("a", 12, None), now);
    tested.add(&frame("a", 13, Some(0)), now);
    let mixed = tested.close_all().remove(0);
    assert_eq!((mixed.frames_skipped, mixed.frames_ok, mixed.frames_failed), (1, 1, 1));
    let p99 = mixed.e2e_ms_p99.unwrap();
    assert!((p99 / 100.0 - 1.0).abs() <= 0.025, "{p99} where both took 100 ms");
}

#[test]
fn the_state_tells_which_frame_was_looked_at_last() {
    let now = Instant::now();
    let mut tested = windows(Late::Drop, WindowState::default(), now);
    let source = SourceId::new("a");
    tested.add(&skipped("a", 1, Reason::SampledOut), now);
    assert_eq!((tested.state().looked_at(&source), tested.state().all_looked_at().count()), (None, 0));
    for (row, second) in [(frame("a", 9, Some(0)), 9), (frame("a", 4, None), 4), (skipped("a", 7, Reason::Stale), 7)] {
        tested.add(&row, now);
        assert_eq!(tested.state().looked_at(&source), Some(Micros(second * SECOND)), "the last one, not the highest");
    }
    tested.add(&skipped("a", 8, Reason::SampledOut), now);
    assert_eq!(tested.state().all_looked_at().collect::<Vec<_>>(), [(source, Micros(7 * SECOND))]);
}

#[test]
fn the_low_watermark_is_that_of_the_slowest_open_source() {
    let now = Instant::now();
    let mut tested = windows(Late::Drop, WindowState::default(), now);
    assert_eq!(tested.low_watermark(), None);
    tested.add(&frame("fast", 100, Some(0)), now);
    tested.add(&frame("slow", 50, Some(0)), now);
    assert_eq!(tested.low_watermark(), Some(Micros(48 * SECOND)));
    tested.close_all();
    assert_eq!(tested.low_watermark(), Some(Micros(98 * SECOND)));
}

#[test]
fn a_changed_length_cuts_windows_that_do_not_overlap() {
    let now = Instant::now();
    let mut tested = windows(Late::Drop, WindowState::default(), now);
    tested.add(&frame("a", 15, Some(0)), now);
    let settings = WindowSettings { length: Duration::from_secs(15), ..settings(Late::Drop) };
    let mut tested = Windows::new("t".into(), 0, settings, tested.state().clone(), now);
    let mut closed = Vec::new();
    for second in [14, 16, 22, 31] {
        closed.extend(tested.add(&frame("a", second, Some(0)), now).closed);
    }
    closed.extend(tested.close_all());
    let spans: Vec<_> = closed.iter().map(|row| (row.window_start.0 / SECOND, row.window_end.0 / SECOND)).collect();
    // 10..20 was open; 14 lies in it, 16 too; 22 opens what is left of 15..30; 31 the next whole one.
    assert_eq!(spans, [(10, 20), (20, 30), (30, 45)]);
}

#[test]
fn a_record_of_an_older_program_is_gone_on_from() {
    let window =
        r#"{"end":20000000,"ok":2,"failed":1,"with_face":1,"faces":3,"faces_max":3,"score_sum":1.5,"scored":3,"e2e_ms":{"9":3}}"#;
    let source = format!(r#"{{"highest":15000000,"closed_until":10000000,"late":4,"open":{{"10000000":{window}}}}}"#);
    let state: WindowState = serde_json::from_str(&format!(r#"{{"sources":{{"a":{source}}}}}"#)).unwrap();
    let now = Instant::now();
    let mut tested = windows(REVISE, state, now);
    // Its windows before 10 s were closed and are forgotten.
    assert!(tested.add(&frame("a", 9, Some(1)), now).late);
    tested.add(&numbered("a", 16, 7), now);
    let row = tested.close_all().remove(0);
    assert_eq!((row.frames_ok, row.frames_failed, row.faces_total, row.late_frames), (3, 1, 3, 5));
    assert_eq!((row.frames_missing, row.revision), (Some(0), 0));
}

#[test]
fn with_another_policy_nothing_is_emitted_twice_or_forgotten() {
    let now = Instant::now();
    let mut tested = windows(REVISE, WindowState::default(), now);
    tested.add(&frame("a", 5, Some(0)), now);
    tested.add(&frame("a", 25, Some(0)), now);
    // Dropping: what was kept is closed for good.
    let mut tested = windows(Late::Drop, tested.state().clone(), now);
    assert!(tested.add(&frame("a", 6, Some(0)), now).late);
    assert!(tested.revise().is_empty());
    // Revising again: what was done with stays so, what is closed from now on is kept.
    let mut tested = windows(REVISE, tested.state().clone(), now);
    assert!(tested.add(&frame("a", 7, Some(0)), now).late);
    assert!(tested.add(&frame("a", 12, Some(0)), now).revised);
    let rows = tested.add(&frame("a", 40, Some(0)), now).closed;
    assert_eq!((told(&rows), rows[0].late_frames), (vec![(20, 0)], 2));
    assert_eq!(told(&tested.revise()), [(10, 0)]);
}

#[test]
fn a_key_per_message_does_not_grow_the_state_without_bound() {
    for late in [Late::Drop, REVISE] {
        let now = Instant::now();
        let mut tested = windows(late, WindowState::default(), now);
        let mut emitted = 0;
        for n in 0..10_000 {
            emitted += tested.add(&frame(&format!("key-{n}"), n, Some(0)), now).closed.len();
        }
        assert!(tested.state.sources.len() <= MAX_SOURCES && tested.heard.len() <= MAX_SOURCES);
        emitted += tested.close_all().len() + tested.revise().len();
        assert_eq!(emitted, 10_000, "forgotten sources' windows are emitted too");
    }
}

#[test]
fn a_source_that_is_forgotten_says_what_its_late_frames_have_changed() {
    let now = Instant::now();
    let mut tested = windows(REVISE, WindowState::default(), now);
    tested.add(&frame("old", 1, Some(0)), now);
    tested.close_all();
    assert!(tested.add(&frame("old", 2, Some(0)), now).revised);
    let rows: Vec<_> = (0..MAX_SOURCES).flat_map(|n| tested.add(&frame(&format!("{n}"), 100, Some(0)), now).closed).collect();
    let old: Vec<_> =
        rows.iter().filter(|row| row.source_id.as_str() == "old").map(|row| (row.revision, row.frames_ok)).collect();
    assert_eq!(old, [(1, 2)]);
}

#[test]
fn event_times_that_reach_back_for_ever_do_not_grow_the_state_without_bound() {
    let now = Instant::now();
    let forever = Late::Revise { grace: Duration::MAX };
    let mut tested = windows(forever, WindowState::default(), now);
    let mut rows = Vec::new();
    for n in (0..3_000).rev().chain(3_000..6_000) {
        rows.extend(tested.add(&frame("a", 10 * n, Some(0)), now).closed);
        rows.extend(tested.revise());
        assert!(tested.state.sources[&SourceId::new("a")].windows() <= MAX_WINDOWS);
    }
    rows.extend(tested.close_all());
    rows.extend(tested.revise());
    // Beyond the bound the oldest are done with: what is older still is late.
    let late: i64 = rows.iter().map(|row| row.late_frames).sum();
    assert_eq!(rows.len() as i64 + late, 6_000);
    assert!(rows.iter().all(|row| row.revision == 0));
}
