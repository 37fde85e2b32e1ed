//! Keeps faces hidden for a few frames after they were last seen, so that one miss of a detector does not unmask anybody.
//!
//! In: the regions that were found in each frame of a source, in the frames' order. Out: the regions to hide in it. Invariant: for
//! so many further frames of its source as it was told, each region lies within one of those to hide, with the margin that hiding
//! adds. Memory is bounded whatever comes: too many regions of a source become one, all of the picture; too many sources are forgotten,
//! the stalest first. The state is a plain value of whole numbers, so that whoever goes on from it hides the same.

use std::collections::BTreeMap;

use facestream_schemas::SourceId;
use serde::{Deserialize, Serialize};

use super::{MARGIN, Region};
use crate::aggregate::MAX_SOURCES;
use crate::detect::weak;

/// Units along a side of the picture. Regions are kept in whole ones, rounded outwards.
const GRID: i16 = 4_096;
/// What reaches beyond a new region by no more than this share of its side, on each side, is hidden with it.
const SLACK_PERCENT: i32 = 5;
/// A region stands for weak faces around it, too: these reach beyond what is hidden of it no more than it did itself.
const _: () = {
    let slack = SLACK_PERCENT as f32 / 100.0;
    assert!(slack + (1.0 + 2.0 * slack) * weak::SLACK < MARGIN);
};
/// More regions of one source are all of its picture.
const MOST_OF_SOURCE: usize = 256;
/// More than these of all sources together, and the source that has most loses the outlines of its own. About 400 kB as JSON.
const MOST: usize = 16_384;

/// What is kept hidden, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldState {
    /// Frames that have come, over all sources.
    frames: u64,
    /// Sources with something to hide.
    sources: BTreeMap<SourceId, Source>,
}

impl HoldState {
    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    fn regions(&self) -> usize {
        self.sources.values().map(|source| source.held.len()).sum()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    /// The frame that it came with last.
    last: u64,
    held: Vec<Held>,
}

/// A region in units of the grid (left, top, right, bottom), and for how many further frames it is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held([i16; 4], u32);

const ALL: [i16; 4] = [0, 0, GRID, GRID];

/// The hold over one partition's sources.
#[derive(Debug, Default)]
pub struct Hold {
    /// How many further frames a region stays hidden.
    further: u32,
    state: HoldState,
}

impl Hold {
    /// Goes on from `state`. Every region is hidden for `further` frames after the one that it was found in.
    #[must_use]
    pub fn new(further: u32, state: HoldState) -> Self {
        Self { further, state }
    }

    /// What was found so far and still has to be hidden.
    #[must_use]
    pub fn state(&self) -> &HoldState {
        &self.state
    }

    /// The regions to hide in the next frame of `source`, in which `found` were found.
    pub fn hide(&mut self, source: &SourceId, found: &[Region]) -> Vec<Region> {
        self.state.frames += 1;
        let before = self.state.sources.remove(source).unwrap_or_default().held;
        let mut kept: Vec<_> = found.iter().map(|region| Held(outwards(region), self.further)).collect();
        let mut hidden = found.to_vec();
        let outlines: Vec<_> = kept.iter().map(|held| held.0).collect();
        for Held(old, further) in before {
            let further = further.min(self.further);
            if let Some(new) = outlines.iter().position(|new| covers(*new, old)) {
                kept[new].0 = union(kept[new].0, old);
            } else if further > 0 {
                hidden.push(region(old));
                kept.push(Held(old, further - 1));
            }
        }
        kept.retain(|held| held.1 > 0);
        self.keep(source, kept);
        hidden
    }

