//! JPEG, through TurboJPEG.
//!
//! In: the file's bytes. Out: RGB8 pixels, reduced by 1, 2, 4 or 8 while decoding. Invariants: an image with missing or damaged
//! data is rejected, and one that is only untidy is decoded; what comes of an image does not depend on those before it.
//!
//! libjpeg goes on after damage and only warns, so the warnings decide: see [`warns`].

use facestream_schemas::{Reason, Rejection, Size};
use image::metadata::Orientation;
use turbojpeg::{Colorspace, DecompressHeader, Decompressor, PixelFormat, ScalingFactor};

use super::{Buffers, Decoded, Limits, make_room, rgb_bytes};
use crate::preprocess::fit;

/// A progressive file may ask for any number of passes over the whole image; encoders use about ten.
const MAX_SCANS: u32 = 100;
/// A Huffman-coded block of 8 x 8 pixels takes one bit or more, so a byte holds at most this many pixels. A file with fewer
/// bytes than that is cut or a bomb, and progressive decoding would allocate for all its pixels at once.
const MAX_PIXELS_PER_BYTE: u64 = 8 * 64;

const SOF0: u8 = 0xC0;
const SOF1: u8 = 0xC1;
const SOS: u8 = 0xDA;
const EOI: u8 = 0xD9;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP14: u8 = 0xEE;
const APP15: u8 = 0xEF;
const COMMENT: u8 = 0xFE;

/// How libjpeg's warning of them begins; the marker follows.
const STRAY_BYTES: &str = "extraneous bytes before marker";

/// Decodes one image: libjpeg keeps tables from image to image, and after an error in a header all of it, so that a used
/// decompressor would take the next image for what was left of the last one. A new one takes microseconds.
pub(super) struct JpegDecode {
    turbo: Decompressor,
    target: Size,
}

impl JpegDecode {
    /// An error where there is no memory left.
    pub(super) fn new(target: Size) -> Result<Self, Rejection> {
        let out_of_memory =
            |error| Rejection::new(Reason::InternalError, format_args!("cannot set up the jpeg decoder: {error}"));
        let mut turbo = Decompressor::new().map_err(out_of_memory)?;
        turbo.set_scan_limit(MAX_SCANS).map_err(out_of_memory)?;
        Ok(Self { turbo, target })
    }

    pub(super) fn decode(mut self, bytes: &[u8], limits: Limits, buffers: &mut Buffers) -> Result<Decoded, Rejection> {
        let orientation = orientation(bytes);
        let plain = with_plain_scans(bytes);
        let bytes = plain.as_deref().unwrap_or(bytes);
        match self.turbo.read_header(bytes) {
            Ok(header) => self.decode_body(bytes, &header, orientation, limits, buffers),
            // The library gives no sizes along with a warning: try again without what it may have warned about.
            Err(error) if is_untidy(&error) => {
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
        // Arithmetic coding takes next to nothing for blocks that are all alike; row by row it takes no memory for all of them, either.
        let may_be_tiny = header.is_arithmetic && !header.is_progressive;
        if !may_be_tiny && u64::from(declared.w) * u64::from(declared.h) > most_pixels {
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
            // The output is complete.
            Err(error) if warns(&error, &[&format!("{STRAY_BYTES} 0x{EOI:02x}")]) && is_padded(bytes, &error) => Ok(()),
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

/// Whether libjpeg complains of a header only, in a way that leaves all the image's data in place.
fn is_untidy(error: &turbojpeg::Error) -> bool {
    warns(error, &[STRAY_BYTES, "unknown JFIF revision number", "Unknown Adobe color transform code"])
}

/// Whether the first warning is one of these: texts of libjpeg-turbo's `jerror.h`. It tells of no others, so that none is harmless that
/// may have others behind it: a premature end, a bad code, a lost restart marker.
fn warns(error: &turbojpeg::Error, texts: &[&str]) -> bool {
    let turbojpeg::Error::TurboJpegError(said) = error else { return false };
    texts.iter().any(|text| said.contains(text))
}

/// Whether all that libjpeg found left over before the end marker are zeros, as some cameras pad with. Anything else is a sign that codes
/// were read from where none begin; fewer bytes than it reads ahead it does not notice. (Entropy-coded data holds no marker, so that the
/// first after the first scan's start is meant.)
fn is_padded(bytes: &[u8], error: &turbojpeg::Error) -> bool {
    let turbojpeg::Error::TurboJpegError(said) = error else { return false };
    let left_over = said.split_once(" extraneous bytes").and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok());
    let scan = segments(bytes).find(|segment| segment.marker == SOS).map_or(&[][..], |segment| segment.whole);
    let end = scan.windows(2).position(|pair| pair == [0xFF, EOI]);
    let padding = end.map(|end| scan[..end].iter().rev().take_while(|byte| **byte == 0).count());
    padding.zip(left_over).is_some_and(|(padding, left_over): (usize, usize)| padding >= left_over)
}

fn broken(error: &turbojpeg::Error) -> Rejection {
    match error {
        // There are tables or nothing at all, and no width.
        turbojpeg::Error::IntegerOverflow(_) => {
            Rejection::new(Reason::DecodeError, "cannot decode the image/jpeg image: it ends before a picture begins")
        }
        error => Rejection::new(Reason::DecodeError, format_args!("cannot decode the image/jpeg image: {error}")),
    }
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

/// The file with all its scans said to hold all coefficients, where the first says otherwise though it is sequential: libjpeg does not
/// care, but this would be the first of its warnings. `None`: all is well.
fn with_plain_scans(bytes: &[u8]) -> Option<Vec<u8>> {
    /// First and last coefficient, and no successive approximation.
    const PLAIN: [u8; 3] = [0, 63, 0];
    let numbers = |bytes: &[u8], scan: usize| {
        let start = scan + 5 + 2 * usize::from(*bytes.get(scan + 4)?);
        bytes.get(start..start + PLAIN.len()).map(|_| start..start + PLAIN.len())
    };
    let (mut is_sequential, mut first) = (false, None);
    for segment in segments(bytes) {
        is_sequential |= matches!(segment.marker, SOF0 | SOF1);
        first = first.or((segment.marker == SOS).then(|| bytes.len() - segment.whole.len()));
    }
    let first = first.filter(|_| is_sequential)?;
    if bytes[numbers(bytes, first)?] == PLAIN {
        return None;
    }
    let mut plain = bytes.to_vec();
    let scans = bytes[first..].windows(2).enumerate().filter(|(_, pair)| *pair == [0xFF, SOS]);
    for (at, _) in scans {
        if let Some(numbers) = numbers(bytes, first + at) {
            plain[numbers].copy_from_slice(&PLAIN);
        }
    }
    Some(plain)
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
