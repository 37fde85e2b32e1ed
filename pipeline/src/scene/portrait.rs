//! The head that the virtual cameras show: its pixels, a soft mask around it, and where its face is.
//!
//! In: `assets/astronaut.jpg`. Out: a square of RGBA pixels. Invariant: coordinates are pixels of that picture, read off an
//! enlargement with a grid by eye; no detector had a part in them.

/// Side of the square at the top of the picture that holds head and neck, in pixels.
pub(super) const HEAD: u32 = 204;

/// The face, cheek to cheek and forehead (under the fringe) to chin: left, top, right, bottom.
pub(super) const FACE: [f32; 4] = [56.0, 65.0, 142.0, 178.0];

/// Right eye, left eye, tip of the nose, right and left corner of the mouth; right and left as her own.
pub(super) const LANDMARKS: [f32; 10] = [77.2, 101.0, 120.2, 103.0, 97.2, 125.5, 78.5, 140.5, 121.0, 139.0];

/// Over this share of its radius the mask fades from head to background.
const FADE: f32 = 0.08;

/// The head with its mask.
pub(super) struct Portrait {
    /// [`HEAD`] rows of [`HEAD`] pixels; alpha 255 inside the round mask, 0 outside.
    pub(super) rgba: Vec<u8>,
}

impl Portrait {
    pub(super) fn load() -> Self {
        let jpeg = include_bytes!("../../assets/astronaut.jpg");
        let picture = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGBA).expect("the built-in picture is a JPEG");
        let mut rgba = picture.pixels;
        rgba.truncate((HEAD * HEAD * 4) as usize);
        for (index, pixel) in rgba.chunks_exact_mut(4).enumerate() {
            pixel[3] = mask(index as u32 % HEAD, index as u32 / HEAD);
        }
        Self { rgba }
    }
}

/// Opacity of a pixel: a disc that touches the square's sides, with a soft rim.
fn mask(x: u32, y: u32) -> u8 {
    let from_centre = |at: u32| (at as f32 + 0.5) / (HEAD as f32 / 2.0) - 1.0;
    let radius = from_centre(x).hypot(from_centre(y));
    (((1.0 - radius) / FADE).clamp(0.0, 1.0) * 255.0) as u8
}
