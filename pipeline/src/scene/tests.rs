//! What tests and benches rely on: pictures repeat, and the truth that goes with them is true of the pixels.

use super::*;

const SMALL: Size = Size { w: 640, h: 360 };
const LARGE: Size = Size { w: 1920, h: 1080 };

#[test]
fn a_picture_depends_on_camera_and_number_alone() {
    let (one, again, other) = (Scene::new(4, SMALL), Scene::new(4, SMALL), Scene::new(5, SMALL));
    assert_eq!(one.picture(17).jpeg, again.picture(17).jpeg);
    assert_ne!(one.picture(17).jpeg, one.picture(18).jpeg);
    assert_ne!(one.picture(17).jpeg, other.picture(17).jpeg);
}

#[test]
fn faces_are_whole_apart_and_of_usable_size() {
    for size in [SMALL, LARGE] {
        for camera in 0..6 {
            let scene = Scene::new(camera, size);
            for n in 0..300 {
                let places: Vec<Place> = scene.people.iter().filter_map(|path| path.at(n)).collect();
                for (index, place) in places.iter().enumerate() {
                    assert!(place.x + place.side <= size.w && place.y + place.side <= size.h, "camera {camera}, picture {n}");
                    assert!(
                        places[..index].iter().all(|left| left.x + left.side <= place.x),
                        "camera {camera}, picture {n}: covered"
                    );
                    let tall = place.face().h / (size.h as f32 / 360.0);
                    assert!((55.0..200.0).contains(&tall), "camera {camera}, picture {n}: {tall} px in 360");
                }
            }
        }
    }
}

#[test]
fn people_leave_come_back_and_walk_rather_than_jump() {
    let scene = Scene::with_people(3, SMALL, 1);
    let visits: Vec<Option<Bbox>> = (0..600).map(|n| scene.people[0].at(n).map(Place::face)).collect();
    let times =
        |from: bool, to: bool| visits.windows(2).filter(|pair| pair[0].is_some() == from && pair[1].is_some() == to).count();
    assert!(times(true, false) >= 3, "leaves");
    assert!(times(false, true) >= 3, "comes back");
    for pair in visits.windows(2) {
        if let [Some(before), Some(after)] = pair {
            assert!(before.iou(after) > 0.6, "{before:?} to {after:?}");
        }
    }
}

#[test]
fn only_the_people_differ_from_the_empty_scene_and_their_faces_do_all_over() {
    let background = Scene::with_people(2, SMALL, 0).view(0).rgb;
    let mut seen = [false; 4];
    for (people, n) in (0..400).step_by(9).flat_map(|n| [(1, n), (3, n)]) {
        let view = Scene::with_people(2, SMALL, people).view(n);
        seen[view.faces.len()] = true;
        let mut changed = 0;
        let mut in_faces = vec![0.0; view.faces.len()];
        for (index, (now, before)) in view.rgb.chunks_exact(3).zip(background.chunks_exact(3)).enumerate() {
            let (x, y) = ((index as u32 % SMALL.w) as f32 + 0.5, (index as u32 / SMALL.w) as f32 + 0.5);
            if now != before {
                changed += 1;
                if let Some(face) = view.faces.iter().position(|f| (f.x..f.x + f.w).contains(&x) && (f.y..f.y + f.h).contains(&y))
                {
                    in_faces[face] += 1.0;
                }
            }
        }
        assert_eq!(changed > 0, !view.faces.is_empty(), "picture {n}");
        for (face, pixels) in view.faces.iter().zip(in_faces) {
            let share = pixels / (face.w * face.h);
            assert!((0.9..1.1).contains(&share), "picture {n}: {share} of {face:?}");
        }
    }
    assert_eq!(seen, [true; 4], "none, one, two and three people");
}

#[test]
fn landmarks_lie_on_dark_eyes_and_a_bright_nose() {
    let scene = Scene::with_people(1, LARGE, 1);
    let mut looked = 0;
    for n in 0..40 {
        let view = scene.view(n);
        for (face, [rx, ry, lx, ly, nx, ny, ..]) in view.faces.iter().zip(&view.landmarks) {
            let around = |x: f32, y: f32| brightness(&view, x, y, (face.w * 0.03) as u32);
            assert!(around(*rx, *ry) + 50 < around(*nx, *ny), "picture {n}: right eye");
            assert!(around(*lx, *ly) + 50 < around(*nx, *ny), "picture {n}: left eye");
            assert!(rx < nx && nx < lx, "her right is on the left of the picture");
            looked += 1;
        }
    }
    assert!(looked > 0);
}

/// Mean grey level of the square of pixels around a point.
fn brightness(view: &View, x: f32, y: f32, radius: u32) -> u32 {
    let (x, y) = (x as u32, y as u32);
    let area =
        (y - radius..=y + radius).flat_map(|y| (x - radius..=x + radius).map(move |x| ((y * view.size.w + x) * 3) as usize));
    let values: Vec<u32> =
        area.map(|start| view.rgb[start..start + 3].iter().map(|value| u32::from(*value)).sum::<u32>() / 3).collect();
    values.iter().sum::<u32>() / values.len() as u32
}

#[test]
fn a_full_hd_picture_weighs_what_a_camera_sends() {
    for camera in 0..3 {
        let picture = Scene::new(camera, LARGE).picture(50);
        let header = turbojpeg::read_header(&picture.jpeg).unwrap();
        assert_eq!((header.width, header.height), (1920, 1080));
        let kb = picture.jpeg.len() / 1000;
        assert!((260..320).contains(&kb), "camera {camera}: {kb} kB");
    }
}
