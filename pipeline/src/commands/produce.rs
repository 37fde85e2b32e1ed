//! `facestream produce`: pictures from files to a Kafka topic, as cameras would send them.
//!
//! In: files, folders, patterns or a list. Out: one message a picture and camera, and a report. Invariant: memory is bounded
//! (one file, and the client's queue), and the exit code tells whether every picture arrived.

mod pictures;
mod sender;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use self::pictures::Pictures;
use self::sender::{Picture, Sender};
use super::{Failure, Given};
use crate::config::{Config, Needs, topic_mistake};

/// How long a stop waits for acknowledgements that are still out.
const STOP_GRACE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "Examples:
  facestream produce --topic frames photos/               every image below a folder
  facestream produce --topic frames 'photos/**/*.jpg'     what a pattern matches
  ls -tr *.jpg | facestream produce --topic frames -      a list of files on stdin
  facestream produce --topic frames --cameras 8 --rate 200 --loop photos/
      eight cameras with 25 pictures a second each, until Ctrl-C

A file that is named is sent whatever it holds; of folders and patterns only images, told by their first bytes.
Exits with 1 if a picture could not be read or was not delivered.";

/// Send pictures to a Kafka topic, as cameras would
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files, folders (recursively), patterns, or - for a list of files on stdin
    #[arg(required = true, value_name = "PICTURES")]
    inputs: Vec<String>,
    /// Topic to send to [default: the configuration's, if it names one topic]
    #[arg(long)]
    topic: Option<String>,
    /// Brokers, host:port separated by commas [default: the configuration's]
    #[arg(long)]
    brokers: Option<String>,
    /// Pictures a second, over all cameras together [default: as fast as Kafka takes them]
    #[arg(long, value_name = "FPS", value_parser = fps)]
    rate: Option<f64>,
    /// Begin again after the last picture, until Ctrl-C
    #[arg(long = "loop")]
    again: bool,
    /// Key and name of the camera; with --cameras, what their names begin with [default: camera-000, camera]
    #[arg(long, value_name = "ID")]
    source_id: Option<String>,
    /// Number of cameras; each sends every picture. Their names are camera-000, camera-001 …
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    cameras: Option<u16>,
    #[command(flatten)]
    given: Given,
}

fn fps(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.001);
    rate.ok_or_else(|| "expected a number of pictures a second, such as 25 or 0.5".to_owned())
}

/// Carries the command out. An error if a picture could not be read or was not delivered.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, _) = args.given.load(Needs::default())?;
    let brokers = args.brokers.as_deref().unwrap_or(&config.kafka.brokers);
    let topic = topic(args, &config)?;
    let pictures = Pictures::list(&args.inputs, &mut std::io::stdin().lock());
    for unreadable in &pictures.unreadable {
        eprintln!("cannot read {unreadable}");
    }
    if pictures.files.is_empty() {
        bail!("no picture to send: {} files looked at are no images", pictures.skipped);
    }
    let sources = sources(args.source_id.as_deref(), args.cameras);
    let bar = progress(args, pictures.files.len() * sources.len());
    let sender = Sender::connect(&config, brokers, topic, bar.clone())?;
    bar.reset(); // connecting is not part of the rate
    let stop = stop_on_signal()?;
    let is_stopped = || stop.load(Ordering::Relaxed);
    let mut run =
        Run { sender: &sender, sources: &sources, pace: Pace::new(args.rate), bar: &bar, sent: 0, rounds: 0, unreadable: 0 };
    while run.round(&pictures.files, &is_stopped) && args.again {}
    sender.finish(&is_stopped, STOP_GRACE);
    bar.finish_and_clear();
    run.report(topic, &pictures)
}

fn topic<'a>(args: &'a Args, config: &'a Config) -> Result<&'a str, Failure> {
    let topic = match (args.topic.as_deref(), config.kafka.topics.as_slice()) {
        (Some(topic), _) => topic,
        (None, [only]) => only,
        (None, topics) => {
            return Err(Failure::Usage(format!("name the topic with --topic: the configuration names {} of them", topics.len())));
        }
    };
    topic_mistake(topic).map_or(Ok(topic), |mistake| Err(Failure::Usage(mistake)))
}

fn sources(source_id: Option<&str>, cameras: Option<u16>) -> Vec<String> {
    match (source_id, cameras) {
        (Some(source_id), None) => vec![source_id.to_owned()],
        (prefix, cameras) => (0..cameras.unwrap_or(1)).map(|n| format!("{}-{n:03}", prefix.unwrap_or("camera"))).collect(),
    }
}

fn progress(args: &Args, total: usize) -> ProgressBar {
    let (bar, template) = if args.again {
        (ProgressBar::new_spinner(), "{spinner} {human_pos} frames  {per_sec}  {elapsed}")
    } else {
        (ProgressBar::new(total as u64), "{wide_bar} {human_pos}/{human_len} frames  {per_sec}  {eta} left")
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is valid"))
}

/// A flag that Ctrl-C and SIGTERM raise; the second ends the process at once.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot listen for signals")?;
    let listen = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else { return };
            for _ in 0..2 {
                tokio::select! { _ = int.recv() => (), _ = term.recv() => () }
                if raised.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).context("cannot listen for signals")?;
    Ok(stop)
}

