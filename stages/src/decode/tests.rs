//! Decoding is checked against pictures that are made here, so that every expected pixel is known beforehand.

use super::*;

mod alone;
mod broken;
mod formats;
mod pictures;
mod turned;

const LIMITS: Limits = Limits { max_pixels: 20_000_000 };
const TARGET: Size = Size { w: 640, h: 384 };

fn decoder() -> Decode {
    Decode::new(LIMITS, TARGET)
}
