//! The whole pipeline: Kafka to Parquet, as a process of its own, over a topic that is full before it starts.
//!
//! In: the configuration and how fast the kernel is. Out: frames a second, CPU time, memory, requests to the store. Invariant: every
//! frame that was sent has its row, or there is no figure.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use facestream_schemas::Size;
use facestream_schemas::tables::Table;
use indicatif::ProgressBar;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use rdkafka::ClientConfig;
use url::Url;

use super::feed::{Cut, fill};
use super::process::{Pipeline, sum};
use super::report::{Run, Whole};
use super::{Plan, Stop};
use crate::commands::broker::Broker;
use crate::commands::demo::report::parquet_files;
use crate::commands::free_address;
use crate::config::{Config, Count};
use crate::kafka::client;
use crate::scene::Scene;

/// What a camera sends.
pub(super) const SIZE: Size = Size { w: 1920, h: 1080 };
/// Different pictures; they repeat.
const PICTURES: u32 = 6;
/// How often the process is looked at: each look costs it a page of metrics.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Without a single frame in this time it is given up.
const STUCK: Duration = Duration::from_mins(1);

/// What is measured.
pub(super) struct EndToEnd<'a> {
    pub(super) config: &'a Config,
    pub(super) kafka: Option<&'a str>,
    pub(super) workers: usize,
    /// What a worker needs for a frame of [`SIZE`].
    pub(super) cpu_ms: f64,
    pub(super) plan: Plan,
    pub(super) stop: &'a Stop,
    pub(super) bar: &'a ProgressBar,
}

