//! Encoded bytes to upright RGB pixels.
//!
//! In: the bytes of one image of a known format. Out: an [`Image`] that borrows the decoder's buffer, or a [`Rejection`].
//! Invariant: nothing is allocated for pixels before the size in the header has been checked against [`Limits`], and buffers
//! above 32 MiB do not outlive the frame after the one that needed them.

use facestream_schemas::envelope::{ImageFormat, sniff, video};
use facestream_schemas::{Reason, Rejection, Size};
use image::metadata::Orientation;

mod hidden;
mod jpeg;
mod orient;
mod other_formats;

/// Bytes that a pixel buffer may keep from one frame to the next; enough for 4K (25 MB).
const KEEP_BYTES: usize = 32 << 20;

/// RGB8 pixels, packed, rows top-down, EXIF orientation applied; borrowed from the decoder's reused buffer.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// `size.w * size.h * 3` bytes.
    pub pixels: &'a [u8],
    /// Size of `pixels`.
    pub size: Size,
    /// Size of the upright image before JPEG reduction; detections are in these pixels.
    pub original: Size,
}

/// What an image may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most pixels of the original image (width times height).
    pub max_pixels: u64,
}

impl Limits {
    fn check(self, size: Size) -> Result<(), Rejection> {
        let pixels = u64::from(size.w) * u64::from(size.h);
        if pixels == 0 {
            return Err(Rejection::new(Reason::DecodeError, format_args!("the image is {} x {} pixels", size.w, size.h)));
        }
        if pixels > self.max_pixels {
            let Size { w, h } = size;
            let limit = self.max_pixels;
            let error = format_args!("the image is {w} x {h} = {pixels} pixels, the limit is {limit} (envelope.max_pixels)");
            return Err(Rejection::new(Reason::TooLarge, error));
        }
        Ok(())
    }
}

/// What a format's decoder leaves in the pixel buffer, not yet upright.
struct Decoded {
    /// Size of the pixels in the buffer.
    size: Size,
    /// Size that the file declares.
    declared: Size,
    orientation: Orientation,
}

/// Turns encoded images into pixels, at the largest power-of-two JPEG reduction that still covers the letterboxed image.
#[derive(Debug)]
pub struct Decode {
    target: Size,
    limits: Limits,
    buffers: Buffers,
}

/// Memory that is reused from frame to frame.
#[derive(Debug, Default)]
struct Buffers {
    /// RGB8.
    pixels: Vec<u8>,
    /// CMYK, 16-bit and the like before conversion, or pixels before they are turned upright.
    scratch: Vec<u8>,
}

impl Decode {
    /// A decoder for images that will be fitted into `target`: what the detector says in `decode_for`.
    #[must_use]
    pub fn new(limits: Limits, target: Size) -> Self {
        Self { target, limits, buffers: Buffers::default() }
    }

    /// A decoder that never reduces: every pixel of the image.
    #[must_use]
    pub fn full(limits: Limits) -> Self {
        Self::new(limits, Size { w: u32::MAX, h: u32::MAX })
    }

    /// Other limits from now on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Decodes one image. The pixels are valid until the next call.
    ///
    /// Rejects with `Unsupported` what is no known format, with `TooLarge` what declares more pixels than allowed, and with
    /// `DecodeError` what is broken or cut short.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Image<'_>, Rejection> {
        let Some(format) = sniff(bytes) else { return Err(unknown_format(bytes)) };
        for buffer in [&mut self.buffers.pixels, &mut self.buffers.scratch] {
            if buffer.capacity() > KEEP_BYTES {
                *buffer = Vec::new();
            }
        }
        let decoded = match format {
            ImageFormat::Jpeg => jpeg::JpegDecode::new(self.target)?.decode(bytes, self.limits, &mut self.buffers)?,
            other => other_formats::decode(other, bytes, self.limits, &mut self.buffers)?,
        };
        Ok(self.upright(&decoded))
    }

    /// Decodes one image into `pixels`, whose memory is used again and swapped with the decoder's own; gives its size.
    pub fn decode_into(&mut self, bytes: &[u8], pixels: &mut Vec<u8>) -> Result<Size, Rejection> {
        std::mem::swap(&mut self.buffers.pixels, pixels);
        let size = self.decode(bytes).map(|image| image.size);
        std::mem::swap(&mut self.buffers.pixels, pixels);
        size
    }

    fn upright(&mut self, decoded: &Decoded) -> Image<'_> {
        let Buffers { pixels, scratch } = &mut self.buffers;
        if decoded.orientation != Orientation::NoTransforms {
            make_room(scratch, rgb_bytes(decoded.size));
            orient::turn(pixels, decoded.size, decoded.orientation, scratch);
            std::mem::swap(pixels, scratch);
        }
        Image {
            pixels,
            size: orient::upright_size(decoded.size, decoded.orientation),
            original: orient::upright_size(decoded.declared, decoded.orientation),
        }
    }
}

/// Bytes of an RGB8 image.
fn rgb_bytes(size: Size) -> usize {
    size.w as usize * size.h as usize * 3
}

/// Makes the buffer `len` bytes long. A growing one is replaced by zeroed memory from the operating system, which costs real
/// memory only where it is written: a header that lies gets address space, no more.
fn make_room(buffer: &mut Vec<u8>, len: usize) {
    if buffer.capacity() < len {
        *buffer = Vec::new();
        *buffer = vec![0; len];
    } else {
        buffer.resize(len, 0);
    }
}

fn unknown_format(bytes: &[u8]) -> Rejection {
    if let Some(video) = video(bytes) {
        return Rejection::new(Reason::Unsupported, video.refusal());
    }
    let start: Vec<String> = bytes.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let start = start.join(" ");
    let error = format_args!("not a JPEG, PNG, WebP, BMP, GIF or TIFF image: {} bytes that begin with [{start}]", bytes.len());
    Rejection::new(Reason::Unsupported, error)
}

#[cfg(test)]
mod tests;
