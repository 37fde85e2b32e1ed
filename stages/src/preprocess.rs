//! From an image to a detector's input tensor, and from the tensor's coordinates back.
//!
//! In: RGB8 pixels of any size. Out: an f32 tensor of the detector's size, planes top-down, the image scaled to fit with its
//! aspect ratio kept, top left, black beside it, each value as the network wants it ([`Levels`]). Invariant: the tensor's memory is allocated once.

use facestream_schemas::{Bbox, Size};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::decode::Image;

/// Bytes that the resizer's own buffer may keep from one frame to the next.
const KEEP_BYTES: usize = 8 << 20;

/// The size that an image of `size` has within `input` when it is scaled, up or down, to fit: one side is equal, none is larger.
#[must_use]
pub fn fit(size: Size, input: Size) -> Size {
    let (w, h) = (u64::from(size.w.max(1)), u64::from(size.h.max(1)));
    let (input_w, input_h) = (u64::from(input.w), u64::from(input.h));
    let rounded = |numerator: u64, denominator: u64| ((numerator + denominator / 2) / denominator).max(1) as u32;
    if w * input_h >= h * input_w {
        Size { w: input.w, h: rounded(h * input_w, w).min(input.h) }
    } else {
        Size { w: rounded(w * input_h, h).min(input.w), h: input.h }
    }
}

/// The order of a tensor's three planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planes {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What a network wants to be given for a pixel's 0 to 255: `(value - mean) / divisor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// What becomes 0.
    pub mean: f32,
    /// What lies this far above it becomes 1; a power of two, so that the result is exact.
    pub divisor: f32,
}

impl Levels {
    /// Values as they are.
    pub const RAW: Self = Self { mean: 0.0, divisor: 1.0 };

    fn of(self, value: u8) -> f32 {
        (f32::from(value) - self.mean) / self.divisor
    }
}

/// Original pixels per pixel of the tensor. The two differ a little, as the fitted image has whole pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Horizontally.
    pub x: f32,
    /// Vertically.
    pub y: f32,
}

impl Scale {
    /// How an image of `original` size lies in a tensor of `input` size.
    #[must_use]
    pub fn of(original: Size, input: Size) -> Self {
        let fitted = fit(original, input);
        let ratio = |original: u32, fitted: u32| (f64::from(original) / f64::from(fitted)) as f32;
        Self { x: ratio(original.w, fitted.w), y: ratio(original.h, fitted.h) }
    }

    /// A box in the tensor's pixels, in original pixels.
    #[must_use]
    pub fn bbox(self, bbox: Bbox) -> Bbox {
        Bbox { x: bbox.x * self.x, y: bbox.y * self.y, w: bbox.w * self.x, h: bbox.h * self.y }
    }

    /// Landmarks x0 y0 … x4 y4 in the tensor's pixels, in original pixels.
    #[must_use]
    pub fn landmarks(self, landmarks: [f32; 10]) -> [f32; 10] {
        std::array::from_fn(|i| landmarks[i] * if i % 2 == 0 { self.x } else { self.y })
    }
}

/// Fits images into one reused tensor.
///
/// The padding is black, which is what a convolution's own zero padding means to networks that take raw 0..255 values, and
/// what `OpenCV`'s `FaceDetectorYN` and `InsightFace` pad with.
#[derive(Debug)]
pub struct Letterbox {
    input: Size,
    planes: Planes,
    levels: Levels,
    resizer: Resizer,
    /// The fitted image, RGB8.
    fitted: Vec<u8>,
    /// Size of the image that the tensor holds; beyond it the tensor is black.
    filled: Size,
    tensor: Vec<f32>,
}

impl Letterbox {
    /// A tensor of 1 x 3 x `input.h` x `input.w` values.
    #[must_use]
    pub fn new(input: Size, planes: Planes, levels: Levels) -> Self {
        let pixels = input.w as usize * input.h as usize;
        Self {
            input,
            planes,
            levels,
            resizer: Resizer::new(),
            fitted: vec![0; pixels * 3],
            filled: Size { w: 0, h: 0 },
            tensor: vec![0.0; pixels * 3],
        }
    }

