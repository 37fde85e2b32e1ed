//! Whether a window passes all stages of the cascade.
//!
//! In: a band of integral lines. Out: the windows of one row that pass, with the last stage's sum. Invariant: arithmetic is that of
//! `OpenCV`: features in `f32`, sums of a stage in `f64`, in the order of the file.
//!
//! After `HaarEvaluator::setWindow`, `HaarEvaluator::OptFeature::calc`, `predictOrdered` and `CascadeClassifierInvoker` of `OpenCV`
//! 4.6 (`modules/objdetect/src/cascadedetect.{cpp,hpp}`).

use facestream_schemas::Size;

use super::cascade::{Cascade, Feature, Next, Weighted};
use super::integral::Band;

/// A window with less contrast than this is none: pixels times the inverse of the deviation of their sum.
const LEAST_CONTRAST: f64 = 0.1;

/// The cascade, with the places of its rectangles worked out for a band.
#[derive(Debug)]
pub(super) struct Windows {
    cascade: Cascade,
    nodes: Vec<Node>,
    /// The corners of what contrast is measured in: the window without its outermost pixels.
    inner: Corners,
    /// Stride and plane that `nodes` and `inner` are for.
    laid_out_for: (usize, usize),
}

/// A node of a tree, ready to be asked.
#[derive(Debug)]
struct Node {
    rects: [(Corners, f32); 2],
    /// Where a feature has three rectangles.
    third: Option<(Corners, f32)>,
    threshold: f64,
    below: Next,
    otherwise: Next,
}

/// Places, counted from a window's first: the sum over the rectangle is first - second - third + fourth.
type Corners = [u32; 4];

/// What came of a window.
enum Verdict {
    /// There is nothing in it.
    Flat,
    /// It failed at this stage, counted from 0.
    Failed(usize),
    /// It passed, with this sum at the last stage.
    Passed(f64),
}

impl Windows {
    pub(super) fn new(cascade: Cascade) -> Self {
        Self { cascade, nodes: Vec::new(), inner: [0; 4], laid_out_for: (0, 0) }
    }

    /// The window's size.
    pub(super) fn size(&self) -> Size {
        self.cascade.window
    }

    /// Works out where rectangles lie in this band. It costs as much as a few hundred windows, where the band has changed.
    pub(super) fn lay_out(&mut self, band: &Band) {
        let (stride, plane) = (band.stride(), band.plane());
        if self.laid_out_for == (stride, plane) {
            return;
        }
        self.laid_out_for = (stride, plane);
        let Size { w, h } = self.cascade.window;
        self.inner = upright(&Weighted { x: 1, y: 1, w: w - 2, h: h - 2, weight: 1.0 }, stride as u32);
        self.nodes.clear();
        self.nodes.extend(self.cascade.nodes.iter().map(|node| {
            let rect =
                |index: usize| (corners(&node.feature, index, stride as u32, plane as u32), node.feature.rects[index].weight);
            let has_third = node.feature.rects[2].weight != 0.0;
            Node {
                rects: [rect(0), rect(1)],
                third: has_third.then(|| rect(2)),
                threshold: f64::from(node.threshold),
                below: node.below,
                otherwise: node.otherwise,
            }
        }));
    }

    /// Looks at the windows whose first line is `line`, at every `step`th of so many places. After a window that fails at the first
    /// stage one place is left out.
    pub(super) fn row(&self, band: &Band, line: usize, places: usize, step: usize, mut passed: impl FnMut(usize, f64)) {
        let (sums, squares) = (band.sums(line), band.squares(line));
        let mut x = 0;
        while x < places {
            match self.judge(&sums[x..], &squares[x..]) {
                Verdict::Passed(sum) => passed(x, sum),
                Verdict::Failed(0) => x += step,
                Verdict::Failed(_) | Verdict::Flat => {}
            }
            x += step;
        }
    }

    fn judge(&self, sums: &[i32], squares: &[i32]) -> Verdict {
        let Some(norm) = self.norm(sums, squares) else { return Verdict::Flat };
        let mut sum = 0.0;
        for (index, stage) in self.cascade.stages.iter().enumerate() {
            sum = 0.0;
            for tree in &self.cascade.trees[stage.trees.clone()] {
                sum += f64::from(self.value(*tree, sums, norm));
            }
            if sum < f64::from(stage.threshold) {
                return Verdict::Failed(index);
            }
        }
        Verdict::Passed(sum)
    }

    /// The inverse of the deviation of the window's pixels, times their number. `None` where there is too little.
    fn norm(&self, sums: &[i32], squares: &[i32]) -> Option<f32> {
        let Size { w, h } = self.cascade.window;
        let area = f64::from((w - 2) * (h - 2));
        let sum = f64::from(sum_of(&self.inner, sums));
        let variance = area * f64::from(sum_of(&self.inner, squares) as u32) - sum * sum;
        let norm = (1.0 / variance.sqrt()) as f32;
        (variance > 0.0 && area * f64::from(norm) < LEAST_CONTRAST).then_some(norm)
    }

    fn value(&self, tree: usize, sums: &[i32], norm: f32) -> f32 {
        let mut node = &self.nodes[tree];
        loop {
            let next = if f64::from(node.feature(sums) * norm) < node.threshold { node.below } else { node.otherwise };
            match next {
                Next::Leaf(value) => return value,
                Next::Node(index) => node = &self.nodes[index],
            }
        }
    }
}

impl Node {
    fn feature(&self, sums: &[i32]) -> f32 {
        let weighted = |(corners, weight): &(Corners, f32)| weight * sum_of(corners, sums) as f32;
        let sum = weighted(&self.rects[0]) + weighted(&self.rects[1]);
        self.third.as_ref().map_or(sum, |third| sum + weighted(third))
    }
}

fn sum_of(corners: &Corners, sums: &[i32]) -> i32 {
    let [a, b, c, d] = corners.map(|corner| sums[corner as usize]);
    a.wrapping_sub(b).wrapping_sub(c).wrapping_add(d)
}

fn corners(feature: &Feature, index: usize, stride: u32, plane: u32) -> Corners {
    let rect = &feature.rects[index];
    if !feature.is_tilted {
        return upright(rect, stride);
    }
    let Weighted { x, y, w, h, .. } = *rect;
    [(x, y), (x - h, y + h), (x + w, y + w), (x + w - h, y + w + h)].map(|(x, y)| plane + x + y * stride)
}

fn upright(&Weighted { x, y, w, h, .. }: &Weighted, stride: u32) -> Corners {
    [(x, y), (x + w, y), (x, y + h), (x + w, y + h)].map(|(x, y)| x + y * stride)
}
