//! EXIF orientation.
//!
//! In: packed RGB pixels as the camera's sensor stored them. Out: the same pixels turned upright. Invariant: a permutation of
//! whole pixels, nothing is interpolated.

use facestream_schemas::Size;
use image::metadata::Orientation;

/// Size of an image of `size` once it is upright.
pub(super) fn upright_size(size: Size, orientation: Orientation) -> Size {
    if swaps_axes(orientation) { Size { w: size.h, h: size.w } } else { size }
}

fn swaps_axes(orientation: Orientation) -> bool {
    use Orientation as O;
    matches!(orientation, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH)
}

/// Writes `stored` (of `size`, before turning) upright into `upright`, which has the same length.
pub(super) fn turn(stored: &[u8], size: Size, orientation: Orientation, upright: &mut [u8]) {
    use Orientation as O;
    let (w, h) = (size.w as usize, size.h as usize);
    let out_w = upright_size(size, orientation).w as usize;
    let last = w * h - 1;
    // Index in `stored` of the upright pixel (0, 0), and how it changes with a step right and a step down.
    let (start, right, down): (usize, isize, isize) = match orientation {
        O::NoTransforms => (0, 1, w as isize),
        O::FlipHorizontal => (w - 1, -1, w as isize),
        O::Rotate180 => (last, -1, -(w as isize)),
        O::FlipVertical => (last + 1 - w, 1, -(w as isize)),
        O::Rotate90FlipH => (0, w as isize, 1),
        O::Rotate90 => (last + 1 - w, -(w as isize), 1),
        O::Rotate270FlipH => (last, -(w as isize), -1),
        O::Rotate270 => (w - 1, w as isize, -1),
    };
    let (stored, _) = stored.as_chunks::<3>();
    let (upright, _) = upright.as_chunks_mut::<3>();
    for (y, row) in upright.chunks_exact_mut(out_w).enumerate() {
        let mut from = start.wrapping_add_signed(down * y as isize);
        for pixel in row {
            *pixel = stored[from];
            from = from.wrapping_add_signed(right);
        }
    }
}
