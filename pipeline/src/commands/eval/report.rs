//! The figures: as a table for people, as a JSON document for programs.
//!
//! Invariant: both say by which rules, on which pictures and with which settings the figures came about, and what was left out.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint};
use facestream_schemas::DetectorIdentity;
use facestream_stages::accuracy::{Counts, Evaluation, IOU, Point, Protocol};
use facestream_stages::detect::{Settings, Tiles};
use serde::{Serialize, Serializer};

use super::look::{Seen, Times};
use super::truth::{Subset, Truth};
use crate::commands::{grid, plain, print};

/// Where recall by height is split, in pixels of the picture.
const HEIGHTS: [f64; 6] = [0.0, 16.0, 32.0, 64.0, 128.0, f64::INFINITY];
/// So many of the pictures that were left out are named.
const NAMED: usize = 5;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    protocol: Rules,
    truth: Set,
    by: By,
    subsets: Vec<Figures>,
    /// Of the first subset, at the operating threshold.
    recall_by_height: Vec<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms_per_picture: Option<Ms>,
    #[serde(skip)]
    curves: Vec<(String, Vec<Point>)>,
}

/// The rules.
#[derive(Debug, Serialize)]
struct Rules {
    name: &'static str,
    iou: f64,
    matching: &'static str,
    average_precision: &'static str,
    ignored: &'static str,
    /// What precision and recall are told at; `None`: of all that was found.
    operating_threshold: Option<f32>,
}

/// The pictures.
#[derive(Debug, Serialize)]
struct Set {
    from: String,
    /// Those that the figures are of.
    pictures: usize,
    missing: usize,
    broken: usize,
    /// The first of those.
    left_out: Vec<String>,
    notes: Vec<String>,
}

/// Who found the boxes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    Detector {
        id: String,
        model_sha256: Option<String>,
        input_width_px: u32,
        input_height_px: u32,
        /// Faces were taken down to this score for average precision.
        least_score: f32,
        nms_iou: f32,
        min_face_px: f32,
        tiles: Option<Tiles>,
        workers: usize,
    },
    Predictions {
        from: String,
        /// Pictures of the truth that it does not answer for: nothing was found there.
        unanswered: usize,
        /// Answers for pictures that the truth does not have: left out.
        strangers: usize,
    },
}

impl By {
    pub(super) fn detector(identity: &DetectorIdentity, settings: &Settings, workers: usize) -> Self {
        Self::Detector {
            id: identity.detector_id.clone(),
            model_sha256: identity.model_sha256.clone(),
            input_width_px: settings.input.w,
            input_height_px: settings.input.h,
            least_score: settings.score_threshold,
            nms_iou: settings.nms_iou,
            min_face_px: settings.min_face_px,
            tiles: settings.tiles,
            workers,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Detector { id, .. } => id,
            Self::Predictions { from, .. } => from,
        }
    }
}

/// What is said of a subset of the faces.
#[derive(Debug, Serialize)]
struct Figures {
    name: &'static str,
    faces: usize,
    #[serde(serialize_with = "rounded")]
    ap: Option<f64>,
    /// By WIDER FACE's protocol alone.
    #[serde(serialize_with = "rounded", skip_serializing_if = "Option::is_none")]
    ap_of_1000_thresholds: Option<f64>,
    #[serde(serialize_with = "rounded")]
    precision: Option<f64>,
    #[serde(serialize_with = "rounded")]
    recall: Option<f64>,
    found: usize,
    wrong: usize,
}

/// The number that was written, not the nearest of fewer digits: scores that are read from a file are compared with it.
fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

/// Faces of some heights.
#[derive(Debug, Serialize)]
struct Height {
    from_px: f64,
    /// `null`: no limit.
    below_px: f64,
    faces: usize,
    #[serde(serialize_with = "rounded")]
    recall: Option<f64>,
}

/// Wall-clock time of a picture on one thread.
#[derive(Debug, Serialize)]
struct Ms {
    #[serde(serialize_with = "rounded")]
    decode_median: Option<f64>,
    #[serde(serialize_with = "rounded")]
    detect_median: Option<f64>,
}

