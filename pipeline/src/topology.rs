//! The dataflow, top-down: read this first.
//!
//! ```text
//! Kafka ──► poll thread ──jobs──► workers (decode + detect) ──rows──► lane per partition ──► journal ──► Parquet
//!           kafka/consumer        workers                             lane                  journal     journal/publish
//! ```
//!
//! Channels and their bounds: `jobs` holds what the budget `in_flight` allows (the poll thread waits for room, so sending never
//! blocks); each lane's inbox is bounded and always drained; rows wait in lanes within the budget `pending_rows`, and what
//! pictures are made from within `in_flight`. Threads: one polls Kafka and owns its consumer, N work, tokio carries I/O only.

mod sight;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use facestream_schemas::envelope::{Field, Rules};
use facestream_schemas::event::EventSettings;
use facestream_stages::aggregate::{Late, WindowSettings};
use facestream_stages::track::TrackSettings;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::annotate::{Annotator, Keep, Pictures};
use crate::budget::Budget;
use crate::config::{self, ByteSize, Config};
use crate::detector::{DetectorError, Parts, make_ready};
use crate::fetch::{FetchSetupError, Fetcher};
use crate::http;
use crate::journal::Writer;
use crate::journal::publish::Publisher;
use crate::kafka::client::{self, QUEUE_KIB};
use crate::kafka::consumer::{Intake, PollError, Poller, most_frames};
use crate::kafka::outbox::KafkaOutbox;
use crate::kafka::silence::{Heard, Silence, listen, telling};
use crate::kafka::{Ends, ends};
use crate::lane::{Board, Lanes, Outbox, Rolling, Takeovers, Telling};
use crate::live::Live;
use crate::metrics::{BudgetName, Metrics};
use crate::models::ModelsError;
use crate::store::{ProbeError, Store, StoreError, probe_create_only};
use crate::workers::{self, Blueprint, Job};

