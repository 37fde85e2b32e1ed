//! Many people who stand still, of sizes that are asked for: what accuracy is measured on where there are no labelled pictures.
//!
//! In: a number, the size of the picture, the heights of the faces. Out: a [`View`]. Invariant: heads lie wholly in the picture and never
//! touch; one that found no room is neither drawn nor listed.

use facestream_schemas::Size;

use super::path::Place;
use super::portrait::{FACE, HEAD};
use super::texture::hash;
use super::{Scene, View};

/// The smallest and the largest face of [`Scene::crowd`] in pixels, forehead to chin.
const HEIGHTS: [f64; 2] = [20.0, 400.0];
/// One face for so many pixels of the picture: ten in one of 1920 x 1080.
const PIXELS_PER_FACE: u64 = 200_000;
const TRIES: u64 = 200;

impl Scene {
    /// Picture `number` of people in all sizes, from 20 to 400 pixels of face, however large the picture is.
    #[must_use]
    pub fn crowd(number: u32, size: Size) -> View {
        let people = (u64::from(size.w) * u64::from(size.h) / PIXELS_PER_FACE).max(1);
        let heights = (0..people).map(|person| {
            // Evenly spread over the logarithm, in every few pictures anew.
            let spread = (u64::from(number) * people + person) as f64 * 0.618_033_988_75;
            HEIGHTS[0] * (HEIGHTS[1] / HEIGHTS[0]).powf(spread.fract())
        });
        Self::crowd_of(number, size, &heights.collect::<Vec<_>>())
    }

    /// Picture `number` of people whose faces have these heights in pixels.
    #[must_use]
    pub fn crowd_of(number: u32, size: Size, heights_px: &[f64]) -> View {
        let mut sides: Vec<u32> = heights_px.iter().map(|height| side_of(*height)).collect();
        sides.sort_unstable_by_key(|side| std::cmp::Reverse(*side));
        let mut places: Vec<Place> = Vec::new();
        for (person, side) in (0_u64..).zip(sides) {
            places.extend((0..TRIES).find_map(|attempt| free_place(number, person, attempt, side, size, &places)));
        }
        Self::with_people(number, size, 0).view_of(places)
    }
}

/// The side of a head whose face is so high.
fn side_of(height: f64) -> u32 {
    let [_, top, _, bottom] = FACE;
    (height * f64::from(HEAD) / f64::from(bottom - top)).round() as u32
}

/// A place for a head at random, unless another head is there.
fn free_place(number: u32, person: u64, attempt: u64, side: u32, picture: Size, taken: &[Place]) -> Option<Place> {
    let (across, down) = (picture.w.checked_sub(side)?, picture.h.checked_sub(side)?);
    let random = hash(u64::from(number), 1 << 32 | person, attempt);
    let within = |bits: u64, room: u32| (((bits & 0xffff_ffff) * (u64::from(room) + 1)) >> 32) as u32;
    let place = Place { x: within(random, across), y: within(random >> 32, down), side };
    let apart = |a: u32, a_side: u32, b: u32, b_side: u32| a + a_side <= b || b + b_side <= a;
    let is_free = |other: &Place| apart(place.x, side, other.x, other.side) || apart(place.y, side, other.y, other.side);
    taken.iter().all(is_free).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { w: 1920, h: 1080 };

    #[test]
    fn faces_have_the_heights_that_were_asked_for_and_lie_apart() {
        let heights = [20.0, 37.0, 80.0, 150.0, 400.0];
        let view = Scene::crowd_of(7, SIZE, &heights);
        let mut found: Vec<f64> = view.faces.iter().map(|face| f64::from(face.h)).collect();
        found.sort_by(f64::total_cmp);
        assert!(found.len() == 5 && found.iter().zip(heights).all(|(found, asked)| (found - asked).abs() < 0.5), "{found:?}");
        for (index, face) in view.faces.iter().enumerate() {
            assert!(face.x >= 0.0 && face.y >= 0.0 && face.x + face.w <= 1920.0 && face.y + face.h <= 1080.0, "{face:?}");
            assert!(view.faces[..index].iter().all(|other| face.iou(other) == 0.0), "{face:?}");
        }
        assert_eq!(view.rgb, Scene::crowd_of(7, SIZE, &heights).rgb);
        assert_ne!(view.rgb, Scene::crowd_of(8, SIZE, &heights).rgb);
    }

    #[test]
    fn a_head_without_room_is_neither_drawn_nor_listed() {
        let small = Size { w: 200, h: 200 };
        let view = Scene::crowd_of(0, small, &[400.0]);
        assert!(view.faces.is_empty() && view.rgb == Scene::with_people(0, small, 0).view(0).rgb);
    }

    #[test]
    fn a_crowd_has_all_sizes() {
        let heights: Vec<f32> = (0..8).flat_map(|number| Scene::crowd(number, SIZE).faces).map(|face| face.h).collect();
        assert!(heights.len() > 60, "{}", heights.len());
        for (from, below) in [(19.0, 32.0), (32.0, 64.0), (64.0, 128.0), (128.0, 401.0)] {
            assert!(
                heights.iter().filter(|height| (from..below).contains(*height)).count() > 5,
                "{from} to {below}: {heights:?}"
            );
        }
    }
}
