//! `facestream run` as a process of its own, so that its CPU time and memory are nobody else's.
//!
//! In: a configuration. Out: what it says on `/metrics`, what the kernel says of it, its end. Invariant: it never outlives the value
//! that stands for it, and no configuration but the given one reaches it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::config::Config;

/// Linux counts CPU time for people in hundredths of a second, on every machine that this runs on (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// A running pipeline.
pub(super) struct Pipeline {
    child: Child,
    metrics: String,
    log: PathBuf,
    client: reqwest::Client,
}

impl Pipeline {
    /// Starts it with this configuration, which is written into `folder` without the properties of Kafka's client: those may be
    /// secrets, and go through the environment.
    pub(super) fn start(config: &Config, folder: &Path) -> anyhow::Result<Self> {
        let mut written = config.clone();
        written.kafka.properties = std::iter::empty().collect();
        let (file, log) = (folder.join("bench.toml"), folder.join("log"));
        fs::write(&file, toml::to_string(&written)?).context("writing the pipeline's configuration")?;
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FACESTREAM__")) {
            command.env_remove(name);
        }
        for (name, value) in config.kafka.properties.iter() {
            command.env(format!("FACESTREAM__KAFKA__PROPERTIES__{}", name.replace('.', "_").to_uppercase()), value);
        }
        command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log).context("creating the pipeline's log")?).spawn();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let metrics = format!("http://{}/metrics", config.http.listen);
        Ok(Self { child: child.context("starting the pipeline")?, metrics, log, client })
    }

    /// The page with its metrics; `None` while it starts, and once it has ended.
    pub(super) async fn metrics(&self) -> Option<String> {
        self.client.get(&self.metrics).send().await.ok()?.error_for_status().ok()?.text().await.ok()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().context("looking at the pipeline")
    }

    /// Asks it to drain, seal and end.
    pub(super) fn stop(&self) {
        // One that has ended by itself is seen as such.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// User and system time of all its threads, in seconds.
    pub(super) fn cpu_s(&self) -> Option<f64> {
        cpu_s(&self.proc("stat")?)
    }

    /// The most memory that it ever had resident.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        peak_bytes(&self.proc("status")?)
    }

    fn proc(&self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).ok()
    }

    /// The last lines of what it said, for an error.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `/proc/PID/stat`: fields 14 and 15 are user and system time (proc(5)); the second, a name in brackets, may hold anything.
fn cpu_s(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Option<Vec<f64>> = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().ok()).collect();
    Some(ticks?.iter().sum::<f64>() / TICKS_PER_S)
}

fn peak_bytes(status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(kib.trim().parse::<u64>().ok()? * 1024)
}

/// The sum of a metric's samples that carry `label`, in Prometheus's text format; 0 where there is none.
pub(super) fn sum(page: &str, name: &str, label: &str) -> f64 {
    let of_metric = page.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
    of_metric.filter(|rest| rest.contains(label)).filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read_as_proc_5_has_them() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 8 0 100 1000 200";
        assert_eq!(cpu_s(stat), Some(4.0));
        assert_eq!(peak_bytes("VmPeak:\t  9 kB\nVmHWM:\t   2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn a_metric_is_summed_over_the_samples_with_a_label() {
        let page = "# TYPE a counter\na{x=\"1\"} 3\na{x=\"2\"} 4\nab 9\nb 5\n";
        assert_eq!((sum(page, "a", ""), sum(page, "a", "x=\"2\""), sum(page, "b", ""), sum(page, "c", "")), (7.0, 4.0, 5.0, 0.0));
    }
}