/// Brokers that are there and refuse this client for so long will not change their minds.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says itself what it is")]
pub enum TopologyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Fetch(#[from] FetchSetupError),
    #[error(transparent)]
    Models(#[from] ModelsError),
    #[error("cannot set up the detector: {0:#}")]
    Detector(anyhow::Error),
    #[error("cannot ask Kafka for the end offsets of {topics:?}: {cause}")]
    Ends { topics: Vec<String>, cause: rdkafka::error::KafkaError },
    #[error(transparent)]
    Silent(#[from] Silence),
    #[error("kafka: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error(transparent)]
    Poll(#[from] PollError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the poll thread panicked")]
    Panic,
    #[error("told to stop before the end of the topics was reached: the next run goes on from the journal")]
    Interrupted,
}

impl TopologyError {
    /// Whether store or journal were found unfit, so that nothing may be written.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Probe(_) | Self::Poll(PollError::Refused(_)))
    }
}

/// Runs the pipeline until `stop`, or, with `until_end`, until the offsets are consumed that the topics end at now.
pub async fn run(config: &Config, until_end: bool, metrics: Metrics, stop: CancellationToken) -> Result<(), TopologyError> {
    let board = Board::default();
    if config.metrics.source_label {
        metrics.sources_apart.tell_apart(config.metrics.source_limit);
    }
    let listener = http::bind(config.http.listen).await?;

    // Where rows go.
    let store = Store::open(&config.store)?.observed(&metrics);
    probe_create_only(&store).await?;
    metrics.store_up.set(1);

    // What looks for faces: one decoder and one detector session per worker.
    let run_id: Arc<str> = Uuid::new_v4().to_string().into();
    let workers = config.workers.count.resolve().get();
    let live = sight::live(config, workers, &metrics);
    let blueprint = blueprint(config, &run_id, &live, &metrics)?;
    let parts = (0..workers).map(|_| blueprint.build()).collect::<Result<Vec<_>, _>>().map_err(TopologyError::Detector)?;
    let detector = Arc::clone(&parts[0].identity);

    let sight = sight::sight(config, &listener, (&run_id, &detector, workers), (&board, &live, &metrics))?;
    let served = tokio::spawn(http::serve(listener, sight));

    // Where frames come from.
    let client = client::consumer(&config.kafka);
    let Some((cluster, until)) = ask_kafka(config, &client, until_end, &stop)? else {
        return if until_end { Err(TopologyError::Interrupted) } else { Ok(()) };
    };

    // Memory: frames in flight beside librdkafka's own queue, and rows that are not yet appended.
    let in_flight = budget(BudgetName::InFlight, config.workers.in_flight.bytes().saturating_sub(QUEUE_KIB * 1024), &metrics);
    let pending_rows = budget(BudgetName::PendingRows, config.workers.pending_rows.bytes(), &metrics);
    let (to_workers, jobs) = crossbeam_channel::bounded(most_frames(in_flight.limit()));

    // Workers: decode and detect, then on to the frame's lane.
    let workers = spawn_workers(parts, &blueprint, &jobs)?;
    drop(jobs);

    // Pictures that lie elsewhere are fetched on their way to the workers.
    let fetcher = Fetcher::new(&config.fetch, &config.store, in_flight.clone(), metrics.clone(), Handle::current())?;

    // Pictures for people: faces marked or hidden, in threads of their own; none where nobody asks for them.
    let pictures = pictures(config, workers.len(), &metrics)?;
    if pictures.is_some() {
        fetcher.keep_order();
    }

    // Lanes: order, tracks, windows, rows; each tells others what it has to tell, then appends to its partition's journal and publishes its seals.
    let lanes = Lanes {
        runtime: Handle::current(),
        store,
        writer: Arc::new(writer(config, &cluster, &run_id, detector.model_sha256.clone())),
        publisher: Publisher::new(Handle::current(), metrics.clone()),
        tracks: tracks(config),
        windows: windows(config),
        rolling: rolling(config),
        retention: config.journal.retention,
        takeovers: Takeovers::default(),
        pending_rows,
        outbox: outbox(config, &metrics)?,
        telling: of_rows(config),
        pictures,
        board: board.clone(),
        metrics: metrics.clone(),
    };
    let at_end = CancellationToken::new();
    let ends = tokio::spawn(stop_at_the_ends(until.clone(), lanes.clone(), at_end.clone(), stop.clone()));
    let minutes = tokio::spawn(report_every_minute(metrics.clone()));

    // The poll thread: takes messages while there is room and binds each to its lane; drains when it is asked to stop.
    let poller = Poller {
        client,
        topics: config.kafka.topics.iter().map(|topic| (topic.as_str().into(), intake(config, topic))).collect(),
        start: config.kafka.start,
        on_gap: config.kafka.on_gap,
        until: until.offsets,
        lanes,
        jobs: Arc::new(to_workers),
        in_flight,
        max_bytes: largest(config),
        fetcher,
        live,
        keeps_originals: !config.dead_letters.topic.is_empty(),
        stop: stop.clone(),
        at_end: at_end.clone(),
        drain_timeout: config.run.drain_timeout,
        seal: config.parquet.seal_on_shutdown,
    };
    let ended = poll_to_the_end(poller).await;

    // With the poll thread's end of the channel gone the workers end, too.
    ends.abort();
    minutes.abort();
    served.abort();
    tokio::task::block_in_place(|| workers.into_iter().for_each(|worker| drop(worker.join())));
    match ended {
        Ok(()) if until_end && !at_end.is_cancelled() => Err(TopologyError::Interrupted),
        ended => ended,
    }
}

async fn poll_to_the_end(poller: Poller) -> Result<(), TopologyError> {
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("poll".to_owned()).spawn(move || {
        let _ = done.send(poller.run());
    })?;
    Ok(ended.await.map_err(|_| TopologyError::Panic)??)
}

fn blueprint(config: &Config, run_id: &Arc<str>, live: &Live, metrics: &Metrics) -> Result<Blueprint, TopologyError> {
    let ready = make_ready(config).map_err(|error| match error {
        DetectorError::Models(error) => TopologyError::Models(error),
        DetectorError::Library(error) => TopologyError::Detector(error.into()),
    })?;
    if let Some(licence) = ready.licence.as_ref().filter(|licence| licence.non_commercial) {
        tracing::warn!(model = config.detector.model, "the licence of this model forbids commercial use: {}", licence.text);
    }
    Ok(Blueprint {
        ready,
        max_faces: config.detector.max_faces,
        max_skew: config.windows.max_skew,
        dead_letters: (!config.dead_letters.topic.is_empty()).then_some(config.dead_letters.max_bytes.bytes()),
        run_id: Arc::clone(run_id),
        annotate: config.annotate.what,
        live: live.clone(),
        metrics: metrics.clone(),
    })
}

fn spawn_workers(parts: Vec<Parts>, blueprint: &Blueprint, jobs: &Receiver<Job>) -> std::io::Result<Vec<JoinHandle<()>>> {
    blueprint.metrics.workers.set(parts.len() as i64);
    parts.into_iter().zip(0..).map(|(parts, id)| workers::spawn(id, parts, blueprint.clone(), jobs.clone())).collect()
}

pub(crate) fn budget(name: BudgetName, bytes: u64, metrics: &Metrics) -> Budget {
    metrics.budget_limit_bytes.of(name).set(bytes as i64);
    let (in_use, peak) = (metrics.budget_bytes.of(name).clone(), metrics.budget_peak_bytes.of(name).clone());
    Budget::new(usize::try_from(bytes).unwrap_or(usize::MAX), in_use, peak)
}

/// Who writes the journal: a consumer group of a Kafka cluster, and for people the host, the process and the run.
pub(crate) fn writer(config: &Config, cluster: &str, run_id: &str, model_sha256: Option<String>) -> Writer {
    Writer {
        pipeline_id: format!("{cluster}/{}", config.kafka.group),
        owner: format!("{}/{}/{run_id}", sight::host(), std::process::id()),
        model_sha256,
    }
}

fn tracks(config: &Config) -> Option<TrackSettings> {
    let config::Track { enabled, max_gap, min_iou } = config.track;
    enabled.then_some(TrackSettings { max_gap, min_iou })
}

/// Where annotated pictures are made and go. Half as many threads as workers: a picture costs about half of what its frame does.
fn pictures(config: &Config, workers: usize, metrics: &Metrics) -> Result<Option<Pictures>, TopologyError> {
    let config::Annotate { what, hold, quality, topic, .. } = &config.annotate;
    if *what == config::Annotation::None {
        return Ok(None);
    }
    let store = config.annotate.kept_in(&config.store).map(|store| Store::open(&store)).transpose()?;
    Ok(Some(Pictures {
        annotator: Annotator::start(*quality, workers.div_ceil(2), metrics)?,
        hold: what.hides().then_some(*hold),
        to_topic: !topic.is_empty(),
        keep: store.map(|store| Keep::new(store, metrics.clone())),
    }))
}

/// What others are told of rows.
fn of_rows(config: &Config) -> Telling {
    let config::Events { topic, format, what } = &config.events;
    Telling {
        events: (!topic.is_empty()).then_some(EventSettings { format: *format, what: *what }),
        windows: (!config.windows.topic.is_empty()).then_some(*format),
    }
}

fn windows(config: &Config) -> WindowSettings {
    WindowSettings {
        length: config.windows.length,
        max_out_of_orderness: config.windows.max_out_of_orderness,
        idle_timeout: config.windows.idle_timeout,
        late: match config.windows.late {
            config::Late::Drop => Late::Drop,
            config::Late::Revise => Late::Revise { grace: config.windows.grace },
        },
    }
}

/// How a topic is read.
fn intake(config: &Config, topic: &str) -> Intake {
    let envelope = config.envelope_of(topic);
    let named = |names: &config::Settings| {
        Field::ALL.iter().filter_map(|field| Some((*field, names.get(field.as_str())?.clone()))).collect()
    };
    let rules = Rules {
        format: envelope.format,
        pointers: named(&envelope.pointers),
        headers: named(&envelope.headers),
        capture_ts_unit: envelope.capture_ts_unit,
        max_bytes: envelope.max_bytes.bytes(),
        max_skew: config.windows.max_skew,
    };
    Intake { rules, max_pixels: envelope.max_pixels, load: config.load_of(topic) }
}

/// The largest picture that may come, in bytes.
fn largest(config: &Config) -> u64 {
    let topics = config.kafka.topics.iter().map(|topic| config.envelope_of(topic).max_bytes);
    let fetched = (!config.fetch.allow.is_empty()).then_some(config.fetch.max_bytes);
    topics.chain(fetched).max().map_or(0, ByteSize::bytes)
}

/// Where events, windows, dead letters and annotated pictures go.
fn outbox(config: &Config, metrics: &Metrics) -> Result<Option<Arc<dyn Outbox>>, TopologyError> {
    if config.dead_letters.topic.is_empty() {
        tracing::info!("dead_letters.topic is not set: of a message that fails, its row in the table frames is all there is");
    }
    let outbox = KafkaOutbox::new(config, metrics.clone())?;
    Ok(outbox.map(|outbox| Arc::new(outbox) as Arc<dyn Outbox>))
}

fn rolling(config: &Config) -> Rolling {
    Rolling {
        append_every: config.journal.append_every,
        roll_bytes: config.parquet.roll_bytes.bytes(),
        roll_every: config.parquet.roll_every,
    }
}

/// The cluster's id and, for a run until the end, where that is. Waits for a broker; `None` where the wait was stopped. Brokers that
/// refuse this client are not waited for.
fn ask_kafka(
    config: &Config,
    client: &rdkafka::ClientConfig,
    until_end: bool,
    stop: &CancellationToken,
) -> Result<Option<(String, Ends)>, TopologyError> {
    let asking: BaseConsumer<Heard> = telling(client.clone()).create_with_context(Heard::default())?;
    let asked = Instant::now();
    tokio::task::block_in_place(|| {
        let cluster = loop {
            if let Some(cluster) = asking.client().fetch_cluster_id(Duration::from_secs(2)) {
                break cluster;
            }
            if stop.is_cancelled() {
                return Ok(None);
            }
            listen(&asking);
            let silence = asking.context().silence(&config.kafka, &config.kafka.brokers);
            if silence.is_refusal() && asked.elapsed() >= REFUSED_FOR {
                return Err(silence.into());
            }
            tracing::warn!("no Kafka broker answers, trying again: {silence}");
        };
        let topics = &config.kafka.topics;
        let ends = if until_end { ends(&asking, topics) } else { Ok(Ends::default()) };
        let ends = ends.map_err(|cause| TopologyError::Ends { topics: topics.clone(), cause })?;
        Ok(Some((cluster, ends)))
    })
}

/// Ends the run once the journals have reached `until`: those held here by what they report (they are published at the end), the
/// others by looking whether they are published, which nobody here would do.
async fn stop_at_the_ends(ends: Ends, lanes: Lanes, at_end: CancellationToken, stop: CancellationToken) {
    let mut until = ends.offsets;
    if until.is_empty() {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    while !until.is_empty() {
        tick.tick().await;
        let (held, stopped) = (lanes.board.progress(), lanes.board.stopped());
        until.retain(|partition, _| !stopped.contains(partition));
        for (partition, end) in until.clone() {
            let reached = match held.get(&partition) {
                Some(progress) => progress.journal_end,
                None => lanes.open(partition.clone()).await.ok().and_then(|opened| {
                    // The end of a topic that has been made anew since says nothing.
                    let now = ends.topic_ids.get(&partition.topic).map(String::as_str);
                    let is_same = now.is_none() || opened.topic_id().is_none() || now == opened.topic_id();
                    opened.published_end().filter(|_| is_same)
                }),
            };
            if reached >= Some(end) {
                until.remove(&partition);
            }
        }
    }
    tracing::info!("every partition is consumed to the offset that it ended at when the run began");
    at_end.cancel();
    stop.cancel();
}

/// One line a minute for people who read logs.
async fn report_every_minute(metrics: Metrics) {
    let mut minutes = tokio::time::interval(Duration::from_mins(1));
    minutes.tick().await;
    let (mut frames, mut faces) = (0, 0);
    loop {
        minutes.tick().await;
        let (frames_now, faces_now) = (metrics.records.get(), metrics.faces.get());
        tracing::info!(
            frames_per_s = format!("{:.1}", (frames_now - frames) as f64 / 60.0),
            faces = faces_now - faces,
            partitions = metrics.partitions.get(),
            lag_records = metrics.total_lag(),
            "the last minute"
        );
        (frames, faces) = (frames_now, faces_now);
    }
}
