//! Dashboards and alerts, held against Prometheus's own parser, the rules of the public dashboard linter, promtool, and a real
//! Prometheus that scraped a real run.
#![allow(clippy::float_cmp, reason = "counters are whole numbers")]

mod contract;
mod dashboards;
mod exported;
mod fill;
mod layout;
mod linter;
mod promql;
mod rules;
mod run;
mod units;
