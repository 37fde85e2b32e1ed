//! `facestream eval`: how accurate a detector is on labelled pictures.
//!
//! In: a truth, and the detector of the configuration or boxes that somebody else found. Out: average precision, precision and recall, on
//! stdout as a table or as JSON, with all that was set; a curve as a picture. Invariant: pictures that could not be looked at are told,
//! and the exit code tells of them too.

mod curve;
mod look;
mod predictions;
mod report;
mod truth;

use std::path::PathBuf;

use anyhow::bail;
use facestream_schemas::Size;
use facestream_stages::accuracy::Found;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, Given};
use crate::config::{Config, Needs};
use look::Seen;
use predictions::Predictions;
use report::{By, Report};
use truth::Truth;

const EXAMPLES: &str = "Examples:
  facestream eval --wider WIDER_FACE                       easy, medium, hard: the folder as WIDER FACE is unpacked
  facestream eval --coco faces.json --images photos/       ground truth as COCO writes it
  facestream eval --truth faces.jsonl --images photos/     one line a picture: {\"file\": \"a.jpg\", \"faces\": [[left, top, width, height]]}
  facestream eval --composed                               without any data: one face in all sizes
  facestream eval --truth faces.jsonl --detector centerface --set detector.input=1280x736 --curve centerface.svg
  facestream eval --truth faces.jsonl --predictions boxes.jsonl      boxes of another detector, as facestream detect writes them

Average precision is that of all points of the curve, at an overlap (intersection over union) of 0.5; for it faces are taken down to a \
score of 0.02. Precision and recall are those at detector.score_threshold.

Exit codes: 0 done, 1 failed or not all pictures could be looked at, 2 usage or a truth that cannot be read.";

/// Faces are taken down to this score, so that the curve has its tail.
const LEAST_SCORE: f32 = 0.02;

/// Measure a detector's accuracy on labelled pictures
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    of: Of,
    /// Folder that the truth's file names are relative to [default: the truth's own]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["wider", "composed"])]
    images: Option<PathBuf>,
    /// Evaluate these boxes instead of running a detector: JSON lines of facestream detect, or a folder as WIDER FACE has it
    #[arg(long, value_name = "PATH", conflicts_with_all = ["detector", "workers", "composed"])]
    predictions: Option<PathBuf>,
    /// The detector, as in detector.model
    #[arg(long, value_name = "NAME|FILE")]
    detector: Option<String>,
    /// Threads that decode and detect [default: the configuration's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Draw precision over recall into this file, .svg or .png
    #[arg(long, value_name = "FILE", value_parser = curve::file)]
    curve: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

/// The labelled pictures.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// Folder with WIDER FACE's validation set as it is unpacked, its evaluation tools beside it for easy, medium and hard
    #[arg(long, value_name = "DIR")]
    wider: Option<PathBuf>,
    /// Ground truth as COCO JSON; iscrowd regions are ignored
    #[arg(long, value_name = "FILE")]
    coco: Option<PathBuf>,
    /// Ground truth as JSON lines with file, faces and perhaps ignore
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Pictures made here, of this size: one face, 20 to 400 pixels high, in made-up surroundings
    #[arg(long, value_name = "WIDTHxHEIGHT", num_args = 0..=1, default_missing_value = "1920x1080", value_parser = size)]
    composed: Option<Size>,
}

fn size(text: &str) -> Result<Size, String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some(Size { w: w.parse().ok()?, h: h.parse().ok()? }));
    let usable = sides.filter(|size| (320..=8192).contains(&size.w) && (320..=8192).contains(&size.h));
    usable.ok_or_else(|| "write width x height, 320 to 8192 pixels each, such as 1920x1080".to_owned())
}

/// Carries the command out. The exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (mut config, _) = args.given.load(Needs::default())?;
    if let Some(detector) = &args.detector {
        config.detector.model.clone_from(detector);
    }
    let truth = read_truth(args)?;
    let (by, seen) = match &args.predictions {
        Some(path) => predicted(path, &truth)?,
        None => detected(args, &config, &truth)?,
    };
    if let Some(picture) = nothing_to_see(&truth, &seen) {
        bail!(Failure::Usage(format!("none of the {} pictures of {} could be looked at: {picture}", seen.len(), truth.from)));
    }
    let report = Report::of(&truth, by, &seen, config.detector.score_threshold);
    if args.json { report.print_json() } else { report.print() }?;
    if let Some(path) = &args.curve {
        curve::draw(path, &report.title(), report.curves())?;
    }
    Ok(u8::from(!report.is_whole()))
}

fn read_truth(args: &Args) -> anyhow::Result<Truth> {
    let Of { wider, coco, truth, composed } = &args.of;
    let images = |file: &PathBuf| args.images.clone().unwrap_or_else(|| file.parent().map(PathBuf::from).unwrap_or_default());
    match (wider, coco, truth, composed) {
        (Some(folder), ..) => truth::wider(folder),
        (_, Some(file), ..) => truth::coco(file, &images(file)),
        (_, _, Some(file), _) => truth::lines(file, &images(file)),
        (.., composed) => Ok(Truth::composed(composed.unwrap_or(Size { w: 1920, h: 1080 }))),
    }
}

/// What somebody else found. A picture that is not answered for counts as one in which nothing was found.
fn predicted(path: &std::path::Path, truth: &Truth) -> anyhow::Result<(By, Vec<Seen>)> {
    let Predictions { found, strangers, other_scores } = Predictions::read(path, truth)?;
    let unanswered = found.iter().filter(|found| found.is_none()).count();
    let seen = |found: Option<Vec<Found>>| Seen::Faces { found: found.unwrap_or_default(), other_scores, times: None };
    Ok((By::Predictions { from: path.display().to_string(), unanswered, strangers }, found.into_iter().map(seen).collect()))
}

fn detected(args: &Args, config: &Config, truth: &Truth) -> anyhow::Result<(By, Vec<Seen>)> {
    let mut ready = super::ready(config)?;
    ready.settings.score_threshold = ready.settings.score_threshold.min(LEAST_SCORE);
    let workers = args.workers.map_or_else(|| config.workers.count.resolve().get(), usize::from);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left")?;
    let bar = ProgressBar::new(truth.pictures.len() as u64).with_style(style).with_message("detecting");
    let looked = look::look(&truth.pictures, &ready, config.envelope.max_pixels, workers, &bar);
    bar.finish_and_clear();
    let (identity, seen) = looked?;
    Ok((By::detector(&identity, &ready.settings, workers), seen))
}

/// Why not a single picture could be looked at, by the example of the first; `None` if one could.
fn nothing_to_see(truth: &Truth, seen: &[Seen]) -> Option<String> {
    if seen.iter().any(|seen| seen.found().is_some()) {
        return None;
    }
    let (picture, why) = truth.pictures.iter().zip(seen).find_map(|(picture, seen)| Some((picture, seen.why_not(picture)?)))?;
    Some(format!("{}: {why}", picture.name))
}
