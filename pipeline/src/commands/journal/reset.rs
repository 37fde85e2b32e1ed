//! `facestream journal reset`: consuming goes on further ahead; never further back.
//!
//! In: partitions and where to go on. Out: a record in each log that says so (a reset is history, too), after what was sealed
//! is published and the partition was taken over. Invariant: the journal only moves forward, since going back would double
//! rows; and it is not moved under a running pipeline unless that is forced.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use facestream_schemas::{Offset, Partition};
use uuid::Uuid;

use super::{Failure, Ground, print};
use crate::commands::Given;
use crate::commands::group::Group;
use crate::journal::header::{Jump, Why};
use crate::journal::log::Log;
use crate::journal::publish::Publisher;
use crate::journal::{JournalError, Opened, Writer};
use crate::topology;

/// How long a store may take to show a log; its client would try for minutes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "Examples:
  facestream journal reset --topic frames --latest                        every partition goes on with the next message
  facestream journal reset --topic frames --partition 3 --to-offset 5000  past a range that nobody wants
  facestream journal reset --topic frames --latest --dry-run              what would be done

Only forward: messages that are skipped get no row. To consume again from further back, use a new kafka.group with a new \
store.url: in the same store every row would be there twice.

What was appended before is sealed and published first. The group must have no members: stop `facestream run` everywhere \
(a process that was killed counts until its session expires). With --force a running process is fenced and goes on at the \
new offset by itself.

Exit codes: 0 done or nothing to do, 1 failed, 2 usage or configuration, 3 refused.";

/// Move partitions forward to an offset, or to the end of the topic
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = clap::ArgGroup::new("target").required(true))]
pub(super) struct Args {
    /// Which topic
    #[arg(long)]
    topic: String,
    /// Which partition [default: all, with --latest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Go on with the message of this offset
    #[arg(long, value_name = "OFFSET", group = "target", requires = "partition", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// Go on with the next message that is produced
    #[arg(long, group = "target")]
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
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// It is there already.
    Nothing,
    /// There is no log yet: it begins at this offset.
    Begin(Offset),
    /// From the journal's end to elsewhere.
    Jump(Jump),
}

/// Carries the command out.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::open(&args.given)?;
    crate::logging::init(&ground.config.log)?;
    let group = Group::connect(&ground.config.kafka)?;
    let writer = Arc::new(topology::writer(&ground.config, group.cluster(), &format!("reset {}", Uuid::new_v4()), None));
    let topic = group.topic(&args.topic, args.partition)?;
    let mut planned = Vec::new();
    for partition in topic.partitions {
        let opened = open(&ground, &partition, &writer)?;
        let (low, high) = group.watermarks(&partition)?;
        let journal = opened.end_offset().map(|end| (end, opened.topic_id()));
        let known = Known { journal, topic_id: topic.id.as_deref(), low, high };
        let step = known.step(args.to_offset.map(Offset)).map_err(|why| Failure::Refused(format!("{partition}: {why}")))?;
        planned.push((partition, opened, step));
    }
    if !args.force && planned.iter().any(|(_, _, step)| *step != Step::Nothing) {
        let ends: Vec<_> = planned.iter().map(|(partition, opened, _)| (partition, opened.end_offset())).collect();
        group.refuse_members(&ends, args.dry_run)?;
    }
    for (partition, opened, step) in planned {
        let says = format!("{partition}: {}", said(&step, args.dry_run));
        if step == Step::Nothing || args.dry_run {
            print(&says)?;
            continue;
        }
        let done = ground.runtime.block_on(carry_out(&ground, opened, step, topic.id.clone()));
        let to = done.map_err(|error| explain(&partition, error))?;
        print(&says)?;
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

/// What Kafka and the journal say of a partition.
#[derive(Clone, Copy, Debug)]
struct Known<'a> {
    /// The journal's end, and the id of the topic that it belongs to, where that was told.
    journal: Option<(Offset, Option<&'a str>)>,
    /// The topic's id now, where the brokers tell one.
    topic_id: Option<&'a str>,
    /// The oldest offset that Kafka has.
    low: Offset,
    /// One past the newest.
    high: Offset,
}

impl Known<'_> {
    /// What brings the partition to the offset `to`, else to the end of Kafka's log; or why that must not be.
    fn step(&self, to: Option<Offset>) -> Result<Step, String> {
        let (low, high) = (self.low, self.high);
        let target = to.unwrap_or(high);
        if target > high {
            return Err(format!("offset {target} is beyond the topic's end {high}"));
        }
        let jump = |why, from| Ok(Step::Jump(Jump { why, from, to: target }));
        let Some((end, recorded)) = self.journal else {
            return if target < low { Err(too_early(target, low)) } else { Ok(Step::Begin(target)) };
        };
        let ids = recorded.zip(self.topic_id);
        // Without ids, a log that ends before the journal does is more likely a new topic than one that was cut short.
        if ids.map_or(end > high, |(recorded, now)| recorded != now) {
            return if target < low { Err(too_early(target, low)) } else { jump(Why::NewTopic, end) };
        }
        if end == target {
            return Ok(Step::Nothing);
        }
        if end > high && target == high {
            return jump(Why::Gap, end);
        }
        if target < end {
            return Err(format!(
                "offset {target} lies before the journal's end {end}: going back would double rows; to consume them again, use a \
                 new kafka.group and a new store.url"
            ));
        }
        if target < low { Err(too_early(target, low)) } else { jump(Why::Reset, end) }
    }
}

