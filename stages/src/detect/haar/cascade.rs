//! A cascade as `OpenCV` writes it: stages of trees, whose nodes each ask one Haar feature.
//!
//! In: the text of an XML file. Out: a [`Cascade`], or what is wrong with the text, and in which line. Invariant: what was read can
//! be evaluated anywhere in a picture without a look: every rectangle lies in the window, every tree ends.
//!
//! The format is that of `CascadeClassifierImpl::Data::read` and `HaarEvaluator::Feature::read` in `OpenCV` 4.6's
//! `modules/objdetect/src/cascadedetect.cpp`; numbers are read as there: decimals to `f64`, then rounded to `f32`.

use std::ops::Range;
use std::str::FromStr;

use facestream_schemas::Size;
use roxmltree::{Document, Node as Element, ParsingOptions};

/// Largest file; the largest of Debian's has 2.7 MB.
pub(super) const MAX_BYTES: u64 = 16 << 20;
/// Longest side of a window: a sum of so many squares fits 32 bits.
const MAX_SIDE: u32 = 256;
/// Most elements, comments and texts in a file; the largest of Debian's has 140,000.
const MAX_XML_NODES: u32 = 2_000_000;
/// What a window may miss at a stage's threshold.
const THRESHOLD_EPS: f32 = 1e-5;

/// What is asked of each window.
#[derive(Debug)]
pub(super) struct Cascade {
    /// The window's size, before pictures are scaled.
    pub(super) window: Size,
    pub(super) stages: Vec<Stage>,
    /// The first node of each tree, stage by stage.
    pub(super) trees: Vec<usize>,
    pub(super) nodes: Vec<Node>,
    /// Whether a feature needs sums of tilted rectangles.
    pub(super) has_tilted: bool,
}

/// Trees whose sum decides whether a window goes on.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) trees: Range<usize>,
    pub(super) threshold: f32,
}

/// A question about one feature.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) feature: Feature,
    pub(super) threshold: f32,
    pub(super) below: Next,
    pub(super) otherwise: Next,
}

/// What comes after a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// The tree's value.
    Leaf(f32),
    /// Another node, further on.
    Node(usize),
}

/// A weighted sum of two or three rectangles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feature {
    pub(super) rects: [Weighted; 3],
    pub(super) is_tilted: bool,
}

/// A rectangle within the window; one without a weight is none. A tilted one has its top corner at `x`, `y`, from where it goes `w`
/// down to the right and `h` down to the left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weighted {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) w: u32,
    pub(super) h: u32,
    pub(super) weight: f32,
}

impl Cascade {
    /// Reads a cascade.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let options = ParsingOptions { nodes_limit: MAX_XML_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(|error| format!("it is no XML: {error}"))?;
        let root = elements(document.root_element()).next().ok_or("it holds no cascade")?;
        check_kind(root)?;
        let window = Size { w: number(root, "width")?, h: number(root, "height")? };
        if !(3..=MAX_SIDE).contains(&window.w) || !(3..=MAX_SIDE).contains(&window.h) {
            return Err(format!("its window is {} x {} pixels, it must be 3 to {MAX_SIDE} each way", window.w, window.h));
        }
        let features = list(root, "features")?.map(|feature| read_feature(feature, window)).collect::<Result<Vec<_>, _>>()?;
        let has_tilted = features.iter().any(|feature| feature.is_tilted);
        let mut cascade = Self { window, stages: Vec::new(), trees: Vec::new(), nodes: Vec::new(), has_tilted };
        for stage in list(root, "stages")? {
            let first = cascade.trees.len();
            for tree in list(stage, "weakClassifiers")? {
                cascade.push_tree(tree, &features)?;
            }
            let threshold = number::<f64>(stage, "stageThreshold")? as f32 - THRESHOLD_EPS;
            cascade.stages.push(Stage { trees: first..cascade.trees.len(), threshold });
        }
        Ok(cascade)
    }

    /// No window that passes has a lower sum at the last stage.
    pub(super) fn last_threshold(&self) -> f32 {
        self.stages.last().map_or(0.0, |stage| stage.threshold)
    }

    fn push_tree(&mut self, tree: Element<'_, '_>, features: &[Feature]) -> Result<(), String> {
        let first = self.nodes.len();
        let leaves: Vec<f64> = numbers(child(tree, "leafValues")?)?;
        let nodes: Vec<f64> = numbers(child(tree, "internalNodes")?)?;
        let (nodes, rest) = nodes.as_chunks::<4>();
        if nodes.is_empty() || !rest.is_empty() || leaves.len() != nodes.len() + 1 {
            return Err(at(tree, "a tree needs four numbers for each node, and a leaf more than nodes"));
        }
        for (index, [below, otherwise, feature, threshold]) in nodes.iter().enumerate() {
            // A tree of one node has its leaves in this order, whatever the numbers say.
            let (below, otherwise) = if nodes.len() == 1 { (0.0, -1.0) } else { (*below, *otherwise) };
            let next = |next: f64| match next as i64 {
                next if next > 0 => {
                    let is_further_on = next as usize > index && (next as usize) < nodes.len();
                    is_further_on.then_some(Next::Node(first + next as usize))
                }
                leaf => leaves.get(-leaf as usize).map(|value| Next::Leaf(*value as f32)),
            };
            let (Some(below), Some(otherwise)) = (next(below), next(otherwise)) else {
                return Err(at(tree, "a node of the tree leads nowhere, or back"));
            };
            let feature = features.get(*feature as usize).filter(|_| *feature >= 0.0);
            let feature = *feature.ok_or_else(|| at(tree, "a node of the tree asks a feature that is not there"))?;
            self.nodes.push(Node { feature, threshold: *threshold as f32, below, otherwise });
        }
        self.trees.push(first);
        Ok(())
    }
}

