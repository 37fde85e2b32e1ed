//! Boxes and scores on a picture.
//!
//! In: RGB pixels and a mark. Out: the same pixels with its box and, above or in it, its score in percent. Invariant: nothing is
//! written outside the picture, wherever the box lies.

use facestream_schemas::Size;

use super::{Mark, Region, Style};

/// Width and height of a character in dots, and the distance to the next.
const CHARACTER: (i64, i64, i64) = (3, 5, 4);
/// A dot of a score that has to be small for its box.
const LEAST_DOT_PX: i64 = 2;
/// Lines and letters are no thicker: a style's numbers may be any.
const MOST_PX: u32 = 10_000;

/// The digits 0 to 9 and the percent sign, five rows of three dots, the highest bit top left.
const CHARACTERS: [u16; 11] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
    0b101_001_010_100_101,
];
const PERCENT: usize = 10;

/// Draws the box, and the score in percent: above the box, or in it where there is no room.
pub(super) fn mark(rgb: &mut [u8], size: Size, Mark { region, score }: &Mark, style: &Style) {
    let Region { left, top, right, bottom } = region;
    // A conversion saturates; far outside is as good as a little outside.
    let pixel = |share: f32, side: u32| ((share * side as f32).round() as i64).clamp(-100_000, i64::from(side) + 100_000);
    let thick = i64::from(style.line_px.min(MOST_PX));
    let (left, right) = (pixel(*left, size.w) - thick / 2, pixel(*right, size.w) - thick / 2);
    let (top, bottom) = (pixel(*top, size.h) - thick / 2, pixel(*bottom, size.h) - thick / 2);
    for (x, y, w, h) in [
        (left, top, right - left + thick, thick),
        (left, bottom, right - left + thick, thick),
        (left, top, thick, bottom - top + thick),
        (right, top, thick, bottom - top + thick),
    ] {
        fill(rgb, size, (x, y, w, h), style.colour);
    }
    let largest = i64::from(style.text_px.min(MOST_PX)) / CHARACTER.1;
    if let Some(score) = score.filter(|_| largest > 0) {
        let text = percent(score);
        let dots = text.len() as i64 * CHARACTER.2 + 1;
        // No wider than its box, as far as it can still be read: faces stand side by side.
        let dot = largest.min(((right - left) / dots).max(LEAST_DOT_PX));
        let (width, height) = (dots * dot, (CHARACTER.1 + 2) * dot);
        let y = if top >= height { top - height } else { (top + thick).max(0) };
        let x = left.min(i64::from(size.w) - width).max(0);
        write(rgb, size, (x, y, width, height), &text, style.colour);
    }
}

/// A score as indices of characters.
fn percent(score: f32) -> Vec<usize> {
    let percent = (score.clamp(0.0, 1.0) * 100.0).round() as usize;
    percent.to_string().bytes().map(|digit| usize::from(digit - b'0')).chain([PERCENT]).collect()
}

/// Writes characters on a ground of their own, which is a rectangle (left, top, width, height).
fn write(rgb: &mut [u8], size: Size, ground: (i64, i64, i64, i64), text: &[usize], colour: [u8; 3]) {
    let (x, y, _, height) = ground;
    fill(rgb, size, ground, contrast(colour));
    let dot = height / (CHARACTER.1 + 2);
    for (character, at) in text.iter().map(|character| CHARACTERS[*character]).zip(0..) {
        let left = x + (1 + at * CHARACTER.2) * dot;
        for (row, column) in (0..CHARACTER.1).flat_map(|row| (0..CHARACTER.0).map(move |column| (row, column))) {
            if character >> (14 - (row * 3 + column)) & 1 == 1 {
                fill(rgb, size, (left + column * dot, y + (1 + row) * dot, dot, dot), colour);
            }
        }
    }
}

/// Black or white, whichever differs more in brightness (weights of ITU-R BT.601).
fn contrast([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let brightness = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    if brightness < 128_000 { [255; 3] } else { [0; 3] }
}

/// Fills what lies within the picture of a rectangle (left, top, width, height).
fn fill(rgb: &mut [u8], size: Size, (x, y, w, h): (i64, i64, i64, i64), colour: [u8; 3]) {
    let within = |from: i64, length: i64, side: u32| {
        let edge = |at: i64| at.clamp(0, i64::from(side)) as usize;
        edge(from)..edge(from.saturating_add(length))
    };
    let (columns, rows) = (within(x, w, size.w), within(y, h, size.h));
    if columns.is_empty() {
        return;
    }
    for row in rows {
        let start = row * size.w as usize * 3;
        rgb[start + columns.start * 3..start + columns.end * 3].as_chunks_mut::<3>().0.fill(colour);
    }
}
