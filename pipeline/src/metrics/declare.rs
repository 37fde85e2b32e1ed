//! How metrics are declared: each once, with what Prometheus and the reference table say of it.
//!
//! In: names, help texts, labels. Out: metrics on the registry, and a [`Described`] each. Invariant: the table comes from the very
//! calls that make the metrics, so that it lists all of them and nothing else.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::proto::MetricType;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use serde::Serialize;

use super::labels::Labels;

/// What every name begins with, `process_` aside.
pub(super) const PREFIX: &str = "facestream";

/// A metric as the reference table lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Its full name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its labels in order.
    pub labels: Vec<Label>,
    /// What it is measured in.
    pub unit: &'static str,
    /// What it says.
    pub help: String,
}

/// A label with the values that it can have; none where they are not known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// All its values.
    pub values: Vec<&'static str>,
}

/// A family with one metric for each value of `L`, all there from the start. It is also the family itself.
pub struct By<L, F: Family> {
    family: F,
    children: Box<[F::Child]>,
    labels: PhantomData<fn(L)>,
}

/// A vector of metrics.
pub trait Family: Collector + Clone + 'static {
    /// One metric of it.
    type Child;
    /// The metric with these label values.
    fn child(&self, values: &[&str]) -> Self::Child;
}

impl<B: MetricVecBuilder + 'static> Family for MetricVec<B> {
    type Child = B::M;
    fn child(&self, values: &[&str]) -> B::M {
        self.with_label_values(values)
    }
}

impl<L: Labels, F: Family> By<L, F> {
    fn new(family: F) -> Self {
        let children = L::all().into_iter().map(|labels| family.child(&labels.values())).collect();
        Self { family, children, labels: PhantomData }
    }

    /// The metric with these labels.
    #[must_use]
    pub fn of(&self, labels: L) -> &F::Child {
        &self.children[labels.index()]
    }
}

impl<L, F: Family> Deref for By<L, F> {
    type Target = F;
    fn deref(&self) -> &F {
        &self.family
    }
}

impl<L, F: Family> fmt::Debug for By<L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("By").field("children", &self.children.len()).finish_non_exhaustive()
    }
}

/// Counters of whole numbers by label.
pub type Counters<L> = By<L, IntCounterVec>;
/// Counters of seconds by label.
pub type Seconds<L> = By<L, CounterVec>;
/// Gauges by label.
pub type Gauges<L> = By<L, IntGaugeVec>;
/// Histograms by label.
pub type Histograms<L> = By<L, HistogramVec>;

/// Makes metrics, and notes each for the reference table.
#[allow(clippy::expect_used, reason = "names and labels are constants, and a test makes them all")]
pub(super) struct Declare<'a> {
    registry: &'a Registry,
    pub(super) described: Vec<Described>,
}

impl<'a> Declare<'a> {
    pub(super) fn on(registry: &'a Registry) -> Self {
        Self { registry, described: Vec::new() }
    }

