//! Boxes and scores on a picture.
//!
//! In: RGB pixels and a mark. Out: the same pixels with its box and, above or in it, its score in digits. Invariant: nothing is
//! written outside the picture, wherever the box lies.

use facestream_schemas::Size;

use super::{Mark, Region};

const LINE: [u8; 3] = [64, 220, 130];
const GROUND: [u8; 3] = [12, 24, 18];
/// Thickness of a box's lines in pixels.
const THICK: i64 = 2;
/// How many pixels a dot of a digit is wide and high.
const DOT: i64 = 2;
/// Width and height of a digit in dots, and the distance to the next.
const DIGIT: (i64, i64, i64) = (3, 5, 4);

/// The digits 0 to 9, five rows of three dots, the highest bit top left.
const DIGITS: [u16; 10] = [
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
];

/// Draws the box, and the score in percent.
pub(super) fn mark(rgb: &mut [u8], size: Size, Mark { region, score }: &Mark) {
    let Region { left, top, right, bottom } = region;
    // A conversion saturates; far outside is as good as a little outside.
    let pixel = |share: f32, side: u32| ((share * side as f32) as i64).clamp(-1_000, i64::from(side) + 1_000);
    let (left, right) = (pixel(*left, size.w), pixel(*right, size.w));
    let (top, bottom) = (pixel(*top, size.h), pixel(*bottom, size.h));
    for (x, y, w, h) in [
        (left, top, right - left, THICK),
        (left, bottom - THICK, right - left, THICK),
        (left, top, THICK, bottom - top),
        (right - THICK, top, THICK, bottom - top),
    ] {
        fill(rgb, size, (x, y, w, h), LINE);
    }
    if let Some(score) = score {
        let percent = (score.clamp(0.0, 1.0) * 100.0).round() as usize;
        let height = (DIGIT.1 + 2) * DOT;
        let above = if top >= height { top - height } else { top.max(0) };
        number(rgb, size, (left.max(0), above), percent);
    }
}

/// Writes a number of at most three digits, its ground's top left corner at `x`, `y`.
fn number(rgb: &mut [u8], size: Size, (x, y): (i64, i64), number: usize) {
    let digits: Vec<_> = number.to_string().bytes().map(|digit| DIGITS[usize::from(digit - b'0')]).collect();
    let width = (digits.len() as i64 * DIGIT.2 + 1) * DOT;
    fill(rgb, size, (x, y, width, (DIGIT.1 + 2) * DOT), GROUND);
    for (digit, at) in digits.into_iter().zip(0..) {
        let left = x + (1 + at * DIGIT.2) * DOT;
        for (row, column) in (0..DIGIT.1).flat_map(|row| (0..DIGIT.0).map(move |column| (row, column))) {
            if digit >> (14 - (row * 3 + column)) & 1 == 1 {
                fill(rgb, size, (left + column * DOT, y + (1 + row) * DOT, DOT, DOT), LINE);
            }
        }
    }
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
