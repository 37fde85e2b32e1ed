//! From an image to a tile, and from a tile to a file.
//!
//! In: an image, or a tile. Out: a tile no larger than the live page needs, or the bytes of a JPEG or PNG. Invariant: a file holds
//! the tile's pixels and nothing else: no orientation, thumbnail, profile or comment of what the image came from, since those
//! never get here.

use std::io::Cursor;

use facestream_schemas::Size;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{ResizeOptions, Resizer};
use image::{ExtendedColorType, ImageEncoder as _};
use turbojpeg::{Compressor, PixelFormat, Subsamp};

use super::Tile;
use crate::decode::Image;
use crate::preprocess::{filter, fit};

/// Neither side of a shrunk tile is longer than this many pixels.
pub const LONGEST_PX: u32 = 480;
/// Enough for people to see what there is: about 20 kB a small picture.
const QUALITY: u8 = 75;

/// How a tile is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// At the easel's quality, colours at half the resolution.
    Jpeg,
    /// Without loss.
    Png,
}

/// A tile cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A side of more than 65,535 pixels, or no memory.
    #[error("cannot encode a jpeg: {0}")]
    Jpeg(#[from] turbojpeg::Error),
    /// No memory, or no pixels.
    #[error("cannot encode a png: {0}")]
    Png(#[from] image::ImageError),
}

/// Makes tiles and encodes them. One for each thread; what it allocates it reuses.
#[derive(Debug)]
pub struct Easel {
    resizer: Resizer,
    quality: u8,
    jpeg: Option<Compressor>,
}

impl Default for Easel {
    fn default() -> Self {
        Self::new(QUALITY)
    }
}

impl Easel {
    /// An easel whose JPEGs have this quality, 1 to 100.
    #[must_use]
    pub fn new(quality: u8) -> Self {
        Self { resizer: Resizer::default(), quality: quality.clamp(1, 100), jpeg: None }
    }

    /// The image as a tile: shrunk to [`LONGEST_PX`], never enlarged, its aspect ratio kept.
    ///
    /// # Panics
    /// With an image that has not three bytes for each pixel.
    pub fn shrink(&mut self, image: &Image<'_>) -> Tile {
        let size = tile_size(image.size);
        if size == image.size {
            return Tile::of(image);
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
    pub fn encode(&mut self, tile: &Tile) -> Result<Vec<u8>, EncodeError> {
        let jpeg = match &mut self.jpeg {
            Some(jpeg) => jpeg,
            none => none.insert(compressor(self.quality)?),
        };
        let (width, height) = (tile.size.w as usize, tile.size.h as usize);
        let image = turbojpeg::Image { pixels: &tile.rgb[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
        Ok(jpeg.compress_to_vec(image)?)
    }

    /// The tile in either format.
    pub fn encode_as(&mut self, tile: &Tile, format: Format) -> Result<Vec<u8>, EncodeError> {
        match format {
            Format::Jpeg => self.encode(tile),
            Format::Png => {
                let mut file = Cursor::new(Vec::new());
                let png = image::codecs::png::PngEncoder::new(&mut file);
                png.write_image(&tile.rgb, tile.size.w, tile.size.h, ExtendedColorType::Rgb8)?;
                Ok(file.into_inner())
            }
        }
    }
}

fn compressor(quality: u8) -> Result<Compressor, turbojpeg::Error> {
    let mut jpeg = Compressor::new()?;
    jpeg.set_quality(quality.into())?;
    jpeg.set_subsamp(Subsamp::Sub2x2)?;
    Ok(jpeg)
}

pub(super) fn tile_size(image: Size) -> Size {
    let longest = Size { w: LONGEST_PX, h: LONGEST_PX };
    if image.w <= longest.w && image.h <= longest.h { image } else { fit(image, longest) }
}