fn check_kind(root: Element<'_, '_>) -> Result<(), String> {
    if root.attribute("type_id") == Some("opencv-haar-classifier") {
        return Err("it is a cascade in the format of OpenCV 1, which is not read: take one that begins with \
                    <cascade type_id=\"opencv-cascade-classifier\">, such as those in Debian's opencv-data"
            .to_owned());
    }
    for (name, expected) in [("stageType", "BOOST"), ("featureType", "HAAR")] {
        let found = text(child(root, name)?);
        if found.trim() != expected {
            return Err(format!(
                "its {name} is {:?}, only {expected} is read",
                found.trim().chars().take(40).collect::<String>()
            ));
        }
    }
    Ok(())
}

fn read_feature(feature: Element<'_, '_>, window: Size) -> Result<Feature, String> {
    let is_tilted = elements(feature).any(|child| child.has_tag_name("tilted") && text(child).trim() != "0");
    let mut rects = [Weighted::default(); 3];
    for (index, rect) in list(feature, "rects")?.enumerate() {
        let numbers: Vec<f64> = numbers(rect)?;
        let place = rects.get_mut(index).ok_or_else(|| at(feature, "a feature has more than three rectangles"))?;
        let [x, y, w, h, weight] = numbers[..] else { return Err(at(rect, "a rectangle needs x, y, w, h and a weight")) };
        let side = |number: f64| if (0.0..=f64::from(MAX_SIDE)).contains(&number) { number as u32 } else { u32::MAX / 4 };
        *place = Weighted { x: side(x), y: side(y), w: side(w), h: side(h), weight: weight as f32 };
        let Weighted { x, y, w, h, .. } = *place;
        let lies_within =
            if is_tilted { h <= x && x + w <= window.w && y + w + h <= window.h } else { x + w <= window.w && y + h <= window.h };
        if !lies_within {
            return Err(at(rect, "a rectangle reaches beyond the window"));
        }
    }
    Ok(Feature { rects, is_tilted })
}

fn elements<'a, 'input>(of: Element<'a, 'input>) -> impl Iterator<Item = Element<'a, 'input>> {
    of.children().filter(Element::is_element)
}

fn child<'a, 'input>(of: Element<'a, 'input>, name: &str) -> Result<Element<'a, 'input>, String> {
    elements(of).find(|child| child.has_tag_name(name)).ok_or_else(|| at(of, &format!("<{name}> is missing")))
}

/// The elements of a list, one at least.
fn list<'a, 'input>(of: Element<'a, 'input>, name: &str) -> Result<impl Iterator<Item = Element<'a, 'input>>, String> {
    let mut items = elements(child(of, name)?).peekable();
    if items.peek().is_none() { Err(at(of, &format!("<{name}> is empty"))) } else { Ok(items) }
}

/// All text in an element, comments left out.
fn text(of: Element<'_, '_>) -> String {
    of.children().filter_map(|child| child.is_text().then(|| child.text()).flatten()).collect()
}

fn number<T: FromStr>(of: Element<'_, '_>, name: &str) -> Result<T, String> {
    let element = child(of, name)?;
    // A number that is none, or infinite, is found by `numbers`.
    numbers(element)?;
    text(element).trim().parse().map_err(|_| at(element, &format!("<{name}> is not such a number")))
}

fn numbers(of: Element<'_, '_>) -> Result<Vec<f64>, String> {
    let number = |word: &str| word.parse::<f64>().ok().filter(|number| number.is_finite());
    text(of)
        .split_ascii_whitespace()
        .map(number)
        .collect::<Option<_>>()
        .ok_or_else(|| at(of, "there is no number, or an endless one"))
}

/// What is wrong, and where.
fn at(element: Element<'_, '_>, what: &str) -> String {
    format!("line {}: {what}", element.document().text_pos_at(element.range().start).row)
}
