//! PNG, WebP, BMP, GIF (first frame) and TIFF, through the `image` crate.
//!
//! In: the file's bytes. Out: RGB8 as `cv2.imread` would give it: alpha dropped, 16-bit samples cut to their high byte, grey
//! repeated, palettes looked up. Invariant: the codec may allocate in proportion to the allowed pixels, never to a declared size.

use std::io::Cursor;

use facestream_schemas::envelope::ImageFormat;
use facestream_schemas::{Reason, Rejection, Size};
use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageReader};

use super::{Buffers, Decoded, Limits, hidden, make_room, rgb_bytes};

/// What a codec may hold beside the finished pixels: look-up tables, metadata.
const OVERHEAD_BYTES: u64 = 16 << 20;
/// Bytes per pixel of the largest layout that is accepted (16-bit RGBA), once as output and once inside the codec.
const BYTES_PER_PIXEL: u64 = 2 * 8;

pub(super) fn decode(format: ImageFormat, bytes: &[u8], limits: Limits, buffers: &mut Buffers) -> Result<Decoded, Rejection> {
    let Buffers { pixels, scratch } = buffers;
    let reject = |error| rejection(format, &error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), named(format));
    let mut allowed = image::Limits::no_limits();
    allowed.max_alloc = Some(limits.max_pixels.saturating_mul(BYTES_PER_PIXEL).saturating_add(OVERHEAD_BYTES));
    reader.limits(allowed);
    let mut decoder = reader.into_decoder().map_err(reject)?;
    let (w, h) = decoder.dimensions();
    let size = Size { w, h };
    limits.check(size)?;
    // Broken metadata is no reason to lose the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let color = decoder.color_type();
    let layout = Layout::of(color).ok_or_else(|| {
        Rejection::new(Reason::Unsupported, format_args!("{} image with samples of layout {color:?}", format.media_type()))
    })?;
    hidden::check(format, bytes, limits)?;
    make_room(pixels, rgb_bytes(size));
    // A codec may leave pixels out, as that of GIF does where a palette lacks them: no other image is to be seen there.
    pixels.fill(0);
    if color == ColorType::Rgb8 {
        decoder.read_image(pixels).map_err(reject)?;
    } else {
        make_room(scratch, w as usize * h as usize * layout.step);
        scratch.fill(0);
        decoder.read_image(scratch).map_err(reject)?;
        layout.to_rgb(scratch, pixels);
    }
    Ok(Decoded { size, declared: size, orientation })
}

fn named(format: ImageFormat) -> image::ImageFormat {
    match format {
        ImageFormat::Jpeg => image::ImageFormat::Jpeg,
        ImageFormat::Png => image::ImageFormat::Png,
        ImageFormat::WebP => image::ImageFormat::WebP,
        ImageFormat::Bmp => image::ImageFormat::Bmp,
        ImageFormat::Gif => image::ImageFormat::Gif,
        ImageFormat::Tiff => image::ImageFormat::Tiff,
    }
}

/// Where a pixel's red, green and blue bytes lie.
struct Layout {
    /// Bytes per pixel.
    step: usize,
    /// Offsets of red, green and blue within a pixel.
    rgb: [usize; 3],
}

impl Layout {
    fn of(color: ColorType) -> Option<Self> {
        // The high byte of a 16-bit sample in memory.
        const HIGH: usize = if cfg!(target_endian = "little") { 1 } else { 0 };
        let (step, rgb) = match color {
            ColorType::L8 => (1, [0, 0, 0]),
            ColorType::La8 => (2, [0, 0, 0]),
            ColorType::Rgb8 => (3, [0, 1, 2]),
            ColorType::Rgba8 => (4, [0, 1, 2]),
            ColorType::L16 => (2, [HIGH, HIGH, HIGH]),
            ColorType::La16 => (4, [HIGH, HIGH, HIGH]),
            ColorType::Rgb16 => (6, [HIGH, 2 + HIGH, 4 + HIGH]),
            ColorType::Rgba16 => (8, [HIGH, 2 + HIGH, 4 + HIGH]),
            _ => return None,
        };
        Some(Self { step, rgb })
    }

    fn to_rgb(&self, samples: &[u8], pixels: &mut [u8]) {
        let [red, green, blue] = self.rgb;
        let (pixels, _) = pixels.as_chunks_mut::<3>();
        for (sample, pixel) in samples.chunks_exact(self.step).zip(pixels) {
            *pixel = [sample[red], sample[green], sample[blue]];
        }
    }
}

fn rejection(format: ImageFormat, error: &ImageError) -> Rejection {
    let reason = match error {
        ImageError::Limits(_) => Reason::TooLarge,
        ImageError::Unsupported(_) => Reason::Unsupported,
        _ => Reason::DecodeError,
    };
    Rejection::new(reason, format_args!("cannot decode the {} image: {error}", format.media_type()))
}
