//! Where one person of a scene is in picture number n.
//!
//! In: camera, person, size of the picture, n. Out: a square for the head, or nothing while the person is away.
//! Invariant: the square lies wholly in the picture and in the person's own column, so heads never cover each other.

use std::f64::consts::TAU;

use facestream_schemas::Size;

use super::texture::hash;

/// A head's side, least and most, as a share of the picture's height: faces of 56 to 190 px in 360.
/// YuNet-n finds them all at 640x384; CenterFace scores three in a thousand just below 0.6, and many below 46 px.
const SIDE: [f64; 2] = [0.28, 0.95];

/// The square that a head fills, in pixels of the picture.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) side: u32,
}

/// The way of one person.
pub(super) struct Path {
    column: [f64; 2],
    height: f64,
    /// Least and most side of the head in pixels.
    side: [f64; 2],
    x: Swing,
    y: Swing,
    size: Swing,
    /// Length of a round of presence and absence, and what the person has behind them at picture 0, in pictures.
    round: [u64; 2],
}

/// A slow swing between 0 and 1.
struct Swing {
    pictures: f64,
    phase: f64,
}

impl Swing {
    fn new(seed: u64) -> Self {
        Self { pictures: 200.0 + (seed % 150) as f64, phase: TAU * (seed >> 32 & 0xff) as f64 / 256.0 }
    }

    fn at(&self, n: u64) -> f64 {
        0.5 + 0.5 * (n as f64 * TAU / self.pictures + self.phase).sin()
    }
}

impl Path {
    /// Person `index` of `people` in front of a camera.
    pub(super) fn new(camera: u32, index: u32, people: u32, size: Size) -> Self {
        let seed = |what: u64| hash(u64::from(camera), u64::from(index), what);
        let width = f64::from(size.w) / f64::from(people);
        let most = (SIDE[1] * f64::from(size.h)).min(width);
        Self {
            column: [width * f64::from(index), width],
            height: f64::from(size.h),
            side: [(SIDE[0] * f64::from(size.h)).min(most), most],
            x: Swing::new(seed(1)),
            y: Swing::new(seed(2)),
            size: Swing::new(seed(3)),
            round: [80 + seed(4) % 80, seed(5) % 60],
        }
    }

    /// The head in picture `n`, where the person is there: three quarters of the time.
    pub(super) fn at(&self, n: u64) -> Option<Place> {
        let [length, behind] = self.round;
        if (n + behind) % length >= length * 3 / 4 {
            return None;
        }
        let side = (self.side[0] + (self.side[1] - self.side[0]) * self.size.at(n)).floor();
        // Rounding the left edge up keeps to the column; what room there is beside the head shrinks by that pixel.
        let left = self.column[0].ceil();
        let room = (self.column[0] + self.column[1] - left - side).max(0.0);
        let x = left + (room * self.x.at(n)).floor();
        let y = ((self.height - side) * self.y.at(n)).floor();
        Some(Place { x: x as u32, y: y as u32, side: side as u32 })
    }
}
