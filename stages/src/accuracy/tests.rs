//! Held against the definitions, as slowly as one likes, on whole pixels; `tests/tests/promises/accuracy.rs` holds them against pycocotools.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// x, y, w, h.
type Whole = [u8; 4];

#[derive(Clone, Debug)]
struct Picture {
    faces: Vec<(Whole, bool)>,
    /// With a score from 0 to 100.
    found: Vec<(Whole, u8)>,
}

fn rect([x, y, w, h]: Whole) -> Rect {
    Rect { x: x.into(), y: y.into(), w: w.into(), h: h.into() }
}

impl Picture {
    fn parts(&self) -> (Vec<Face>, Vec<Found>) {
        let faces = self.faces.iter().map(|&(whole, ignored)| Face { rect: rect(whole), ignored });
        let found = self.found.iter().map(|&(whole, score)| Found { rect: rect(whole), score: f64::from(score) / 100.0 });
        (faces.collect(), found.collect())
    }
}

fn evaluate(protocol: Protocol, pictures: &[Picture]) -> Evaluation {
    let parts: Vec<_> = pictures.iter().map(Picture::parts).collect();
    Evaluation::of(protocol, parts.iter().map(|(faces, found)| (&faces[..], &found[..])))
}

/// Few places, so that boxes overlap often, by exactly a half at times, and coincide.
fn pictures() -> impl Strategy<Value = Vec<Picture>> {
    let whole = || [0_u8..6, 0_u8..6, 1_u8..7, 1_u8..7];
    let faces = prop::collection::vec((whole(), prop::bool::weighted(0.25)), 0..5);
    let found = prop::collection::vec((whole(), 0_u8..=100), 0..8);
    prop::collection::vec((faces, found).prop_map(|(faces, found)| Picture { faces, found }), 0..5)
}

/// The pixels of a box; with `more` the last column and row are those at `x + w` and `y + h`.
fn pixels([x, y, w, h]: Whole, more: u8) -> BTreeSet<(u8, u8)> {
    (x..x + w + more).flat_map(|column| (y..y + h + more).map(move |row| (column, row))).collect()
}

/// Intersection over union as a fraction.
fn overlap(a: Whole, b: Whole, more: u8) -> (usize, usize) {
    let (a, b) = (pixels(a, more), pixels(b, more));
    (a.intersection(&b).count(), a.union(&b).count())
}

/// The best that precision is at each face's recall or a higher one, averaged over the faces. Points: found, taken.
fn textbook(points: &[(usize, usize)], faces: usize) -> f64 {
    let best = |least: usize| {
        let reach = points.iter().filter(|(found, taken)| *found >= least && *taken > 0);
        reach.map(|(found, taken)| *found as f64 / *taken as f64).fold(0.0, f64::max)
    };
    (1..=faces).map(best).sum::<f64>() / faces as f64
}

fn faces_to_find(pictures: &[Picture]) -> usize {
    pictures.iter().flat_map(|picture| &picture.faces).filter(|(_, ignored)| !ignored).count()
}

/// Found faces, and boxes that count, of what has this score or more. A set of boxes for each face, nothing in turn.
fn wider_at(picture: &Picture, enough: impl Fn(u8) -> bool) -> (usize, usize) {
    if picture.faces.is_empty() {
        return (0, 0);
    }
    let taken: Vec<_> = picture.found.iter().filter(|(_, score)| enough(*score)).collect();
    let about: Vec<Option<usize>> = taken
        .iter()
        .map(|(whole, _)| {
            let overlaps: Vec<_> = picture.faces.iter().map(|(face, _)| overlap(*face, *whole, 1)).collect();
            // The largest fraction, the first of equals.
            let largest = (0..overlaps.len()).find(|&i| overlaps.iter().all(|b| overlaps[i].0 * b.1 >= b.0 * overlaps[i].1))?;
            (2 * overlaps[largest].0 >= overlaps[largest].1).then_some(largest)
        })
        .collect();
    let ignored = about.iter().flatten().filter(|face| picture.faces[**face].1).count();
    let found: BTreeSet<_> = about.iter().flatten().filter(|face| !picture.faces[**face].1).collect();
    (found.len(), taken.len() - ignored)
}

