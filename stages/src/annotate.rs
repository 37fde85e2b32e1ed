//! What people may see of a frame: a picture of it with the faces hidden, or with the detections drawn.
//!
//! In: an image, and regions or detections. Out: a [`Tile`] of RGB pixels, then a JPEG or PNG of it, without any metadata (`easel.rs`).
//! Invariant: of a region that is hidden nothing is left but a few averages (`blur.rs`); what is drawn over it is drawn afterwards.

use std::fmt;
use std::str::FromStr;

use facestream_schemas::{Bbox, Detection, ScoreKind, Size};
use serde::{Deserialize, Serialize};

use crate::decode::Image;

mod blur;
mod draw;
mod easel;
mod hold;

pub use easel::{Easel, EncodeError, Format, LONGEST_PX};
pub use hold::{Hold, HoldState};

/// What is hidden grows by this share of its side on each side: detectors' boxes end at the forehead and the chin.
pub const MARGIN: f32 = 0.3;

/// What is done to a picture before people see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Nothing.
    #[default]
    None,
    /// A rectangle around each face, with its score.
    Boxes,
    /// Faces are hidden behind a smooth blur.
    Blur,
    /// Faces are hidden behind a few large squares.
    Pixelate,
}

impl What {
    const ALL: [Self; 4] = [Self::None, Self::Boxes, Self::Blur, Self::Pixelate];

    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Boxes => "boxes",
            Self::Blur => "blur",
            Self::Pixelate => "pixelate",
        }
    }

    /// Whether it makes faces unrecognisable: then those that a detector is not sure of count, too.
    #[must_use]
    pub fn hides(self) -> bool {
        matches!(self, Self::Blur | Self::Pixelate)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not one of the four.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected none, boxes, blur or pixelate, not {0:?}")]
pub struct UnknownWhat(String);

impl FromStr for What {
    type Err = UnknownWhat;

    fn from_str(name: &str) -> Result<Self, UnknownWhat> {
        Self::ALL.into_iter().find(|what| what.as_str() == name).ok_or_else(|| UnknownWhat(name.to_owned()))
    }
}

/// How boxes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Thickness of the lines in pixels; 0 draws none. A line's middle lies on the box's edge, rounded to a whole pixel, as with
    /// `cv2.rectangle(image, (x, y), (x + w, y + h), colour, line_px)`, which for its part paints lines of 2 pixels and more wider
    /// than it was told; of an even thickness the larger half lies before the edge.
    pub line_px: u32,
    /// Height of the score's digits in pixels, rounded down to a multiple of 5; less above a narrow box. 0 writes none.
    pub text_px: u32,
    /// Red, green, blue.
    pub colour: [u8; 3],
}

impl Default for Style {
    fn default() -> Self {
        Self { line_px: 3, text_px: 20, colour: [0, 255, 0] }
    }
}

impl Style {
    /// For pictures as small as [`Easel::shrink`] makes them.
    pub const SMALL: Self = Self { line_px: 2, text_px: 10, colour: [64, 220, 130] };
}

/// A rectangle in shares of a picture's sides: from 0, 0 to 1, 1 it is all of it. It may reach over the border.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Bottom edge.
    pub bottom: f32,
}

impl Region {
    /// The whole picture.
    pub const ALL: Self = Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };

    /// Where a box lies in an image of `original` size. A box that is none (NaN) may be anywhere: it is the whole picture.
    #[must_use]
    pub fn of(bbox: &Bbox, original: Size) -> Self {
        let (w, h) = (original.w.max(1) as f32, original.h.max(1) as f32);
        let region = Self { left: bbox.x / w, top: bbox.y / h, right: (bbox.x + bbox.w) / w, bottom: (bbox.y + bbox.h) / h };
        let edges = [region.left, region.top, region.right, region.bottom];
        if edges.iter().any(|edge| edge.is_nan()) { Self::ALL } else { region }
    }
}

/// A detection to be drawn: where, and how sure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// The box.
    pub region: Region,
    /// The score, where there is one.
    pub score: Option<f32>,
}

impl Mark {
    /// Of a detection in an image of `original` size. A score that is no share of certainty is left out.
    #[must_use]
    pub fn of(face: &Detection, original: Size) -> Self {
        let score = face.score.filter(|_| face.score_kind == ScoreKind::Prob);
        Self { region: Region::of(&face.bbox, original), score }
    }
}

/// A picture that people may see: RGB, packed, rows top-down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// `size.w * size.h * 3` bytes.
    pub rgb: Vec<u8>,
    /// Its size in pixels.
    pub size: Size,
}

impl Tile {
    /// A copy of the image as it is.
    #[must_use]
    pub fn of(image: &Image<'_>) -> Self {
        Self { rgb: image.pixels.to_vec(), size: image.size }
    }

    /// Does `what` to the faces of an image of `original` size; where they are hidden, to the `weak` ones as well.
    pub fn annotate(&mut self, what: What, faces: &[Detection], weak: &[Bbox], original: Size, style: &Style) {
        let hidden =
            || faces.iter().map(|face| &face.bbox).chain(weak).map(|bbox| Region::of(bbox, original)).collect::<Vec<_>>();
        match what {
            What::None => {}
            What::Boxes => self.draw(&faces.iter().map(|face| Mark::of(face, original)).collect::<Vec<_>>(), style),
            What::Blur => self.hide(&hidden()),
            What::Pixelate => self.pixelate(&hidden()),
        }
    }

    /// Replaces everything in each region, enlarged by a margin, by a few averages with smooth transitions. Where the regions
    /// together are many times as large as the picture, the whole of it is one.
    pub fn hide(&mut self, regions: &[Region]) {
        blur::hide(&mut self.rgb, self.size, regions, blur::Cells::Smooth);
    }

    /// As [`Tile::hide`], with a square of one colour for each average.
    pub fn pixelate(&mut self, regions: &[Region]) {
        blur::hide(&mut self.rgb, self.size, regions, blur::Cells::Hard);
    }

    /// Draws each detection's box and score.
    pub fn draw(&mut self, marks: &[Mark], style: &Style) {
        for mark in marks {
            draw::mark(&mut self.rgb, self.size, mark, style);
        }
    }
}

#[cfg(test)]
mod tests;