    pub(super) fn counter(&mut self, name: &str, help: &str) -> IntCounter {
        self.register(name, "counter", help, IntCounter::new(name, help))
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> IntGauge {
        self.register(name, "gauge", help, IntGauge::new(name, help))
    }

    /// A gauge of a number that is not whole.
    pub(super) fn real(&mut self, name: &str, help: &str) -> Gauge {
        self.register(name, "gauge", help, Gauge::new(name, help))
    }

    /// A gauge that is 0 or 1.
    pub(super) fn flag(&mut self, name: &str, help: &str) -> IntGauge {
        let flag = self.gauge(name, help);
        self.unit("0 or 1");
        flag
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(name, "histogram", help, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(super) fn counters<L: Labels>(&mut self, name: &str, help: &str) -> Counters<L> {
        let family = IntCounterVec::new(Opts::new(name, help), &L::names());
        By::new(self.family::<L, _>(name, "counter", help, family))
    }

    pub(super) fn seconds<L: Labels>(&mut self, name: &str, help: &str) -> Seconds<L> {
        let family = CounterVec::new(Opts::new(name, help), &L::names());
        By::new(self.family::<L, _>(name, "counter", help, family))
    }

    pub(super) fn gauges<L: Labels>(&mut self, name: &str, help: &str) -> Gauges<L> {
        let family = IntGaugeVec::new(Opts::new(name, help), &L::names());
        By::new(self.family::<L, _>(name, "gauge", help, family))
    }

    pub(super) fn histograms<L: Labels>(&mut self, name: &str, help: &str, buckets: &[f64]) -> Histograms<L> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        By::new(self.family::<L, _>(name, "histogram", help, HistogramVec::new(opts, &L::names())))
    }

    /// Counters with one label of these values.
    pub(super) fn counters_of(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = &'static str>,
    ) -> IntCounterVec {
        let family = self.register(name, "counter", help, IntCounterVec::new(Opts::new(name, help), &[label]));
        let values: Vec<_> = values.into_iter().collect();
        for value in &values {
            family.with_label_values(&[value]);
        }
        self.labels(vec![Label { name: label, values }]);
        family
    }

    /// Registers a family whose label values are not known beforehand: it has no series yet.
    pub(super) fn open<C: Collector + Clone + 'static>(
        &mut self,
        name: &str,
        kind: &'static str,
        help: &str,
        labels: &[&'static str],
        family: prometheus::Result<C>,
    ) -> C {
        let family = self.register(name, kind, help, family);
        self.labels(unknown(labels));
        family
    }

    /// Notes a gauge whose series are registered one by one, as they come and go.
    pub(super) fn come_and_go(&mut self, name: &str, help: &str, labels: &[&'static str]) {
        self.describe(name, "gauge", help);
        self.labels(unknown(labels));
    }

    /// Notes metrics that somebody else makes.
    pub(super) fn foreign(&mut self, collector: &impl Collector) {
        for family in collector.collect() {
            let kind = if family.get_field_type() == MetricType::COUNTER { "counter" } else { "gauge" };
            let (name, help) = (family.name().to_owned(), family.help().trim_end_matches('.').to_owned());
            self.described.push(Described { unit: unit(&name), name, kind, labels: Vec::new(), help });
        }
    }

    fn family<L: Labels, C: Collector + Clone + 'static>(
        &mut self,
        name: &str,
        kind: &'static str,
        help: &str,
        family: prometheus::Result<C>,
    ) -> C {
        let family = self.register(name, kind, help, family);
        let all: Vec<_> = L::all().into_iter().map(L::values).collect();
        let values = |place: usize| {
            let mut values = Vec::new();
            for value in all.iter().filter_map(|values| values.get(place).copied()) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            values
        };
        let labels = L::names().into_iter().enumerate().map(|(place, name)| Label { name, values: values(place) }).collect();
        self.labels(labels);
        family
    }

    fn register<C: Collector + Clone + 'static>(
        &mut self,
        name: &str,
        kind: &'static str,
        help: &str,
        metric: prometheus::Result<C>,
    ) -> C {
        let metric = metric.expect("names and labels are valid");
        self.registry.register(Box::new(metric.clone())).expect("names are unique");
        self.describe(name, kind, help);
        metric
    }

    fn describe(&mut self, name: &str, kind: &'static str, help: &str) {
        let (name, unit) = (format!("{PREFIX}_{name}"), unit(name));
        self.described.push(Described { name, kind, labels: Vec::new(), unit, help: help.to_owned() });
    }

    fn labels(&mut self, labels: Vec<Label>) {
        if let Some(last) = self.described.last_mut() {
            last.labels = labels;
        }
    }

    /// Gives the metric that was declared last a unit that its name does not tell.
    pub(super) fn unit(&mut self, unit: &'static str) {
        if let Some(last) = self.described.last_mut() {
            last.unit = unit;
        }
    }
}

fn unknown(labels: &[&'static str]) -> Vec<Label> {
    labels.iter().map(|name| Label { name, values: Vec::new() }).collect()
}

/// The unit is the end of a name, `_total` aside: Prometheus's convention.
fn unit(name: &str) -> &'static str {
    match name.strip_suffix("_total").unwrap_or(name).rsplit('_').next() {
        Some("seconds") if name.contains("_timestamp_") || name.contains("_start_time_") => "seconds since 1970",
        Some("seconds") => "seconds",
        Some("bytes") => "bytes",
        Some("offset") => "offset",
        _ => "number",
    }
}
