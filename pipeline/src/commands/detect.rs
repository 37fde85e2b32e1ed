//! `facestream detect`: faces in pictures, here and now, by the code of the stream; or by a pipeline that runs elsewhere, through Kafka.
//!
//! In: files, folders, patterns, a list, addresses. Out: a table on stdout, or JSON, CSV or Parquet; annotated copies. Invariant: what comes
//! out is in the order of what came in, memory is bounded however many pictures there are, and the exit code tells whether every one
//! was looked at.
//!
//! ```text
//! inputs ──► feed (fetches ahead) ──► workers (decode + detect, annotated) ──► in order ──► report ──► results
//!            └ via_kafka: upload, message ──► a pipeline ──► events ──────────┘
//! ```

mod annotated;
mod crew;
mod eyes;
mod help;
mod inputs;
mod open;
mod report;
mod results;
mod seen;
mod via_kafka;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use facestream_stages::annotate::{Style, What};
use indicatif::{ProgressBar, ProgressStyle};

pub(super) use open::read as read_picture;

use self::annotated::Plan;
use self::eyes::{Blueprint, Eyes};
use self::inputs::Inputs;
use self::open::Opener;
use self::report::Report;
use self::results::{Format, Results};
use super::produce::stop::Stop;
use super::{Failure, Given};
use crate::config::{Config, Needs};

/// Find faces in pictures and print them
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = help::EXAMPLES)]
pub struct Args {
    /// Files, folders (recursively), patterns, - for a list on stdin, http://…, https://…, s3://…, gs://…, az://…, file://…
    #[arg(required = true, value_name = "INPUTS")]
    inputs: Vec<OsString>,
    #[command(flatten)]
    looking: Looking,
    #[command(flatten)]
    printing: Printing,
    #[command(flatten)]
    copies: Copies,
    #[command(flatten)]
    via_kafka: via_kafka::Args,
    #[command(flatten)]
    given: Given,
}

/// How pictures are looked at; each is a value of the configuration.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Looking")]
struct Looking {
    /// auto, yunet, centerface, haar, or a model's path [default: the configuration's]
    #[arg(long, value_name = "NAME|PATH")]
    detector: Option<String>,
    /// Leave out faces with a lower score, 0 to 1 [default: the configuration's]
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f32>,
    /// Threads that decode and detect [default: the configuration's, one for each core]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

/// How faces are printed.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Results")]
struct Printing {
    /// How to print: a line a picture in JSON, else a line a face
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Printing {
    /// The file, where it is one: `-` is stdout, as it is stdin among the inputs.
    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|output| *output != Path::new("-"))
    }
}

/// What is drawn.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Annotated copies")]
struct Copies {
    /// Write an annotated copy of every picture into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// boxes around faces, or every face that is found made unrecognisable: blur, pixelate; none: copies as they are
    #[arg(long, value_name = "WHAT", default_value = "boxes", requires = "out")]
    annotate: What,
    /// Thickness of a box's lines in pixels
    #[arg(long, value_name = "PX", default_value_t = Style::default().line_px, requires = "out", value_parser = clap::value_parser!(u32).range(..=1_000))]
    line: u32,
    /// Height of the scores in pixels; 0 writes none
    #[arg(long, value_name = "PX", default_value_t = Style::default().text_px, requires = "out", value_parser = clap::value_parser!(u32).range(..=1_000))]
    text: u32,
    /// Colour of boxes and scores, as R,G,B or #rrggbb
    #[arg(long, value_name = "RGB", default_value = "0,255,0", requires = "out", value_parser = colour)]
    colour: [u8; 3],
}

fn colour(text: &str) -> Result<[u8; 3], String> {
    let numbers: Option<Vec<u8>> = match text.strip_prefix('#') {
        Some(hex) if hex.len() == 6 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            (0..3).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).ok()).collect()
        }
        Some(_) => None,
        None => text.split(',').map(|number| number.trim().parse().ok()).collect(),
    };
    let rgb = numbers.and_then(|numbers| numbers.try_into().ok());
    rgb.ok_or_else(|| "expected three numbers from 0 to 255, such as 255,128,0, or #ff8000".to_owned())
}

/// What both ways of looking work with.
struct Work<'a> {
    config: &'a Config,
    inputs: &'a Inputs,
    opener: &'a Opener,
    /// Where annotated copies go.
    plan: Option<&'a Plan>,
    stop: &'a Stop,
}

