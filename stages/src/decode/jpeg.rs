//! JPEG, through TurboJPEG.
//!
//! In: the file's bytes. Out: RGB8 pixels, reduced by 1, 2, 4 or 8 while decoding. Invariant: an image with missing or damaged
//! data is rejected, and one that is only untidy is decoded.
//!
//! libjpeg goes on after damage and only warns, so the warnings decide: see [`harmless`].

use facestream_schemas::{Reason, Rejection, Size};
use image::metadata::Orientation;
use turbojpeg::{Colorspace, DecompressHeader, Decompressor, PixelFormat, ScalingFactor};

use super::{Buffers, DecodeSetupError, Decoded, Limits, make_room, rgb_bytes};
use crate::preprocess::fit;

/// A progressive file may ask for any number of passes over the whole image; encoders use about ten.
const MAX_SCANS: u32 = 100;
/// A Huffman-coded block of 8 x 8 pixels takes one bit or more, so a byte holds at most this many pixels. A file with fewer
/// bytes than that is cut or a bomb, and progressive decoding would allocate for all its pixels at once.
const MAX_PIXELS_PER_BYTE: u64 = 8 * 64;

const SOS: u8 = 0xDA;
const EOI: u8 = 0xD9;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP14: u8 = 0xEE;
const APP15: u8 = 0xEF;
const COMMENT: u8 = 0xFE;

#[derive(Debug)]
pub(super) struct JpegDecode {
    turbo: Decompressor,
    target: Size,
}

impl JpegDecode {
    pub(super) fn new(target: Size) -> Result<Self, DecodeSetupError> {
        let mut turbo = Decompressor::new()?;
        turbo.set_scan_limit(MAX_SCANS)?;
        Ok(Self { turbo, target })
    }

    pub(super) fn decode(&mut self, bytes: &[u8], limits: Limits, buffers: &mut Buffers) -> Result<Decoded, Rejection> {
        let orientation = orientation(bytes);
        match self.turbo.read_header(bytes) {
            Ok(header) => self.decode_body(bytes, &header, orientation, limits, buffers),
            // The library gives no sizes along with a warning: try again without what it may have warned about.
            Err(error) if harmless(&error) => {
                let tidy = without_metadata(bytes);
                let header = self.turbo.read_header(&tidy).map_err(|error| broken(&error))?;
                self.decode_body(&tidy, &header, orientation, limits, buffers)
            }
            Err(error) => Err(broken(&error)),
        }
    }

    fn decode_body(
        &mut self,
        bytes: &[u8],
        header: &DecompressHeader,
        orientation: Orientation,
        limits: Limits,
        Buffers { pixels, scratch }: &mut Buffers,
    ) -> Result<Decoded, Rejection> {
        let declared = Size { w: header.width as u32, h: header.height as u32 };
        limits.check(declared)?;
        let most_pixels = (bytes.len() as u64).saturating_mul(MAX_PIXELS_PER_BYTE);
        if u64::from(declared.w) * u64::from(declared.h) > most_pixels {
            let error = format_args!("{} x {} pixels cannot come from {} bytes of jpeg", declared.w, declared.h, bytes.len());
            return Err(Rejection::new(Reason::DecodeError, error));
        }
        let scale = if header.is_lossless { ScalingFactor::ONE } else { reduction(declared, self.target, orientation) };
        self.turbo.set_scaling_factor(scale).map_err(|error| broken(&error))?;
        let size = Size { w: scale.scale(header.width) as u32, h: scale.scale(header.height) as u32 };
        make_room(pixels, rgb_bytes(size));
        if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
            make_room(scratch, rgb_bytes(size) / 3 * 4);
            self.decompress(bytes, size, PixelFormat::CMYK, scratch)?;
            cmyk_to_rgb(scratch, pixels, segments(bytes).any(|segment| segment.is_adobe()));
        } else {
            self.decompress(bytes, size, PixelFormat::RGB, pixels)?;
        }
        Ok(Decoded { size, declared, orientation })
    }

    fn decompress(&mut self, bytes: &[u8], size: Size, format: PixelFormat, out: &mut [u8]) -> Result<(), Rejection> {
        let (width, height) = (size.w as usize, size.h as usize);
        let out = turbojpeg::Image { pixels: out, width, pitch: width * format.size(), height, format };
        match self.turbo.decompress(bytes, out) {
            Ok(()) => Ok(()),
            // The output is complete in spite of a warning.
            Err(error) if harmless(&error) && has_end(bytes) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }
}