impl EndToEnd<'_> {
    /// Several runs over one topic. `None` if it was interrupted.
    pub(super) fn measure(&self) -> anyhow::Result<Option<Whole>> {
        self.bar.set_message("whole pipeline: filling a topic");
        let pictures: Vec<_> = (0..PICTURES).map(|camera| Scene::new(camera, SIZE).picture(30).jpeg).collect();
        let bytes = pictures.iter().map(Vec::len).sum::<usize>() / pictures.len();
        let wanted = self.plan.run.as_secs_f64() * 1e3 / self.cpu_ms * self.workers as f64;
        let cut = Cut::of(wanted as usize, bytes as u64, self.workers, self.kafka.is_none());
        let name = format!("facestream-bench-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let Some(broker) = self.stop.block_on(self.broker(&name, cut.partitions)).transpose()? else { return Ok(None) };
        let groups: Vec<_> = (1..=self.plan.rounds).map(|round| format!("{name}-{round}")).collect();
        let runs = self.runs(&broker, cut, &pictures, &groups);
        // Also after an interruption: the topic is of no use to anybody.
        if let Err(error) = self.stop.at_the_end(broker.remove(&self.client(), &groups)) {
            self.bar.suspend(|| eprintln!("facestream: {error:#}"));
        }
        let Some(runs) = runs? else { return Ok(None) };
        Ok(Some(Whole::of(self.kafka, self.workers, SIZE, cut, &runs)))
    }

    async fn broker(&self, name: &str, partitions: i32) -> anyhow::Result<Broker> {
        match self.kafka {
            Some(servers) => Broker::existing(&self.client(), servers, name, partitions).await,
            None => Broker::embedded(name, partitions),
        }
    }

    /// How the caller's brokers are reached.
    fn client(&self) -> ClientConfig {
        client::base(&self.config.kafka)
    }

    fn runs(&self, broker: &Broker, cut: Cut, pictures: &[Vec<u8>], groups: &[String]) -> anyhow::Result<Option<Vec<Run>>> {
        let mut kafka = self.config.kafka.clone();
        if broker.is_embedded() {
            kafka.properties = std::iter::empty().collect();
        }
        let Some(()) = self.stop.block_on(fill(broker, &kafka, cut, pictures)).transpose()? else { return Ok(None) };
        let mut runs = Vec::new();
        for (round, group) in groups.iter().enumerate() {
            self.bar.set_message(format!("whole pipeline: run {} of {}", round + 1, groups.len()));
            let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
            let config = self.config_of(broker, group, folder.path())?;
            let mut pipeline = Pipeline::start(&config, folder.path())?;
            let watched = self.stop.block_on(self.watch(&mut pipeline, cut.frames, round)).transpose()?;
            let Some(run) = watched else { return Ok(None) };
            runs.push(run.with_files(&folder.path().join("faces"), cut.frames)?);
        }
        Ok(Some(runs))
    }

    /// The caller's detector, workers, journal and files; everything else is ours.
    fn config_of(&self, broker: &Broker, group: &str, folder: &Path) -> anyhow::Result<Config> {
        let given = self.config;
        let mut config = Config {
            detector: given.detector.clone(),
            workers: given.workers.clone(),
            journal: given.journal.clone(),
            parquet: given.parquet.clone(),
            ..Config::default()
        };
        config.workers.count = Count::Fixed(self.workers.try_into().context("no workers")?);
        if !broker.is_embedded() {
            config.kafka.properties.clone_from(&given.kafka.properties);
        }
        broker.connect(&mut config.kafka);
        group.clone_into(&mut config.kafka.group);
        let store = Url::from_file_path(folder.join("faces")).map_err(|()| anyhow!("{} is not absolute", folder.display()))?;
        config.store.url = store.into();
        config.http.listen = free_address()?;
        "warn".clone_into(&mut config.log.level);
        Ok(config)
    }

    /// From the start to the last frame, then to the end.
    async fn watch(&self, pipeline: &mut Pipeline, frames: usize, round: usize) -> anyhow::Result<Run> {
        let mut samples: Vec<Sample> = Vec::new();
        let mut progress = Instant::now();
        let mut page = loop {
            if let Some(status) = pipeline.ended()? {
                bail!("the pipeline ended with {status}:\n{}", pipeline.last_words());
            }
            let cpu_s = pipeline.cpu_s();
            if let (Some(cpu_s), Some(now)) = (cpu_s, pipeline.metrics().await) {
                let done = sum(&now, "facestream_frames_total", "");
                if samples.last().is_none_or(|last| last.frames < done) {
                    progress = Instant::now();
                }
                samples.push(Sample { at: Instant::now(), frames: done, cpu_s });
                let share = (round as f64 + done / frames as f64) / self.plan.rounds as f64;
                self.bar.set_position(500 + (share * 500.0) as u64);
                if done >= frames as f64 {
                    break now;
                }
            }
            if progress.elapsed() > STUCK {
                bail!("no frame came through within {STUCK:?}:\n{}", pipeline.last_words());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let ok = sum(&page, "facestream_frames_total", "status=\"ok\"");
        if ok < frames as f64 {
            bail!("only {ok} of {frames} frames could be worked on:\n{}", pipeline.last_words());
        }
        pipeline.stop();
        let peak_bytes = self.end(pipeline, &mut page).await?;
        Run::of(&samples, peak_bytes, requests(&page))
    }

    /// Waits until it has sealed and ended; keeps the last page of its metrics. The most memory that it ever had.
    async fn end(&self, pipeline: &mut Pipeline, page: &mut String) -> anyhow::Result<u64> {
        let (mut peak, told) = (0, Instant::now());
        loop {
            peak = pipeline.peak_bytes().unwrap_or(0).max(peak);
            match pipeline.ended()? {
                Some(status) if status.success() => return Ok(peak),
                Some(status) => bail!("the pipeline ended with {status}:\n{}", pipeline.last_words()),
                None if told.elapsed() > STUCK => bail!("the pipeline did not end within {STUCK:?}"),
                None => {}
            }
            if let Some(now) = pipeline.metrics().await {
                *page = now;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What was counted at one moment.
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) frames: f64,
    pub(super) cpu_s: f64,
}

/// Requests to the store, by operation.
fn requests(page: &str) -> BTreeMap<String, u64> {
    const COUNT: &str = "facestream_store_seconds_count{operation=\"";
    let counted = page.lines().filter_map(|line| {
        let (operation, count) = line.strip_prefix(COUNT)?.split_once("\"} ")?;
        Some((operation.to_owned(), count.parse::<f64>().ok()? as u64))
    });
    counted.collect()
}

impl Run {
    /// With what lies in the store; an error if that is not one row for each frame.
    fn with_files(mut self, store: &Path, frames: usize) -> anyhow::Result<Self> {
        let pattern = format!("{}/_journal/*/*/*.arrow", glob::Pattern::escape(&store.display().to_string()));
        self.appends = glob::glob(&pattern)?.count() as u64;
        let mut rows = 0;
        for table in Table::ALL {
            let files = parquet_files(store, table)?;
            self.files += files.len() as u64;
            for file in files.iter().filter(|_| table == Table::Frames) {
                rows += SerializedFileReader::new(File::open(file)?)?.metadata().file_metadata().num_rows();
            }
        }
        if rows != frames as i64 {
            bail!("{frames} frames were sent, and there are {rows} rows: please report this");
        }
        Ok(self)
    }
}
