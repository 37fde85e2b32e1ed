//! Every metric that facestream exports, declared once.
//!
//! In: observations from everywhere. Out: the Prometheus text format. Invariant: each metric and each known label set is there
//! from the start, at zero; the registry is explicit and passed down, never global.

use std::ops::Deref;
use std::sync::Arc;

use facestream_schemas::tables::Table;
use facestream_schemas::{ClosedBy, Partition, Reason};
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

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
    pub build_info: IntGaugeVec,
    pub records: IntCounter,
    pub record_bytes: IntCounter,
    pub frames: IntCounterVec,
    pub faces: IntCounter,
    pub stage_seconds: HistogramVec,
    pub e2e_seconds: HistogramVec,
    pub queued_frames: IntGauge,
    pub workers: IntGauge,
    pub busy_workers: IntGauge,
    pub worker_panics: IntCounter,
    pub budget_bytes: IntGaugeVec,
    pub budget_peak_bytes: IntGaugeVec,
    pub budget_limit_bytes: IntGaugeVec,
    pub backpressure_seconds: prometheus::CounterVec,
    pub late_frames: IntCounter,
    pub clamped_frames: IntCounter,
    pub revised_windows: IntCounter,
    pub fetches: IntCounterVec,
    pub fetched_bytes: IntCounter,
    pub fetching: IntGauge,
    pub events: IntCounterVec,
    pub dead_letters: IntCounterVec,
    pub produce_errors: IntCounterVec,
    pub windows: IntCounterVec,
    pub partitions: IntGauge,
    pub partitions_stopped: IntGauge,
    pub partitions_paused: IntGauge,
    pub rebalances: IntCounterVec,
    pub lag_records: IntGaugeVec,
    pub lag_seconds: GaugeVec,
    pub watermark_delay_seconds: GaugeVec,
    pub committed_offset: IntGaugeVec,
    pub fenced: IntCounter,
    pub lost_records: IntCounter,
    pub collected_records: IntCounter,
    pub append_seconds: Histogram,
    pub append_bytes: IntCounter,
    pub publish_seconds: Histogram,
    pub seals: IntCounterVec,
    pub files: IntCounterVec,
    pub rows: IntCounterVec,
    pub store_errors: IntCounterVec,
    pub store_up: IntGauge,
    pub ready: IntGauge,
    pub last_append: Gauge,
    pub live_viewers: IntGauge,
    pub live_images: IntCounter,
}

/// Budgets that bound memory.
pub const BUDGETS: [&str; 2] = ["in_flight", "pending_rows"];
/// What a frame goes through in a worker, and the wait before it; "live" is a picture for the live page.
pub const STAGES: [&str; 5] = ["queue", "fetch", "decode", "detect", "live"];
/// What a fetch of a picture came to; `retry` is an attempt that was followed by another.
pub const FETCHES: [&str; 7] = ["ok", "retry", "fetch_error", "fetch_refused", "expired", "too_large", "internal_error"];
/// Topics that the pipeline produces to, by what they are for.
pub const OUTPUTS: [&str; 3] = ["events", "windows", "dead_letters"];
/// Why data files were rolled.
pub const SEAL_REASONS: [&str; 5] = ["size", "age", "hour", "folders", "shutdown"];
/// Operations on the store that are counted when they fail.
pub const STORE_OPERATIONS: [&str; 4] = ["list", "get", "append", "publish"];
/// What a rebalance can do to a partition.
pub const REBALANCES: [&str; 3] = ["assigned", "revoked", "lost"];
/// How far a frame has come when its latency is taken.
pub const E2E_UNTIL: [&str; 2] = ["detected", "appended"];

