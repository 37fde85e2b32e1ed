//! The picture in grey, and smaller and smaller.
//!
//! In: RGB pixels. Out: the scales that are looked at, and rows of the grey picture at one of them. Invariant: grey levels, sizes and
//! places are `OpenCV`'s to the bit.
//!
//! After `OpenCV` 4.6: grey as in `cvtColor(COLOR_BGR2GRAY)` (`modules/imgproc/src/color_rgb.simd.hpp`, 15 bits), scales as in
//! `CascadeClassifierImpl::detectMultiScaleNoGrouping` and `FeatureEvaluator::updateScaleData`
//! (`modules/objdetect/src/cascadedetect.cpp`), smaller pictures as in `resize(INTER_LINEAR_EXACT)` (`modules/imgproc/src/resize.cpp`,
//! `interpolationLinear` with 8 bits of fraction).

use facestream_schemas::Size;

use crate::decode::Image;

/// Bytes that the grey picture may keep from one frame to the next.
const KEEP_BYTES: usize = 16 << 20;

/// How many times smaller the picture is made, and larger the window is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale(pub(super) f32);

impl Scale {
    /// A picture's size when it is scaled.
    pub(super) fn shrunk(self, picture: Size) -> Size {
        let side = |side: u32| (side as f32 / self.0).round_ties_even() as u32;
        Size { w: side(picture.w), h: side(picture.h) }
    }

    /// A window's size in the picture.
    pub(super) fn grown(self, window: Size) -> Size {
        Size { w: self.at(window.w) as u32, h: self.at(window.h) as u32 }
    }

    /// Where a place in the scaled picture lies in the picture.
    pub(super) fn at(self, place: u32) -> i32 {
        (place as f32 * self.0).round_ties_even() as i32
    }
}

/// The scales at which the window fits into the picture and has sides of `least` pixels or more. Where there is none of these, the
/// one whose window comes nearest to `least`, as in `OpenCV`; none at all where the picture is smaller than the window.
pub(super) fn scales(window: Size, picture: Size, scale_factor: f64, least: u32) -> Vec<Scale> {
    let mut all = Vec::new();
    let mut factor = 1.0_f64;
    loop {
        let side = |side: u32| (f64::from(side) * factor).round_ties_even();
        if side(window.w) > f64::from(picture.w) || side(window.h) > f64::from(picture.h) {
            break;
        }
        all.push(Scale(factor as f32));
        factor *= scale_factor;
    }
    let fits = |size: Size| size.w <= picture.w && size.h <= picture.h;
    let fitting = all.iter().copied().take_while(|scale| fits(scale.grown(window)));
    let chosen: Vec<_> = fitting.filter(|scale| scale.grown(window).w.min(scale.grown(window).h) >= least).collect();
    if !chosen.is_empty() {
        return chosen;
    }
    let distance = |scale: &Scale| {
        let Size { w, h } = scale.grown(window);
        u64::from(w.abs_diff(least)).pow(2) + u64::from(h.abs_diff(least)).pow(2)
    };
    all.into_iter().min_by_key(distance).into_iter().collect()
}

/// A grey picture; its memory is reused from frame to frame.
#[derive(Debug)]
pub(super) struct Grey {
    pixels: Vec<u8>,
    size: Size,
}

impl Default for Grey {
    fn default() -> Self {
        Self { pixels: Vec::new(), size: Size { w: 0, h: 0 } }
    }
}

impl Grey {
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Makes the image grey.
    pub(super) fn take(&mut self, image: &Image<'_>) {
        if self.pixels.capacity() > KEEP_BYTES {
            self.pixels = Vec::new();
        }
        self.pixels.clear();
        self.size = image.size;
        self.pixels.extend(image.pixels.as_chunks::<3>().0.iter().map(|&[red, green, blue]| {
            let weighted = u32::from(red) * 9798 + u32::from(green) * 19235 + u32::from(blue) * 3735;
            ((weighted + (1 << 14)) >> 15) as u8
        }));
    }

    fn row(&self, row: usize) -> &[u8] {
        let width = self.size.w as usize;
        &self.pixels[row * width..][..width]
    }
}

/// Where a pixel of the smaller picture takes its light from.
#[derive(Clone, Copy, Debug)]
struct Tap {
    first: u32,
    second: u32,
    /// The second's share, in 256ths.
    share: u16,
}

/// Makes rows of a smaller picture, from the top down.
#[derive(Debug, Default)]
pub(super) struct Shrink {
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    /// Two rows of the picture, shrunk across, 8 bits of fraction; and which rows they are.
    across: [Vec<u16>; 2],
    held: [Option<u32>; 2],
    row: Vec<u8>,
}