fn sum(counts: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Found faces, and boxes that count, of the best `taken` boxes by COCO's rules.
fn coco_of(pictures: &[Picture], best: &[(usize, usize)]) -> (usize, usize) {
    let (mut found, mut counting) = (0, 0);
    for (number, picture) in pictures.iter().enumerate() {
        let mut free: Vec<usize> = (0..picture.faces.len()).filter(|face| !picture.faces[*face].1).collect();
        for (_, index) in best.iter().filter(|(of, _)| *of == number) {
            let whole = picture.found[*index].0;
            let share = |face: &usize| {
                let (both, either) = overlap(picture.faces[*face].0, whole, 0);
                both as f64 / either as f64
            };
            free.sort_by(|a, b| share(a).total_cmp(&share(b)).then(a.cmp(b)));
            if free.last().is_some_and(|face| share(face) >= 0.5) {
                free.pop();
                (found, counting) = (found + 1, counting + 1);
                continue;
            }
            let area = pixels(whole, 0).len();
            let lies_in = |region: &Whole| 2 * pixels(*region, 0).intersection(&pixels(whole, 0)).count() >= area;
            counting += usize::from(!picture.faces.iter().any(|(region, ignored)| *ignored && lies_in(region)));
        }
    }
    (found, counting)
}

#[track_caller]
fn assert_near(found: Option<f64>, expected: f64) {
    assert!(found.is_some_and(|found| (found - expected).abs() < 1e-9), "{found:?} for {expected}");
}

proptest! {
    #[test]
    fn wider_is_what_its_definition_says(pictures in pictures()) {
        let evaluation = evaluate(Protocol::Wider, &pictures);
        let faces = faces_to_find(&pictures);
        for least in [0_u8, 30, 60] {
            let (found, counting) = sum(pictures.iter().map(|picture| wider_at(picture, |score| score >= least)));
            prop_assert_eq!(evaluation.at(f64::from(least) / 100.0), Counts { faces, found, wrong: counting - found });
        }
        if faces == 0 {
            prop_assert_eq!((evaluation.average_precision(), evaluation.average_precision_at_thresholds()), (None, None));
            return Ok(());
        }
        let scores: Vec<u8> = pictures.iter().flat_map(|picture| &picture.found).map(|(_, score)| *score).collect();
        let (low, high) = (scores.iter().min().copied().unwrap_or(0), scores.iter().max().copied().unwrap_or(0));
        let at = |threshold: u32| {
            // (score - low) / (high - low) >= 1 - threshold / 1000
            let enough = |score: u8| {
                u32::from(score - low) * 1000 >= (1000 - threshold) * u32::from(high - low)
            };
            sum(pictures.iter().map(|picture| wider_at(picture, enough)))
        };
        let points: Vec<_> = (1..=1000).map(at).collect();
        let (found, expected) = (evaluation.average_precision_at_thresholds(), textbook(&points, faces));
        // A score that lies on a threshold may fall to either side of it; the lowest and the highest lie on the ends.
        let on_one = scores.iter().filter(|score| (low + 1..high).contains(score)).any(|score| (u32::from(score - low) * 1000).is_multiple_of(u32::from(high - low)));
        prop_assert!(on_one || (found.unwrap() - expected).abs() < 1e-9, "{:?} {}", found, expected);
        let mut distinct = scores.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() == scores.len() {
            let points: Vec<_> = distinct.iter().map(|least| sum(pictures.iter().map(|picture| wider_at(picture, |score| score >= *least)))).collect();
            assert_near(evaluation.average_precision(), textbook(&points, faces));
        }
    }

    #[test]
    fn coco_is_what_its_definition_says(pictures in pictures()) {
        let evaluation = evaluate(Protocol::Coco, &pictures);
        let faces = faces_to_find(&pictures);
        let mut best: Vec<_> = pictures.iter().enumerate().flat_map(|(of, picture)| (0..picture.found.len()).map(move |index| (of, index))).collect();
        best.sort_by_key(|&(of, index)| std::cmp::Reverse(pictures[of].found[index].1));
        let points: Vec<_> = (1..=best.len()).map(|taken| coco_of(&pictures, &best[..taken])).collect();
        let (found, counting) = points.last().copied().unwrap_or_default();
        prop_assert_eq!(evaluation.at(0.0), Counts { faces, found, wrong: counting - found });
        match evaluation.average_precision() {
            None => prop_assert_eq!(faces, 0),
            some => assert_near(some, textbook(&points, faces)),
        }
    }
}

const FACE: Whole = [10, 10, 20, 20];

fn one(found: Vec<(Whole, u8)>) -> Vec<Picture> {
    vec![Picture { faces: vec![(FACE, false), ([100, 10, 20, 40], false)], found }]
}

#[test]
fn average_precision_by_hand() {
    // Right, wrong, right: precision 1 to recall 1/2, then 2/3 to recall 1.
    let pictures = one(vec![(FACE, 90), ([200, 200, 20, 20], 80), ([101, 10, 20, 40], 70)]);
    for protocol in [Protocol::Coco, Protocol::Wider] {
        let evaluation = evaluate(protocol, &pictures);
        assert_near(evaluation.average_precision(), 0.5 * 1.0 + 0.5 * 2.0 / 3.0);
        assert_eq!(evaluation.at(0.75), Counts { faces: 2, found: 1, wrong: 1 });
        assert_eq!(
            (evaluation.of_height(0.0, 40.0, 0.75).recall(), evaluation.of_height(40.0, 80.0, 0.75).recall()),
            (Some(1.0), Some(0.0))
        );
        assert_eq!(evaluation.of_height(80.0, 90.0, 0.0).recall(), None);
    }
}

#[test]
fn a_second_box_about_a_face_is_wrong_and_takes_no_other_face() {
    // Both boxes overlap the first face most; by COCO's rules the second would take a free face that it overlaps enough.
    let faces = vec![(FACE, false), ([10, 15, 20, 20], false)];
    let pictures = vec![Picture { faces, found: vec![(FACE, 90), ([10, 11, 20, 20], 80)] }];
    assert_eq!(evaluate(Protocol::Wider, &pictures).at(0.0), Counts { faces: 2, found: 1, wrong: 1 });
    assert_eq!(evaluate(Protocol::Coco, &pictures).at(0.0), Counts { faces: 2, found: 2, wrong: 0 });
}

#[test]
fn nothing_found_and_nothing_to_find_are_told_apart() {
    for protocol in [Protocol::Coco, Protocol::Wider] {
        assert_eq!(evaluate(protocol, &one(Vec::new())).average_precision(), Some(0.0));
        assert_eq!(evaluate(protocol, &one(Vec::new())).average_precision_at_thresholds(), Some(0.0));
        assert_eq!(evaluate(protocol, &one(Vec::new())).at(0.0).precision(), None);
        let empty = [Picture { faces: Vec::new(), found: vec![(FACE, 50)] }];
        assert_eq!(evaluate(protocol, &empty).average_precision(), None);
        assert_eq!(evaluate(protocol, &empty).at(0.0).recall(), None);
    }
}
