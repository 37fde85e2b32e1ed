//! Where a face is, how it moves, and how sure that is: a Kalman filter of constant velocity.
//!
//! In: boxes, and the time between them. Out: where the next one should be, and by how much it may be off. Invariant: every number
//! is finite, whatever the boxes and times (those of [`is_box`], at most a minute apart).
//!
//! State as in BoT-SORT (Aharon et al. 2022): centre, width and height; noise in proportion to the face's size as in `DeepSORT`
//! (Wojke et al. 2017). So the variances depend on the times alone, and one set serves both axes. The size has no velocity: a face
//! that is being covered would go on shrinking.

use facestream_schemas::Bbox;
use serde::{Deserialize, Serialize};

/// Variance of a detected box's place and size, in squares of the face's size: 5 % off, as in `DeepSORT`.
const MEASURED: f32 = 0.05 * 0.05;
/// Variance of the velocity of a face that was seen once, in sizes/s squared. At 2 m somebody walking past makes about 6 sizes/s: two
/// standard deviations.
const UNKNOWN_SPEED: f32 = 3.0 * 3.0;
/// By how much that variance grows in a second: a face changes its velocity by about its own size a second.
const RESTLESSNESS: f32 = 1.0 * 1.0;
/// No face is believed to move faster, in sizes/s.
const FASTEST: f32 = 20.0;
/// Boxes are grown by so many standard deviations of the prediction …
const SIGMAS: f32 = 2.0;
/// … and by no more than this, in sizes.
const MOST_GROWN: f32 = 1.5;
/// The largest coordinate and length of a box, in pixels.
const FARTHEST: f32 = 1e6;

/// Whether a detection's box is one that can be followed: finite, at least a pixel wide and high, and not absurdly far or large.
pub(super) fn is_box(bbox: &Bbox) -> bool {
    let is_length = |length: f32| (1.0..=FARTHEST).contains(&length);
    is_length(bbox.w) && is_length(bbox.h) && bbox.x.abs() <= FARTHEST && bbox.y.abs() <= FARTHEST
}

/// A face's place and motion at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 9]", into = "[f32; 9]")]
pub(super) struct Motion {
    /// In pixels.
    centre: [f32; 2],
    /// In pixels.
    size: [f32; 2],
    /// In pixels/s.
    velocity: [f32; 2],
    /// Variance of the centre, its covariance with the velocity, and the velocity's variance; in sizes and seconds.
    place_place: f32,
    place_speed: f32,
    speed_speed: f32,
}

impl Motion {
    /// A face that is seen for the first time.
    pub(super) fn starting(bbox: &Bbox) -> Self {
        Self {
            centre: centre(bbox),
            size: [bbox.w, bbox.h],
            velocity: [0.0; 2],
            place_place: MEASURED,
            place_speed: 0.0,
            speed_speed: UNKNOWN_SPEED,
        }
    }

    /// Where it should be `seconds` later.
    pub(super) fn after(&self, seconds: f32) -> Self {
        let Self { velocity, place_place, place_speed, speed_speed, .. } = *self;
        Self {
            centre: [0, 1].map(|axis| self.centre[axis] + velocity[axis] * seconds),
            // White-noise acceleration, integrated over the time.
            place_place: place_place + seconds * (2.0 * place_speed + seconds * (speed_speed + RESTLESSNESS * seconds / 3.0)),
            place_speed: place_speed + seconds * (speed_speed + RESTLESSNESS * seconds / 2.0),
            speed_speed: speed_speed + seconds * RESTLESSNESS,
            ..*self
        }
    }

    /// What is known once it was found in this box.
    pub(super) fn found(&self, bbox: &Bbox) -> Self {
        let sum = self.place_place + MEASURED;
        let (to_place, to_speed) = (self.place_place / sum, self.place_speed / sum);
        let (found, size) = (centre(bbox), [bbox.w, bbox.h]);
        let fastest = FASTEST * self.side();
        let off = [0, 1].map(|axis| found[axis] - self.centre[axis]);
        Self {
            centre: [0, 1].map(|axis| self.centre[axis] + to_place * off[axis]),
            size: [0, 1].map(|axis| self.size[axis] + to_place * (size[axis] - self.size[axis])),
            velocity: [0, 1].map(|axis| (self.velocity[axis] + to_speed * off[axis]).clamp(-fastest, fastest)),
            place_place: self.place_place * (1.0 - to_place),
            place_speed: self.place_speed * (1.0 - to_place),
            speed_speed: self.speed_speed - to_speed * self.place_speed,
        }
    }

    /// How well a box fits a prediction, 0 to 1; `None` where they overlap by less than `min_iou`, both grown by how unsure the
    /// prediction is. Of two that fit alike the surer one fits better, so that a face is not lost to a track that could be anywhere.
    pub(super) fn fit(&self, bbox: &Bbox, min_iou: f32) -> Option<f32> {
        let side = self.side();
        let grown = side * (SIGMAS * (self.place_place + MEASURED).sqrt()).min(MOST_GROWN);
        let grow = |[x, y]: [f32; 2], [w, h]: [f32; 2]| Bbox {
            x: x - w / 2.0 - grown,
            y: y - h / 2.0 - grown,
            w: w + 2.0 * grown,
            h: h + 2.0 * grown,
        };
        let iou = grow(self.centre, self.size).iou(&grow(centre(bbox), [bbox.w, bbox.h]));
        (iou >= min_iou).then(|| iou * side / (side + grown))
    }

    /// The side of a square as large as the face, in pixels: its size.
    fn side(&self) -> f32 {
        (self.size[0] * self.size[1]).sqrt()
    }
}

fn centre(bbox: &Bbox) -> [f32; 2] {
    [bbox.x + bbox.w / 2.0, bbox.y + bbox.h / 2.0]
}

impl From<Motion> for [f32; 9] {
    fn from(motion: Motion) -> Self {
        let Motion { centre: [x, y], size: [w, h], velocity: [vx, vy], place_place, place_speed, speed_speed } = motion;
        [x, y, w, h, vx, vy, place_place, place_speed, speed_speed]
    }
}

impl From<[f32; 9]> for Motion {
    fn from([x, y, w, h, vx, vy, place_place, place_speed, speed_speed]: [f32; 9]) -> Self {
        Self { centre: [x, y], size: [w, h], velocity: [vx, vy], place_place, place_speed, speed_speed }
    }
}
