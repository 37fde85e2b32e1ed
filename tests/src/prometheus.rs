//! A real Prometheus with the configuration and the rules of `deploy/prometheus`, scraping every second, and questions to it.
//!
//! In: Debian's `prometheus`, and addresses to scrape. Out: series, as its HTTP interface gives them. Invariant: it never outlives
//! the value that stands for it, and differs from what is deployed only in how often it looks and where.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;
use std::{fs, io};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cache::workspace;
use crate::process::{free_port, replace, scratch, spawn, tail};
use crate::wait_for;

/// Longer than Prometheus takes to start or to see a target on a busy machine.
const START: Duration = Duration::from_mins(1);

/// A running Prometheus.
pub struct Prometheus {
    process: Child,
    address: String,
    folder: TempDir,
}

/// One time series: its labels, its name among them as `__name__`, and (seconds since 1970, value) pairs.
#[derive(Debug, Clone)]
pub struct Series {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Samples; values may be NaN.
    pub samples: Vec<(f64, f64)>,
}

impl Prometheus {
    /// Seconds between two scrapes.
    pub const EVERY_S: u32 = 1;

    /// Starts it, with nothing to scrape yet.
    #[must_use]
    pub fn start() -> Prometheus {
        let folder = scratch();
        let config = configuration(&folder);
        let (port, log) = (free_port(), folder.path().join("prometheus.log"));
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(config).arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.args([&format!("--web.listen-address=127.0.0.1:{port}"), "--log.level=warn"]);
        let mut process = spawn(&command, &log);
        let address = format!("http://127.0.0.1:{port}");
        wait_for("Prometheus to be ready", START, || {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("prometheus ended with {status} (`make test-deploy` installs it){}", tail(&log));
            }
            get(&format!("{address}/-/ready"), &[]).map_err(|error| format!("{error}{}", tail(&log)))
        });
        Prometheus { process, address, folder }
    }

    /// Scrapes these addresses (`host:port`) from now on, and no others.
    pub fn scrape(&self, targets: &[&str]) {
        write_targets(&self.folder, targets).expect("writing the targets");
    }

    /// What an expression is at one time, in seconds since 1970.
    #[must_use]
    pub fn query(&self, expression: &str, at_s: f64) -> Vec<Series> {
        series(&self.ask("query", &[("query", expression), ("time", &at_s.to_string())]))
    }

    /// What an expression was over a range of time, in seconds since 1970, each second.
    #[must_use]
    pub fn query_range(&self, expression: &str, from_s: f64, to_s: f64) -> Vec<Series> {
        let (from, to, step) = (from_s.to_string(), to_s.to_string(), Self::EVERY_S.to_string());
        series(&self.ask("query_range", &[("query", expression), ("start", &from), ("end", &to), ("step", &step)]))
    }

    /// The `data` of an answer of the HTTP interface, such as `series` or `rules`; panics if it refuses.
    #[must_use]
    pub fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        let answer =
            get(&format!("{}/api/v1/{what}", self.address), parameters).unwrap_or_else(|error| panic!("{what}: {error}"));
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{what}: {error}: {answer}"));
        assert_eq!(answer["status"], "success", "{what} with {parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// Waits until the newest value of an expression without labels satisfies `condition`; returns it and its time.
    pub fn wait_for(&self, expression: &str, limit: Duration, condition: impl Fn(f64) -> bool) -> (f64, f64) {
        wait_for(&format!("{expression} in Prometheus"), limit, || {
            let found = series(&self.ask("query", &[("query", expression)]));
            match found.first().and_then(|series| series.samples.first()) {
                Some((at, value)) if condition(*value) => Ok((*value, *at)),
                other => Err(format!("{other:?}{}", tail(&self.folder.path().join("prometheus.log")))),
            }
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// `deploy/prometheus`'s configuration beside its rules, looking more often, at addresses that a file lists.
fn configuration(folder: &TempDir) -> PathBuf {
    let deployed = workspace().join("deploy/prometheus");
    let read = |name: &str| fs::read_to_string(deployed.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut config = read("prometheus.yaml");
    let targets = "static_configs:\n      - targets: [\"127.0.0.1:9464\"]";
    for (deployed, here) in [
        ("scrape_interval: 15s", "scrape_interval: 1s"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        (targets, "file_sd_configs:\n      - files: [targets.json]\n        refresh_interval: 1s"),
    ] {
        assert!(config.contains(deployed), "deploy/prometheus/prometheus.yaml has no {deployed:?}");
        config = config.replace(deployed, here);
    }
    write_targets(folder, &[]).expect("writing the targets");
    fs::write(folder.path().join("rules.yaml"), read("rules.yaml")).expect("writing the rules");
    let path = folder.path().join("prometheus.yaml");
    fs::write(&path, config).expect("writing the configuration");
    path
}

fn write_targets(folder: &TempDir, targets: &[&str]) -> io::Result<()> {
    replace(&folder.path().join("targets.json"), json!([{ "targets": targets }]).to_string())
}

fn get(url: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
    let config = ureq::config::Config::builder().timeout_global(Some(Duration::from_secs(20))).http_status_as_error(false);
    let answer = config.build().new_agent().get(url).query_pairs(parameters.iter().copied()).call();
    let mut answer = answer.map_err(|error| error.to_string())?;
    let body = answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(body) } else { Err(format!("{}: {body}", answer.status())) }
}

/// A vector, a matrix or a scalar.
fn series(data: &Value) -> Vec<Series> {
    let sample = |pair: &Value| {
        let value = pair[1].as_str().and_then(|text| text.replace("Inf", "inf").parse().ok());
        (pair[0].as_f64().expect("a time"), value.unwrap_or_else(|| panic!("no number: {pair}")))
    };
    if data["resultType"] == "scalar" {
        return vec![Series { labels: BTreeMap::new(), samples: vec![sample(&data["result"])] }];
    }
    let results = data["result"].as_array().expect("a list of series");
    let one = |result: &Value| Series {
        labels: serde_json::from_value(result["metric"].clone()).expect("labels"),
        samples: match &result["values"] {
            Value::Array(values) => values.iter().map(sample).collect(),
            _ => vec![sample(&result["value"])],
        },
    };
    results.iter().map(one).collect()
}
