//! `facestream produce`: pictures, videos and cameras to a Kafka topic.
//!
//! In: files, folders, patterns, a list, video files, cameras. Out: one message a frame and camera, and a report. Invariant: memory
//! is bounded (a few frames an input, those being uploaded, and the client's queue), and the exit code tells whether every frame
//! arrived.
//!
//! ```text
//! inputs ──► a thread each (pictures, video, mjpeg, scene) ──► re-encoding, pace (outlet) ──one channel──► pump:
//! upload ──► envelope ──► sender ──► report
//! ```

pub(super) mod envelope;
mod feeds;
mod help;
mod inputs;
mod mjpeg;
mod outlet;
mod pace;
mod parts;
mod patience;
mod pictures;
mod pump;
mod report;
mod retouch;
mod scene;
pub(super) mod sender;
pub(super) mod shot;
pub(super) mod stop;
pub(super) mod upload;
#[cfg(feature = "video")]
mod video;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use self::envelope::Envelope;
use self::inputs::Input;
use self::outlet::Manner;
use self::pace::Pace;
use self::pump::Pump;
use self::report::Tally;
use self::retouch::Wanted;
use self::sender::Sender;
use self::stop::Stop;
use self::upload::Uploads;
use super::{Failure, Given};
use crate::config::{Config, Needs};

/// How long a stop waits for acknowledgements that are still out.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Send pictures, videos and cameras to a Kafka topic
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = help::EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Args {
    /// Files, folders (recursively), patterns, - for a list on stdin, video files, /dev/videoN, rtsp://…, http://…, scene:N
    #[arg(required = true, value_name = "INPUTS")]
    inputs: Vec<OsString>,
    /// Topic to send to [default: the configuration's, if it names one topic]
    #[arg(long)]
    topic: Option<String>,
    /// Brokers, host:port separated by commas [default: the configuration's]
    #[arg(long)]
    brokers: Option<String>,
    #[command(flatten)]
    pacing: Pacing,
    #[command(flatten)]
    cameras: Cameras,
    #[command(flatten)]
    messages: Messages,
    #[command(flatten)]
    given: Given,
}

/// When frames are sent.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Pace")]
struct Pacing {
    /// Frames a second, over all cameras together [default: as fast as Kafka takes them]
    #[arg(long, value_name = "FPS", value_parser = fps)]
    rate: Option<f64>,
    /// Frames a second of each camera; of a live one those beyond that are left out
    #[arg(long, value_name = "FPS", value_parser = fps)]
    fps: Option<f64>,
    /// Video files in the time of the recording, with its timestamps; cameras with theirs
    #[arg(long, conflicts_with_all = ["rate", "fps"])]
    as_recorded: bool,
    /// Begin again after the last picture or frame, until Ctrl-C
    #[arg(long = "loop")]
    again: bool,
    /// Stop after so many frames, over all cameras together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How often in a row a camera may fail before it is given up; 0: for ever
    #[arg(long, value_name = "N", default_value_t = 10)]
    attempts: usize,
}

/// Who sends frames.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cameras")]
struct Cameras {
    /// Key and name of the camera; with several, what their names begin with [default: camera-000, camera, a video's file name]
    #[arg(long, value_name = "ID")]
    source_id: Option<String>,
    /// Number of cameras; each sends every frame. Their names are camera-000, camera-001 …
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    cameras: Option<u16>,
}

/// What is sent.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Messages")]
struct Messages {
    /// What messages look like
    #[arg(long, value_enum, default_value = "raw")]
    envelope: Envelope,
    /// Upload pictures here and send their addresses: an S3, GCS or Azure prefix, or a folder
    #[arg(long, value_name = "URL", help = help::UPLOAD)]
    upload: Option<String>,
    /// JPEG quality, 1 to 100: encodes pictures anew [default: as they are; video: 85]
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
    /// Scale down what is wider or higher than so many pixels
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(16..=65_500))]
    max_side: Option<u32>,
    /// One more header of each message; may be repeated, and takes the place of ours of the same name
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
}