    fn keep(&mut self, source: &SourceId, mut held: Vec<Held>) {
        if held.is_empty() {
            return;
        }
        if held.len() > MOST_OF_SOURCE {
            held = vec![Held(ALL, self.further)];
        }
        let HoldState { frames, sources } = &mut self.state;
        if sources.len() >= MAX_SOURCES
            && let Some(stalest) = sources.iter().min_by_key(|(_, source)| source.last).map(|(id, _)| id.clone())
        {
            sources.remove(&stalest);
        }
        sources.insert(source.clone(), Source { last: *frames, held });
        while self.state.regions() > MOST {
            if let Some(most) = self.state.sources.values_mut().max_by_key(|source| source.held.len()) {
                most.held = vec![Held(ALL, self.further)];
            }
        }
    }
}

/// A region on the grid, none of it lost within two pictures' width of the picture.
fn outwards(region: &Region) -> [i16; 4] {
    let Region { left, top, right, bottom } = *region;
    if [left, top, right, bottom].iter().any(|edge| edge.is_nan()) {
        return ALL;
    }
    // A conversion saturates, and the limits keep it within 16 bits.
    let units = |edge: f32| (edge * f32::from(GRID)).clamp(f32::from(-GRID), f32::from(2 * GRID));
    let (low, high) = (|edge: f32| units(edge).floor() as i16, |edge: f32| units(edge).ceil() as i16);
    [low(left.min(right)), low(top.min(bottom)), high(left.max(right)), high(top.max(bottom))]
}

fn region(edges: [i16; 4]) -> Region {
    let [left, top, right, bottom] = edges.map(|edge| f32::from(edge) / f32::from(GRID));
    Region { left, top, right, bottom }
}

/// Whether what is hidden of `new` hides `old`, too.
fn covers(new: [i16; 4], old: [i16; 4]) -> bool {
    let [new, old] = [new.map(i32::from), old.map(i32::from)];
    (0..2).all(|axis| {
        let slack = SLACK_PERCENT * (new[axis + 2] - new[axis]) / 100;
        new[axis] - slack <= old[axis] && old[axis + 2] <= new[axis + 2] + slack
    })
}

fn union(a: [i16; 4], b: [i16; 4]) -> [i16; 4] {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

#[cfg(test)]
mod tests {
    use facestream_schemas::{Bbox, Size};
    use proptest::prelude::*;

    use super::super::blur::Extent;
    use super::*;

    const SIZE: Size = Size { w: 1_000, h: 500 };

    fn of(x: f32, y: f32, w: f32, h: f32) -> Region {
        Region::of(&Bbox { x, y, w, h }, SIZE)
    }

    fn id(name: &str) -> SourceId {
        SourceId::new(name)
    }

    /// As the state travels in the journal.
    fn taken_over(hold: &Hold) -> Hold {
        let json = serde_json::to_string(hold.state()).unwrap();
        Hold::new(hold.further, serde_json::from_str(&json).unwrap())
    }

    /// Whether the pixels that are hidden of `cover` are all of `inner` within the picture.
    fn hides(cover: &Region, inner: &Region) -> bool {
        let pixels = |from: f32, to: f32, side: u32| {
            let pixel = |edge: f32| (edge * side as f32).clamp(0.0, side as f32) as usize;
            pixel(from)..pixel(to)
        };
        let (x, y) = (pixels(inner.left, inner.right, SIZE.w), pixels(inner.top, inner.bottom, SIZE.h));
        let within = |from: f32, to: f32, side: u32, inner: &std::ops::Range<usize>| {
            Extent::of(from, to, side).is_some_and(|hidden| hidden.from <= inner.start && inner.end <= hidden.to)
        };
        // Of a face that lies outside there is nothing to see.
        x.is_empty() || y.is_empty() || within(cover.left, cover.right, SIZE.w, &x) && within(cover.top, cover.bottom, SIZE.h, &y)
    }

    /// As far as a weak face may reach beyond the box that stands for it.
    fn with_weak(face: &Region) -> Region {
        let (x, y) = (weak::SLACK * (face.right - face.left), weak::SLACK * (face.bottom - face.top));
        Region { left: face.left - x, top: face.top - y, right: face.right + x, bottom: face.bottom + y }
    }

    /// A face that wanders and is not always found.
    fn walk() -> impl Strategy<Value = Vec<Option<Region>>> {
        let start = (0_f32..900.0, 0_f32..450.0, 8_f32..200.0);
        let steps = prop::collection::vec((prop::array::uniform2(-15_f32..15.0), 0.9_f32..1.1, prop::bool::weighted(0.6)), 1..40);
        (start, steps).prop_map(|((mut x, mut y, mut side), steps)| {
            let step = |([dx, dy], scale, found): ([f32; 2], f32, bool)| {
                (x, y, side) = (x + dx, y + dy, (side * scale).clamp(5.0, 300.0));
                found.then(|| of(x, y, side, side * 1.2))
            };
            steps.into_iter().map(step).collect()
        })
    }

    proptest! {
        /// Against the plain statement: whatever was found in this frame or one of the last `further` of its source is hidden in
        /// it, though the state is handed over at any frame, and other sources come in between.
        #[test]
        fn a_face_stays_hidden_for_so_many_frames_wherever_a_crash_falls(
            faces in prop::collection::vec(walk(), 1..4),
            further in 0_u32..10,
            crashes in prop::collection::vec(any::<bool>(), 40),
        ) {
            let mut hold = Hold::new(further, HoldState::default());
            let mut whole = Hold::new(further, HoldState::default());
            let frames = faces.iter().map(Vec::len).max().unwrap_or_default();
            let found = |frame: usize| -> Vec<Region> { faces.iter().filter_map(|face| face.get(frame).copied().flatten()).collect() };
            for (frame, crash) in crashes.iter().enumerate().take(frames) {
                if *crash {
                    hold = taken_over(&hold);
                }
                let hidden = hold.hide(&id("door"), &found(frame));
                prop_assert_eq!(&hidden, &whole.hide(&id("door"), &found(frame)), "the same after a crash");
                for seen in frame.saturating_sub(further as usize)..=frame {
                    for face in found(seen) {
                        prop_assert!(hidden.iter().any(|region| hides(region, &with_weak(&face))), "{face:?} of {seen} at {frame}: {hidden:?}");
                    }
                }
                prop_assert!(frame > 0 || hidden == found(0), "nothing more than was found");
                hold.hide(&id("yard"), &[]);
                whole.hide(&id("yard"), &[]);
            }
            // A face that stays away is shown no longer than that: nothing is left to hide.
            for _ in 0..=further {
                hold.hide(&id("door"), &[]);
            }
            prop_assert!(hold.state().is_empty());
        }

        #[test]
        fn hostile_boxes_are_hidden_too_and_memory_stays_bounded(
            frames in prop::collection::vec((0_u8..4, prop::collection::vec(prop::array::uniform4(prop::num::f32::ANY), 0..600)), 1..12),
        ) {
            let mut hold = Hold::new(3, HoldState::default());
            for (source, boxes) in frames {
                let regions: Vec<_> = boxes.iter().map(|[left, top, right, bottom]| Region { left: *left, top: *top, right: *right, bottom: *bottom }).collect();
                prop_assert!(hold.hide(&id(&source.to_string()), &regions).len() >= regions.len());
                prop_assert!(hold.state().sources.values().all(|source| source.held.len() <= MOST_OF_SOURCE));
                hold = taken_over(&hold);
            }
        }
    }

    #[test]
    fn a_face_that_is_found_again_is_kept_once() {
        let mut hold = Hold::new(8, HoldState::default());
        for jitter in [0.0, 1.5, -1.0, 2.0, 0.5, -2.0, 0.0, 1.0] {
            let seen = of(400.0 + jitter, 100.0 - jitter, 100.0, 120.0);
            assert_eq!(hold.hide(&id("door"), &[seen]), [seen]);
        }
        assert_eq!(hold.state().regions(), 1);
    }

    #[test]
    fn sources_do_not_hide_each_others_faces_and_a_hold_of_none_keeps_nothing() {
        let face = of(400.0, 100.0, 100.0, 100.0);
        let mut hold = Hold::new(1, HoldState::default());
        hold.hide(&id("door"), &[face]);
        assert_eq!(hold.hide(&id("yard"), &[]), []);
        assert_eq!(hold.hide(&id("door"), &[]).len(), 1);
        assert_eq!(hold.hide(&id("door"), &[]), []);
        let mut none = Hold::new(0, HoldState::default());
        assert_eq!(none.hide(&id("door"), &[face]), [face]);
        assert!(none.state().is_empty());
    }

    #[test]
    fn more_faces_than_are_kept_hide_all_of_the_next_picture() {
        let crowd: Vec<_> = (0..257).map(|n| of((n % 32) as f32 * 30.0, (n / 32) as f32 * 50.0, 4.0, 4.0)).collect();
        let mut hold = Hold::new(2, HoldState::default());
        assert_eq!(hold.hide(&id("stadium"), &crowd), crowd);
        assert_eq!(hold.hide(&id("stadium"), &[]), [Region::ALL]);
    }

    #[test]
    fn the_state_of_any_number_of_sources_is_bounded() {
        let crowd: Vec<_> = (0..200).map(|n| of((n % 20) as f32 * 50.0, (n / 20) as f32 * 50.0, 10.0, 10.0)).collect();
        let mut hold = Hold::new(8, HoldState::default());
        for n in 0..5_000 {
            let faces = if n < 200 { &crowd[..] } else { &crowd[..3] };
            hold.hide(&id(&format!("camera {n}")), faces);
        }
        assert!(hold.state().regions() <= MOST);
        assert_eq!(hold.state().sources.len(), MAX_SOURCES);
        assert!(!hold.state().sources.contains_key(&id("camera 0")), "the stalest is forgotten");
        assert_eq!(hold.hide(&id("camera 4999"), &[]).len(), 3);
        assert!(serde_json::to_string(hold.state()).unwrap().len() < 1 << 20);
    }
}
