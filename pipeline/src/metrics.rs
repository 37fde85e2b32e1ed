//! Every metric that facestream exports, declared once.
//!
//! In: observations from everywhere. Out: the Prometheus text format, and the reference table (`facestream metrics`). Invariant:
//! each metric and each known label set is there from the start, at zero, except those of partitions and sources, which come and go;
//! the registry is explicit and passed down, never global. Label sets are resolved here, once: whoever observes finds its metric by
//! an array access.

mod declare;
mod instants;
mod labels;
mod partitions;
mod share;
mod sources;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use facestream_schemas::tables::Table;
use facestream_schemas::{ClosedBy, Partition, Reason};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

pub use declare::{By, Counters, Described, Gauges, Histograms, Label, Seconds};
pub use instants::Instants;
pub use labels::{
    Activity, Append, Blocked, BudgetName, Busy, Labels, Late, Operation, OutputTopic, Pause, Pictured, Queue, Rebalance, Roll,
    SealReason, Since, Stage, Status, Until,
};
pub use partitions::{PartitionSeries, Partitions};
pub use share::Share;
pub use sources::SourceSeries;

use declare::Declare;

/// Shared by everything that has something to report.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Declared>);

impl Deref for Metrics {
    type Target = Declared;
    fn deref(&self) -> &Declared {
        &self.0
    }
}

/// The metrics; each field's help text is its documentation.
#[derive(Debug)]
#[allow(missing_docs, reason = "the help text beside the name says it once")]
pub struct Declared {
    registry: Registry,
    described: Vec<Described>,
    pub build_info: IntGaugeVec,
    pub ready: IntGauge,
    pub store_up: IntGauge,
    pub records: IntCounter,
    pub record_bytes: IntCounter,
    pub frames: Counters<Status>,
    pub frame_bytes: Counters<Status>,
    pub faces: IntCounter,
    pub clamped_frames: IntCounter,
    pub stage_seconds: Histograms<Stage>,
    pub busy_seconds: Seconds<Busy>,
    pub blocked_seconds: Seconds<Blocked>,
    pub backpressure_seconds: Seconds<BudgetName>,
    pub queue_depth: Gauges<Queue>,
    pub e2e_seconds: Histograms<(Since, Until)>,
    /// `lag_records`, `lag_seconds`, `watermark_delay_seconds` and `committed_offset`.
    pub of_partitions: Arc<Partitions>,
    pub late_frames: Counters<Late>,
    pub revised_windows: IntCounter,
    pub windows: Counters<ClosedBy>,
    pub sources: Gauges<Activity>,
    pub partitions: IntGauge,
    pub partitions_stopped: IntGauge,
    pub partitions_paused: Gauges<Pause>,
    pub rebalances: Counters<Rebalance>,
    pub fenced: IntCounter,
    pub lost_records: IntCounter,
    pub append_seconds: Histograms<Append>,
    pub append_bytes: Histograms<Append>,
    pub last_append: Gauge,
    pub seals: Counters<SealReason>,
    pub seal_bytes: Histogram,
    pub publish_seconds: Histogram,
    pub files: Counters<(Table, Roll)>,
    pub rows: Counters<(Table, Roll)>,
    pub file_bytes: Histograms<Table>,
    pub commit_seconds: Histogram,
    pub commit_errors: IntCounter,
    pub collected_records: IntCounter,
    pub store_seconds: Histograms<Operation>,
    pub store_retries: Counters<Operation>,
    pub store_errors: Counters<Operation>,
    pub workers: IntGauge,
    pub busy_workers: IntGauge,
    pub worker_panics: IntCounter,
    pub budget_bytes: Gauges<BudgetName>,
    pub budget_peak_bytes: Gauges<BudgetName>,
    pub budget_limit_bytes: Gauges<BudgetName>,
    pub fetches: IntCounterVec,
    pub fetched_bytes: IntCounter,
    pub events: Counters<OutputTopic>,
    pub produce_errors: Counters<OutputTopic>,
    pub given_up_messages: Counters<OutputTopic>,
    pub produce_seconds: Histogram,
    pub dead_letters: IntCounterVec,
    pub pictures: Counters<Pictured>,
    pub kept_pictures: IntCounter,
    pub keep_errors: IntCounter,
    pub live_viewers: IntGauge,
    pub live_images: IntCounter,
    /// `source_frames_total`, `source_faces_total` and `source_last_frame_timestamp_seconds`.
    pub sources_apart: SourceSeries,
}

/// What a fetch of a picture came to; `retry` is an attempt that was followed by another.
const FETCHES: [&str; 7] = ["ok", "retry", "fetch_error", "fetch_refused", "expired", "too_large", "internal_error"];

