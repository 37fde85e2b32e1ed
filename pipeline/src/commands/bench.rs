//! `facestream bench`: what this machine takes, to fill in the tables of `deploy/sizing.md`.
//!
//! In: the detector of the configuration, and pictures made here. Out: figures on stdout, as a table or as JSON: the kernel (one
//! picture, one core), then `facestream run` as a process of its own over a topic of such pictures. Invariant: CPU times are the
//! pipeline's alone, what is compared was measured by turns, and a figure is the median of what was measured.

mod end_to_end;
mod feed;
mod kernel;
mod machine;
mod process;
mod report;

use std::time::Duration;

use anyhow::{Context as _, bail};
use facestream_schemas::Size;
use facestream_stages::detect;
use indicatif::{ProgressBar, ProgressStyle};

use super::Given;
use super::produce::stop::Stop;
use crate::config::{Config, Needs};
use crate::detector::Ready;
use end_to_end::EndToEnd;
use machine::Machine;
use report::{Detector, Report};

const EXAMPLES: &str = "Examples:
  facestream bench                                  a minute: every size of picture, then the whole pipeline
  facestream bench --quick                          a few seconds, rough
  facestream bench --set detector.model=centerface --for 2m
  facestream bench --kafka localhost:9092           through a broker of yours, in a topic that is removed afterwards
  facestream bench --format json

Pictures are those of virtual cameras. The pipeline runs with the [detector], [workers], [journal] and [parquet] of the configuration \
and the store is a temporary folder; with --kafka, [kafka.properties] are used, too. Nothing else should run on the machine: CPU times \
bear company, rates do not.";

/// Pictures that the kernel is measured with, in pixels.
const SIZES: [Size; 4] =
    [Size { w: 640, h: 360 }, Size { w: 1280, h: 720 }, Size { w: 1920, h: 1080 }, Size { w: 3840, h: 2160 }];

/// Measure how many frames a second this machine takes
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How long is measured: half for the kernel, half for the whole pipeline
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = length, conflicts_with = "quick")]
    length: Duration,
    /// A few seconds: to see that it works
    #[arg(long)]
    quick: bool,
    /// Use this broker instead of the built-in one, which feeds some hundred frames a second
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Worker threads of the whole pipeline [default: the configuration's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// How the figures are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    given: Given,
}

/// How the figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One document
    Json,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// For the kernel, over all sizes.
    kernel: Duration,
    /// For one run of the whole pipeline.
    run: Duration,
    /// How many of those.
    rounds: usize,
}

impl Plan {
    fn of(args: &Args) -> Self {
        if args.quick {
            return Self { kernel: Duration::from_secs(2), run: Duration::from_secs(1), rounds: 1 };
        }
        let rounds = 3;
        Self { kernel: args.length / 2, run: args.length / 2 / rounds, rounds: rounds as usize }
    }
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).ok().filter(|length| *length >= Duration::from_secs(6));
    length.ok_or_else(|| "write a time of 6s or more, such as 60s or 5m".to_owned())
}

/// Carries the command out.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, _) = args.given.load(Needs::default())?;
    let ready = super::ready(&config)?;
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("io").enable_all().build();
    let io = io.context("cannot start the I/O runtime")?;
    let stop = Stop::on_signal(io.handle())?;
    let bar = progress()?;
    let measured = measure(args, &config, &ready, &stop, &bar);
    bar.finish_and_clear();
    // What still waits for the network need not be waited for.
    io.shutdown_background();
    let Some(report) = measured? else { bail!("interrupted: there is nothing to report") };
    match args.format {
        Format::Table => report.print(),
        Format::Json => report.print_json(),
    }
}

/// `None` if it was interrupted.
fn measure(args: &Args, config: &Config, ready: &Ready, stop: &Stop, bar: &ProgressBar) -> anyhow::Result<Option<Report>> {
    let plan = Plan::of(args);
    let machine = Machine::of_process();
    let detector = Detector::of(&*detect::load(&ready.model.path, &ready.settings)?, ready.settings.input);
    let Some(kernel) = kernel::measure(ready, &SIZES, plan.kernel, stop, bar)? else { return Ok(None) };
    let of_a_camera = kernel.iter().find(|measured| measured.size() == end_to_end::SIZE).context("no such size was measured")?;
    let workers = args.workers.map_or_else(|| config.workers.count.resolve().get(), usize::from);
    let bench = EndToEnd { config, kafka: args.kafka.as_deref(), workers, cpu_ms: of_a_camera.per_frame_ms(), plan, stop, bar };
    let Some(end_to_end) = bench.measure()? else { return Ok(None) };
    Ok(Some(Report { version: env!("CARGO_PKG_VERSION"), machine, detector, kernel, end_to_end }))
}

/// In thousandths: half for the kernel, half for the whole pipeline.
fn progress() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {eta} left")?;
    Ok(ProgressBar::new(1000).with_style(style))
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

    #[test]
    fn half_of_the_time_is_for_the_kernel_and_half_for_three_runs() {
        let plan = |arguments: &[&str]| Plan::of(&Cli::try_parse_from(["bench"].iter().chain(arguments)).unwrap().args);
        let minute = plan(&[]);
        assert_eq!((minute.kernel, minute.run, minute.rounds), (Duration::from_secs(30), Duration::from_secs(10), 3));
        assert_eq!(plan(&["--for", "6s"]).run, Duration::from_secs(1));
        assert_eq!(plan(&["--quick"]).rounds, 1);
        for wrong in [&["--for", "5s"][..], &["--for", "soon"], &["--quick", "--for", "9s"], &["--workers", "0"]] {
            assert!(Cli::try_parse_from(["bench"].iter().chain(wrong)).is_err(), "{wrong:?}");
        }
    }
}