    /// Size of the tensor in pixels.
    #[must_use]
    pub fn input(&self) -> Size {
        self.input
    }

    /// The values of the last [`Letterbox::fill`].
    #[must_use]
    pub fn tensor(&self) -> &[f32] {
        &self.tensor
    }

    /// Fits the image into the tensor. The result maps coordinates back.
    pub fn fill(&mut self, image: &Image<'_>) -> Scale {
        let fitted = fit(image.original, self.input);
        if self.filled != fitted {
            self.tensor.fill(self.levels.of(0));
            self.filled = fitted;
        }
        if image.size == fitted {
            write_planes(image.pixels, fitted, self.input, (self.planes, self.levels), &mut self.tensor);
        } else {
            let bytes = fitted.w as usize * fitted.h as usize * 3;
            self.resize(image, fitted, bytes);
            write_planes(&self.fitted[..bytes], fitted, self.input, (self.planes, self.levels), &mut self.tensor);
        }
        Scale::of(image.original, self.input)
    }

    fn resize(&mut self, image: &Image<'_>, fitted: Size, bytes: usize) {
        let options = ResizeOptions::new().resize_alg(filter(image.size, fitted));
        // Views of one pixel type: the untyped ones bring in the code for all fifteen.
        let pixels = TypedImageRef::<U8x3>::from_buffer(image.size.w, image.size.h, image.pixels).expect("three bytes per pixel");
        let mut out = TypedImage::<U8x3>::from_buffer(fitted.w, fitted.h, &mut self.fitted[..bytes]).expect("cut to this size");
        self.resizer.resize_typed(&pixels, &mut out, &options).expect("there is no crop box that could be wrong");
        if self.resizer.size_of_internal_buffers() > KEEP_BYTES {
            self.resizer.reset_internal_buffers();
        }
    }
}

/// Up to a reduction by two, plain bilinear interpolation sees every pixel, and takes two thirds of the time; beyond that the
/// filter's support has to grow with the reduction, or pixels would be skipped.
pub(crate) fn filter(size: Size, fitted: Size) -> ResizeAlg {
    if size.w <= 2 * fitted.w && size.h <= 2 * fitted.h {
        ResizeAlg::Interpolation(FilterType::Bilinear)
    } else {
        ResizeAlg::Convolution(FilterType::Bilinear)
    }
}

