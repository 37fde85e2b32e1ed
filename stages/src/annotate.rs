//! What people may see of a frame: a small picture with the faces hidden and the detections drawn.
//!
//! In: the image that a detector looked at, and regions. Out: a [`Tile`] of RGB pixels, then a JPEG of it. Invariant: of a region that
//! is hidden nothing is left but a few averages (`blur.rs`); what is drawn over it is drawn afterwards.

use facestream_schemas::{Bbox, Size};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{ResizeOptions, Resizer};
use turbojpeg::{Compressor, PixelFormat, Subsamp};

use crate::decode::Image;
use crate::preprocess::{filter, fit};

mod blur;
mod draw;

/// Neither side of a tile is longer than this many pixels.
pub const LONGEST_PX: u32 = 480;
/// Enough for people to see what there is: about 20 kB a picture.
const QUALITY: i32 = 75;

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

/// A small picture: RGB, packed, rows top-down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// `size.w * size.h * 3` bytes.
    pub rgb: Vec<u8>,
    /// Its size in pixels.
    pub size: Size,
}

impl Tile {
    /// Replaces everything in each region, enlarged by a margin, by a few averages. Where the regions together are many times as
    /// large as the picture, the whole of it is one.
    pub fn hide(&mut self, regions: &[Region]) {
        blur::hide(&mut self.rgb, self.size, regions);
    }

    /// Draws each detection's box and score.
    pub fn draw(&mut self, marks: &[Mark]) {
        for mark in marks {
            draw::mark(&mut self.rgb, self.size, mark);
        }
    }
}

/// Makes tiles and encodes them. One for each thread; what it allocates it reuses.
#[derive(Debug, Default)]
pub struct Easel {
    resizer: Resizer,
    jpeg: Option<Compressor>,
}

impl Easel {
    /// The image as a tile: shrunk to [`LONGEST_PX`], never enlarged, its aspect ratio kept.
    ///
    /// # Panics
    /// With an image that has not three bytes for each pixel.
    pub fn shrink(&mut self, image: &Image<'_>) -> Tile {
        let size = tile_size(image.size);
        if size == image.size {
            return Tile { rgb: image.pixels.to_vec(), size };
        }
        let mut rgb = vec![0; size.w as usize * size.h as usize * 3];
        let options = ResizeOptions::new().resize_alg(filter(image.size, size));
        let pixels = TypedImageRef::<U8x3>::from_buffer(image.size.w, image.size.h, image.pixels).expect("three bytes per pixel");
        let mut out = TypedImage::<U8x3>::from_buffer(size.w, size.h, &mut rgb).expect("made for this size");
        self.resizer.resize_typed(&pixels, &mut out, &options).expect("there is no crop box that could be wrong");
        // Rarely used: what it held must not stay with every worker.
        self.resizer.reset_internal_buffers();
        Tile { rgb, size }
    }

    /// The tile as a JPEG.
    pub fn encode(&mut self, tile: &Tile) -> Result<Vec<u8>, turbojpeg::Error> {
        let jpeg = match &mut self.jpeg {
            Some(jpeg) => jpeg,
            none => none.insert(compressor()?),
        };
        let (width, height) = (tile.size.w as usize, tile.size.h as usize);
        let image = turbojpeg::Image { pixels: &tile.rgb[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
        jpeg.compress_to_vec(image)
    }
}

fn compressor() -> Result<Compressor, turbojpeg::Error> {
    let mut jpeg = Compressor::new()?;
    jpeg.set_quality(QUALITY)?;
    jpeg.set_subsamp(Subsamp::Sub2x2)?;
    Ok(jpeg)
}

fn tile_size(image: Size) -> Size {
    let longest = Size { w: LONGEST_PX, h: LONGEST_PX };
    if image.w <= longest.w && image.h <= longest.h { image } else { fit(image, longest) }
}

#[cfg(test)]
mod tests;