/// When the next picture is due.
struct Pace {
    interval: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn new(fps: Option<f64>) -> Self {
        Self { interval: fps.map(|fps| Duration::from_secs_f64(1.0 / fps)), next: Instant::now() }
    }

    /// How long from `now` until the next picture is due. One that is late by more than a second is not caught up with.
    fn wait(&mut self, now: Instant) -> Duration {
        let Some(interval) = self.interval else { return Duration::ZERO };
        let due = self.next.max(now.checked_sub(Duration::from_secs(1)).unwrap_or(now));
        self.next = due + interval;
        due.saturating_duration_since(now)
    }
}

struct Run<'a> {
    sender: &'a Sender,
    sources: &'a [String],
    pace: Pace,
    bar: &'a ProgressBar,
    sent: u64,
    /// Rounds begun; with the file's place in the list it makes `frame_seq`.
    rounds: u64,
    unreadable: u64,
}

impl Run<'_> {
    /// Sends every file once from each camera. False if it was stopped, or there is no file left that can be sent.
    fn round(&mut self, files: &[impl AsRef<Path>], is_stopped: &dyn Fn() -> bool) -> bool {
        let first_seq = self.rounds * files.len() as u64;
        self.rounds += 1;
        let sent_before = self.sent;
        for (seq, file) in (first_seq..).zip(files) {
            if is_stopped() || !self.file(file.as_ref(), seq, is_stopped) {
                return false;
            }
        }
        self.sent > sent_before
    }

    fn file(&mut self, path: &Path, frame_seq: u64, is_stopped: &dyn Fn() -> bool) -> bool {
        let image = match std::fs::read(path) {
            Ok(image) => image,
            Err(error) => {
                self.unreadable += 1;
                self.bar.suspend(|| eprintln!("cannot read {}: {error}", path.display()));
                return true;
            }
        };
        let name = Arc::new(path.display().to_string());
        for source_id in self.sources {
            if !self.wait(is_stopped) {
                return false;
            }
            if !self.sender.send(&Picture { source_id, frame_seq, name: &name, image: &image }, is_stopped) {
                return false;
            }
            self.sent += 1;
        }
        true
    }

    /// Waits until the next picture is due, taking delivery reports meanwhile. False if it was stopped.
    fn wait(&mut self, is_stopped: &dyn Fn() -> bool) -> bool {
        let due = Instant::now() + self.pace.wait(Instant::now());
        loop {
            let left = due.saturating_duration_since(Instant::now());
            self.sender.serve(left.min(Duration::from_millis(100)));
            if left.is_zero() || is_stopped() {
                return !is_stopped();
            }
        }
    }

    fn report(&self, topic: &str, pictures: &Pictures) -> anyhow::Result<()> {
        let deliveries = self.sender.deliveries();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (delivered, failed) = (count(&deliveries.delivered), count(&deliveries.failed));
        let unreadable = self.unreadable + pictures.unreadable.len() as u64;
        let elapsed = self.bar.elapsed();
        let cameras = match self.sources {
            [only] => only.clone(),
            several => format!("{} cameras", several.len()),
        };
        eprintln!(
            "{} frames ({}) of {} delivered to {topic} in {:.1} s, {:.1} frames/s",
            HumanCount(delivered),
            HumanBytes(count(&deliveries.delivered_bytes)),
            cameras,
            elapsed.as_secs_f64(),
            delivered as f64 / elapsed.as_secs_f64().max(0.001),
        );
        if pictures.skipped > 0 {
            eprintln!("{} files are no images and were left out", pictures.skipped);
        }
        if failed + unreadable > 0 {
            bail!("{failed} frames were not delivered, {unreadable} files or folders could not be read");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_are_numbered_and_a_single_source_keeps_its_name() {
        assert_eq!(sources(None, None), ["camera-000"]);
        assert_eq!(sources(Some("door"), None), ["door"]);
        assert_eq!(sources(None, Some(2)), ["camera-000", "camera-001"]);
        assert_eq!(sources(Some("door"), Some(2)), ["door-000", "door-001"]);
    }

    #[test]
    fn pictures_are_due_at_the_rate_and_a_long_stall_is_not_caught_up_with() {
        let mut pace = Pace::new(Some(4.0));
        let start = pace.next;
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.wait(at(0)), Duration::ZERO);
        assert_eq!(pace.wait(at(0)), Duration::from_millis(250));
        assert_eq!(pace.wait(at(100)), Duration::from_millis(400));
        // Ten seconds late: of the forty missed pictures those of one second follow at once, and then it is a picture each 250 ms.
        let burst = (0..10).take_while(|_| pace.wait(at(10_750)).is_zero()).count();
        assert_eq!(burst, 5);
        assert_eq!(Pace::new(None).wait(at(0)), Duration::ZERO);
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        assert_eq!(fps("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "fast"] {
            assert!(fps(text).is_err(), "{text}");
        }
    }
}
