//! From many windows around a face to one box.
//!
//! In: windows that passed, in the order in which they were found. Out: boxes in the order of their first window. Invariant: the boxes
//! are those of `OpenCV` 4.6's `groupRectangles` (`modules/objdetect/src/cascadedetect.cpp`; `partition` in
//! `modules/core/include/opencv2/core/operations.hpp`), whatever the order of the windows.

use facestream_schemas::Size;

use super::Candidate;

/// Two windows belong together whose sides are no further apart than this share of the smaller one's.
const EPS: f64 = 0.2;

/// A box in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) w: i32,
    pub(super) h: i32,
}

impl Rect {
    /// What of it lies within a picture.
    pub(super) fn clipped(self, picture: Size) -> Option<Self> {
        let (x, y) = (self.x.max(0), self.y.max(0));
        let (w, h) = ((self.x + self.w).min(picture.w as i32) - x, (self.y + self.h).min(picture.h as i32) - y);
        (w > 0 && h > 0).then_some(Self { x, y, w, h })
    }

    /// How far the sides of the other may be away.
    fn reach(self, w: i32, h: i32) -> f64 {
        EPS * f64::from(self.w.min(w) + self.h.min(h)) * 0.5
    }

    fn is_like(self, other: Self) -> bool {
        let delta = self.reach(other.w, other.h);
        let near = |a: i32, b: i32| f64::from((a - b).abs()) <= delta;
        near(self.x, other.x)
            && near(self.y, other.y)
            && near(self.x + self.w, other.x + other.w)
            && near(self.y + self.h, other.y + other.h)
    }

    /// Whether it lies within the other, give or take a fifth of that one's side.
    fn is_within(self, other: Self) -> bool {
        let margin = |side: i32| (f64::from(side) * EPS).round_ties_even() as i32;
        let (dx, dy) = (margin(other.w), margin(other.h));
        self.x >= other.x - dx
            && self.y >= other.y - dy
            && self.x + self.w <= other.x + other.w + dx
            && self.y + self.h <= other.y + other.h + dy
    }
}

/// Windows that are alike, or joined by windows that are.
struct Group {
    mean: Candidate,
    windows: u32,
}

/// The faces, each of more than `min_neighbors` windows, and the groups that are none.
pub(super) fn group(windows: &[Candidate], min_neighbors: u32) -> (Vec<Candidate>, Vec<Candidate>) {
    let groups = groups(windows);
    let (mut faces, mut others) = (Vec::new(), Vec::new());
    for (index, group) in groups.iter().enumerate() {
        let is_hidden_by = |larger: &Group| {
            larger.windows > min_neighbors
                && group.mean.rect.is_within(larger.mean.rect)
                && (larger.windows > group.windows.max(3) || group.windows < 3)
        };
        let is_hidden = || groups.iter().enumerate().any(|(other, larger)| other != index && is_hidden_by(larger));
        let is_face = group.windows > min_neighbors && !is_hidden();
        if is_face { &mut faces } else { &mut others }.push(group.mean);
    }
    (faces, others)
}

fn groups(windows: &[Candidate]) -> Vec<Group> {
    let mut groups: Vec<([i32; 4], f64, u32)> = Vec::new();
    for (window, label) in windows.iter().zip(labels(windows)) {
        if label == groups.len() {
            groups.push(([0; 4], f64::NEG_INFINITY, 0));
        }
        let (sums, weight, count) = &mut groups[label];
        let Rect { x, y, w, h } = window.rect;
        sums.iter_mut().zip([x, y, w, h]).for_each(|(sum, number)| *sum = sum.wrapping_add(number));
        *weight = weight.max(window.weight);
        *count += 1;
    }
    let mean = |(sums, weight, count): ([i32; 4], f64, u32)| {
        let share = 1.0 / count as f32;
        let [x, y, w, h] = sums.map(|sum| (sum as f32 * share).round_ties_even() as i32);
        Group { mean: Candidate { rect: Rect { x, y, w, h }, weight }, windows: count }
    };
    groups.into_iter().map(mean).collect()
}

/// For each window the number of its group; groups are numbered by their first window.
fn labels(windows: &[Candidate]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..windows.len()).collect();
    let mut by_x: Vec<usize> = (0..windows.len()).collect();
    by_x.sort_by_key(|index| windows[*index].rect.x);
    for (at, &one) in by_x.iter().enumerate() {
        let rect = windows[one].rect;
        let furthest = f64::from(rect.x) + rect.reach(rect.w, rect.h);
        for &other in by_x[at + 1..].iter().take_while(|other| f64::from(windows[**other].rect.x) <= furthest) {
            if rect.is_like(windows[other].rect) {
                let (one, other) = (root(&mut parents, one), root(&mut parents, other));
                // The first window is a group's root.
                parents[one.max(other)] = one.min(other);
            }
        }
    }
    let mut count = 0;
    let mut labels = vec![0; windows.len()];
    for index in 0..windows.len() {
        let root = root(&mut parents, index);
        labels[index] = if root == index { count } else { labels[root] };
        count += usize::from(root == index);
    }
    labels
}

fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window([x, y, w, h]: [i32; 4], weight: f64) -> Candidate {
        Candidate { rect: Rect { x, y, w, h }, weight }
    }

    /// Labels spread from window to window until nothing changes, each pair compared.
    fn spread(windows: &[Candidate]) -> Vec<usize> {
        let mut labels: Vec<usize> = (0..windows.len()).collect();
        loop {
            let before = labels.clone();
            for (one, other) in (0..windows.len()).flat_map(|one| (0..windows.len()).map(move |other| (one, other))) {
                if windows[one].rect.is_like(windows[other].rect) {
                    labels[one] = labels[one].min(labels[other]);
                }
            }
            if labels == before {
                return labels;
            }
        }
    }

    proptest! {
        #[test]
        fn groups_are_what_is_joined_by_likeness(
            places in prop::collection::vec((0..200_i32, 0..200_i32, prop::sample::select(vec![20, 24, 29, 35, 90]), 0_u8..200), 0..60),
        ) {
            let windows: Vec<_> = places.iter().map(|(x, y, side, weight)| window([*x, *y, *side, *side], f64::from(*weight))).collect();
            let labels = labels(&windows);
            let expected = spread(&windows);
            for (one, other) in (0..windows.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
                prop_assert_eq!(labels[one] == labels[other], expected[one] == expected[other]);
            }
            // Numbered by their first window.
            let firsts: Vec<_> = labels.iter().enumerate().filter(|(at, label)| !labels[..*at].contains(label)).map(|(_, label)| *label).collect();
            prop_assert_eq!(firsts, (0..labels.iter().max().map_or(0, |most| most + 1)).collect::<Vec<_>>());
            // Every group is a face or something else, and turning the list around changes none of them.
            let (faces, others) = group(&windows, 2);
            prop_assert_eq!(faces.len() + others.len(), labels.iter().max().map_or(0, |most| most + 1));
            let turned: Vec<_> = windows.iter().rev().copied().collect();
            let (other_way, _) = group(&turned, 2);
            let sorted = |mut faces: Vec<Candidate>| {
                faces.sort_by_key(|face| (face.rect.x, face.rect.y, face.rect.w));
                faces
            };
            prop_assert_eq!(sorted(faces), sorted(other_way));
        }
    }

    #[test]
    fn a_face_is_the_mean_of_its_windows_with_the_best_ones_weight() {
        let windows = [[10, 10, 40, 40], [300, 0, 40, 40], [12, 9, 42, 42], [11, 12, 40, 40], [13, 11, 44, 44]];
        let windows: Vec<_> =
            windows.into_iter().zip([1.0, 9.0, 4.0, 2.0, 3.0]).map(|(rect, weight)| window(rect, weight)).collect();
        // (10 + 12 + 11 + 13) / 4 = 11.5, rounded to even; 10.5 likewise; 166 / 4 = 41.5.
        let expected = window([12, 10, 42, 42], 4.0);
        assert_eq!(group(&windows, 3), (vec![expected], vec![window([300, 0, 40, 40], 9.0)]));
        assert_eq!(group(&windows, 4).0, []);
    }

    #[test]
    fn a_small_group_within_a_large_one_is_no_face() {
        let large = (0..5).map(|at| window([100 + at, 100, 100, 100], 1.0));
        let small = (0..3).map(|at| window([130 + at, 130, 24, 24], 1.0));
        let beside = (0..3).map(|at| window([230 + at, 130, 24, 24], 1.0));
        let (faces, others) = group(&large.chain(small).chain(beside).collect::<Vec<_>>(), 2);
        assert_eq!(faces.iter().map(|face| face.rect.x).collect::<Vec<_>>(), [102, 231]);
        assert_eq!(others.iter().map(|face| face.rect.x).collect::<Vec<_>>(), [131]);
    }

    #[test]
    fn what_lies_beside_the_picture_is_cut_off() {
        let picture = Size { w: 50, h: 40 };
        assert_eq!(Rect { x: 30, y: 10, w: 21, h: 30 }.clipped(picture), Some(Rect { x: 30, y: 10, w: 20, h: 30 }));
        assert_eq!(Rect { x: -3, y: 10, w: 5, h: 5 }.clipped(picture), Some(Rect { x: 0, y: 10, w: 2, h: 5 }));
        assert_eq!(Rect { x: 50, y: 10, w: 5, h: 5 }.clipped(picture), None);
    }
}
