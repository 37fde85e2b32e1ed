//! The faces of one source's frames in their order, so that a picture is shown only with the faces of its neighbours hidden too.
//!
//! In: frames as they are polled, then, in any order, the regions of their faces, or that they have none to tell. Out: pictures with
//! all regions to hide: those of the frame itself, of the frames held before it and of the one that follows. Invariant: no picture
//! comes out before the frame that follows it, and every one held before it, is known or gone; so a face that one frame misses is
//! hidden there, too, be it in the middle, where it appears or where it leaves. Pure: a frame's event time comes with it.

use std::collections::VecDeque;
use std::time::Duration;

use facestream_schemas::Micros;
use facestream_stages::annotate::Region;

/// Regions are held for this many frames …
pub(super) const HELD_FRAMES: usize = 8;
/// … or for this long in event time, whichever is longer …
pub(super) const HELD_FOR: Duration = Duration::from_secs(1);
/// … but no longer than this many frames: clocks may stand still.
pub(super) const MOST_HELD: usize = 64;
/// A frame with more regions than this is hidden as a whole.
const MOST_REGIONS: usize = 32;

/// The frames that matter yet; `P` is a picture.
#[derive(Debug)]
pub(super) struct Strip<P> {
    /// By number, ascending. Frames that were not looked at are taken out.
    frames: VecDeque<Frame>,
    waiting: Option<(u64, P)>,
}

#[derive(Debug)]
struct Frame {
    number: u64,
    at: Micros,
    /// `None` until it was looked at.
    regions: Option<Vec<Region>>,
}

/// A picture that may be shown once the regions are hidden.
#[derive(Debug, PartialEq)]
pub(super) struct Finished<P> {
    pub(super) number: u64,
    pub(super) picture: P,
    pub(super) regions: Vec<Region>,
}

impl<P> Default for Strip<P> {
    fn default() -> Self {
        Self { frames: VecDeque::new(), waiting: None }
    }
}

impl<P> Strip<P> {
    /// A frame was polled. Numbers ascend.
    pub(super) fn enter(&mut self, number: u64, at: Micros) {
        self.frames.push_back(Frame { number, at, regions: None });
    }

    /// The frame is not looked at, or it could not be.
    pub(super) fn leave(&mut self, number: u64) {
        if let Some(index) = self.index(number) {
            self.frames.remove(index);
        }
        self.trim();
    }

    /// The frame's faces and, where one was taken, its picture, which is dropped if another one waits yet. Gives a picture that may
    /// be shown now.
    pub(super) fn know(&mut self, number: u64, regions: Vec<Region>, picture: Option<P>) -> Option<Finished<P>> {
        let regions = if regions.len() > MOST_REGIONS { vec![Region::ALL] } else { regions };
        if let Some(index) = self.index(number) {
            self.frames[index].regions = Some(regions);
        }
        let earlier = self.finish();
        if let Some(picture) = picture {
            self.waiting.get_or_insert((number, picture));
        }
        let finished = earlier.or_else(|| self.finish());
        self.trim();
        finished
    }

    /// Drops the picture that waits.
    pub(super) fn drop_picture(&mut self) {
        self.waiting = None;
    }

    /// The picture that waits, if all is known that it takes.
    pub(super) fn finish(&mut self) -> Option<Finished<P>> {
        let number = self.waiting.as_ref()?.0;
        let Some(index) = self.index(number) else {
            self.waiting = None;
            return None;
        };
        let after = self.frames.get(index + 1)?;
        let first = self.held_from(index, self.frames[index].at);
        let around = self.frames.range(first..=index).chain([after]);
        let regions = around.map(|frame| frame.regions.as_deref()).collect::<Option<Vec<_>>>()?.concat();
        let picture = self.waiting.take()?.1;
        Some(Finished { number, picture, regions })
    }

    /// The first of the frames that are held at the one with this index, of this time.
    fn held_from(&self, index: usize, at: Micros) -> usize {
        let held = |ago: usize, frame: &Frame| {
            ago < HELD_FRAMES || (ago < MOST_HELD && frame.at.millis_since(at).abs() <= HELD_FOR.as_secs_f64() * 1e3)
        };
        let before = self.frames.range(..index).rev().enumerate();
        index - before.take_while(|(ago, frame)| held(*ago, frame)).count()
    }

