//! Small faces in large pictures: the whole picture, and overlapping crops of it, each looked at by the same detector.
//!
//! In: an image with all its pixels. Out: what the detector finds in any of them, merged. Invariant: a face whose box is no larger than
//! the overlap (less twice the [`MARGIN`]) lies whole in one of the crops, and what another crop's border left of it does not stay beside it.

use facestream_schemas::{Bbox, Detection, DetectorIdentity, ScoreKind, Size};
use serde::Serialize;

use super::nms::suppress;
use super::weak::Weak;
use super::{DetectError, Detector, ModelError, Settings};
use crate::decode::Image;

/// More crops of one picture than this are not looked at: those of a larger picture are larger.
const MOST_TILES: u32 = 64;
/// A box that comes as near as this to a border within the picture may have been cut by it; a share of the crop's side.
const MARGIN: f32 = 0.02;
/// A box that was cut is the rest of another face if so much of it lies within that face's box, as a share.
const REST: f32 = 0.5;

/// How pictures are cut up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tiles {
    /// Width of a crop in original pixels; its height follows from the shape of the detector's input.
    pub size: u32,
    /// The least that neighbours share, as a share of their sides: 0 to 0.5.
    pub overlap: f32,
}

impl Tiles {
    pub(super) fn check(self) -> Result<(), ModelError> {
        if !(64..=16_384).contains(&self.size) {
            return Err(ModelError::Settings(format!("tiles.size is {}, it must be from 64 to 16384", self.size)));
        }
        if !(0.0..=0.5).contains(&self.overlap) {
            return Err(ModelError::Settings(format!("tiles.overlap is {}, it must be from 0 to 0.5", self.overlap)));
        }
        Ok(())
    }

    /// The crops of a picture, none where one would hold all of it.
    fn of(self, picture: Size, input: Size) -> Vec<Tile> {
        let mut width = self.size.max(1);
        loop {
            let height = (f64::from(width) * f64::from(input.h) / f64::from(input.w)).round().max(1.0) as u32;
            let (across, down) = (spread(picture.w, width, self.overlap), spread(picture.h, height, self.overlap));
            match across.len() * down.len() {
                1 => return Vec::new(),
                many if many as u64 > u64::from(MOST_TILES) => width += width.div_ceil(8),
                _ => {
                    let size = Size { w: width.min(picture.w), h: height.min(picture.h) };
                    let tiles = down.iter().flat_map(|y| across.iter().map(move |x| Tile { x: *x, y: *y, size }));
                    return tiles.collect();
                }
            }
        }
    }
}

/// Where crops of `length` begin on a side of `whole` pixels: evenly spread, from one end to the other.
fn spread(whole: u32, length: u32, overlap: f32) -> Vec<u32> {
    let Some(room) = whole.checked_sub(length).filter(|room| *room > 0) else { return vec![0] };
    let step = ((1.0 - overlap) * length as f32).floor().max(1.0) as u32;
    // More of them than are ever looked at need not be listed.
    let steps = room.div_ceil(step).min(MOST_TILES);
    (0..=steps).map(|n| (u64::from(room) * u64::from(n) / u64::from(steps)) as u32).collect()
}

/// One crop, in pixels of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tile {
    x: u32,
    y: u32,
    size: Size,
}

impl Tile {
    fn whole(size: Size) -> Self {
        Self { x: 0, y: 0, size }
    }

    /// Whether a box of the crop comes near a border that is none of the picture's.
    fn cuts(&self, bbox: &Bbox, picture: Size) -> bool {
        let near = |from: f32, to: f32, start: u32, length: u32, end: u32| {
            let margin = MARGIN * length as f32;
            start > 0 && from <= margin || start + length < end && to >= length as f32 - margin
        };
        near(bbox.x, bbox.x + bbox.w, self.x, self.size.w, picture.w)
            || near(bbox.y, bbox.y + bbox.h, self.y, self.size.h, picture.h)
    }
}

/// A detector that looks at crops, too.
pub(super) struct Tiled {
    /// Drops no face for its size: crops may be looked at in other pixels than the original's.
    inner: Box<dyn Detector>,
    tiles: Tiles,
    settings: Settings,
    identity: DetectorIdentity,
    weak: Weak,
    /// A crop's pixels.
    crop: Vec<u8>,
}

impl Tiled {
    /// `inner` with crops beside the whole picture. It must have been built without a least size.
    pub(super) fn new(inner: Box<dyn Detector>, tiles: Tiles, settings: &Settings) -> Self {
        let identity =
            DetectorIdentity { detector_id: format!("{}_tiles", inner.identity().detector_id), ..inner.identity().clone() };
        Self { inner, tiles, settings: *settings, identity, weak: Weak::default(), crop: Vec::new() }
    }