fn fps(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "expected a number of frames a second, such as 25 or 0.5".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let named = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = named.ok_or_else(|| "expected NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Carries the command out. An error if something could not be read or was not delivered.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, _) = args.given.load(Needs::default())?;
    let topic = super::topic(args.topic.as_deref(), &config)?;
    let brokers = args.brokers.as_deref().unwrap_or(&config.kafka.brokers);
    let inputs = Input::list(&args.inputs, &mut std::io::stdin().lock())?;
    check(args, &inputs)?;
    let uploads = args.messages.upload.as_deref().map(|url| Uploads::open(url, &config)).transpose()?.map(Arc::new);
    let (feeds, names) = feeds::assign(inputs, args.cameras.source_id.as_deref(), args.cameras.cameras)?;

    let tally = Arc::new(Tally::new(names, progress(args, &feeds)));
    let most_bytes = args.messages.envelope.most_bytes(config.envelope.max_bytes.bytes());
    let sender = Sender::connect(&config, brokers, topic, most_bytes, &tally)?;
    tally.begin(); // connecting is not part of the rate
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("io").enable_all().build();
    let io = io.context("cannot start the runtime for network input")?;
    let stop = Stop::on_signal(io.handle())?;
    let done = stop.child();
    let (shots, threads) = feeds::start(feeds, manner(args, &config), &tally, &done)?;
    let pump = Pump {
        sender: &sender,
        tally: &tally,
        stop: &stop,
        envelope: args.messages.envelope,
        headers: &args.messages.headers,
        uploads,
        pace: Pace::new(args.pacing.rate),
        count: args.pacing.count,
    };
    let is_over = io.block_on(pump.run(shots));
    done.raise();
    feeds::look_after(threads, is_over, &tally);
    sender.finish(&stop, STOP_GRACE);
    // A name that is still being looked up, or a folder that hangs, must not hold up the report.
    io.shutdown_background();
    tally.report(topic)
}

/// Refuses what cannot be done before anything is connected.
fn check(args: &Args, inputs: &[Input]) -> anyhow::Result<()> {
    let has_no_times = |input: &Input| matches!(input, Input::Pictures(_) | Input::Scene(_));
    if args.pacing.as_recorded && inputs.iter().any(has_no_times) {
        let text =
            "--as-recorded needs times, which pictures do not have: it is for video files and cameras; give --fps or --rate";
        return Err(Failure::Usage(text.to_owned()).into());
    }
    let Some(Input::Pictures(pictures)) = inputs.first() else {
        return if inputs.is_empty() { bail!("no picture to send: the folder or list is empty") } else { Ok(()) };
    };
    if pictures.files.is_empty() && inputs.len() == 1 {
        for unreadable in &pictures.unreadable {
            eprintln!("cannot read {unreadable}");
        }
        let hint = if pictures.skipped > 0 { " (videos are named one by one, not by a folder or pattern)" } else { "" };
        bail!("no picture to send: {} files looked at are no images{hint}", pictures.skipped);
    }
    Ok(())
}

fn manner(args: &Args, config: &Config) -> Manner {
    let Args { pacing, messages, .. } = args;
    Manner {
        fps: pacing.fps,
        is_as_recorded: pacing.as_recorded,
        is_again: pacing.again,
        attempts: pacing.attempts,
        max_bytes: config.envelope.max_bytes.bytes() as usize,
        wanted: Wanted { quality: messages.quality, max_side: messages.max_side, max_pixels: config.envelope.max_pixels },
    }
}

/// How many frames there will be, where that is known.
fn total(args: &Args, feeds: &[feeds::Feed]) -> Option<u64> {
    let of_pictures = match feeds {
        [feeds::Feed { input: Input::Pictures(pictures), sources }] if !args.pacing.again => {
            Some(pictures.files.len() as u64 * sources.len() as u64)
        }
        _ => None,
    };
    of_pictures.into_iter().chain(args.pacing.count).min()
}

fn progress(args: &Args, feeds: &[feeds::Feed]) -> ProgressBar {
    let (bar, template) = match total(args, feeds) {
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} frames  {per_sec}  {elapsed}"),
        Some(total) => (ProgressBar::new(total), "{wide_bar} {human_pos}/{human_len} frames  {per_sec}  {eta} left"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is valid"))
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
        let parsed = Cli::try_parse_from(["produce"].iter().chain(arguments));
        parsed.map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        assert_eq!(fps("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "fast"] {
            assert!(fps(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        assert!(args(&["x", "--as-recorded", "--fps", "5"]).unwrap_err().contains("--fps"));
        assert!(args(&["x", "--as-recorded", "--rate", "5"]).unwrap_err().contains("--rate"));
        for wrong in [["--quality", "0"], ["--quality", "101"], ["--count", "0"], ["--header", "x"], ["--envelope", "xml"]] {
            assert!(args(&[&["x"], &wrong[..]].concat()).is_err(), "{wrong:?}");
        }
        let header = args(&["x", "--header", "a=b=c", "--header", "empty="]).unwrap().messages.headers;
        assert_eq!(header, [("a", "b=c"), ("empty", "")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn pictures_have_no_times_of_a_recording() {
        let recorded = args(&["x.jpg", "--as-recorded"]).unwrap();
        let inputs = Input::list(&recorded.inputs, &mut "".as_bytes()).unwrap();
        let error = check(&recorded, &inputs).unwrap_err();
        assert_eq!(crate::commands::exit_code(&error), 2);
        assert!(error.to_string().contains("video files"), "{error}");
        let camera = Input::list(&["http://cam".into()], &mut "".as_bytes()).unwrap();
        assert!(check(&recorded, &camera).is_ok());
    }

    #[test]
    fn a_folder_without_pictures_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let empty = args(&[folder.path().to_str().unwrap()]).unwrap();
        let look = || Input::list(&empty.inputs, &mut "".as_bytes()).unwrap();
        let error = check(&empty, &look()).unwrap_err().to_string();
        assert!(error.contains("no picture to send"), "{error}");
        std::fs::write(folder.path().join("notes.txt"), "text").unwrap();
        let error = check(&empty, &look()).unwrap_err().to_string();
        assert!(error.contains("1 files looked at are no images"), "{error}");
    }

    #[test]
    fn the_bar_knows_how_many_frames_will_come() {
        let total = |arguments: &[&str]| {
            let args = args(arguments).unwrap();
            let inputs = Input::list(&args.inputs, &mut "".as_bytes()).unwrap();
            let (feeds, _) = feeds::assign(inputs, None, args.cameras.cameras).unwrap();
            super::total(&args, &feeds)
        };
        assert_eq!(total(&["a.jpg", "b.jpg", "--cameras", "3"]), Some(6));
        assert_eq!(total(&["a.jpg", "b.jpg", "--cameras", "3", "--count", "4"]), Some(4));
        assert_eq!(total(&["a.jpg", "--loop"]), None);
        assert_eq!(total(&["a.jpg", "--loop", "--count", "9"]), Some(9));
        assert_eq!(total(&["a.jpg", "http://cam"]), None);
    }
}
