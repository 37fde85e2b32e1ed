//! The background of a scene: soft clouds of colour with a fine grain, so that a JPEG of it is as large as a camera's.
//!
//! In: camera number and size. Out: RGB pixels. Invariant: the same for the same camera and size, on every machine.

use facestream_schemas::Size;

/// Cell sizes of the clouds as shares of the picture's height, with their strengths in grey levels.
const CLOUDS: [(f32, f32); 3] = [(0.5, 60.0), (0.12, 30.0), (0.03, 12.0)];

/// Strength of the grain in grey levels, either way.
const GRAIN: f32 = 7.5;

/// A well-mixed number for three numbers (the finaliser of splitmix64).
pub(super) fn hash(a: u64, b: u64, c: u64) -> u64 {
    let mut z =
        a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xC2B2_AE3D_27D4_EB4F) ^ c.wrapping_mul(0x1656_67B1_9E37_79F9);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The background of a camera: rows of RGB pixels.
pub(super) fn background(camera: u32, size: Size) -> Vec<u8> {
    let tint = [0, 1, 2].map(|channel| 90.0 + (hash(u64::from(camera), 77, channel) % 60) as f32);
    let mut rgb = Vec::with_capacity((size.w * size.h * 3) as usize);
    for y in 0..size.h {
        for x in 0..size.w {
            let clouds: f32 =
                CLOUDS.iter().map(|&(cell, strength)| strength * cloud(camera, x, y, (cell * size.h as f32).max(2.0))).sum();
            let grain = GRAIN * unit(hash(u64::from(camera) + 1000, u64::from(x), u64::from(y)));
            rgb.extend(tint.map(|colour| (colour + clouds + grain).clamp(0.0, 255.0) as u8));
        }
    }
    rgb
}

/// Value noise from -1 to 1: random heights at the corners of cells, a smooth blend between.
fn cloud(camera: u32, x: u32, y: u32, cell: f32) -> f32 {
    let (x, y) = (x as f32 / cell, y as f32 / cell);
    let corner =
        |dx: u64, dy: u64| unit(hash(u64::from(camera) << 32 | u64::from(cell.to_bits() >> 8), x as u64 + dx, y as u64 + dy));
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x.fract()), smooth(y.fract()));
    let mix = |from: f32, to: f32, share: f32| from + (to - from) * share;
    mix(mix(corner(0, 0), corner(1, 0), u), mix(corner(0, 1), corner(1, 1), u), v)
}

/// A hash as a number from -1 to 1.
fn unit(hash: u64) -> f32 {
    (hash >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
}
