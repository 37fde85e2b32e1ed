//! Precision over recall as a picture: SVG or PNG, by the file's name.
//!
//! In: curves with what to call them. Out: a file. Invariant: both kinds show the same [`Shape`]s, in the same places.

mod png;
mod svg;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use facestream_stages::accuracy::Point;

/// Size of the picture in pixels.
const SIZE: [f32; 2] = [720.0, 600.0];
/// The plot within it: left, top, right, bottom.
const PLOT: [f32; 4] = [70.0, 50.0, 690.0, 530.0];
const BLACK: [u8; 3] = [32, 32, 32];
const GREY: [u8; 3] = [216, 216, 216];
/// Told apart by those who see no red or green, too (Okabe and Ito).
const COLOURS: [[u8; 3]; 4] = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167]];
/// Points nearer to the last one than this are not drawn, in pixels.
const NEAR_PX: f32 = 0.7;

/// What is drawn.
enum Shape {
    Line {
        points: Vec<[f32; 2]>,
        colour: [u8; 3],
        width: f32,
    },
    /// Its middle left, middle or right is at the point.
    Text {
        at: [f32; 2],
        anchor: Anchor,
        text: String,
        colour: [u8; 3],
    },
}

#[derive(Clone, Copy)]
enum Anchor {
    Left,
    Middle,
    Right,
}

/// What the option `--curve` takes.
pub(super) fn file(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg" | "png") => match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            None => Ok(path),
            Some(folder) => Err(format!("there is no folder {}", folder.display())),
        },
        _ => Err("name a file that ends in .svg or .png".to_owned()),
    }
}

/// Draws the curves into a file.
pub(super) fn draw(path: &Path, title: &str, curves: Vec<(String, &[Point])>) -> anyhow::Result<()> {
    let shapes = shapes(title, curves);
    let is_svg = path.extension().is_some_and(|extension| extension == "svg");
    let bytes = if is_svg { svg::svg(&shapes, SIZE).into_bytes() } else { png::png(&shapes, SIZE)? };
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Where a point of the curve is in the picture.
fn place(recall: f64, precision: f64) -> [f32; 2] {
    let [left, top, right, bottom] = PLOT;
    [left + recall as f32 * (right - left), bottom - precision as f32 * (bottom - top)]
}

fn shapes(title: &str, curves: Vec<(String, &[Point])>) -> Vec<Shape> {
    let text = |at, anchor, text: &str, colour| Shape::Text { at, anchor, text: text.to_owned(), colour };
    let [left, top, right, bottom] = PLOT;
    let mut shapes = vec![
        text([left, top - 34.0], Anchor::Left, title, BLACK),
        text([f32::midpoint(left, right), bottom + 44.0], Anchor::Middle, "recall", BLACK),
        text([left, top - 16.0], Anchor::Middle, "precision", BLACK),
    ];
    for tenth in 0..=5 {
        let share = f64::from(tenth) / 5.0;
        let ([x, _], [_, y]) = (place(share, 0.0), place(0.0, share));
        let label = format!("{share:.1}");
        shapes.push(Shape::Line { points: vec![[x, bottom], [x, top]], colour: GREY, width: 1.0 });
        shapes.push(Shape::Line { points: vec![[left, y], [right, y]], colour: GREY, width: 1.0 });
        shapes.push(text([x, bottom + 20.0], Anchor::Middle, &label, BLACK));
        shapes.push(text([left - 10.0, y], Anchor::Right, &label, BLACK));
    }
    let legend = bottom - 24.0 * curves.len() as f32;
    for (number, (name, points)) in curves.into_iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let y = legend + 24.0 * number as f32;
        shapes.push(Shape::Line { points: thinned(points), colour, width: 2.5 });
        shapes.push(Shape::Line { points: vec![[left + 20.0, y], [left + 50.0, y]], colour, width: 2.5 });
        shapes.push(text([left + 60.0, y], Anchor::Left, &name, BLACK));
    }
    shapes
}

/// The curve from recall 0 on, without points that nobody could tell apart.
fn thinned(points: &[Point]) -> Vec<[f32; 2]> {
    let mut kept: Vec<[f32; 2]> = points.first().map(|first| place(0.0, first.precision)).into_iter().collect();
    for (index, point) in points.iter().enumerate() {
        let [x, y] = place(point.recall, point.precision);
        let is_far = kept.last().is_none_or(|last| (x - last[0]).hypot(y - last[1]) >= NEAR_PX);
        if is_far || index + 1 == points.len() {
            kept.push([x, y]);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
