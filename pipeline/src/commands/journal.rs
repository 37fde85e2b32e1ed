//! `facestream journal`: look at the journal, prove what it promises, move it forward.
//!
//! In: a store, and for `reset` Kafka. Out: text for people, or JSON. Invariant: only `reset` writes, and it never goes back.

mod look;
mod ls;
mod reset;
mod show;
mod verify;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use super::{Failure, Given, print};
use crate::config::{Config, Needs};
use crate::metrics::Metrics;
use crate::store::Store;

/// What these commands need of the configuration.
const NEEDS: Needs = Needs { topics: false, store: true };

const EXAMPLES: &str = "Examples:
  facestream journal ls                                 one line a partition
  facestream journal show frames/0                      its newest records
  facestream journal show frames/0 --seq 41             one record, whole
  facestream journal verify                             is every message there exactly once?
  facestream journal reset --topic frames --latest      go on with the next message

The journal is one log a partition under _journal/ of the store. Of the configuration only [store] is needed, as in \
--set store.url=s3://bucket/faces; reset needs [kafka], too.";

/// Look at the journal, prove that every message has its row once
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Verify(verify::Args),
    Reset(reset::Args),
}

/// Which partitions.
#[derive(Clone, Debug, Default, clap::Args)]
struct Which {
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only this partition of it
    #[arg(long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
}

impl Which {
    fn includes(&self, topic: &str, partition: i32) -> bool {
        self.topic.as_deref().is_none_or(|wanted| wanted == topic) && self.partition.is_none_or(|wanted| wanted == partition)
    }
}

/// Carries the command out: the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    match &args.command {
        Command::Ls(args) => ls::run(args).map(|()| 0),
        Command::Show(args) => show::run(args).map(|()| 0),
        Command::Verify(args) => verify::run(args),
        Command::Reset(args) => reset::run(args).map(|()| 0),
    }
}

/// What all of them work with.
struct Ground {
    config: Config,
    store: Store,
    metrics: Metrics,
    runtime: Runtime,
}

impl Ground {
    fn open(given: &Given) -> anyhow::Result<Self> {
        let (config, _) = given.load(NEEDS)?;
        let store = Store::open(&config.store).map_err(|error| Failure::Usage(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("io").enable_all().build();
        Ok(Self { config, store, metrics: Metrics::new(), runtime: runtime.context("cannot start the I/O runtime")? })
    }

    fn url(&self) -> &str {
        &self.config.store.url
    }
}
