//! The pictures that are sent: small ones of virtual cameras, whose faces are known because they were drawn.
//!
//! Invariant: which pictures are taken follows from what was drawn alone: faces large enough for a detector to be sure of.

use facestream::scene::Scene;
use facestream_schemas::Size;

/// Small, so that detection takes little of a machine that is shared with brokers.
const SIZE: Size = Size { w: 320, h: 192 };
/// The least side of a face in pixels, in a picture that is not scaled before detection.
const LEAST_FACE_PX: f32 = 48.0;
const PER_CAMERA: usize = 8;

/// One picture.
pub(super) struct Shot {
    /// Which camera it is of.
    pub(super) camera: usize,
    pub(super) jpeg: Vec<u8>,
    /// How many faces were drawn.
    pub(super) faces: usize,
}

/// How many cameras there are.
pub(super) const CAMERAS: usize = 3;

/// Some pictures of each camera, with and without faces, by turns of the cameras.
pub(super) fn shots() -> Vec<Shot> {
    let mut cameras: Vec<_> = (0..CAMERAS).map(shots_of).collect();
    (0..PER_CAMERA).flat_map(|_| cameras.iter_mut().map(|shots| shots.next().expect("endless")).collect::<Vec<_>>()).collect()
}

fn shots_of(camera: usize) -> impl Iterator<Item = Shot> {
    // Two people at most: three leave each other too little width for large faces.
    let scene = Scene::with_people(camera as u32, SIZE, 1 + camera as u32 % 2);
    (0..).step_by(31).filter_map(move |n| {
        let picture = scene.picture(n);
        let sure = picture.faces.iter().all(|face| face.w.min(face.h) >= LEAST_FACE_PX);
        sure.then_some(Shot { camera, faces: picture.faces.len(), jpeg: picture.jpeg })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_pictures_with_no_face_with_one_and_with_two() {
        let shots = shots();
        assert_eq!(shots.len(), CAMERAS * PER_CAMERA);
        for faces in 0..=2 {
            assert!(shots.iter().any(|shot| shot.faces == faces), "none with {faces}");
        }
        assert!((0..CAMERAS).all(|camera| shots[camera].camera == camera));
    }
}
