//! Pictures encoded anew, as smaller or cheaper JPEGs.
//!
//! In: encoded pictures, or the pixels of a video's frame. Out: JPEGs, upright, of the wanted quality, no side longer than
//! wanted. Invariant: a picture that need not be changed keeps its bytes.

use facestream_schemas::{Rejection, Size};
use facestream_stages::decode::{Decode, Limits};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use turbojpeg::{Compressor, PixelFormat, Subsamp};

/// The quality where none is given.
const QUALITY: u8 = 85;
/// JPEG has no longer side.
const LONGEST_SIDE: u32 = 65_500;

/// What is wanted of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// 1 to 100; `None` keeps the bytes of a picture whose size is right.
    pub(super) quality: Option<u8>,
    /// In pixels.
    pub(super) max_side: Option<u32>,
    /// Most pixels of a picture from elsewhere.
    pub(super) max_pixels: u64,
}

/// A picture that cannot be had as wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum RetouchError {
    #[error("{}", .0.error)]
    Decode(Rejection),
    #[error("cannot encode it as a JPEG: {0}")]
    Encode(#[from] turbojpeg::Error),
    #[error("cannot scale it: {0}")]
    Scale(String),
}

/// One thread's decoder and encoder.
pub(super) struct Retouch {
    wanted: Wanted,
    decode: Decode,
    encoder: Encoder,
}

/// The part that makes JPEGs.
struct Encoder {
    max_side: u32,
    jpeg: Compressor,
    resizer: Resizer,
    scaled: Vec<u8>,
}

impl Retouch {
    pub(super) fn new(wanted: Wanted) -> anyhow::Result<Self> {
        // A JPEG is decoded at the least size that covers this square.
        let side = wanted.max_side.unwrap_or(LONGEST_SIDE);
        let decode = Decode::new(Limits { max_pixels: wanted.max_pixels }, Size { w: side, h: side });
        let mut jpeg = Compressor::new()?;
        jpeg.set_quality(i32::from(wanted.quality.unwrap_or(QUALITY)))?;
        jpeg.set_subsamp(Subsamp::Sub2x2)?;
        let encoder = Encoder { max_side: side.min(LONGEST_SIDE), jpeg, resizer: Resizer::new(), scaled: Vec::new() };
        Ok(Self { wanted, decode, encoder })
    }

    /// The picture as wanted.
    pub(super) fn picture(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, RetouchError> {
        if self.wanted.quality.is_none() && self.wanted.max_side.is_none() {
            return Ok(bytes);
        }
        let image = self.decode.decode(&bytes).map_err(RetouchError::Decode)?;
        let is_small = image.original.w.max(image.original.h) <= self.encoder.max_side;
        if self.wanted.quality.is_none() && is_small {
            return Ok(bytes);
        }
        self.encoder.encode(image.pixels, image.size, PixelFormat::RGB)
    }

    /// The JPEG of packed pixels of three bytes each, rows top-down.
    #[cfg(any(feature = "video", test))]
    pub(super) fn pixels(&mut self, pixels: &[u8], size: Size, format: PixelFormat) -> Result<Vec<u8>, RetouchError> {
        self.encoder.encode(pixels, size, format)
    }
}

impl Encoder {
    fn encode(&mut self, pixels: &[u8], size: Size, format: PixelFormat) -> Result<Vec<u8>, RetouchError> {
        let to = within(size, self.max_side);
        if to != size {
            self.scale(pixels, size, to)?;
        }
        let pixels = if to == size { pixels } else { &self.scaled };
        let (width, height) = (to.w as usize, to.h as usize);
        Ok(self.jpeg.compress_to_vec(turbojpeg::Image { pixels, width, pitch: width * 3, height, format })?)
    }

