//! Shapes as a PNG of twice the size: smooth lines, letters of 8 x 8 dots.

use font8x8::legacy::BASIC_LEGACY;
use image::{ExtendedColorType, ImageEncoder as _};

use super::{Anchor, Shape};

/// Pixels for each of the shapes' units, and for each of a letter's dots.
const SCALE: usize = 2;
/// Side of a letter in pixels.
const LETTER: usize = 8 * SCALE;

struct Canvas {
    rgb: Vec<u8>,
    w: usize,
    h: usize,
}

pub(super) fn png(shapes: &[Shape], [w, h]: [f32; 2]) -> anyhow::Result<Vec<u8>> {
    let scaled = |[x, y]: [f32; 2]| [x * SCALE as f32, y * SCALE as f32];
    let [w, h] = scaled([w, h]).map(|side| side as usize);
    let mut canvas = Canvas { rgb: vec![255; w * h * 3], w, h };
    for shape in shapes {
        match shape {
            Shape::Line { points, colour, width } => {
                let points: Vec<_> = points.iter().map(|point| scaled(*point)).collect();
                canvas.line(&points, *colour, *width * SCALE as f32);
            }
            Shape::Text { at, anchor, text, colour } => canvas.text(scaled(*at), *anchor, text, *colour),
        }
    }
    let mut png = Vec::new();
    image::codecs::png::PngEncoder::new(&mut png).write_image(&canvas.rgb, w as u32, h as u32, ExtendedColorType::Rgb8)?;
    Ok(png)
}

impl Canvas {
    fn line(&mut self, points: &[[f32; 2]], colour: [u8; 3], width: f32) {
        // How much of each pixel is covered; blended once, so that joints are no darker.
        let mut covered = vec![0.0_f32; self.w * self.h];
        for pair in points.windows(2) {
            let [a, b] = [pair[0], pair[1]];
            let range = |axis: usize, end: usize| {
                let (from, to) = (a[axis].min(b[axis]) - width - 1.0, a[axis].max(b[axis]) + width + 1.0);
                from.max(0.0) as usize..(to.max(0.0) as usize).min(end)
            };
            for (y, x) in range(1, self.h).flat_map(|y| range(0, self.w).map(move |x| (y, x))) {
                let cover = (width / 2.0 + 0.5 - distance([x as f32 + 0.5, y as f32 + 0.5], a, b)).clamp(0.0, 1.0);
                let pixel = &mut covered[y * self.w + x];
                *pixel = pixel.max(cover);
            }
        }
        let (pixels, _) = self.rgb.as_chunks_mut::<3>();
        for (pixel, cover) in pixels.iter_mut().zip(covered).filter(|(_, cover)| *cover > 0.0) {
            *pixel = std::array::from_fn(|i| (f32::from(pixel[i]) * (1.0 - cover) + f32::from(colour[i]) * cover).round() as u8);
        }
    }

    fn text(&mut self, [x, y]: [f32; 2], anchor: Anchor, text: &str, colour: [u8; 3]) {
        let width = text.chars().count() * LETTER;
        let left = match anchor {
            Anchor::Left => x,
            Anchor::Middle => x - width as f32 / 2.0,
            Anchor::Right => x - width as f32,
        };
        let (left, top) = (left.max(0.0) as usize, (y - LETTER as f32 / 2.0).max(0.0) as usize);
        for (number, c) in text.chars().enumerate() {
            let letter = BASIC_LEGACY.get(c as usize).unwrap_or(&BASIC_LEGACY['?' as usize]);
            for (row, column) in (0..LETTER).flat_map(|row| (0..LETTER).map(move |column| (row, column))) {
                let (x, y) = (left + number * LETTER + column, top + row);
                if letter[row / SCALE] >> (column / SCALE) & 1 == 1 && x < self.w && y < self.h {
                    self.rgb[(y * self.w + x) * 3..][..3].copy_from_slice(&colour);
                }
            }
        }
    }
}

/// From a point to the nearest point of a line from `a` to `b`.
fn distance(point: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { ((point[0] - a[0]) * dx + (point[1] - a[1]) * dy) / length } else { 0.0 };
    let along = along.clamp(0.0, 1.0);
    (point[0] - a[0] - along * dx).hypot(point[1] - a[1] - along * dy)
}
