//! `facestream run`: the pipeline, until a signal or the end of the topics.
//!
//! In: the configuration. Out: rows in the store, until it is told to stop. Invariant: a second signal may end the process at
//! any point; that is what a crash does, and it loses nothing.

use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, Given};
use crate::config::Needs;
use crate::metrics::Metrics;
use crate::topology::{self, TopologyError};

/// The exit code of a process that was told twice to end, as shells know it from Ctrl-C.
const TOLD_TWICE: i32 = 130;

const EXAMPLES: &str = "Examples:
  facestream run --config facestream.toml
  facestream run --set kafka.topics=frames --set store.url=file:///data/faces
  facestream run --until-end                consume what is there now, then stop: batch use, backfills

SIGTERM or Ctrl-C finishes what is in flight, appends, seals and leaves the group within run.drain_timeout; a second one ends
the process at once, which loses nothing: the next run goes on from the journal.

Exit codes: 0 done, 1 failed, or told to stop before the end with --until-end, 2 usage or configuration, 3 refused (store or journal),
130 told twice to end.";

/// Consume frames from Kafka, detect faces, write Parquet
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Stop once everything is consumed that is in the topics now; open windows are closed and everything is sealed
    #[arg(long)]
    until_end: bool,
    #[command(flatten)]
    given: Given,
}

/// Carries the command out.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, _) = args.given.load(Needs::PIPELINE)?;
    crate::logging::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("io").enable_all().build()?;
    let stop = CancellationToken::new();
    runtime.spawn(obey_signals(stop.clone(), config.run.drain_timeout));
    let ran = runtime.block_on(topology::run(&config, args.until_end, Metrics::new(), stop));
    // Nothing that is left matters: it would be done again from the journal.
    runtime.shutdown_background();
    match ran {
        Ok(()) => {
            tracing::info!("done");
            Ok(())
        }
        Err(error) if error.is_refusal() => Err(Failure::Refused(error.to_string()).into()),
        Err(TopologyError::Silent(silence)) => Err(silence.into()),
        Err(TopologyError::Kafka(error @ KafkaError::ClientCreation(_))) => {
            Err(Failure::Usage(format!("{error}: see [kafka.properties]")).into())
        }
        Err(error @ (TopologyError::Models(_) | TopologyError::Store(_))) => Err(Failure::Usage(error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}

/// The first signal drains; a second ends the process at once.
async fn obey_signals(stop: CancellationToken, drain_timeout: Duration) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        tracing::error!("cannot listen for signals");
        return;
    };
    for told in 1.. {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if told > 1 {
            std::process::exit(TOLD_TWICE);
        }
        tracing::info!("draining, {drain_timeout:?} at most; a second signal ends the process at once and loses nothing");
        stop.cancel();
    }
}
