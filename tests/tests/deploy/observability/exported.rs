//! What a running pipeline exports, and what expressions ask of it that is not there.
//!
//! In: the series and the types that a real Prometheus scraped. Out: for an expression, each metric, label or named value that no
//! series has, and each function that does not go with the metric's type.

use std::collections::{BTreeMap, BTreeSet};

use facestream_tests::Prometheus;

use super::dashboards::{list, text};
use super::promql::{Facts, Matcher, Selector};

/// Metrics by name, each with its labels and their values.
pub(super) struct Exported {
    labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// `counter`, `gauge`, `histogram`, by the name of the family.
    types: BTreeMap<String, String>,
}

impl Exported {
    /// All that Prometheus has seen between two times, in seconds since 1970.
    pub(super) fn to(prometheus: &Prometheus, from_s: f64, to_s: f64) -> Exported {
        let (from, to) = (from_s.to_string(), to_s.to_string());
        let all = prometheus.ask("series", &[("match[]", "{__name__=~\".+\"}"), ("start", &from), ("end", &to)]);
        let mut labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for series in list(&all).iter().filter_map(|series| series.as_object()) {
            let metric = labels.entry(text(&series["__name__"]).to_owned()).or_default();
            for (label, value) in series.iter().filter(|(label, _)| *label != "__name__") {
                metric.entry(label.clone()).or_default().insert(text(value).to_owned());
            }
        }
        let metadata = prometheus.ask("metadata", &[]);
        let types =
            metadata.as_object().into_iter().flatten().map(|(name, told)| (name.clone(), text(&told[0]["type"]).to_owned()));
        Exported { labels, types: types.collect() }
    }

    pub(super) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    /// What an expression asks for in vain.
    pub(super) fn missing(&self, facts: &Facts) -> Vec<String> {
        let mut missing: Vec<String> = Some(&facts.error).filter(|error| !error.is_empty()).cloned().into_iter().collect();
        for selector in &facts.selectors {
            match self.labels.get(&selector.metric) {
                None => missing.push(format!("there is no metric {}", selector.metric)),
                Some(labels) => {
                    missing.extend(selector.matchers.iter().filter_map(|matcher| unmatched(&selector.metric, labels, matcher)));
                    missing.extend(self.unfit(selector));
                }
            }
        }
        for used in &facts.uses {
            let there = |label: &String| {
                used.made.contains(label)
                    || used.metrics.iter().any(|metric| self.labels.get(metric).is_some_and(|labels| labels.contains_key(label)))
            };
            let absent = used.labels.iter().filter(|label| !there(label));
            missing.extend(absent.map(|label| format!("none of {:?} has the label {label} ({})", used.metrics, used.what)));
        }
        missing
    }

    /// Counters and parts of histograms grow, so they go into `rate` and the like; gauges do not. Recordings have no type.
    fn unfit(&self, selector: &Selector) -> Option<String> {
        let family = ["_bucket", "_sum", "_count"].iter().filter_map(|part| selector.metric.strip_suffix(part));
        let known = family.chain([selector.metric.as_str()]).find_map(|name| self.types.get(name))?;
        let of_counters = ["rate", "irate", "increase"].contains(&selector.call.as_str());
        (of_counters != ["counter", "histogram"].contains(&known.as_str()))
            .then(|| format!("{} is a {known}, used with {:?}", selector.metric, selector.call))
    }
}

/// What is wrong with a matcher, if anything: the metric lacks the label, or the label a value that is named.
fn unmatched(metric: &str, labels: &BTreeMap<String, BTreeSet<String>>, matcher: &Matcher) -> Option<String> {
    let Some(values) = labels.get(&matcher.label) else { return Some(format!("{metric} has no label {}", matcher.label)) };
    let plain = |value: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || "_-:.".contains(c));
    let named: Vec<&str> = if matcher.op.ends_with('~') { matcher.value.split('|').collect() } else { vec![&matcher.value] };
    // A pattern, such as `.+`, names no value.
    let absent = named.into_iter().filter(|value| plain(value) && !value.is_empty()).find(|value| !values.contains(*value))?;
    Some(format!("{metric} never has {}={absent:?}", matcher.label))
}
