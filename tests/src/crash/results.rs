//! The outcomes of a series of rounds, a JSON line each, so that a series that was cut short goes on where it was.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::round::Outcome;
use crate::cache;

/// A file of outcomes.
pub struct Results(PathBuf);

impl Results {
    /// The file in this folder; it need not be there yet.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Results {
        Results(folder.join("rounds.jsonl"))
    }

    /// The outcomes with this seed, by number, the latest of each.
    #[must_use]
    pub fn of(&self, seed: u64) -> Vec<Outcome> {
        let mut outcomes: Vec<_> = self.all().into_iter().filter(|outcome| outcome.seed == seed).collect();
        outcomes.reverse();
        outcomes.sort_by_key(|outcome| outcome.number);
        outcomes.dedup_by_key(|outcome| outcome.number);
        outcomes
    }

    /// The seed that the last outcome has.
    #[must_use]
    pub fn last_seed(&self) -> Option<u64> {
        Some(self.all().last()?.seed)
    }

    /// Adds an outcome.
    pub fn add(&self, outcome: &Outcome) {
        let line = serde_json::to_string(outcome).expect("an outcome is JSON");
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .unwrap_or_else(|error| panic!("writing {}: {error}", self.0.display()));
    }

    /// A line that was cut short is as good as none.
    fn all(&self) -> Vec<Outcome> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Of what the rounds consisted.
#[derive(Debug, Clone)]
pub struct Versions {
    /// The program's own, and the commit that it was built from where that can be told.
    pub facestream: String,
    /// Apache Kafka's.
    pub kafka: String,
    /// The S3 server's.
    pub versitygw: String,
    /// Processor cores.
    pub cores: usize,
}

impl Versions {
    /// Those in use here.
    #[must_use]
    pub fn here() -> Versions {
        let commit = Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(cache::workspace()).output();
        let commit = commit
            .ok()
            .filter(|output| output.status.success())
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        Versions {
            facestream: format!("{} ({})", env!("CARGO_PKG_VERSION"), commit.as_deref().unwrap_or("no commit known").trim()),
            kafka: cache::kafka_version().to_owned(),
            versitygw: cache::versitygw_version().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