/// Spreads packed RGB8 of `size` over the top left of three f32 planes of `input` size.
fn write_planes(rgb: &[u8], size: Size, input: Size, (planes, levels): (Planes, Levels), tensor: &mut [f32]) {
    let (width, stride, factor) = (size.w as usize, input.w as usize, 1.0 / levels.divisor);
    let plane = stride * input.h as usize;
    let (first, rest) = tensor.split_at_mut(plane);
    let (second, third) = rest.split_at_mut(plane);
    let (red, blue) = match planes {
        Planes::Rgb => (first, third),
        Planes::Bgr => (third, first),
    };
    let rows = red.chunks_exact_mut(stride).zip(second.chunks_exact_mut(stride)).zip(blue.chunks_exact_mut(stride));
    for (row, ((red, green), blue)) in rgb.chunks_exact(width * 3).zip(rows) {
        let (pixels, _) = row.as_chunks::<3>();
        for (((pixel, red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
            *red = (f32::from(pixel[0]) - levels.mean) * factor;
            *green = (f32::from(pixel[1]) - levels.mean) * factor;
            *blue = (f32::from(pixel[2]) - levels.mean) * factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn solid(size: Size, colour: [u8; 3]) -> Vec<u8> {
        colour.repeat(size.w as usize * size.h as usize)
    }

    fn image(pixels: &[u8], size: Size) -> Image<'_> {
        Image { pixels, size, original: size }
    }

    /// Value at x, y of a plane.
    fn at(letterbox: &Letterbox, plane: usize, x: u32, y: u32) -> f32 {
        let Size { w, h } = letterbox.input();
        letterbox.tensor()[plane * w as usize * h as usize + y as usize * w as usize + x as usize]
    }

    #[test]
    fn common_sizes_fit_as_calculated_by_hand() {
        let input = Size { w: 640, h: 384 };
        for ((w, h), (fitted_w, fitted_h)) in [
            ((1920, 1080), (640, 360)),
            ((1080, 1920), (216, 384)),
            ((640, 384), (640, 384)),
            ((100, 100), (384, 384)),
            ((65_535, 1), (640, 1)),
            ((1, 65_535), (1, 384)),
            ((u32::MAX, u32::MAX), (384, 384)),
        ] {
            assert_eq!(fit(Size { w, h }, input), Size { w: fitted_w, h: fitted_h }, "{w} x {h}");
        }
    }

    #[test]
    fn planes_hold_the_image_top_left_and_black_beside_it() {
        let size = Size { w: 200, h: 100 };
        let pixels = solid(size, [250, 130, 7]);
        for (planes, order) in [(Planes::Rgb, [250.0, 130.0, 7.0]), (Planes::Bgr, [7.0, 130.0, 250.0])] {
            let mut letterbox = Letterbox::new(Size { w: 64, h: 64 }, planes, Levels::RAW);
            // First an image that fills what the second leaves black.
            letterbox.fill(&image(&solid(Size { w: 10, h: 20 }, [255; 3]), Size { w: 10, h: 20 }));
            letterbox.fill(&image(&pixels, size));
            for (plane, value) in order.into_iter().enumerate() {
                for (x, y) in [(0, 0), (63, 0), (0, 31), (63, 31), (30, 15)] {
                    assert!((at(&letterbox, plane, x, y) - value).abs() < 0.5);
                }
                for (x, y) in [(0, 32), (63, 32), (0, 63), (63, 63)] {
                    assert!(at(&letterbox, plane, x, y).abs() < f32::EPSILON);
                }
            }
        }
    }

    /// `InsightFace`'s own: `cv2.dnn.blobFromImage(image, 1 / 128, size, (127.5, 127.5, 127.5))`, by hand.
    #[test]
    fn levels_hold_for_the_image_and_for_what_lies_beside_it() {
        let (size, levels) = (Size { w: 64, h: 32 }, Levels { mean: 127.5, divisor: 128.0 });
        let mut letterbox = Letterbox::new(Size { w: 64, h: 64 }, Planes::Rgb, levels);
        letterbox.fill(&image(&solid(size, [255, 128, 0]), size));
        for (plane, expected) in [0.996_093_75, 0.003_906_25, -0.996_093_75].into_iter().enumerate() {
            assert!((at(&letterbox, plane, 63, 31) - expected).abs() < f32::EPSILON);
            assert!((at(&letterbox, plane, 0, 32) + 0.996_093_75).abs() < f32::EPSILON, "black, too");
        }
    }

    #[test]
    fn a_reduced_image_lies_where_the_full_one_would() {
        // Left half red, right half blue, given at a quarter of its original size.
        let (size, original) = (Size { w: 160, h: 80 }, Size { w: 639, h: 317 });
        let pixels: Vec<u8> = (0..160 * 80).flat_map(|i| if i % 160 < 80 { [255, 0, 0] } else { [0, 0, 255] }).collect();
        let mut letterbox = Letterbox::new(Size { w: 64, h: 64 }, Planes::Rgb, Levels::RAW);
        let scale = letterbox.fill(&Image { pixels: &pixels, size, original });
        // 639 x 317 fits as 64 x 32 (31.75); averaged over 2.5 pixels the edge touches two columns at most.
        assert_eq!(scale, Scale { x: 639.0 / 64.0, y: 317.0 / 32.0 });
        for y in [0, 15, 31] {
            assert!(at(&letterbox, 0, 29, y) > 254.0 && at(&letterbox, 2, 29, y) < 1.0);
            assert!(at(&letterbox, 0, 34, y) < 1.0 && at(&letterbox, 2, 34, y) > 254.0);
        }
    }

    #[test]
    fn no_pixel_is_skipped_however_large_the_image_is() {
        // One bright pixel in each 7 x 7 block adds 255 / 49 to the mean; skipping would show as 0 or far more.
        let size = Size { w: 448, h: 224 };
        let pixels: Vec<u8> =
            (0..448 * 224).flat_map(|i| [if (i % 448) % 7 == 3 && (i / 448) % 7 == 3 { 255 } else { 0 }; 3]).collect();
        let mut letterbox = Letterbox::new(Size { w: 64, h: 64 }, Planes::Rgb, Levels::RAW);
        letterbox.fill(&image(&pixels, size));
        let row = &letterbox.tensor()[16 * 64..17 * 64];
        assert!(row.iter().all(|value| (2.0..12.0).contains(value)), "{row:?}");
    }

    #[test]
    fn an_image_of_the_fitted_size_is_taken_as_it_is() {
        let size = Size { w: 64, h: 32 };
        let pixels: Vec<u8> = (0..64 * 32 * 3).map(|i| (i % 251) as u8).collect();
        let mut letterbox = Letterbox::new(Size { w: 64, h: 64 }, Planes::Rgb, Levels::RAW);
        letterbox.fill(&image(&pixels, size));
        for (x, y) in [(0, 0), (1, 0), (63, 31), (17, 9)] {
            for plane in 0..3 {
                let expected = f32::from(pixels[((y * 64 + x) * 3 + plane) as usize]);
                assert!((at(&letterbox, plane as usize, x, y) - expected).abs() < f32::EPSILON);
            }
        }
    }

    proptest! {
        #[test]
        fn fitting_keeps_the_aspect_ratio_and_maps_back(
            (w, h) in (1_u32..20_000, 1_u32..20_000),
            (across, down) in (1_u32..40, 1_u32..40),
            (u, v) in (0.0_f32..1.0, 0.0_f32..1.0),
        ) {
            let (original, input) = (Size { w, h }, Size { w: across * 32, h: down * 32 });
            let fitted = fit(original, input);
            prop_assert!(fitted.w == input.w && fitted.h <= input.h || fitted.h == input.h && fitted.w <= input.w);
            // Within half a pixel of the exact size, or one pixel where that would be none.
            let ratio = (f64::from(input.w) / f64::from(w)).min(f64::from(input.h) / f64::from(h));
            prop_assert!((f64::from(fitted.w) - (f64::from(w) * ratio).max(1.0)).abs() <= 0.5);
            prop_assert!((f64::from(fitted.h) - (f64::from(h) * ratio).max(1.0)).abs() <= 0.5);
            // A point at the same place of the fitted image comes back to where it was.
            let scale = Scale::of(original, input);
            let point = (u * w as f32, v * h as f32);
            let forth = Bbox { x: u * fitted.w as f32, y: v * fitted.h as f32, w: fitted.w as f32, h: fitted.h as f32 };
            let back = scale.bbox(forth);
            let tolerance = w.max(h) as f32 * 1e-5;
            prop_assert!((back.x - point.0).abs() <= tolerance && (back.y - point.1).abs() <= tolerance);
            prop_assert!((back.w - w as f32).abs() <= tolerance && (back.h - h as f32).abs() <= tolerance);
            let marks = scale.landmarks(std::array::from_fn(|i| if i % 2 == 0 { forth.x } else { forth.y }));
            for pair in marks.chunks_exact(2) {
                prop_assert!((pair[0] - back.x).abs() <= tolerance && (pair[1] - back.y).abs() <= tolerance);
            }
        }
    }
}
