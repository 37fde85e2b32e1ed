//! What bytes are, by how they begin: never by name, and never by what a header says.
//!
//! In: the first bytes of an image, or those of its base64 text. Out: its format, where it is a known one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Characters of a base64 text that are looked at; as many as show the second packet of an MPEG transport stream.
const LOOKED_AT: usize = 256;

/// Image formats that are recognised by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// JPEG / JFIF / EXIF.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy or lossless.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// GIF; the first frame counts.
    Gif,
    /// TIFF, either byte order.
    Tiff,
}

impl ImageFormat {
    /// The registered media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Gif => "image/gif",
            Self::Tiff => "image/tiff",
        }
    }
}

/// The format by magic bytes, never by name or header.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<ImageFormat> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some(ImageFormat::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(ImageFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(ImageFormat::WebP),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(ImageFormat::Bmp),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(ImageFormat::Gif),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some(ImageFormat::Tiff),
        _ => None,
    }
}

/// The first bytes that a base64 text stands for, in either alphabet; up to its first foreign character.
pub(super) fn beginning(base64: &[u8]) -> Vec<u8> {
    let mut start = [0; LOOKED_AT];
    let mut length = 0;
    let plain = base64.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte));
    for (place, byte) in start.iter_mut().zip(plain) {
        *place = match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        };
        length += 1;
    }
    STANDARD_NO_PAD.decode(&start[..length / 4 * 4]).unwrap_or_default()
}