/// 1 ms to 1 min: what one step takes.
const STEP_BUCKETS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0, 60.0];
/// 10 ms to 1 h: latencies of a pipeline that keeps up, and of one that does not.
const LATENCY_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
/// 1 KiB to 1 GiB, each four times the one before.
const SIZE_BUCKETS: &[f64] =
    &[KIB, 4.0 * KIB, 16.0 * KIB, 64.0 * KIB, 256.0 * KIB, MIB, 4.0 * MIB, 16.0 * MIB, 64.0 * MIB, 256.0 * MIB, 1024.0 * MIB];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics on a registry of their own, at zero.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "each metric once, in one place")]
    #[allow(clippy::missing_panics_doc, reason = "names and labels are constants, and a test builds them")]
    pub fn new() -> Self {
        let registry = Registry::new_custom(Some(declare::PREFIX.to_owned()), None).expect("the prefix is valid");
        let mut d = Declare::on(&registry);
        let declared = Declared {
            build_info: {
                let (name, help) = ("build_info", "Always 1; what is running");
                let labels = ["version", "detector", "model_sha256"];
                let family = d.open(name, "gauge", help, &labels, IntGaugeVec::new(Opts::new(name, help), &labels));
                d.unit("1");
                family
            },
            ready: d.flag("ready", "1 once the consumer group was joined"),
            store_up: d.flag("store_up", "1 if the last operation on the journal succeeded"),

            records: d.counter("records_total", "Kafka records consumed"),
            record_bytes: d.counter("record_bytes_total", "Bytes of the values of Kafka records consumed"),
            frames: d.counters("frames_total", "Frames finished, by the status of their row"),
            frame_bytes: d.counters("frame_bytes_total", "Bytes of the values of the messages of frames finished"),
            faces: d.counter("faces_total", "Faces detected"),
            clamped_frames: d.counter(
                "clamped_frames_total",
                "Frames whose capture time lay too far ahead (windows.max_skew) and was not believed",
            ),

            stage_seconds: d.histograms(
                "stage_seconds",
                "Time of a frame in a stage: queue is the wait for a worker, live an image drawn for the live page, annotate a \
                 picture decoded in full, annotated and encoded",
                STEP_BUCKETS,
            ),
            busy_seconds: d.seconds(
                "busy_seconds_total",
                "Time spent at work, summed over threads and tasks: poll without waits for messages and for room, fetch of pictures, \
                 work is decode, detect and row, append to the journal, publish of Parquet files",
            ),
            blocked_seconds: d.seconds(
                "blocked_seconds_total",
                "Time spent waiting for those who come after: poll for room in a budget, work for its lane to take the row, append \
                 for its pictures and the acknowledgements of output topics",
            ),
            backpressure_seconds: d.seconds("backpressure_seconds_total", "Time that the poll thread had no room in a budget"),
            queue_depth: d.gauges(
                "queue_depth",
                "Frames that wait: fetch for their picture or are being fetched, work for a worker, append rows in lanes for their \
                 append",
            ),
            e2e_seconds: d.histograms(
                "e2e_seconds",
                "Latency of a frame, from its event time or its Kafka record's time, until it was detected, its row was appended to \
                 the journal, or visible in a Parquet file",
                LATENCY_BUCKETS,
            ),

            of_partitions: Partitions::declared(&mut d, &registry),
            late_frames: d.counters(
                "late_frames_total",
                "Frames that came after their window was closed; they keep their row. dropped: no window counts them, revised: their \
                 window is emitted again",
            ),
            revised_windows: d.counter("revised_windows_total", "Windows emitted again because of late frames"),
            windows: d.counters("windows_total", "Windows closed, by their source's watermark or because it was idle"),
            sources: d.gauges(
                "sources",
                "Sources that the partitions held here know of, once in each; silent: no frame for windows.idle_timeout",
            ),

            partitions: d.gauge("partitions_assigned", "Partitions that Kafka has assigned to this process"),
            partitions_stopped: d
                .gauge("partitions_stopped", "Partitions stopped by an error that needs a person; the log says which"),
            partitions_paused: d.gauges(
                "partitions_paused",
                "Partitions paused: memory because a budget stays full, fetch because too many of their pictures wait to be fetched, \
                 journal because it has yet to be opened (again)",
            ),
            rebalances: d.counters("rebalanced_partitions_total", "Partitions that changed hands"),
            fenced: d.counter("fenced_total", "Partitions taken over by another process while held here"),
            lost_records: d.counter(
                "lost_records_total",
                "Offsets that Kafka no longer had when their turn came, skipped by kafka.on_gap; an upper bound of the records lost",
            ),

            append_seconds: d.histograms("append_seconds", "Time until an append to the journal was won", STEP_BUCKETS),
            append_bytes: d.histograms("append_bytes", "Size of the records appended to the journal", SIZE_BUCKETS),
            last_append: d
                .real("last_append_timestamp_seconds", "Unix time of the last append with rows; 0 before the first"),
            seals: d.counters(
                "seals_total",
                "Seals, by what made them due: parquet.roll_bytes, parquet.roll_every, event time that crossed an hour, too many open \
                 hour folders, a stop, a gap in Kafka's records",
            ),
            seal_bytes: d.histogram("seal_bytes", "Size of the journal records that a seal covers", SIZE_BUCKETS),
            publish_seconds: d.histogram("publish_seconds", "Time to make the files of a seal visible", LATENCY_BUCKETS),
            files: d.counters(
                "files_total",
                "Parquet files made visible, by the reason of their seal; recovery: the seal was found at a takeover",
            ),
            rows: d.counters("rows_total", "Rows made visible in Parquet files, by the same reasons"),
            file_bytes: d.histograms("file_bytes", "Size of the Parquet files made visible", SIZE_BUCKETS),
            commit_seconds: d.histogram(
                "commit_seconds",
                "Time from a commit of offsets to Kafka's answer, as the poll thread gets to see it; those at a stop and in a rebalance too",
                STEP_BUCKETS,
            ),
            commit_errors: d.counter("commit_errors_total", "Commits of offsets that failed; they are made again"),
            collected_records: d.counter("collected_records_total", "Old journal records removed (journal.retention)"),

            store_seconds: d.histograms(
                "store_seconds",
                "Time of a request to the store, answered or not: list, get (head too), append of a journal record, publish (each \
                 part and step of a file's upload), delete",
                STEP_BUCKETS,
            ),
            store_retries: d.counters("store_retries_total", "Operations on the store that failed and are tried again"),
            store_errors: d.counters(
                "store_errors_total",
                "Requests to the store that failed; that something is not there, or there already, is an answer",
            ),

            workers: d.gauge("workers", "Worker threads"),
            busy_workers: d.gauge("busy_workers", "Worker threads that have a frame in hand"),
            worker_panics: d.counter("worker_panics_total", "Frames that made a worker panic"),
            budget_bytes: d.gauges("budget_bytes", "Memory in use of a budget, librdkafka's queue not included"),
            budget_peak_bytes: d.gauges("budget_peak_bytes", "Most memory that was in use of a budget"),
            budget_limit_bytes: d.gauges("budget_limit_bytes", "Size of a budget, librdkafka's queue not included"),

            fetches: d.counters_of(
                "fetches_total",
                "Pictures fetched from their URI; retry is an attempt that was followed by another",
                "outcome",
                FETCHES,
            ),
            fetched_bytes: d.counter("fetched_bytes_total", "Bytes of pictures fetched from their URI"),
            events: d.counters("events_total", "Messages acknowledged by an output topic"),
            produce_errors: d.counters(
                "produce_errors_total",
                "Messages that an output topic did not take, and that were sent again",
            ),
            given_up_messages: d.counters(
                "given_up_messages_total",
                "Messages that an output topic will never take (max.message.bytes) and that were given up",
            ),
            produce_seconds: d.histogram(
                "produce_seconds",
                "Time from sending a message to its acknowledgement by an output topic, further attempts included",
                STEP_BUCKETS,
            ),
            dead_letters: d.counters_of("dead_letters_total", "Dead letters acknowledged", "reason", failures()),

            pictures: d.counters(
                "annotated_pictures_total",
                "Pictures that were to be annotated (annotate.what); failed: could not be made, and were not sent",
            ),
            kept_pictures: d.counter("kept_pictures_total", "Annotated pictures written to annotate.store"),
            keep_errors: d.counter("keep_errors_total", "Attempts to write an annotated picture that failed and are made again"),

            live_viewers: d.gauge("live_viewers", "Live pages that are open"),
            live_images: d.counter("live_images_total", "Annotated images made for the live page"),

            sources_apart: SourceSeries::declared(&mut d),
            described: {
                d.foreign(&ProcessCollector::for_self());
                std::mem::take(&mut d.described)
            },
            registry: registry.clone(),
        };
        Self(Arc::new(declared))
    }

    /// What there is, in the order of its declaration: the reference table.
    #[must_use]
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// Lag of all partitions held here, in records.
    #[must_use]
    pub fn total_lag(&self) -> i64 {
        self.of_partitions.total_lag()
    }

    /// Exports the series of a partition that is held from now on.
    #[allow(clippy::must_use_candidate, reason = "they are exported whether anybody sets them or not")]
    pub fn hold(&self, partition: &Partition) -> PartitionSeries {
        self.of_partitions.hold(partition)
    }

    /// Drops the series of a partition that was given up: another process reports it now.
    pub fn forget(&self, partition: &Partition) {
        self.of_partitions.forget(partition);
    }

    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.sources_apart.forget(Instant::now());
        let mut families = self.registry.gather();
        // `registry` prefixes what it holds; process metrics keep the names that everybody's dashboards use.
        families.extend(ProcessCollector::for_self().collect());
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| format!("# cannot encode metrics: {error}\n"))
    }
}

/// What a message can be a dead letter for.
fn failures() -> impl IntoIterator<Item = &'static str> {
    Reason::ALL.into_iter().filter(|reason| !reason.is_skip()).map(Reason::as_str)
}

#[cfg(test)]
mod tests;
