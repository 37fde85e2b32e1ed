//! `facestream demo`: virtual cameras, a broker inside this process, the real pipeline, a live page, and Parquet files to look at.
//!
//! In: how long, and if wanted a broker and a folder. Out: first the live page's address, then the tables in a new folder, and a report on
//! stdout that reads them back.
//! Invariant: it succeeds only if every frame that the cameras sent has exactly one row.

mod camera;
mod cameras;
pub(super) mod report;
mod status;
mod unread;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use prometheus::core::Metric as _;
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::broker::Broker;
use super::{Failure, free_address, print};
use crate::config::{Config, LogFormat};
use crate::metrics::{self, Labels as _, Metrics, Since, Until};
use crate::{logging, topology};
use cameras::{Cameras, PARTITIONS, Sent};
use report::Written;
use status::{REFRESH, Reading, Status};

/// Without a single frame read in this time the demo stops waiting for the rest.
const STUCK: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "Examples:
  facestream demo                           one minute, everything inside this process
  facestream demo --for forever             until Ctrl-C
  facestream demo --kafka localhost:9092    with a broker of yours, in a topic of its own";

/// Watch faces being detected in a stream: virtual cameras, a built-in broker, the real pipeline
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How long the cameras run: 60s, 5m, forever
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = length)]
    length: Length,
    /// Use this broker instead of the built-in one
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Where the tables go: a new or empty folder [default: a new one in demo-output]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How many cameras
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    cameras: u32,
}

/// How long the cameras run; `None` is until Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Length(Option<Duration>);

fn length(text: &str) -> Result<Length, String> {
    if text == "forever" {
        return Ok(Length(None));
    }
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(Length(Some(duration))),
        _ => Err("write a time such as 20s or 5m, or forever".to_owned()),
    }
}

/// Carries the command out.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let run = format!("{}-{}", chrono::Local::now().format("%Y%m%d-%H%M%S"), &uuid::Uuid::new_v4().simple().to_string()[..4]);
    let folder = new_folder(&args.out.clone().unwrap_or_else(|| Path::new("demo-output").join(&run)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the I/O runtime")?;
    runtime.block_on(demo(args, &run, &folder))
}

async fn demo(args: &Args, run: &str, folder: &Path) -> anyhow::Result<()> {
    let listen = free_address()?;
    introduce(args, folder, listen)?;
    let broker = match &args.kafka {
        Some(servers) => Broker::existing(&ClientConfig::new(), servers, &format!("facestream-demo-{run}"), PARTITIONS).await?,
        None => Broker::embedded("facestream-demo", PARTITIONS)?,
    };
    let config = config(&broker, folder, listen)?;
    logging::init(&config.log)?;
    let outcome = stream(args, &broker, config).await.and_then(|sent| conclude(&sent, folder));
    if let Some(removal) = broker.removal() {
        print(&format!("\nThe topic and the group stay at your broker. To remove them:\n  {removal}"))?;
    }
    outcome
}

/// Cameras and pipeline, from the first frame to the last seal.
async fn stream(args: &Args, broker: &Broker, config: Config) -> anyhow::Result<Sent> {
    let (metrics, stop) = (Metrics::new(), CancellationToken::new());
    let pipeline = {
        let (metrics, stop) = (metrics.clone(), stop.clone());
        tokio::spawn(async move { topology::run(&config, false, metrics, stop).await })
    };
    let interrupted = interruption()?;
    let mut screen = Screen { status: Status::new(), metrics: metrics.clone() };
    let stopped = || pipeline.is_finished() || interrupted.is_cancelled();

    // The cameras wait for the pipeline, so that latencies are those of a stream and not of a start.
    screen.until(|_| "joining the group".to_owned(), || stopped() || metrics.ready.get() == 1).await;
    let cameras = Cameras::start(broker, args.cameras)?;
    let over = |for_so_long: Duration| args.length.0.is_some_and(|length| for_so_long >= length);
    let started = Instant::now();
    screen.until(|now| args.length.progress(now), || stopped() || cameras.is_done() || over(started.elapsed())).await;

    // Every frame that was sent is to be read before the pipeline stops: it drains what it has in hand, not what lies in Kafka.
    cameras.finish();
    let mut progress = (cameras.unread(), Instant::now());
    let mut is_stuck = || {
        if cameras.unread() != progress.0 {
            progress = (cameras.unread(), Instant::now());
        }
        progress.1.elapsed() > STUCK
    };
    screen.until(|_| "reading the rest".to_owned(), || pipeline.is_finished() || cameras.is_done() || is_stuck()).await;
    cameras.give_up();
    stop.cancel();
    screen.until(|_| "sealing".to_owned(), || pipeline.is_finished()).await;
    screen.status.clear();
    pipeline.await.context("the pipeline panicked")?.context("the pipeline stopped")?;
    cameras.sum_up()
}

/// What is shown while it runs.
struct Screen {
    status: Status,
    metrics: Metrics,
}

impl Screen {
    /// Shows `what` (told how long it has lasted) and the metrics until `is_over`.
    async fn until(&mut self, what: impl Fn(Duration) -> String, mut is_over: impl FnMut() -> bool) {
        let start = Instant::now();
        let mut tick = tokio::time::interval(REFRESH);
        while !is_over() {
            self.status.show(&what(start.elapsed()), &reading(&self.metrics));
            tick.tick().await;
        }
    }
}

impl Length {
    fn progress(self, now: Duration) -> String {
        match self.0 {
            Some(length) => format!("{} s of {} s", now.as_secs(), length.as_secs()),
            None => format!("{} s", now.as_secs()),
        }
    }
}

/// Cancelled by the first Ctrl-C or SIGTERM; the second ends the process at once.
fn interruption() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let cannot = "cannot listen for signals";
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).context(cannot)?, signal(SignalKind::terminate()).context(cannot)?);
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            if cancelled.is_cancelled() {
                eprintln!("facestream: stopped at once; the folder holds what was published until now");
                std::process::exit(1);
            }
            cancelled.cancel();
        }
    });
    Ok(token)
}