impl Report {
    pub(super) fn of(truth: &Truth, by: By, seen: &[Seen], score_threshold: f32) -> Self {
        let other_scores = seen.iter().any(|seen| matches!(seen, Seen::Faces { other_scores: true, .. }));
        let operating_threshold = (!other_scores).then_some(score_threshold);
        let least = operating_threshold.map_or(f64::NEG_INFINITY, decimal);
        let evaluations: Vec<_> =
            truth.subsets.iter().map(|subset| (subset.name, evaluate(truth.protocol, subset, seen))).collect();
        let heights = HEIGHTS.windows(2).map(|pair| Height::of(&evaluations[0].1, [pair[0], pair[1]], least));
        let is_wider = truth.protocol == Protocol::Wider;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            protocol: rules(truth.protocol, operating_threshold),
            truth: Set::of(truth, &by, seen),
            subsets: evaluations.iter().map(|(name, evaluation)| Figures::of(name, evaluation, least, is_wider)).collect(),
            recall_by_height: heights.collect(),
            ms_per_picture: Ms::of(seen),
            curves: evaluations.iter().map(|(name, evaluation)| ((*name).to_owned(), evaluation.curve())).collect(),
            by,
        }
    }

    /// Whether every picture of the truth was looked at.
    pub(super) fn is_whole(&self) -> bool {
        self.truth.missing + self.truth.broken == 0
    }

    pub(super) fn title(&self) -> String {
        format!("{} on {}", self.by.name(), self.truth.from)
    }

    /// Curves with what they are called and how much is below them.
    pub(super) fn curves(&self) -> Vec<(String, &[Point])> {
        let named = self.subsets.iter().zip(&self.curves).filter(|(figures, _)| figures.ap.is_some());
        named.map(|(figures, (name, points))| (format!("{name} {:.3}", figures.ap.unwrap_or(0.0)), &points[..])).collect()
    }

    pub(super) fn print_json(&self) -> anyhow::Result<()> {
        print(&serde_json::to_string_pretty(self)?)
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        print(self.text().trim_end())
    }

    fn text(&self) -> String {
        let Self { protocol, truth, .. } = self;
        let mut text = format!("{}\n\n{}\n\n", self.heading(), self.subsets_table());
        let _ = writeln!(text, "{}", self.heights_table());
        if let Some(Ms { decode_median, detect_median }) = &self.ms_per_picture {
            let ms = |ms: &Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
            let _ =
                writeln!(text, "\nms a picture and thread: decode {}, detect {} (medians)", ms(decode_median), ms(detect_median));
        }
        let _ = writeln!(
            text,
            "\nProtocol: {}, IoU {}; {}; {}; {}.",
            protocol.name, protocol.iou, protocol.average_precision, protocol.matching, protocol.ignored
        );
        for note in &truth.notes {
            let _ = writeln!(text, "Note: {}.", plain(note));
        }
        if !self.is_whole() {
            let _ = writeln!(text, "LEFT OUT: {} pictures are missing, {} broken:", truth.missing, truth.broken);
        }
        for name in &truth.left_out {
            let _ = writeln!(text, "  {}", plain(name));
        }
        if let By::Predictions { unanswered, strangers, .. } = &self.by
            && unanswered + strangers > 0
        {
            let _ = writeln!(
                text,
                "PREDICTIONS: {unanswered} pictures have none, which counts as nothing found; {strangers} are for other pictures, and were left out."
            );
        }
        text
    }

    fn heading(&self) -> String {
        let of = format!("{} pictures, {}", self.truth.pictures, plain(&self.truth.from));
        match &self.by {
            By::Detector { id, input_width_px, input_height_px, tiles, .. } => {
                let tiles = tiles.map_or(String::new(), |tiles| format!(" and tiles of {} px", tiles.size));
                format!("{id} at {input_width_px}x{input_height_px}{tiles} on {of}")
            }
            By::Predictions { from, .. } => format!("{} on {of}", plain(from)),
        }
    }

    fn subsets_table(&self) -> comfy_table::Table {
        let at = self.protocol.operating_threshold.map_or(String::new(), |threshold| format!(" at {threshold}"));
        let header = ["faces", "count", "AP", "AP/1000", &format!("precision{at}"), &format!("recall{at}"), "found", "wrong"];
        let mut table = grid(header);
        for figures in &self.subsets {
            table.add_row([
                figures.name.to_owned(),
                figures.faces.to_string(),
                share(figures.ap),
                share(figures.ap_of_1000_thresholds),
                share(figures.precision),
                share(figures.recall),
                figures.found.to_string(),
                figures.wrong.to_string(),
            ]);
        }
        if let Some(column) =
            table.column_mut(3).filter(|_| self.subsets.iter().all(|figures| figures.ap_of_1000_thresholds.is_none()))
        {
            column.set_constraint(ColumnConstraint::Hidden);
        }
        right(&mut table);
        table
    }

    fn heights_table(&self) -> comfy_table::Table {
        let mut table = grid(["height in px", "faces", "recall"]);
        for Height { from_px, below_px, faces, recall } in &self.recall_by_height {
            let range = if below_px.is_finite() { format!("{from_px} to {below_px}") } else { format!("from {from_px}") };
            table.add_row([range, faces.to_string(), share(*recall)]);
        }
        right(&mut table);
        table
    }
}