    /// Forgets what no picture needs any more: those yet to come are of the one that waits, or of frames not yet known, or to come.
    fn trim(&mut self) {
        let unknown = self.frames.iter().position(|frame| frame.regions.is_none()).unwrap_or(self.frames.len());
        let waiting = self.waiting.as_ref().and_then(|(number, _)| self.index(*number));
        let base = waiting.unwrap_or(usize::MAX).min(unknown).min(self.frames.len().saturating_sub(1));
        let Some(at) = self.frames.get(base).map(|frame| frame.at) else { return };
        let first = self.held_from(base, at);
        self.frames.drain(..first);
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.frames.binary_search_by_key(&number, |frame| frame.number).ok()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.frames.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A region that says which frame it is of.
    fn region(number: u64) -> Region {
        Region { left: number as f32, ..Region::ALL }
    }

    fn at(number: u64, frames_per_s: i64) -> Micros {
        Micros(number as i64 * SECOND / frames_per_s)
    }

    /// The frames of which a face is hidden.
    fn hidden(finished: &Finished<u64>) -> Vec<u64> {
        finished.regions.iter().map(|region| region.left as u64).collect()
    }

    /// Frames in order, each offering its picture; a face in all of those that `seen` names.
    fn shown(frames: u64, frames_per_s: i64, seen: impl Fn(u64) -> bool) -> Vec<(u64, Vec<u64>)> {
        let mut strip = Strip::default();
        let mut shown = Vec::new();
        for number in 0..frames {
            strip.enter(number, at(number, frames_per_s));
            let regions = if seen(number) { vec![region(number)] } else { Vec::new() };
            let finished = strip.know(number, regions, Some(number));
            shown.extend(finished.map(|finished| (finished.number, hidden(&finished))));
        }
        shown
    }

    #[test]
    fn a_face_that_a_frame_misses_is_hidden_wherever_the_miss_is() {
        for missed in [0, 5, 9] {
            let shown = shown(10, 10, |number| number != missed);
            assert_eq!(
                shown.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
                (0..9).collect::<Vec<_>>(),
                "the last one waits"
            );
            assert!(shown.iter().all(|(_, hidden)| !hidden.is_empty()), "{missed}: {shown:?}");
        }
        // Missed from 10 to 17: held for eight frames.
        let shown = shown(30, 1, |number| !(10..18).contains(&number));
        assert!(shown.iter().all(|(_, hidden)| !hidden.is_empty()), "{shown:?}");
    }

    #[test]
    fn regions_are_held_for_eight_frames_or_a_second_whichever_is_longer() {
        let last_hidden = |frames_per_s| {
            let shown = shown(200, frames_per_s, |number| number == 20);
            let hidden: Vec<_> = shown.into_iter().filter(|(_, hidden)| !hidden.is_empty()).map(|(number, _)| number).collect();
            (hidden[0], hidden[hidden.len() - 1])
        };
        assert_eq!(last_hidden(1), (19, 28));
        assert_eq!(last_hidden(30), (19, 50));
        assert_eq!(last_hidden(1_000), (19, 20 + MOST_HELD as u64), "not for ever, even if the clock stands still");
    }

    #[test]
    fn a_picture_waits_for_the_frame_that_follows_even_if_later_ones_are_known() {
        let mut strip = Strip::default();
        (0..4).for_each(|number| strip.enter(number, at(number, 10)));
        assert_eq!(strip.know(1, Vec::new(), Some(1)), None);
        assert_eq!(strip.know(3, vec![region(3)], None), None, "frame 2 may be the one that has the face");
        assert_eq!(strip.know(2, vec![region(2)], None), None, "or frame 0");
        strip.leave(0);
        assert_eq!(hidden(&strip.finish().unwrap()), [2]);
    }

    #[test]
    fn a_frame_that_failed_is_as_good_as_none() {
        let mut strip = Strip::default();
        (0..4).for_each(|number| strip.enter(number, at(number, 10)));
        assert_eq!(strip.know(0, vec![region(0)], None), None);
        assert_eq!(strip.know(1, Vec::new(), Some(1)), None);
        strip.leave(2);
        assert_eq!(strip.finish(), None);
        assert_eq!(hidden(&strip.know(3, vec![region(3)], None).unwrap()), [0, 3]);
        // A picture whose own frame is gone is never shown, and holds up none.
        strip.enter(4, at(4, 10));
        strip.enter(5, at(5, 10));
        assert_eq!(strip.know(4, Vec::new(), Some(4)), None);
        strip.leave(4);
        assert_eq!(strip.know(5, Vec::new(), Some(5)), None);
        strip.enter(6, at(6, 10));
        assert_eq!(strip.know(6, Vec::new(), None).map(|finished| finished.number), Some(5));
    }

    #[test]
    fn a_crowd_hides_the_whole_picture() {
        let mut strip = Strip::default();
        strip.enter(0, Micros(0));
        assert_eq!(strip.know(0, vec![region(7); 200], Some(0)), None);
        strip.enter(1, Micros(1));
        assert_eq!(strip.know(1, Vec::new(), None).unwrap().regions, [Region::ALL]);
    }

    proptest! {
        /// Frames are done in any order within a few, some fail, some pictures are offered: whatever comes out has the regions of
        /// the frame, of the eight before it and of the next, of those that did not fail; and little is kept.
        #[test]
        fn every_picture_that_comes_out_hides_what_its_neighbours_have(
            fates in prop::collection::vec((0_u8..10, 0_u64..6), 1..120),
            frames_per_s in prop::sample::select(vec![1_i64, 12, 200]),
        ) {
            let mut strip = Strip::default();
            let failed = |number: u64| fates.get(number as usize).is_some_and(|(fate, _)| *fate == 0);
            // Done in the order of number + delay: as several workers do it.
            let mut order: Vec<_> = fates.iter().enumerate().map(|(number, (_, delay))| (number as u64 + delay, number as u64)).collect();
            order.sort_unstable();
            let mut entered = 0;
            let mut out = Vec::new();
            for (when, number) in order {
                while entered <= when.min(fates.len() as u64 - 1) {
                    strip.enter(entered, at(entered, frames_per_s));
                    entered += 1;
                }
                if failed(number) {
                    strip.leave(number);
                } else {
                    out.extend(strip.know(number, vec![region(number)], Some(number)));
                }
                out.extend(strip.finish());
                prop_assert!(strip.len() <= MOST_HELD + 20, "{}", strip.len());
            }
            for finished in out {
                let number = finished.picture;
                let hidden = hidden(&finished);
                let looked_at: Vec<u64> = (0..fates.len() as u64).filter(|number| !failed(*number)).collect();
                let place = looked_at.iter().position(|looked| *looked == number).unwrap();
                for neighbour in &looked_at[place.saturating_sub(8)..=place + 1] {
                    prop_assert!(hidden.contains(neighbour), "{} lacks {}: {:?}", number, neighbour, hidden);
                }
            }
        }
    }
}
