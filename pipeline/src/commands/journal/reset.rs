//! `facestream journal reset`: consuming goes on further ahead; never further back.
//!
//! In: partitions and where to go on. Out: a record in each log that says so (a reset is history, too), after what was sealed
//! is published and the partition was taken over. Invariant: the journal only moves forward, since going back would double
//! rows; and it is not moved under a running pipeline unless that is forced.

mod group;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use facestream_schemas::{Offset, Partition};
use uuid::Uuid;

use self::group::Group;
use super::{Failure, Ground, print};
use crate::commands::Given;
use crate::journal::log::Log;
use crate::journal::publish::Publisher;
use crate::journal::record::{Jump, Why};
use crate::journal::{JournalError, Opened, Writer};
use crate::topology;

/// How long a store may take to show a log; its client would try for minutes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "Examples:
  facestream journal reset --topic frames --latest                        every partition goes on with the next message
  facestream journal reset --topic frames --partition 3 --to-offset 5000  past a range that nobody wants
  facestream journal reset --topic frames --latest --dry-run              what would be done

Only forward: messages that are skipped get no row. To consume again from further back, use a new kafka.group with a new
store.url: in the same store every row would be there twice.

What was appended before is sealed and published first. The group must have no members: stop `facestream run` everywhere
(a process that was killed counts until its session expires). With --force a running process is fenced and goes on at the
new offset by itself.

Exit codes: 0 done or nothing to do, 1 failed, 2 usage or configuration, 3 refused.";

/// Move partitions forward to an offset, or to the end of the topic
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which topic
    #[arg(long)]
    topic: String,
    /// Which partition [default: all, with --latest]
    #[arg(long, value_name = "N", required_unless_present = "latest", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Go on with the message of this offset
    #[arg(long, value_name = "OFFSET", conflicts_with = "latest", required_unless_present = "latest", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// Go on with the next message that is produced
    #[arg(long)]
    latest: bool,
    /// Even while the group has members
    #[arg(long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    given: Given,
}

/// What is to be done with one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is there already.
    Nothing,
    /// There is no log yet: it begins at this offset.
    Begin(Offset),
    /// From the journal's end to there.
    Jump(Offset, Offset),
}

/// Carries the command out.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::open(&args.given)?;
    crate::logging::init(&ground.config.log)?;
    let group = Group::connect(&ground.config.kafka)?;
    let writer = Arc::new(topology::writer(&ground.config, group.cluster(), &format!("reset {}", Uuid::new_v4()), None));
    let mut planned = Vec::new();
    for partition in group.partitions(&args.topic, args.partition)? {
        let opened = open(&ground, &partition, &writer)?;
        let step = step(opened.end_offset(), group.watermarks(&partition)?, args.to_offset.map(Offset));
        let step = step.map_err(|why| Failure::Refused(format!("{partition}: {why}")))?;
        planned.push((partition, opened, step));
    }
    if planned.iter().all(|(_, _, step)| *step == Step::Nothing) {
        return planned.iter().try_for_each(|(partition, _, step)| print(&format!("{partition}: {}", said(*step, false))));
    }
    if !args.force {
        let ends: Vec<_> = planned.iter().map(|(partition, opened, _)| (partition, opened.end_offset())).collect();
        group.refuse_members(&ends, args.dry_run)?;
    }
    for (partition, opened, step) in planned {
        if step == Step::Nothing || args.dry_run {
            print(&format!("{partition}: {}", said(step, args.dry_run)))?;
            continue;
        }
        let to = ground.runtime.block_on(carry_out(&ground, opened, step)).map_err(|error| explain(&partition, error))?;
        print(&format!("{partition}: {}", said(step, false)))?;
        if let Err(error) = group.commit(&partition, to) {
            print(&format!("{partition}: the group's offset was not moved ({error}); it is advice only, the journal decides"))?;
        }
    }
    Ok(())
}

fn open(ground: &Ground, partition: &Partition, writer: &Arc<Writer>) -> anyhow::Result<Opened> {
    let log = Log::new(ground.store.clone(), partition, ground.metrics.clone());
    let opened = Opened::open(log, partition.clone(), Arc::clone(writer));
    let opened = ground.runtime.block_on(async { tokio::time::timeout(OPEN_TIMEOUT, opened).await });
    opened
        .with_context(|| format!("the store {} did not show the journal of {partition} within {OPEN_TIMEOUT:?}", ground.url()))?
        .map_err(|error| explain(partition, error))
}