/// Of the pictures that were looked at.
fn evaluate(protocol: Protocol, subset: &Subset, seen: &[Seen]) -> Evaluation {
    let pictures = subset.faces.iter().zip(seen).filter_map(|(faces, seen)| Some((&faces[..], seen.found()?)));
    Evaluation::of(protocol, pictures)
}

fn rules(protocol: Protocol, operating_threshold: Option<f32>) -> Rules {
    let rules = Rules {
        name: "COCO, one category",
        iou: IOU,
        matching: "best score first, each box takes the free face that it overlaps most",
        average_precision: "AP is the area below all points of the curve, precision made monotonic",
        ignored: "what lies in an ignored region to the half counts neither way",
        operating_threshold,
    };
    match protocol {
        Protocol::Coco => rules,
        Protocol::Wider => Rules {
            name: "WIDER FACE",
            matching: "best score first, each box is about the face that it overlaps most, a second one about a face is wrong, boxes reach one pixel further than they say",
            average_precision: "AP is the area below all points of the curve, precision made monotonic, AP/1000 that below the points at 1000 thresholds of scores stretched to 0 to 1, as eval_tools have it",
            ignored: "boxes about faces outside of a subset count neither way, nor do pictures without any face",
            ..rules
        },
    }
}

impl Set {
    fn of(truth: &Truth, by: &By, seen: &[Seen]) -> Self {
        let mut notes = truth.notes.clone();
        if matches!(by, By::Detector { tiles: Some(_), .. }) {
            // Merging looks at which face is whole before it looks at scores.
            notes.push("with tiles a weak face may take the place of a sure one: at the operating threshold a run may find a little more".to_owned());
        }
        let left_out = truth
            .pictures
            .iter()
            .zip(seen)
            .filter_map(|(picture, seen)| Some(format!("{}: {}", picture.name, seen.why_not(picture)?)));
        Self {
            from: truth.from.clone(),
            pictures: seen.iter().filter(|seen| seen.found().is_some()).count(),
            missing: seen.iter().filter(|seen| matches!(seen, Seen::Missing)).count(),
            broken: seen.iter().filter(|seen| matches!(seen, Seen::Broken(_))).count(),
            left_out: left_out.take(NAMED).collect(),
            notes,
        }
    }
}

impl Figures {
    fn of(name: &'static str, evaluation: &Evaluation, least_score: f64, is_wider: bool) -> Self {
        let counts = evaluation.at(least_score);
        let Counts { faces, found, wrong } = counts;
        let at_thresholds = evaluation.average_precision_at_thresholds().filter(|_| is_wider);
        Self {
            name,
            faces,
            ap: evaluation.average_precision(),
            ap_of_1000_thresholds: at_thresholds,
            precision: counts.precision(),
            recall: counts.recall(),
            found,
            wrong,
        }
    }
}

impl Height {
    fn of(evaluation: &Evaluation, [from_px, below_px]: [f64; 2], least_score: f64) -> Self {
        let counts = evaluation.of_height(from_px, below_px, least_score);
        Self { from_px, below_px, faces: counts.faces, recall: counts.recall() }
    }
}

impl Ms {
    fn of(seen: &[Seen]) -> Option<Self> {
        let times: Vec<Times> =
            seen.iter().filter_map(|seen| if let Seen::Faces { times, .. } = seen { *times } else { None }).collect();
        let median = |of: fn(&Times) -> f64| {
            let mut sorted: Vec<_> = times.iter().map(of).collect();
            sorted.sort_by(f64::total_cmp);
            sorted.get(sorted.len() / 2).copied()
        };
        (!times.is_empty())
            .then(|| Self { decode_median: median(|times| times.decode_ms), detect_median: median(|times| times.detect_ms) })
    }
}

fn share(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{share:.4}"))
}

/// Numbers to the right.
fn right(table: &mut comfy_table::Table) {
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
}

/// To six digits: more are noise.
#[allow(clippy::ref_option, reason = "serde passes fields by reference")]
fn rounded<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    number.map(|number| (number * 1e6).round() / 1e6).serialize(serializer)
}