/// Carries the command out. An error if a picture could not be looked at, or a copy not be written.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, _) = args.configuration().load(Needs::default())?;
    let inputs = Inputs::list(&args.inputs, &mut std::io::stdin().lock())?;
    inputs.check()?;
    args.printing.format.check(args.printing.file(), &inputs)?;
    let Copies { out, annotate, line, text, colour } = &args.copies;
    let style = Style { line_px: *line, text_px: *text, colour: *colour };
    let plan = out.as_ref().map(|out| Plan::new(out, *annotate, style, &inputs)).transpose()?;
    if let Some(output) = args.printing.file().filter(|output| plan.as_ref().is_some_and(|plan| plan.makes(output))) {
        return Err(Failure::Usage(format!("--output {}: is one of the copies", output.display())).into());
    }
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("io").enable_all().build();
    let io = io.context("cannot start the I/O runtime")?;
    let stop = Stop::on_signal(io.handle())?;
    let opener = Opener::new(&inputs, &config, io.handle())?;
    let work = Work { config: &config, inputs: &inputs, opener: &opener, plan: plan.as_ref(), stop: &stop };
    let bar = progress(inputs.all.len())?;
    let looked = look(args, &work, &bar);
    bar.finish_and_clear();
    // A host that hangs must not hold up the end.
    io.shutdown_background();
    match looked {
        // Whoever reads has enough, as `head` does.
        Err(error)
            if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        looked => looked,
    }
}

fn look(args: &Args, work: &Work<'_>, bar: &ProgressBar) -> anyhow::Result<()> {
    let report = || {
        let results = Results::open(args.printing.format, args.printing.file(), bar.clone())?;
        Ok::<_, anyhow::Error>(Report::new(results, bar.clone(), work.inputs))
    };
    if args.via_kafka.is_wanted() {
        // Events tell of sure faces only; those that are hardly seen have to be hidden, too.
        if work.plan.is_some_and(|plan| plan.what.hides()) {
            let what = "--annotate blur and pixelate need a look at the picture here: leave --via-kafka out, or draw boxes";
            return Err(Failure::Usage(what.to_owned()).into());
        }
        let line = via_kafka::Line::connect(&args.via_kafka, work.config, bar)?;
        work.plan.map(Plan::make_folder).transpose()?;
        let mut report = report()?;
        let unanswered = line.run(work, &mut |seen| report.take(seen));
        return finish(report, unanswered);
    }
    let ready = super::ready(work.config)?;
    let blueprint = Blueprint {
        ready: &ready,
        max_pixels: work.config.envelope.max_pixels,
        max_faces: work.config.detector.max_faces as usize,
        plan: work.plan,
    };
    // What is wrong with the detector is said before anything is written.
    let first = Eyes::open(&blueprint)?;
    work.plan.map(Plan::make_folder).transpose()?;
    let mut report = report()?;
    let done = crew::run(work, &blueprint, first, &mut |seen| report.take(seen));
    finish(report, done.map(|()| None))
}

/// Whatever ended the looking: what came until then is printed.
fn finish(report: Report, looked: anyhow::Result<Option<String>>) -> anyhow::Result<()> {
    match looked {
        Ok(unanswered) => report.finish(unanswered),
        Err(error) => report.finish(None).and(Err(error)),
    }
}

impl Args {
    /// The configuration's flags, those that have short names among them.
    fn configuration(&self) -> Given {
        let Looking { detector, threshold, workers } = &self.looking;
        let short = [
            ("detector.model", detector.clone()),
            ("detector.score_threshold", threshold.map(|score| score.to_string())),
            ("workers.count", workers.clone()),
        ];
        let mut given = self.given.clone();
        given.set.extend(short.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))));
        given
    }
}

/// Only for several pictures, and only on a terminal.
fn progress(pictures: usize) -> anyhow::Result<ProgressBar> {
    if pictures < 2 {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} pictures  {per_sec}  {eta} left")?;
    Ok(ProgressBar::new(pictures as u64).with_style(style))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(arguments: &[&str]) -> Result<Args, String> {
        Cli::try_parse_from(["detect"].iter().chain(arguments)).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_colour_is_three_numbers_or_six_hex_digits() {
        assert_eq!(colour("255, 128,0"), Ok([255, 128, 0]));
        assert_eq!(colour("#FF8000"), Ok([255, 128, 0]));
        for wrong in ["", "red", "1,2", "1,2,3,4", "1,2,256", "#ff80", "#ff800g", "#ü0000", "#+1+1+1"] {
            assert!(colour(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn short_flags_are_the_configurations_and_come_last() {
        let args =
            args(&["x", "--set", "detector.model=a", "--detector", "haar", "--threshold", "0.25", "--workers", "3"]).unwrap();
        let (config, _) = args.configuration().load(Needs::default()).unwrap();
        assert_eq!((config.detector.model.as_str(), config.detector.score_threshold), ("haar", 0.25));
        assert_eq!(config.workers.count.resolve().get(), 3);
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        for wrong in [
            &["--annotate", "blur"][..],
            &["--line", "5"],
            &["--topic", "frames"],
            &["--inline"],
            &["--via-kafka", "--inline", "--upload", "s3://x/y"],
            &["--via-kafka", "--detector", "haar"],
            &["--format", "xml"],
            &["--out", "x", "--annotate", "hide"],
        ] {
            assert!(args(&[&["x"], wrong].concat()).is_err(), "{wrong:?}");
        }
        assert!(args(&[]).is_err());
    }
}
