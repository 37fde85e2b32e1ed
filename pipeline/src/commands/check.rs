//! `facestream check`: whether `run` would work, and what to mend where it would not.
//!
//! In: the configuration. Out: one line a check, all of them, whatever the earlier ones found. Invariant: nothing is left
//! behind in Kafka or the store.

mod kafka;
mod outputs;

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use facestream_schemas::Partition;
use facestream_stages::detect;
use futures::TryStreamExt as _;
use object_store::path::Path;

use super::{Given, print};
use crate::annotate::probe_writable;
use crate::config::{self, Config, Needs};
use crate::detector::{DetectorError, make_ready};
use crate::journal::log::Log;
use crate::metrics::Metrics;
use crate::models::ModelsError;
use crate::store::{ProbeError, Store, probe_create_only};

/// The client of a remote store retries for minutes; nobody waits that long for a check.
const STORE_TIMEOUT: Duration = Duration::from_secs(20);

const EXAMPLES: &str = "Examples:
  facestream check --config facestream.toml
  facestream check --no-connect             without Kafka and the store, as in a build

Exit codes: 0 all is well, 1 something does not work, 2 the configuration is wrong, 3 the store cannot keep the promises.";

/// Check configuration, Kafka, store, model and port, and say how to mend what is wrong
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Leave out what needs Kafka or the store
    #[arg(long)]
    no_connect: bool,
    #[command(flatten)]
    given: Given,
}

/// What one check found.
struct Finding {
    about: &'static str,
    text: String,
    /// 0 where all is well, else what the process exits with for it.
    code: u8,
}

impl Finding {
    fn fine(about: &'static str, text: impl Into<String>) -> Self {
        Self { about, text: text.into(), code: 0 }
    }

    fn wrong(about: &'static str, text: impl Into<String>) -> Self {
        Self { about, text: text.into(), code: 1 }
    }

    fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// Carries the command out. The exit code: the worst finding's.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let (config, _) = args.given.load(Needs::PIPELINE)?;
    let mut worst = 0;
    let mut report = |finding: Finding| {
        worst = worst.max(finding.code);
        let mark = if finding.code == 0 { "ok   " } else { "WRONG" };
        print(&format!("{mark}  {:<13}  {}", finding.about, finding.text))
    };
    report(Finding::fine("configuration", "every value is valid"))?;
    report(model(&config))?;
    report(http(&config))?;
    if args.no_connect {
        report(Finding::fine("kafka, store", "left out (--no-connect)"))?;
        return Ok(worst);
    }
    for finding in kafka::check(&config) {
        report(finding)?;
    }
    report(store(&config)?)?;
    if let Some(pictures) = config.annotate.kept_in(&config.store) {
        report(kept(&pictures)?)?;
    }
    Ok(worst)
}

fn model(config: &Config) -> Finding {
    let ready = match make_ready(config) {
        Ok(ready) => ready,
        Err(error @ DetectorError::Models(ModelsError::Unknown { .. })) => {
            return Finding::wrong("model", chain(&error)).with_code(2);
        }
        Err(error) => return Finding::wrong("model", chain(&error)),
    };
    match detect::load(&ready.model.path, &ready.settings) {
        Ok(detector) => {
            let (name, file) = (&detector.identity().detector_id, &ready.model);
            let licence = ready.licence.filter(|licence| licence.non_commercial);
            let licence =
                licence.map_or_else(String::new, |licence| format!(", under a licence without commercial use: {}", licence.text));
            Finding::fine("model", format!("{name}, sha256 {}, {}{licence}", file.sha256, file.path.display()))
        }
        Err(error) => Finding::wrong("model", chain(&error)),
    }
}

fn http(config: &Config) -> Finding {
    let address = config.http.listen;
    match TcpListener::bind(address) {
        Ok(_) => Finding::fine("http", format!("{address} is free")),
        Err(error) => {
            Finding::wrong("http", format!("cannot listen on {address}: {error}: change http.listen or end what uses it"))
        }
    }
}

fn store(config: &Config) -> anyhow::Result<Finding> {
    let store = match Store::open(&config.store) {
        Ok(store) => store,
        Err(error) => return Ok(Finding::wrong("store", chain(&error)).with_code(2)),
    };
    let url = &config.store.url;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the I/O runtime")?;
    let probe = async {
        probe_create_only(&store).await?;
        let listed = store.files.list(Some(&Path::from("_journal"))).try_next().await;
        listed.map_err(|cause| ProbeError::Unusable { url: url.clone(), cause })?;
        Ok(foreign(&store, &config.kafka).await)
    };
    Ok(match runtime.block_on(async { tokio::time::timeout(STORE_TIMEOUT, probe).await }) {
        Ok(Ok(Some(owner))) => {
            let text =
                format!("the journal in {url} belongs to the pipeline {owner}: give this kafka.group a store.url of its own");
            Finding::wrong("store", text).with_code(3)
        }
        Ok(Ok(None)) => Finding::fine("store", format!("{url} can be written, read and listed, and honours create-only PUT")),
        Ok(Err(error @ ProbeError::NotCreateOnly(_))) => Finding::wrong("store", chain(&error)).with_code(3),
        Ok(Err(ProbeError::Unusable { cause, .. })) => {
            Finding::wrong("store", format!("cannot use {url}: {}: see store.url and [store.options]", chain(&cause)))
        }
        Err(_) => {
            let text = format!(
                "no answer from {url} within {STORE_TIMEOUT:?}: is it reachable, and is `endpoint` in [store.options] right?"
            );
            Finding::wrong("store", text)
        }
    })
}

/// The pipeline of another group that the store's journal belongs to, told by the first partition of each topic. What is wrong with a
/// journal otherwise is `run`'s and `journal verify`'s to say.
async fn foreign(store: &Store, kafka: &config::Kafka) -> Option<String> {
    for topic in &kafka.topics {
        let first = Partition { topic: topic.as_str().into(), number: 0 };
        let head = Log::new(store.clone(), &first, Metrics::new()).head().await.ok().flatten();
        let owner = head.map(|record| record.header.pipeline_id);
        let is_foreign = |owner: &String| owner.split_once('/').is_some_and(|(_, group)| group != kafka.group);
        if let Some(owner) = owner.filter(is_foreign) {
            return Some(owner);
        }
    }
    None
}

/// Whether annotated pictures can be kept where they are to be.
fn kept(config: &config::Store) -> anyhow::Result<Finding> {
    let url = &config.url;
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(error) => return Ok(Finding::wrong("pictures", format!("annotate.store: {}", chain(&error))).with_code(2)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the I/O runtime")?;
    Ok(match runtime.block_on(async { tokio::time::timeout(STORE_TIMEOUT, probe_writable(&store)).await }) {
        Ok(Ok(())) => Finding::fine("pictures", format!("{url} (annotate.store) can be written")),
        Ok(Err(cause)) => Finding::wrong(
            "pictures",
            format!("cannot write to {url} (annotate.store): {}: see [annotate.options]", chain(&cause)),
        ),
        Err(_) => Finding::wrong("pictures", format!("no answer from {url} (annotate.store) within {STORE_TIMEOUT:?}")),
    })
}

/// An error with its causes, on one line, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
