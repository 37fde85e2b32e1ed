//! Ranges of what looks for faces and follows them.

use std::path::Path;
use std::time::Duration;

use facestream_stages::detect::{HaarSettings, is_cascade};

use super::Range;
use crate::config::Config;

/// Faces are not followed over a longer gap.
const LONGEST_GAP: Duration = Duration::from_mins(1);

pub(super) fn ranges(c: &Config) -> Vec<Range> {
    let side = |pixels: u32| (32..=4096).contains(&pixels) && pixels.is_multiple_of(32);
    let share = |number: f32| ((0.0..=1.0).contains(&number), format!("{number} is not between 0 and 1"));
    vec![
        (
            "detector.model",
            (
                !c.detector.model.is_empty(),
                "is empty: give \"auto\", a name that `facestream models ls` lists, or a path".to_owned(),
            ),
        ),
        ("detector.score_threshold", share(c.detector.score_threshold)),
        ("detector.nms_iou", share(c.detector.nms_iou)),
        (
            "detector.input",
            (
                side(c.detector.input.w) && side(c.detector.input.h),
                "width and height each have to be a multiple of 32 from 32 to 4096 pixels".to_owned(),
            ),
        ),
        ("detector.min_face_px", (c.detector.min_face_px >= 0.0, "is below 0".to_owned())),
        ("detector.max_faces", (c.detector.max_faces > 0, "has to be at least 1".to_owned())),
        ("tiles.size", ((64..=16_384).contains(&c.tiles.size), "has to be from 64 to 16384 pixels".to_owned())),
        ("tiles.overlap", ((0.0..=0.5).contains(&c.tiles.overlap), format!("{} is not between 0 and 0.5", c.tiles.overlap))),
        (
            "haar.cascade",
            (
                c.haar.cascade.is_empty() || is_cascade(Path::new(&c.haar.cascade)),
                format!("{:?} is no .xml file: cascades are", c.haar.cascade),
            ),
        ),
        (
            "haar.scale_factor",
            (
                c.haar.scale_factor >= HaarSettings::LEAST_SCALE_FACTOR,
                format!("has to be at least {}: each size of window takes time", HaarSettings::LEAST_SCALE_FACTOR),
            ),
        ),
        (
            "track.max_gap",
            (
                !c.track.max_gap.is_zero() && c.track.max_gap <= LONGEST_GAP,
                format!(
                    "has to be longer than 0s and {} at most: by then a face may be anywhere",
                    humantime::format_duration(LONGEST_GAP)
                ),
            ),
        ),
        (
            "track.min_iou",
            (
                c.track.min_iou > 0.0 && c.track.min_iou < 1.0,
                format!("{} is not between 0 and 1, both excluded", c.track.min_iou),
            ),
        ),
    ]
}
