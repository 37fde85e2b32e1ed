//! Pictures within pictures, which codecs decode before they compare their sizes with the one that was allowed.
//!
//! In: a TIFF's or WebP's bytes. Out: a rejection where what it holds inside is larger than allowed, or of a kind that nobody checks.

use facestream_schemas::envelope::ImageFormat;
use facestream_schemas::{Reason, Rejection, Size};

use super::Limits;

/// Other formats hold no others.
pub(super) fn check(format: ImageFormat, bytes: &[u8], limits: Limits) -> Result<(), Rejection> {
    match format {
        ImageFormat::WebP => {
            bitstreams(bytes.get(12..).unwrap_or_default(), true).into_iter().try_for_each(|size| limits.check(size))
        }
        ImageFormat::Tiff if !has_plain_compression(bytes).unwrap_or(true) => {
            let error = "TIFF image whose strips are JPEGs: of these neither size nor damage can be told";
            Err(Rejection::new(Reason::Unsupported, error))
        }
        _ => Ok(()),
    }
}

/// Sizes of the VP8 and VP8L bitstreams in a WebP file's chunks, those of animations too
/// (`developers.google.com/speed/webp/docs/riff_container`, RFC 6386 9.1).
fn bitstreams(mut chunks: &[u8], frames_too: bool) -> Vec<Size> {
    let mut sizes = Vec::new();
    while let Some((head, rest)) = chunks.split_first_chunk::<8>() {
        let [a, b, c, d] = [head[4], head[5], head[6], head[7]];
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let body = &rest[..length.min(rest.len())];
        match &head[..4] {
            b"VP8 " => sizes.extend(body.get(6..10).map(|size| {
                let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
                Size { w: side(size[0], size[1]), h: side(size[2], size[3]) }
            })),
            b"VP8L" => sizes.extend(body.get(1..5).map(|size| {
                let bits = u32::from_le_bytes([size[0], size[1], size[2], size[3]]);
                Size { w: (bits & 0x3FFF) + 1, h: ((bits >> 14) & 0x3FFF) + 1 }
            })),
            // A frame: its place, then chunks.
            b"ANMF" if frames_too => sizes.extend(bitstreams(body.get(16..).unwrap_or_default(), false)),
            _ => {}
        }
        // A chunk of odd length is followed by a byte that does not count.
        chunks = rest.get(length.saturating_add(length % 2)..).unwrap_or_default();
    }
    sizes
}

/// Whether all that the first image of a TIFF says of its compression is one plain number, and not that of JPEG (TIFF 6.0, sections 2 and
/// 22, and `BigTIFF`). `None`: it is cut before that.
fn has_plain_compression(bytes: &[u8]) -> Option<bool> {
    const COMPRESSION: u64 = 259;
    const JPEG: u64 = 7;
    const OLD_JPEG: u64 = 6;
    let number = |at: u64, length: usize| {
        let at = usize::try_from(at).ok()?;
        let bytes_of = bytes.get(at..at.checked_add(length)?)?.iter();
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if bytes.starts_with(b"MM") { bytes_of.fold(0, add) } else { bytes_of.rev().fold(0, add) })
    };
    let is_big = number(2, 2)? == 43;
    let (first, count_length, entry_length) = if is_big { (number(8, 8)?, 8, 20) } else { (number(4, 4)?, 2, 12) };
    let count = number(first, count_length)?;
    for index in 0..count {
        let entry = first.checked_add(count_length as u64 + index * entry_length)?;
        if number(entry, 2)? != COMPRESSION {
            continue;
        }
        let (values, value) = if is_big { (number(entry + 4, 8)?, entry + 12) } else { (number(entry + 4, 4)?, entry + 8) };
        let compression = match number(entry + 2, 2)? {
            3 => number(value, 2)?,
            4 => number(value, 4)?,
            _ => return Some(false),
        };
        if values != 1 || [JPEG, OLD_JPEG].contains(&compression) {
            return Some(false);
        }
    }
    Some(true)
}