    /// Fills `scaled`.
    fn scale(&mut self, pixels: &[u8], from: Size, to: Size) -> Result<(), RetouchError> {
        let failed = |error: &dyn std::fmt::Display| RetouchError::Scale(error.to_string());
        let source = ImageRef::new(from.w, from.h, pixels, PixelType::U8x3).map_err(|error| failed(&error))?;
        self.scaled.resize(to.w as usize * to.h as usize * 3, 0);
        let mut target = Image::from_slice_u8(to.w, to.h, &mut self.scaled, PixelType::U8x3).map_err(|error| failed(&error))?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize(&source, &mut target, &options).map_err(|error| failed(&error))
    }
}

/// `size`, or what of its shape has `max_side` as its longer side.
fn within(size: Size, max_side: u32) -> Size {
    let longer = size.w.max(size.h);
    if longer <= max_side {
        return size;
    }
    let scaled = |side: u32| ((u64::from(side) * u64::from(max_side) + u64::from(longer) / 2) / u64::from(longer)).max(1) as u32;
    Size { w: scaled(size.w), h: scaled(size.h) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(quality: Option<u8>, max_side: Option<u32>) -> Wanted {
        Wanted { quality, max_side, max_pixels: 1_000_000 }
    }

    /// A picture of two halves, left red and right blue.
    fn halves(size: Size) -> Vec<u8> {
        let pixel = |x| if x < size.w / 2 { [255, 0, 0] } else { [0, 0, 255] };
        (0..size.h).flat_map(|_| (0..size.w).flat_map(pixel)).collect()
    }

    fn png(size: Size) -> Vec<u8> {
        let picture = image::RgbImage::from_raw(size.w, size.h, halves(size)).unwrap();
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// Size of a JPEG, and the colours left and right.
    fn look(jpeg: &[u8]) -> (Size, [u8; 3], [u8; 3]) {
        let image = turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap();
        let row = image.height / 2 * image.pitch;
        let at = |x: usize| [0, 1, 2].map(|channel| image.pixels[row + x * 3 + channel]);
        let size = Size { w: image.width as u32, h: image.height as u32 };
        (size, at(image.width / 4), at(image.width * 3 / 4))
    }

    fn assert_halves(jpeg: &[u8], size: Size) {
        let (found, [lr, lg, lb], [rr, rg, rb]) = look(jpeg);
        assert_eq!(found, size);
        assert!(lr > 230 && lg < 25 && lb < 25 && rr < 25 && rg < 25 && rb > 230, "{:?}", look(jpeg));
    }

    #[test]
    fn a_picture_keeps_its_bytes_unless_something_else_is_wanted() {
        let size = Size { w: 64, h: 32 };
        let original = png(size);
        for wanted in [wanted(None, None), wanted(None, Some(64)), wanted(None, Some(1000))] {
            assert_eq!(Retouch::new(wanted).unwrap().picture(original.clone()).unwrap(), original, "{wanted:?}");
        }
        // What is not even a picture is no concern of ours as long as nothing is wanted.
        assert_eq!(Retouch::new(wanted(None, None)).unwrap().picture(vec![1, 2, 3]).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn pictures_become_jpegs_of_the_wanted_quality_and_size() {
        let size = Size { w: 640, h: 320 };
        let mut best = Retouch::new(wanted(Some(95), None)).unwrap();
        let large = best.picture(png(size)).unwrap();
        assert_halves(&large, size);
        let small = Retouch::new(wanted(Some(10), None)).unwrap().picture(large.clone()).unwrap();
        assert!(small.len() < large.len());
        assert_halves(&Retouch::new(wanted(None, Some(100))).unwrap().picture(large).unwrap(), Size { w: 100, h: 50 });
        // Blue, green, red, as OpenCV has it.
        let bgr: Vec<u8> = halves(size).chunks(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0]]).collect();
        assert_halves(&best.pixels(&bgr, size, PixelFormat::BGR).unwrap(), size);
    }

    #[test]
    fn what_cannot_be_decoded_or_is_too_large_is_named() {
        let mut retouch = Retouch::new(wanted(Some(85), None)).unwrap();
        let error = |bytes: Vec<u8>, retouch: &mut Retouch| retouch.picture(bytes).unwrap_err().to_string();
        assert!(error(b"no picture at all".to_vec(), &mut retouch).contains("not a JPEG"));
        let size = Size { w: 64, h: 32 };
        let cut = png(size)[..60].to_vec();
        assert!(error(cut, &mut retouch).contains("decode"));
        let mut narrow = Retouch::new(Wanted { max_pixels: 2_047, ..wanted(Some(85), None) }).unwrap();
        assert!(error(png(size), &mut narrow).contains("2048 pixels"));
    }

    #[test]
    fn a_size_keeps_its_shape() {
        let within = |w, h, side| within(Size { w, h }, side);
        assert_eq!(within(1920, 1080, 640), Size { w: 640, h: 360 });
        assert_eq!(within(1080, 1920, 640), Size { w: 360, h: 640 });
        assert_eq!(within(640, 480, 640), Size { w: 640, h: 480 });
        assert_eq!(within(60_000, 10, 100), Size { w: 100, h: 1 });
    }
}