fn too_early(target: Offset, low: Offset) -> String {
    format!("offset {target} lies before {low}, the oldest that Kafka still has: give {low} or more")
}

/// Takes over, publishes what is unsealed, and goes on at the new offset, which is returned.
async fn carry_out(ground: &Ground, opened: Opened, step: Step, topic_id: Option<String>) -> Result<Offset, JournalError> {
    let publisher = Publisher::new(ground.runtime.handle().clone(), ground.metrics.clone());
    let begin = match &step {
        Step::Begin(at) => *at,
        _ => Offset(0), // unused: there is a log
    };
    // The rows so far are not the new topic's.
    let of_rows = topic_id.clone().filter(|_| !matches!(&step, Step::Jump(jump) if jump.why == Why::NewTopic));
    let mut journal = opened.take_over(begin, of_rows, &publisher).await?;
    if let Step::Jump(jump) = step {
        journal.jump(jump, topic_id, &publisher).await?;
    }
    Ok(journal.head().end_offset)
}

fn said(step: &Step, dry_run: bool) -> String {
    let (would, verb) = if dry_run { ("would ", "move") } else { ("", "moved") };
    match step {
        Step::Nothing => "there already, nothing to do".to_owned(),
        Step::Begin(at) => format!("{would}begin at offset {at}; there was no journal"),
        Step::Jump(Jump { why, from, to }) => {
            let effect = match why {
                Why::Reset => format!("{} offsets get no row", to.0 - from.0),
                Why::NewTopic => "the topic was made anew, and its offsets count anew".to_owned(),
                Why::Gap => "Kafka's log was cut short".to_owned(),
            };
            format!("{would}{verb} from offset {from} to {to}: {effect}")
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

    fn step(journal: Option<(i64, Option<&str>)>, topic_id: Option<&str>, to: Option<i64>) -> Result<Step, String> {
        let journal = journal.map(|(end, id)| (Offset(end), id));
        Known { journal, topic_id, low: Offset(10), high: Offset(50) }.step(to.map(Offset))
    }

    fn jump(why: Why, from: i64, to: i64) -> Step {
        Step::Jump(Jump { why, from: Offset(from), to: Offset(to) })
    }

    #[test]
    fn the_journal_moves_forward_within_what_kafka_has_and_never_back() {
        for ids in [(None, None), (Some("a"), Some("a")), (Some("a"), None), (None, Some("a"))] {
            let step = |end: Option<i64>, to: Option<i64>| step(end.map(|end| (end, ids.0)), ids.1, to);
            assert_eq!(step(Some(20), Some(30)), Ok(jump(Why::Reset, 20, 30)));
            assert_eq!(step(Some(20), None), Ok(jump(Why::Reset, 20, 50)));
            assert_eq!(step(Some(20), Some(50)), Ok(jump(Why::Reset, 20, 50)));
            assert_eq!(step(Some(20), Some(20)), Ok(Step::Nothing));
            assert_eq!(step(Some(50), None), Ok(Step::Nothing));
            assert_eq!(step(None, Some(30)), Ok(Step::Begin(Offset(30))));
            assert_eq!(step(None, None), Ok(Step::Begin(Offset(50))));
            // Retention has eaten what the journal would go on with.
            assert_eq!(step(Some(5), Some(10)), Ok(jump(Why::Reset, 5, 10)));
            for (end, to, why) in [
                (Some(20), Some(19), "new kafka.group and a new store.url"),
                (Some(20), Some(51), "beyond the topic's end 50"),
                (None, Some(9), "oldest that Kafka still has"),
                (Some(5), Some(9), "oldest that Kafka still has"),
            ] {
                let refused = step(end, to).unwrap_err();
                assert!(refused.contains(why), "{end:?} to {to:?}: {refused}");
            }
        }
    }

    #[test]
    fn a_topic_made_anew_begins_anywhere_and_a_log_that_was_cut_short_at_its_end() {
        for ids in [(Some("a"), Some("b")), (None, None)] {
            assert_eq!(step(Some((60, ids.0)), ids.1, Some(10)), Ok(jump(Why::NewTopic, 60, 10)));
            assert_eq!(step(Some((60, ids.0)), ids.1, None), Ok(jump(Why::NewTopic, 60, 50)));
            assert!(step(Some((60, ids.0)), ids.1, Some(9)).is_err());
        }
        assert_eq!(step(Some((50, Some("a"))), Some("b"), Some(50)), Ok(jump(Why::NewTopic, 50, 50)));
        assert_eq!(step(Some((60, Some("a"))), Some("a"), Some(50)), Ok(jump(Why::Gap, 60, 50)));
        assert!(step(Some((60, Some("a"))), Some("a"), Some(40)).unwrap_err().contains("double rows"));
    }
}