/// 1 ms to 20 s.
const STAGE_BUCKETS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0];
/// 10 ms to 1 h: latencies of a pipeline that keeps up, and of one that does not.
const LATENCY_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics on a registry of their own, at zero.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "one line a metric, in one place")]
    #[allow(clippy::missing_panics_doc, reason = "names and labels are constants, and a test builds them")]
    pub fn new() -> Self {
        let registry = Registry::new_custom(Some("facestream".to_owned()), None).expect("the prefix is valid");
        let r = &registry;
        let partition = &["topic", "partition"];
        let declared = Declared {
            build_info: gauges(r, "build_info", "Always 1; what is running", &["version", "detector", "model_sha256"]),
            records: counter(r, "records_total", "Kafka records consumed"),
            record_bytes: counter(r, "record_bytes_total", "Bytes of the values of Kafka records consumed"),
            frames: counters(r, "frames_total", "Frames finished, by the status of their row", "status", statuses()),
            faces: counter(r, "faces_total", "Faces detected"),
            stage_seconds: histograms(r, "stage_seconds", "Time of a frame in a stage", STAGE_BUCKETS, "stage", STAGES),
            e2e_seconds: histograms(r, "e2e_seconds", "Time from event time", LATENCY_BUCKETS, "until", E2E_UNTIL),
            queued_frames: gauge(r, "queued_frames", "Frames that wait for a worker"),
            workers: gauge(r, "workers", "Worker threads"),
            busy_workers: gauge(r, "busy_workers", "Worker threads that have a frame in hand"),
            worker_panics: counter(r, "worker_panics_total", "Frames that made a worker panic"),
            budget_bytes: budget(r, "budget_bytes", "Memory in use of a budget, librdkafka's queue not included"),
            budget_peak_bytes: budget(r, "budget_peak_bytes", "Most memory that was in use of a budget"),
            budget_limit_bytes: budget(r, "budget_limit_bytes", "Size of a budget, librdkafka's queue not included"),
            backpressure_seconds: {
                let opts = Opts::new("backpressure_seconds_total", "Time that the poll thread waited for room in a budget");
                let family = registered(r, prometheus::CounterVec::new(opts, &["budget"]));
                for budget in BUDGETS {
                    family.with_label_values(&[budget]);
                }
                family
            },
            late_frames: counter(r, "late_frames_total", "Frames too late for their window; they keep their row"),
            clamped_frames: counter(
                r,
                "clamped_frames_total",
                "Frames whose capture time lay too far ahead (windows.max_skew) and was not believed",
            ),
            revised_windows: counter(r, "revised_windows_total", "Windows emitted again because of late frames"),
            fetches: counters(r, "fetches_total", "Pictures fetched from their URI, by outcome", "outcome", FETCHES),
            fetched_bytes: counter(r, "fetched_bytes_total", "Bytes of pictures fetched from their URI"),
            fetching: gauge(r, "fetching", "Pictures that are being fetched or wait for it"),
            events: counters(r, "events_total", "Messages acknowledged by an output topic", "topic", OUTPUTS),
            dead_letters: counters(r, "dead_letters_total", "Dead letters acknowledged, by reason", "reason", failures()),
            produce_errors: counters(
                r,
                "produce_errors_total",
                "Messages that an output topic did not take, and that were sent again",
                "topic",
                OUTPUTS,
            ),
            windows: counters(r, "windows_total", "Windows closed", "closed_by", closers()),
            partitions: gauge(r, "partitions_assigned", "Partitions that Kafka has assigned to this process"),
            partitions_stopped: gauge(
                r,
                "partitions_stopped",
                "Partitions stopped by an error that needs a person; the log says which",
            ),
            partitions_paused: gauge(r, "partitions_paused", "Partitions paused because a budget stays full"),
            rebalances: counters(r, "rebalanced_partitions_total", "Partitions that changed hands", "what", REBALANCES),
            lag_records: gauges(r, "lag_records", "Records that Kafka has beyond those with a row", partition),
            lag_seconds: {
                let opts =
                    Opts::new("lag_seconds", "Age of the newest record with a row while there are others beyond it, else 0");
                registered(r, GaugeVec::new(opts, partition))
            },
            watermark_delay_seconds: {
                let opts =
                    Opts::new("watermark_delay_seconds", "Time that the lowest watermark of active sources trails the clock");
                registered(r, GaugeVec::new(opts, partition))
            },
            committed_offset: gauges(r, "committed_offset", "Offset committed to Kafka", partition),
            fenced: counter(r, "fenced_total", "Partitions taken over by another process while held here"),
            lost_records: counter(
                r,
                "lost_records_total",
                "Offsets that Kafka no longer had when their turn came, skipped by kafka.on_gap; an upper bound of the records lost",
            ),
            collected_records: counter(r, "collected_records_total", "Old journal records removed (journal.retention)"),
            append_seconds: histogram(r, "append_seconds", "Time until an append to the journal was won", STAGE_BUCKETS),
            append_bytes: counter(r, "append_bytes_total", "Bytes appended to the journal"),
            publish_seconds: histogram(r, "publish_seconds", "Time to make the files of a seal visible", LATENCY_BUCKETS),
            seals: counters(r, "seals_total", "Seals, by what made them due", "reason", SEAL_REASONS),
            files: counters(r, "files_total", "Parquet files published", "table", tables()),
            rows: counters(r, "rows_total", "Rows published", "table", tables()),
            store_errors: counters(
                r,
                "store_errors_total",
                "Store operations that failed and were tried again",
                "operation",
                STORE_OPERATIONS,
            ),
            store_up: gauge(r, "store_up", "1 if the last operation on the journal succeeded"),
            ready: gauge(r, "ready", "1 once the consumer group was joined"),
            last_append: {
                let opts =
                    Opts::new("last_append_timestamp_seconds", "Unix time of the last append with rows; 0 before the first");
                registered(r, Gauge::with_opts(opts))
            },
            live_viewers: gauge(r, "live_viewers", "Browsers that have the live page open"),
            live_images: counter(r, "live_images_total", "Pictures made for the live page"),
            registry: registry.clone(),
        };
        // `registry` prefixes what it holds; process metrics keep the names that everybody's dashboards use.
        Self(Arc::new(declared))
    }

    /// Lag of all partitions held here, in records.
    #[must_use]
    pub fn total_lag(&self) -> i64 {
        let series = self.lag_records.collect();
        series
            .iter()
            .flat_map(prometheus::proto::MetricFamily::get_metric)
            .map(|metric| metric.get_gauge().get_value() as i64)
            .sum()
    }

    /// Drops the series of a partition that was given up: another process reports it now.
    pub fn forget(&self, partition: &Partition) {
        let number = partition.number.to_string();
        let labels = &[&*partition.topic, &number];
        for family in [&self.lag_records, &self.committed_offset] {
            let _ = family.remove_label_values(labels);
        }
        for family in [&self.lag_seconds, &self.watermark_delay_seconds] {
            let _ = family.remove_label_values(labels);
        }
    }

    /// Exports the series of a partition that is held from now on, at zero.
    pub fn hold(&self, partition: &Partition) {
        let number = partition.number.to_string();
        let labels = &[&*partition.topic, &number];
        for family in [&self.lag_records, &self.committed_offset] {
            family.with_label_values(labels).set(0);
        }
        for family in [&self.lag_seconds, &self.watermark_delay_seconds] {
            family.with_label_values(labels).set(0.0);
        }
    }

    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(prometheus::process_collector::ProcessCollector::for_self().collect());
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| format!("# cannot encode metrics: {error}\n"))
    }
}

