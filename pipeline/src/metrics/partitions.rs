//! Metrics of the partitions that are held here: they come with a partition and go with it.
//!
//! In: partitions that are taken and given up. Out: a [`PartitionSeries`] each. Invariant: no series of a partition that another
//! process reports. Each gauge has its labels fixed and is registered by itself: the crate's families tell label values apart by the
//! hash of their concatenation, so that `frames`, `10` and `frames1`, `0` would be one series.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use facestream_schemas::Partition;
use prometheus::core::Collector;
use prometheus::{Gauge, IntGauge, Opts, Registry};

use super::declare::Declare;

/// Labels of each.
const LABELS: [&str; 2] = ["topic", "partition"];

const LAG_RECORDS: (&str, &str) = ("lag_records", "Records that Kafka has beyond those with a row");
const LAG_SECONDS: (&str, &str) = (
    "lag_seconds",
    "Age of the newest record with a row while there are others beyond it, else 0; before the first row the time since the \
     partition was taken",
);
const WATERMARK_DELAY: (&str, &str) =
    ("watermark_delay_seconds", "Time that the lowest watermark of sources with an open window trails the clock");
const COMMITTED: (&str, &str) = ("committed_offset", "Offset that Kafka has confirmed as committed");

/// The metrics of one partition. Clones are the same ones; once the partition is given up they count for nobody.
#[derive(Clone, Debug)]
pub struct PartitionSeries {
    /// Records beyond those with a row.
    pub lag_records: IntGauge,
    /// Age of the newest record with a row.
    pub lag_seconds: Gauge,
    /// How far the lowest watermark trails the clock.
    pub watermark_delay_seconds: Gauge,
    /// What Kafka has confirmed.
    pub committed_offset: IntGauge,
}

impl PartitionSeries {
    fn new(partition: &Partition) -> prometheus::Result<Self> {
        let opts = |(name, help): (&str, &str)| {
            let [topic, number] = LABELS;
            Opts::new(name, help).const_label(topic, &*partition.topic).const_label(number, partition.number.to_string())
        };
        Ok(Self {
            lag_records: IntGauge::with_opts(opts(LAG_RECORDS))?,
            lag_seconds: Gauge::with_opts(opts(LAG_SECONDS))?,
            watermark_delay_seconds: Gauge::with_opts(opts(WATERMARK_DELAY))?,
            committed_offset: IntGauge::with_opts(opts(COMMITTED))?,
        })
    }

    fn collectors(&self) -> [Box<dyn Collector>; 4] {
        [
            Box::new(self.lag_records.clone()),
            Box::new(self.lag_seconds.clone()),
            Box::new(self.watermark_delay_seconds.clone()),
            Box::new(self.committed_offset.clone()),
        ]
    }
}

/// The partitions that are held, with their metrics.
#[derive(Debug)]
pub struct Partitions {
    registry: Registry,
    held: Mutex<BTreeMap<Partition, PartitionSeries>>,
}

impl Partitions {
    pub(super) fn declared(declare: &mut Declare<'_>, registry: &Registry) -> Arc<Self> {
        for (name, help) in [LAG_RECORDS, LAG_SECONDS, WATERMARK_DELAY, COMMITTED] {
            declare.come_and_go(name, help, &LABELS);
        }
        Arc::new(Self { registry: registry.clone(), held: Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Partition, PartitionSeries>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exports the series of a partition that is held from now on, at zero; those that it has already go on.
    #[allow(clippy::missing_panics_doc, reason = "names are constants, and values may be anything")]
    pub fn hold(&self, partition: &Partition) -> PartitionSeries {
        let make = || {
            let series = PartitionSeries::new(partition).expect("names and labels are valid");
            for collector in series.collectors() {
                self.registry.register(collector).expect("each partition is registered once");
            }
            series
        };
        self.held().entry(partition.clone()).or_insert_with(make).clone()
    }

    /// Drops the series of a partition that was given up: another process reports it now.
    pub fn forget(&self, partition: &Partition) {
        let Some(series) = self.held().remove(partition) else { return };
        for collector in series.collectors() {
            // Fails only for what is not registered.
            let _ = self.registry.unregister(collector);
        }
    }

    /// Lag of all partitions held here, in records.
    #[must_use]
    pub fn total_lag(&self) -> i64 {
        self.held().values().map(|series| series.lag_records.get()).sum()
    }
}
