//! Video, recognised in order to be refused by its name.
//!
//! In: bytes that begin like no known image. Out: which video codec or container they are, or which still format that is not
//! supported. Invariant: constant time and no allocation, but for the sum of the length prefixes, which is capped.

use super::sniff::sniff;

/// NAL units of one packet whose lengths are added up.
const MAX_UNITS: usize = 10_000;
/// Bytes of a packet of an MPEG transport stream.
const TS_PACKET: usize = 188;

/// What bytes are that are no still image of a known format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Video {
    /// H.264 (AVC), as a byte stream or with length prefixes.
    H264,
    /// HEVC (H.265), as a byte stream or with length prefixes.
    Hevc,
    /// VP8, a key frame.
    Vp8,
    /// VP9, a key frame.
    Vp9,
    /// AV1, a temporal unit.
    Av1,
    /// MP4, `QuickTime` and their fragments.
    Mp4,
    /// Matroska or `WebM`.
    Matroska,
    /// MPEG transport stream.
    MpegTs,
    /// IVF.
    Ivf,
    /// Flash video.
    Flv,
    /// AVI.
    Avi,
    /// AVIF: a still image, but of a format that is not supported.
    Avif,
    /// HEIF or HEIC: a still image, but of a format that is not supported.
    Heif,
}

impl Video {
    /// What it is and what to send instead.
    #[must_use]
    pub fn refusal(self) -> String {
        let packet = |codec| refusal(&format!("a lone {codec} packet"));
        let file = |container| refusal(&format!("{container} video"));
        let still = |format| format!("{format} image, which is not supported: send it as JPEG, PNG or WebP");
        match self {
            Self::H264 => packet("H.264"),
            Self::Hevc => packet("HEVC"),
            Self::Vp8 => packet("VP8"),
            Self::Vp9 => packet("VP9"),
            Self::Av1 => packet("AV1"),
            Self::Mp4 => file("an MP4 or QuickTime"),
            Self::Matroska => file("a Matroska or WebM"),
            Self::MpegTs => file("an MPEG transport stream of"),
            Self::Ivf => file("an IVF"),
            Self::Flv => file("an FLV"),
            Self::Avi => file("an AVI"),
            Self::Avif => still("an AVIF"),
            Self::Heif => still("a HEIF (HEIC)"),
        }
    }
}

/// Why `what` is refused, and what to send instead.
pub(super) fn refusal(what: &str) -> String {
    let instead = "decode the video where it is produced and send its frames as JPEG, PNG or WebP";
    format!("{what}: facestream takes encoded still images; {instead}")
}

/// The video that bytes are, if they are one that is recognised; a known still image is none.
#[must_use]
pub fn video(bytes: &[u8]) -> Option<Video> {
    if sniff(bytes).is_some() {
        return None;
    }
    container(bytes).or_else(|| byte_stream(bytes)).or_else(|| key_frame(bytes)).or_else(|| length_prefixed(bytes))
}

fn container(bytes: &[u8]) -> Option<Video> {
    match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => Some(match brand.get(..4) {
            Some(b"avif" | b"avis") => Video::Avif,
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => Video::Heif,
            _ => Video::Mp4,
        }),
        [_, _, _, _, b's', b't', b'y', b'p', ..] | [_, _, _, _, b'm', b'o', b'o', b'f' | b'v', ..] => Some(Video::Mp4),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Some(Video::Matroska),
        [b'D', b'K', b'I', b'F', ..] => Some(Video::Ivf),
        [b'F', b'L', b'V', 1, ..] => Some(Video::Flv),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => Some(Video::Avi),
        [0x47, ..] if bytes.get(TS_PACKET) == Some(&0x47) => Some(Video::MpegTs),
        _ => None,
    }
}

/// Key frames of VP8 (RFC 6386, 9.1) and VP9 (6.2 of its bitstream specification), and AV1's temporal units (5.3.2 and 7.5).
fn key_frame(bytes: &[u8]) -> Option<Video> {
    match bytes {
        // The lowest bit of the frame tag is 0 in key frames.
        [tag, _, _, 0x9D, 0x01, 0x2A, ..] if tag & 1 == 0 => Some(Video::Vp8),
        // Frame marker 0b10, not an existing frame shown again, a key frame.
        [first, 0x49, 0x83, 0x42, ..] if first & 0b1100_1100 == 0b1000_0000 => Some(Video::Vp9),
        // A temporal delimiter of no bytes; then the forbidden and the reserved bit are 0, and there is a size.
        [0x12, 0x00, header, ..] if header & 0b1000_0011 == 0b10 && matches!(header >> 3, 1 | 3..=8 | 15) => Some(Video::Av1),
        _ => None,
    }
}

/// H.264 and HEVC as byte streams: start codes between NAL units (Annex B of both).
fn byte_stream(bytes: &[u8]) -> Option<Video> {
    let ([0, 0, 1, unit @ ..] | [0, 0, 0, 1, unit @ ..]) = bytes else { return None };
    nal_unit(unit)
}

/// H.264 and HEVC as MP4 has them: each NAL unit after its length in four bytes, and the lengths add up.
fn length_prefixed(bytes: &[u8]) -> Option<Video> {
    let mut first = None;
    let mut rest = bytes;
    for _ in 0..MAX_UNITS {
        let Some((length, units)) = rest.split_first_chunk::<4>() else { break };
        let (unit, following) = units.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        first = Some(first.unwrap_or(nal_unit(unit)?));
        rest = following;
    }
    first.filter(|_| rest.is_empty())
}

/// Whose NAL unit it is, by its header: one byte in H.264 (7.3.1), two in HEVC (7.3.1.2).
fn nal_unit(unit: &[u8]) -> Option<Video> {
    let (first, second) = (*unit.first()?, unit.get(1).copied().unwrap_or_default());
    if first & 0x80 != 0 {
        return None;
    }
    // HEVC: layer 0, a temporal id; of slices the first of its picture. What is left of H.264 there are its data partitions and,
    // by its first byte, its SEI, which x264 begins streams with.
    let layer_is_0 = first & 1 == 0 && (1..=7).contains(&second);
    let hevc = match first >> 1 {
        0..=9 | 16..=21 => unit.get(2).is_some_and(|byte| byte & 0x80 != 0),
        kind => (32..=40).contains(&kind),
    };
    if layer_is_0 && hevc && first != 0x06 {
        return Some(Video::Hevc);
    }
    let (importance, kind) = (first >> 5, first & 0x1F);
    // Delimiters, SEI and the ends are of no importance to others; parameter sets and key frames are.
    let h264 = match kind {
        1..=4 => true,
        5 | 7 | 8 | 13 | 15 => importance > 0,
        6 | 9..=12 => importance == 0,
        _ => false,
    };
    h264.then_some(Video::H264)
}