/// What the metrics say now.
fn reading(metrics: &Metrics) -> Reading {
    let latency = metrics.e2e_seconds.of((Since::Event, Until::Detected)).metric();
    let histogram = latency.get_histogram();
    let beyond = std::iter::once((f64::INFINITY, histogram.get_sample_count()));
    Reading {
        frames: metrics::Status::all().into_iter().map(|status| metrics.frames.of(status).get()).sum(),
        faces: metrics.faces.get(),
        lag: metrics.total_lag(),
        latency: histogram
            .get_bucket()
            .iter()
            .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
            .chain(beyond)
            .collect(),
    }
}

/// Makes the folder, which has to be new or empty, and gives its absolute path.
fn new_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let cannot = || format!("cannot make the folder {}", path.display());
    std::fs::create_dir_all(path).with_context(cannot)?;
    if std::fs::read_dir(path).with_context(cannot)?.next().is_some() {
        let text = format!("the folder {} is not empty: name a new one with --out", path.display());
        return Err(Failure::Usage(text).into());
    }
    path.canonicalize().with_context(cannot)
}

/// The defaults, but quicker: something is to be seen within seconds.
fn config(broker: &Broker, folder: &Path, listen: SocketAddr) -> anyhow::Result<Config> {
    let mut config = Config::default();
    broker.connect(&mut config.kafka);
    let url = Url::from_file_path(folder).map_err(|()| anyhow!("{} is not an absolute path", folder.display()))?;
    config.store.url = url.into();
    config.journal.append_every = Duration::from_secs(1);
    config.windows.length = Duration::from_secs(5);
    config.windows.max_out_of_orderness = Duration::from_millis(500);
    config.windows.idle_timeout = Duration::from_secs(3);
    config.http.listen = listen;
    // librdkafka warns of what a fresh broker takes a moment for.
    config.log.level = "warn,librdkafka=error".into();
    config.log.format = LogFormat::Human;
    Ok(config)
}

fn introduce(args: &Args, folder: &Path, listen: SocketAddr) -> anyhow::Result<()> {
    let broker = args.kafka.as_deref().unwrap_or("a broker inside this process");
    let end = match args.length.0 {
        Some(length) => format!("{}; Ctrl-C ends it earlier", humantime::format_duration(length)),
        None => "until Ctrl-C".to_owned(),
    };
    print(&format!(
        "watch it at http://{listen}/\n\n\
         facestream demo: {} virtual cameras, Kafka ({broker}), detection, Parquet\n  \
         tables   {}\n  metrics  http://{listen}/metrics while it runs\n  time     {end}\n",
        args.cameras,
        folder.display(),
    ))
}

/// The report, and the verdict.
fn conclude(sent: &Sent, folder: &Path) -> anyhow::Result<()> {
    let total: u64 = sent.messages.iter().sum();
    if total == 0 {
        return print("No frame was sent: the demo ended before the first.");
    }
    let written = Written::read(folder)?;
    print(&format!("{}\n", written.text(sent)))?;
    if let Some(complaint) = written.complaint(sent) {
        bail!("{complaint}");
    }
    print(&format!(
        "Each of the {total} frames sent has exactly one row. In DuckDB (duckdb.org, or python3 -m pip install duckdb):\n\n{}\n\n\
         To go on with your own Kafka: facestream config init, facestream check, facestream run",
        report::queries(folder)
    ))
}

#[cfg(test)]
mod tests;