/// What moves a partition from the journal's `end` to the offset `to`, else to the end of Kafka's log; or why it must not.
fn step(end: Option<Offset>, (low, high): (Offset, Offset), to: Option<Offset>) -> Result<Step, String> {
    let target = to.unwrap_or(high);
    if let Some(end) = end.filter(|end| *end > high) {
        return Err(format!(
            "the journal ends at {end}, beyond the topic's end {high}: the topic was made anew, or records were lost; `run` says \
             what to do (see kafka.on_gap)"
        ));
    }
    if target > high {
        return Err(format!("offset {target} is beyond the topic's end {high}"));
    }
    if let Some(end) = end.filter(|end| target < *end) {
        return Err(format!(
            "offset {target} lies before the journal's end {end}: going back would double rows; to consume them again, use a \
             new kafka.group and a new store.url"
        ));
    }
    if end == Some(target) {
        return Ok(Step::Nothing);
    }
    if target < low {
        return Err(format!("offset {target} lies before {low}, the oldest that Kafka still has: give {low} or more"));
    }
    Ok(end.map_or(Step::Begin(target), |end| Step::Jump(end, target)))
}

/// Publishes what is unsealed, takes over, and goes on at the new offset, which is returned.
async fn carry_out(ground: &Ground, opened: Opened, step: Step) -> Result<Offset, JournalError> {
    let publisher = Publisher::new(ground.runtime.handle().clone(), ground.metrics.clone());
    let begin = match step {
        Step::Begin(at) => at,
        _ => Offset(0), // unused: there is a log
    };
    let mut journal = opened.take_over(begin, None, &publisher).await?;
    if let Step::Jump(_, to) = step {
        // The takeover's record tells where the log ends now: somebody may have appended since it was opened.
        let from = journal.head().end_offset;
        if from < to {
            journal.jump(Jump { why: Why::Reset, from, to }, None, &publisher).await?;
        }
    }
    Ok(journal.head().end_offset)
}

fn said(step: Step, dry_run: bool) -> String {
    let would = if dry_run { "would " } else { "" };
    match step {
        Step::Nothing => "there already, nothing to do".to_owned(),
        Step::Begin(at) => format!("{would}begin at offset {at}; there was no journal"),
        Step::Jump(from, to) => {
            let verb = if dry_run { "move" } else { "moved" };
            format!("{would}{verb} from offset {from} to {to}: {} offsets get no row", to.0 - from.0)
        }
    }
}

fn explain(partition: &Partition, error: JournalError) -> anyhow::Error {
    match error {
        JournalError::Fenced => {
            anyhow!("{partition}: another process has taken the partition over meanwhile: stop it, and reset again")
        }
        JournalError::Foreign { .. } | JournalError::Damaged { .. } => Failure::Refused(error.to_string()).into(),
        JournalError::Encode { .. } | JournalError::Panicked(_) => {
            anyhow::Error::from(error).context(format!("resetting {partition}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_moves_forward_within_what_kafka_has_and_never_back() {
        let step = |end: Option<i64>, to: Option<i64>| step(end.map(Offset), (Offset(10), Offset(50)), to.map(Offset));
        assert_eq!(step(Some(20), Some(30)), Ok(Step::Jump(Offset(20), Offset(30))));
        assert_eq!(step(Some(20), None), Ok(Step::Jump(Offset(20), Offset(50))));
        assert_eq!(step(Some(20), Some(50)), Ok(Step::Jump(Offset(20), Offset(50))));
        assert_eq!(step(Some(20), Some(20)), Ok(Step::Nothing));
        assert_eq!(step(Some(50), None), Ok(Step::Nothing));
        assert_eq!(step(None, Some(30)), Ok(Step::Begin(Offset(30))));
        assert_eq!(step(None, None), Ok(Step::Begin(Offset(50))));
        // Retention has eaten what the journal would go on with.
        assert_eq!(step(Some(5), Some(10)), Ok(Step::Jump(Offset(5), Offset(10))));
        for (end, to, why) in [
            (Some(20), Some(19), "new kafka.group and a new store.url"),
            (Some(20), Some(51), "beyond the topic's end 50"),
            (None, Some(9), "oldest that Kafka still has"),
            (Some(5), Some(9), "oldest that Kafka still has"),
            (Some(60), Some(50), "made anew"),
            (Some(60), None, "made anew"),
        ] {
            let refused = step(end, to).unwrap_err();
            assert!(refused.contains(why), "{end:?} to {to:?}: {refused}");
        }
    }
}