    /// What the detector finds in one crop, in original pixels: faces that are whole, and those that a border may have cut.
    fn look(
        &mut self,
        image: &Image<'_>,
        tile: Tile,
        whole: &mut Vec<Detection>,
        cut: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        let back = Back::of(image, tile);
        let is_all = tile == Tile::whole(image.size);
        let faces = if is_all {
            self.inner.detect(image)?
        } else {
            copy(image, tile, &mut self.crop);
            self.inner.detect(&Image { pixels: &self.crop, size: tile.size, original: tile.size })?
        };
        for mut face in faces {
            let is_cut = !is_all && tile.cuts(&face.bbox, image.size);
            if !is_all {
                face.bbox = back.bbox(face.bbox);
                face.landmarks = face.landmarks.map(|landmarks| back.landmarks(landmarks));
            }
            if is_cut { cut.push(face) } else { whole.push(face) }
        }
        let inner = &self.inner;
        self.weak.collect(|_, weak| {
            let boxes = inner.weak().iter().map(|bbox| if is_all { *bbox } else { back.bbox(*bbox) });
            weak.extend(boxes.map(|bbox| Detection {
                bbox,
                score: None,
                score_kind: ScoreKind::None,
                landmarks: None,
                track: None,
            }));
        });
        Ok(())
    }
}

impl Detector for Tiled {
    fn identity(&self) -> &DetectorIdentity {
        &self.identity
    }

    fn input(&self) -> Size {
        self.inner.input()
    }

    /// All pixels: a crop is the size of a reduced picture, or smaller.
    fn decode_for(&self) -> Size {
        Size::MAX
    }

    fn detect(&mut self, image: &Image<'_>) -> Result<Vec<Detection>, DetectError> {
        self.weak.begin();
        let (mut whole, mut cut) = (Vec::new(), Vec::new());
        let tiles = self.tiles.of(image.size, self.inner.input());
        for tile in std::iter::once(Tile::whole(image.size)).chain(tiles) {
            self.look(image, tile, &mut whole, &mut cut)?;
        }
        let mut all = self.weak.keep(&whole);
        all.extend(self.weak.keep(&cut));
        let faces = merge(whole, cut, &self.settings);
        self.weak.end(all, &faces);
        Ok(faces)
    }

    fn remember_weak(&mut self, least_score: f32) {
        self.weak.remember(least_score);
        self.inner.remember_weak(least_score);
    }

    fn weak(&self) -> &[Bbox] {
        self.weak.boxes()
    }
}

/// Suppression among whole faces as ever; of the cut ones only those are added that are no rest of another face.
fn merge(whole: Vec<Detection>, mut cut: Vec<Detection>, settings: &Settings) -> Vec<Detection> {
    let mut kept = suppress(whole, &Settings { min_face_px: 0.0, ..*settings });
    // The larger of two rests shows more of the face.
    cut.sort_by(|a, b| (b.bbox.w * b.bbox.h).total_cmp(&(a.bbox.w * a.bbox.h)));
    for rest in cut {
        let is_apart =
            |other: &Detection| other.bbox.iou(&rest.bbox) <= settings.nms_iou && share_within(&rest.bbox, &other.bbox) < REST;
        if kept.iter().all(is_apart) {
            kept.push(rest);
        }
    }
    kept.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    kept.retain(|face| face.bbox.w.min(face.bbox.h) >= settings.min_face_px);
    kept
}

/// The share of `inner` that lies within `outer`.
fn share_within(inner: &Bbox, outer: &Bbox) -> f32 {
    let w = (inner.x + inner.w).min(outer.x + outer.w) - inner.x.max(outer.x);
    let h = (inner.y + inner.h).min(outer.y + outer.h) - inner.y.max(outer.y);
    if w > 0.0 && h > 0.0 { w * h / (inner.w * inner.h) } else { 0.0 }
}

/// From a crop's pixels to the original's.
struct Back {
    x: f32,
    y: f32,
    scale_x: f32,
    scale_y: f32,
}

impl Back {
    fn of(image: &Image<'_>, tile: Tile) -> Self {
        let scale_x = image.original.w as f32 / image.size.w.max(1) as f32;
        let scale_y = image.original.h as f32 / image.size.h.max(1) as f32;
        Self { x: tile.x as f32, y: tile.y as f32, scale_x, scale_y }
    }

    fn bbox(&self, bbox: Bbox) -> Bbox {
        Bbox {
            x: (bbox.x + self.x) * self.scale_x,
            y: (bbox.y + self.y) * self.scale_y,
            w: bbox.w * self.scale_x,
            h: bbox.h * self.scale_y,
        }
    }

    fn landmarks(&self, landmarks: [f32; 10]) -> [f32; 10] {
        std::array::from_fn(|i| {
            if i % 2 == 0 { (landmarks[i] + self.x) * self.scale_x } else { (landmarks[i] + self.y) * self.scale_y }
        })
    }
}

/// Copies a crop's pixels.
fn copy(image: &Image<'_>, tile: Tile, crop: &mut Vec<u8>) {
    crop.clear();
    let stride = image.size.w as usize * 3;
    let (from, width) = (tile.x as usize * 3, tile.size.w as usize * 3);
    for row in image.pixels.chunks_exact(stride).skip(tile.y as usize).take(tile.size.h as usize) {
        crop.extend_from_slice(&row[from..from + width]);
    }
}

#[cfg(test)]
mod tests;