/// The largest reduction whose result is not smaller than the image will be in the detector's input.
fn reduction(declared: Size, target: Size, orientation: Orientation) -> ScalingFactor {
    let upright = super::orient::upright_size(declared, orientation);
    let needed = fit(upright, target);
    [ScalingFactor::ONE_EIGHTH, ScalingFactor::ONE_QUARTER, ScalingFactor::ONE_HALF]
        .into_iter()
        .find(|factor| {
            factor.scale(upright.w as usize) >= needed.w as usize && factor.scale(upright.h as usize) >= needed.h as usize
        })
        .unwrap_or(ScalingFactor::ONE)
}

/// Whether libjpeg's complaint leaves all the image's data in place: stray bytes between segments and odd version numbers do;
/// a premature end, a bad code, a lost restart marker do not. Texts from libjpeg-turbo's `jerror.h`, the first warning counts.
fn harmless(error: &turbojpeg::Error) -> bool {
    const HARMLESS: [&str; 4] = [
        "extraneous bytes before marker",
        "unknown JFIF revision number",
        "Unknown Adobe color transform code",
        "Invalid SOS parameters for sequential JPEG",
    ];
    let turbojpeg::Error::TurboJpegError(text) = error else { return false };
    HARMLESS.iter().any(|harmless| text.contains(harmless))
}

/// Whether there is an end marker after the last scan's start. A first, harmless warning hides a second one about a cut file.
/// Entropy-coded data holds neither marker, an EXIF thumbnail holds both, before the scan.
fn has_end(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xFF, marker]);
    last(EOI) > last(SOS)
}

fn broken(error: &turbojpeg::Error) -> Rejection {
    Rejection::new(Reason::DecodeError, format_args!("cannot decode the image/jpeg image: {error}"))
}

/// Adobe's files store inverted CMYK. An approximation without a colour profile, as libjpeg-turbo's own tools and OpenCV do it.
fn cmyk_to_rgb(cmyk: &[u8], rgb: &mut [u8], inverted: bool) {
    let flip = if inverted { 0 } else { 0xFF };
    let (cmyk, _) = cmyk.as_chunks::<4>();
    let (rgb, _) = rgb.as_chunks_mut::<3>();
    for ([c, m, y, k], out) in cmyk.iter().zip(rgb) {
        let k = u16::from(k ^ flip);
        *out = [c, m, y].map(|ink| ((u16::from(ink ^ flip) * k + 127) / 255) as u8);
    }
}

/// The orientation in the EXIF segment, upright where there is none or a broken one.
fn orientation(bytes: &[u8]) -> Orientation {
    segments(bytes)
        .filter(|segment| segment.marker == APP1)
        .find_map(|segment| Orientation::from_exif_chunk(segment.body().strip_prefix(b"Exif\0\0")?))
        .unwrap_or(Orientation::NoTransforms)
}

/// One segment of the header.
struct Segment<'a> {
    marker: u8,
    /// The segment with its marker and length; to the end of the file for the first scan.
    whole: &'a [u8],
}

impl<'a> Segment<'a> {
    fn body(&self) -> &'a [u8] {
        self.whole.get(4..).unwrap_or_default()
    }

    fn is_adobe(&self) -> bool {
        self.marker == APP14 && self.body().starts_with(b"Adobe")
    }
}

/// The header's segments in order, the first scan with all that follows as the last. Stray bytes between them are skipped.
fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut next = 2;
    std::iter::from_fn(move || {
        let at = next + bytes.get(next..)?.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF))?;
        let marker = bytes[at + 1];
        let length = bytes.get(at + 2..at + 4).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        let end = if matches!(marker, SOS | EOI) { bytes.len() } else { (at + 2 + length.max(2)).min(bytes.len()) };
        next = end;
        Some(Segment { marker, whole: &bytes[at..end] })
    })
}

/// The file without stray bytes and without segments that do not matter for its pixels.
fn without_metadata(bytes: &[u8]) -> Vec<u8> {
    let mut tidy = vec![0xFF, 0xD8];
    for segment in segments(bytes) {
        let metadata = matches!(segment.marker, APP0..=APP15 | COMMENT);
        // An Adobe segment with one of its three known colour transforms is needed for the colours.
        if !metadata || (segment.is_adobe() && segment.body().get(11).is_some_and(|transform| *transform <= 2)) {
            tidy.extend_from_slice(segment.whole);
        }
    }
    tidy
}