impl Shrink {
    /// A picture of size `from` is made `to` from now on.
    pub(super) fn begin(&mut self, from: Size, to: Size) {
        fill_taps(&mut self.columns, from.w, to.w);
        fill_taps(&mut self.rows, from.h, to.h);
        self.held = [None; 2];
        self.row.resize(to.w as usize, 0);
        for across in &mut self.across {
            across.resize(to.w as usize, 0);
        }
    }

    /// A row of the smaller picture. They are asked for from the top down.
    pub(super) fn row(&mut self, grey: &Grey, row: usize) -> &[u8] {
        let Tap { first, second, share } = self.rows[row];
        if self.held[1] == Some(first) {
            self.held.swap(0, 1);
            self.across.swap(0, 1);
        }
        for (place, wanted) in [first, second].into_iter().enumerate() {
            if self.held[place] != Some(wanted) {
                self.held[place] = Some(wanted);
                shrink_across(grey.row(wanted as usize), &self.columns, &mut self.across[place]);
            }
        }
        let (upper, lower) = (256 - u32::from(share), u32::from(share));
        for ((pixel, above), below) in self.row.iter_mut().zip(&self.across[0]).zip(&self.across[1]) {
            *pixel = ((u32::from(*above) * upper + u32::from(*below) * lower + (1 << 15)) >> 16) as u8;
        }
        &self.row
    }
}

fn shrink_across(row: &[u8], columns: &[Tap], out: &mut [u16]) {
    for (out, tap) in out.iter_mut().zip(columns) {
        let (first, second) = (u16::from(row[tap.first as usize]), u16::from(row[tap.second as usize]));
        *out = first * (256 - tap.share) + second * tap.share;
    }
}

/// Pixel centres keep their place; beyond the outermost centres the picture goes on as it is there.
fn fill_taps(taps: &mut Vec<Tap>, from: u32, to: u32) {
    let scale = 1.0 / (f64::from(to) / f64::from(from));
    taps.clear();
    taps.extend((0..to).map(|place| {
        let exact = scale * (f64::from(place) + 0.5) - 0.5;
        let first = exact.floor();
        if first < 0.0 {
            return Tap { first: 0, second: 0, share: 0 };
        }
        if first as u32 + 1 >= from {
            return Tap { first: from - 1, second: from - 1, share: 0 };
        }
        let share = ((exact - first) * 256.0).round_ties_even() as u16;
        Tap { first: first as u32, second: first as u32 + 1, share }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Size = Size { w: 20, h: 10 };

    fn factors(picture: Size, scale_factor: f64, least: u32) -> Vec<f32> {
        scales(WINDOW, picture, scale_factor, least).into_iter().map(|scale| scale.0).collect()
    }

    #[test]
    fn scales_go_up_to_the_picture_and_begin_at_the_smallest_face() {
        assert_eq!(factors(Size { w: 80, h: 80 }, 2.0, 0), [1.0, 2.0, 4.0]);
        assert_eq!(factors(Size { w: 79, h: 80 }, 2.0, 0), [1.0, 2.0]);
        assert_eq!(factors(Size { w: 80, h: 39 }, 2.0, 11), [2.0]);
        // None is as large: the nearest, here of 80 x 40 pixels.
        assert_eq!(factors(Size { w: 80, h: 80 }, 2.0, 500), [4.0]);
        assert_eq!(factors(Size { w: 19, h: 80 }, 2.0, 0), [0.0_f32; 0]);
        assert_eq!(factors(Size { w: 80, h: 80 }, 1e300, 0), [1.0]);
    }

    /// By hand: half the size takes the mean of two pixels each way; a third more takes pixels at 0, 0.625, 1.375, 2.
    #[test]
    fn a_smaller_picture_is_the_mean_of_what_it_covers() {
        let pixels: Vec<u8> = [10, 20, 30, 41].iter().flat_map(|level| [*level; 3]).collect();
        let size = Size { w: 4, h: 1 };
        let (mut grey, mut shrink) = (Grey::default(), Shrink::default());
        grey.take(&Image { pixels: &pixels, size, original: size });
        shrink.begin(size, Size { w: 2, h: 1 });
        // 15, and 35.5 rounded up.
        assert_eq!(shrink.row(&grey, 0), [15, 36]);
        shrink.begin(size, Size { w: 4, h: 1 });
        assert_eq!(shrink.row(&grey, 0), [10, 20, 30, 41]);
    }
}
