//! What the sampler promises, against counts by slot, and through restarts.

use std::collections::BTreeSet;
use std::time::Instant;

use facestream_schemas::{Reason, Rejection};
use proptest::prelude::*;

use super::*;
use crate::aggregate::fixtures::{frame, settings};
use crate::aggregate::{Late, WindowState, Windows};

const LIMIT: Duration = Duration::from_millis(500);

fn sampler(fps: f64) -> Sampler {
    Sampler::new(fps, LIMIT, std::iter::empty())
}

/// Frames of one source, in milliseconds: in order of their event time plus a delay that is within the limit.
fn slightly_out_of_order() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec((0..20_000_i64, 0..=LIMIT.as_millis() as i64), 0..200).prop_map(|mut frames| {
        frames.sort_by_key(|(at, delay)| at + delay);
        frames.into_iter().map(|(at, _)| at).collect()
    })
}

fn chosen(sampler: &mut Sampler, millis: &[i64]) -> Vec<i64> {
    let source = SourceId::new("door");
    millis.iter().copied().filter(|at| sampler.chooses(&source, Micros(at * 1_000))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn of_frames_in_order_the_first_of_each_slot_is_chosen(mut millis in prop::collection::vec(0..20_000_i64, 0..200), fps in 1..50_u32) {
        millis.sort_unstable();
        let mut slots = BTreeSet::new();
        let slot_ns = i64::from(1_000_000_000_u32.div_ceil(fps));
        let expected: Vec<_> = millis.iter().copied().filter(|at| slots.insert(at * 1_000_000 / slot_ns)).collect();
        prop_assert_eq!(chosen(&mut sampler(f64::from(fps)), &millis), expected);
    }

    #[test]
    fn of_frames_out_of_order_within_the_limit_no_slot_has_two(millis in slightly_out_of_order(), fps in 0.1_f64..60.0) {
        let chosen = chosen(&mut sampler(fps), &millis);
        let slots: BTreeSet<_> = chosen.iter().map(|at| sampler(fps).slot(Micros(at * 1_000))).collect();
        prop_assert_eq!(slots.len(), chosen.len());
        if let (Some(first), Some(last)) = (millis.iter().min(), millis.iter().max()) {
            let seconds = (last - first) as f64 / 1e3;
            prop_assert!(!chosen.is_empty() && chosen.len() as f64 <= fps * seconds + 2.0, "{} in {} s", chosen.len(), seconds);
        }
    }

    /// Whatever the order: between one step back that is beyond the limit and the next, each slot is chosen once, in order.
    #[test]
    fn a_clock_that_is_set_back_starts_over_from_there(millis in prop::collection::vec(0..20_000_i64, 0..100), fps in 0.1_f64..60.0) {
        let slot_ns = (1e9 / fps).ceil() as i64;
        let mut last: Option<i64> = None;
        for at in &chosen(&mut sampler(fps), &millis) {
            if let Some(last) = last {
                let steps_back = (last - at) * 1_000_000 > LIMIT.as_nanos() as i64 + slot_ns;
                let slot = |at: i64| at * 1_000_000 / slot_ns;
                prop_assert!(steps_back || slot(*at) > slot(last), "{} after {}", at, last);
            }
            last = Some(*at);
        }
    }

    /// The windows' state at any offset is enough to go on choosing exactly the same frames.
    #[test]
    fn a_successor_chooses_the_same_frames(
        frames in prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), 0..10_000_i64, 0..8_u8), 0..120),
        restarts in prop::collection::btree_set(0..120_usize, 0..4),
        fps in 0.1_f64..30.0,
    ) {
        let now = Instant::now();
        let mut whole = sampler(fps);
        let mut resumed = sampler(fps);
        let mut windows = Windows::new("t".into(), 0, settings(Late::Drop), WindowState::default(), now);
        for (n, (source, millis, kind)) in frames.iter().enumerate() {
            if restarts.contains(&n) {
                let state = serde_json::to_string(windows.state()).unwrap();
                let state: WindowState = serde_json::from_str(&state).unwrap();
                resumed = Sampler::new(fps, LIMIT, state.all_looked_at());
                windows = Windows::new("t".into(), 0, settings(Late::Drop), state, now);
            }
            let mut row = frame(source, 0, Some(1));
            row.meta.capture_ts = Micros(millis * 1_000);
            let (id, at) = (row.meta.source_id.clone(), row.meta.capture_ts);
            // One in eight is broken before anybody could choose it, another only once it was chosen.
            let chosen = if *kind == 0 {
                whole.note(&id, at);
                resumed.note(&id, at);
                true
            } else {
                let chosen = whole.chooses(&id, at);
                prop_assert_eq!(resumed.chooses(&id, at), chosen, "frame {}", n);
                chosen
            };
            match (chosen, *kind) {
                (false, _) => row.outcome = Err(Rejection::new(Reason::SampledOut, "")),
                (true, 0) => row.outcome = Err(Rejection::new(Reason::EnvelopeError, "")),
                (true, 1) => row.outcome = Err(Rejection::new(Reason::DecodeError, "")),
                (true, _) => {}
            }
            windows.add(&row, now);
            prop_assert_eq!(windows.state().looked_at(&id), whole.last.get(&id).copied());
        }
    }
}

#[test]
fn absurd_rates_and_times_choose_something_and_panic_never() {
    let source = SourceId::new("a");
    for fps in [f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MIN_POSITIVE, 1e300] {
        let mut sampler = Sampler::new(fps, Duration::MAX, std::iter::empty());
        assert!(sampler.chooses(&source, Micros(i64::MIN)));
        for at in [i64::MAX, 0, i64::MIN, -1, i64::MAX] {
            sampler.chooses(&source, Micros(at));
        }
    }
}

#[test]
fn a_key_per_message_does_not_grow_the_sampler_without_bound() {
    let mut sampler = sampler(1.0);
    for n in 0..10_000 {
        assert!(sampler.chooses(&SourceId::new(&n.to_string()), Micros(n)));
    }
    assert!(sampler.last.len() <= MAX_SOURCES);
    assert!(!sampler.chooses(&SourceId::new("9999"), Micros(9_999)), "the newest are remembered");
}