fn statuses() -> impl IntoIterator<Item = &'static str> {
    std::iter::once("ok").chain(Reason::ALL.map(Reason::as_str))
}

/// What a message can be a dead letter for.
fn failures() -> impl IntoIterator<Item = &'static str> {
    Reason::ALL.into_iter().filter(|reason| !reason.is_skip()).map(Reason::as_str)
}

fn tables() -> impl IntoIterator<Item = &'static str> {
    Table::ALL.map(Table::name)
}

fn closers() -> impl IntoIterator<Item = &'static str> {
    [ClosedBy::Watermark, ClosedBy::Idle].map(ClosedBy::as_str)
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels are valid");
    registry.register(Box::new(metric.clone())).expect("names are unique");
    metric
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::new(name, help))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn budget(registry: &Registry, name: &str, help: &str) -> IntGaugeVec {
    let family = gauges(registry, name, help, &["budget"]);
    for budget in BUDGETS {
        family.with_label_values(&[budget]);
    }
    family
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

fn counters<'a>(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = &'a str>,
) -> IntCounterVec {
    let family = registered(registry, IntCounterVec::new(Opts::new(name, help), &[label]));
    for value in values {
        family.with_label_values(&[value]);
    }
    family
}

fn histograms<'a>(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
    label: &str,
    values: impl IntoIterator<Item = &'a str>,
) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let family = registered(registry, HistogramVec::new(opts, &[label]));
    for value in values {
        family.with_label_values(&[value]);
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_label_sets_are_exported_from_the_start_at_zero() {
        let text = Metrics::new().render();
        for line in [
            "facestream_frames_total{status=\"decode_error\"} 0",
            "facestream_stage_seconds_count{stage=\"detect\"} 0",
            "facestream_backpressure_seconds_total{budget=\"pending_rows\"} 0",
            "facestream_rows_total{table=\"detections\"} 0",
            "facestream_windows_total{closed_by=\"idle\"} 0",
            "facestream_faces_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
