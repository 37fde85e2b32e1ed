//! `facestream dlq retry`: originals back into the topics that they came from, and their letters ended.
//!
//! In: letters by key, or all that are selected. Out: a line for each, with what became of it. An original goes to the partition
//! that it came from while that exists, so that it meets the same lane as before, else where its key belongs; its timestamp is
//! that of being sent, since Kafka's retention counts from it. Invariant: what was not sent keeps its letter.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use facestream_schemas::dead_letter::{DeadLetter, Facts, Held};
use indicatif::HumanCount;

use super::fold::{Folded, Letter, Place};
use super::select::Select;
use super::send::{Outgoing, Sender};
use super::{Ground, Where, plain, print};
use crate::commands::read::{Ranges, Record};
use crate::config::topic_mistake;

/// A batch is sent when it has so many originals, or bytes.
const BATCH: usize = 100;
const BATCH_BYTES: usize = 8 << 20;

const EXAMPLES: &str = "Examples:
  facestream dlq retry frames/0/4711 frames/1/12
  facestream dlq retry --all --reason fetch_error --since 1d
  facestream dlq retry --all --dry-run               what would be done

Each original is sent to the topic and partition that it came from, with its key and headers and a count of attempts; once the \
brokers have acknowledged it, its letter is ended. A process that dies in between has the original sent twice, never lost. A \
letter that has failed dead_letters.max_attempts times stays where it is, unless --force. Letters whose value was too large are \
sent from the original, while Kafka still has it.

Exit codes: 0 all were sent, 1 some could not be, 2 usage or configuration.";

/// Send originals again, and end their letters
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = clap::ArgGroup::new("which").required(true).args(["keys", "all"]))]
pub(super) struct Args {
    /// Which letters, as `ls` names them
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// All letters, or all that are selected
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    select: Select,
    /// Also those that have failed as often as they may
    #[arg(long)]
    force: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Where,
}

/// Carries the command out: 0, or 1 where something could not be sent.
pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let ground = Ground::open(&args.place)?;
    let folded = ground.letters()?;
    let mut run = Run::new(&ground, args.dry_run)?;
    let chosen = run.choose(args, &folded)?;
    let mut planned = Vec::new();
    for letter in chosen {
        match run.plan(letter, args.force)? {
            Ok(facts) => planned.push((letter, facts)),
            Err(why) => run.left(&letter.name, &why)?,
        }
    }
    run.send_whole(&planned)?;
    run.send_left_out(&planned)?;
    run.flush()?;
    let (would, left) = (if args.dry_run { "would be " } else { "" }, HumanCount(run.left));
    eprintln!("{} {would}retried, {left} not", HumanCount(run.retried));
    Ok(u8::from(run.left > 0))
}

struct Run<'a> {
    ground: &'a Ground,
    /// `None` in a dry run.
    sender: Option<Sender>,
    /// The partitions of the topics that originals came from, `None` for one that is gone.
    partitions: BTreeMap<String, Option<Vec<i32>>>,
    batch: Vec<Outgoing>,
    retried: u64,
    left: u64,
}

impl<'a> Run<'a> {
    fn new(ground: &'a Ground, dry_run: bool) -> anyhow::Result<Self> {
        let sender = if dry_run { None } else { Some(Sender::new(&ground.config.kafka, &ground.topic, ground.bar.clone())?) };
        Ok(Self { ground, sender, partitions: BTreeMap::new(), batch: Vec::new(), retried: 0, left: 0 })
    }

    /// The letters that are asked for; says of the others that they are not there, or not selected.
    fn choose<'f>(&mut self, args: &Args, folded: &'f Folded) -> anyhow::Result<Vec<&'f Letter>> {
        if args.all {
            return Ok(folded.by_age().into_iter().filter(|letter| args.select.includes(letter)).collect());
        }
        let mut chosen = Vec::new();
        for key in args.keys.iter().collect::<BTreeSet<_>>() {
            match self.ground.letter(folded, key) {
                Ok(letter) if args.select.includes(letter) => chosen.push(letter),
                Ok(_) => self.left(key, "the other options leave it out")?,
                Err(why) => self.left(key, &why)?,
            }
        }
        Ok(chosen)
    }

    /// Whether the letter can be retried, before its value is looked at.
    fn plan<'f>(&mut self, letter: &'f Letter, force: bool) -> anyhow::Result<Result<&'f Facts, String>> {
        let config = &self.ground.config;
        let max_attempts = if force { u32::MAX } else { config.dead_letters.max_attempts };
        let facts = match retryable(letter, max_attempts, &config.kafka.topics, &self.ground.topic) {
            Ok(facts) => facts,
            Err(why) => return Ok(Err(why)),
        };
        let topic = &*facts.original.topic;
        if !self.partitions.contains_key(topic) {
            self.partitions.insert(topic.to_owned(), self.ground.reader.partitions(topic)?);
        }
        Ok(if self.partitions[topic].is_some() { Ok(facts) } else { Err(format!("its topic {topic} no longer exists")) })
    }

    /// Those whose value the letter holds, one partition of the dead-letter topic after the other.
    fn send_whole(&mut self, planned: &[(&Letter, &Facts)]) -> anyhow::Result<()> {
        let mut by_partition: BTreeMap<i32, BTreeMap<i64, &Letter>> = BTreeMap::new();
        for (letter, _) in planned.iter().filter(|(_, facts)| facts.held != Held::LeftOut) {
            let Place { partition, offset } = letter.newest;
            by_partition.entry(partition).or_default().insert(offset, letter);
        }
        let ground = self.ground;
        for (partition, mut wanted) in by_partition {
            let (Some(first), Some(last)) = (wanted.keys().next().copied(), wanted.keys().last().copied()) else { continue };
            ground.reader.walk(&ground.topic, Ranges::from([(partition, (first, last + 1))]), &mut |message| match wanted
                .remove(&rdkafka::Message::offset(message))
            {
                Some(letter) => self.take(letter, Record::of(message), None),
                None => Ok(()),
            })?;
            for letter in wanted.into_values() {
                self.left(&letter.name, "it was ended meanwhile")?;
            }
        }
        Ok(())
    }

    /// Those whose originals have to be read from where they lie.
    fn send_left_out(&mut self, planned: &[(&Letter, &Facts)]) -> anyhow::Result<()> {
        for (letter, facts) in planned.iter().filter(|(_, facts)| facts.held == Held::LeftOut) {
            let Place { partition, offset } = letter.newest;
            let Some(record) = self.ground.reader.one(&self.ground.topic, partition, offset)? else {
                self.left(&letter.name, "it was ended meanwhile")?;
                continue;
            };
            match original_of(self.ground, facts)? {
                Ok(original) => self.take(letter, record, Some(original))?,
                Err(why) => self.left(&letter.name, &why)?,
            }
        }
        Ok(())
    }

    /// Puts an original into the batch: the letter's, or the one that was read for it.
    fn take(&mut self, letter: &Letter, record: Record, original: Option<Record>) -> anyhow::Result<()> {
        let parsed = DeadLetter::parse(letter.key.as_deref(), record.value, record.headers);
        let outgoing = parsed.and_then(|dead| {
            let sent = match original {
                Some(record) => dead.retry_with(record.key, record.value, &record.headers),
                None => dead.retry().map_err(|why| why.to_string())?,
            };
            let original = &dead.facts.original;
            let exists = self.partitions[&*original.topic].as_ref().is_some_and(|known| known.contains(&original.partition));
            Ok(Outgoing {
                name: letter.name.clone(),
                key: letter.key.clone().ok_or("it has no key")?,
                places: letter
                    .places
                    .iter()
                    .map(|(partition, offset)| Place { partition: *partition, offset: *offset })
                    .collect(),
                topic: original.topic.to_string(),
                partition: Some(original.partition).filter(|_| exists),
                sent,
            })
        });
        match outgoing {
            Ok(outgoing) => self.batch.push(outgoing),
            Err(why) => self.left(&letter.name, &why)?,
        }
        let is_full = self.batch.len() >= BATCH || self.batch.iter().map(Outgoing::memory).sum::<usize>() >= BATCH_BYTES;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Sends what is in the batch.
    fn flush(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let Some(sender) = &self.sender else {
            self.retried += batch.len() as u64;
            return batch.iter().try_for_each(|outgoing| {
                let partition = outgoing.partition.map_or_else(|| "its key's partition".to_owned(), |number| number.to_string());
                print(&format!("would retry {} to {}/{partition}", plain(&outgoing.name), outgoing.topic))
            });
        };
        for (outgoing, result) in batch.iter().zip(sender.carry_out(&batch)) {
            match result {
                Ok(delivery) => {
                    self.retried += 1;
                    let (partition, offset) = (delivery.partition, delivery.offset);
                    print(&format!("retried {} as {}/{partition}/{offset}", plain(&outgoing.name), outgoing.topic))?;
                }
                Err(why) => self.left(&outgoing.name, &why)?,
            }
        }
        Ok(())
    }

    fn left(&mut self, name: &str, why: &str) -> anyhow::Result<()> {
        self.left += 1;
        print(&format!("left {}: {}", plain(name), plain(why)))
    }
}

/// The facts of a letter that can be retried, as far as they tell. `topics` are the configuration's, empty where it names none:
/// whoever writes letters could otherwise have anything sent anywhere.
fn retryable<'f>(letter: &'f Letter, max_attempts: u32, topics: &[String], letters: &str) -> Result<&'f Facts, String> {
    let facts = letter.facts.as_ref().map_err(|damage| format!("damaged: {damage}"))?;
    let topic = &*facts.original.topic;
    if facts.attempt >= max_attempts {
        return Err(format!(
            "exhausted: it has failed {} times, dead_letters.max_attempts is {max_attempts}; --force sends it all the same",
            facts.attempt
        ));
    }
    if topic == letters || topic_mistake(topic).is_some() {
        return Err(format!("it says that it came from {topic:?}, which cannot be"));
    }
    if !topics.is_empty() && !topics.iter().any(|known| known == topic) {
        return Err(format!("it came from {topic}, which is none of kafka.topics: --set kafka.topics={topic} lets it go there"));
    }
    Ok(facts)
}

/// The original of a letter that leaves it out, read from where it lies; `Err` in it says why that is not possible.
pub(super) fn original_of(ground: &Ground, facts: &Facts) -> anyhow::Result<Result<Record, String>> {
    let at = &facts.original;
    let gone = || Ok(Err(format!("its value was too large for a letter, and Kafka no longer has the original {at}")));
    let ends = ground.reader.ends(&at.topic).with_context(|| format!("cannot look for the original {at}"))?;
    let Some((low, high)) = ends.and_then(|ends| ends.get(&at.partition).copied()) else { return gone() };
    if !(low..high).contains(&at.offset.0) {
        return gone();
    }
    match ground.reader.one(&at.topic, at.partition, at.offset.0)? {
        None => gone(),
        Some(record) if is_of(&record, facts) => Ok(Ok(record)),
        Some(_) => Ok(Err(format!("another message lies at {at} now: the topic was made anew"))),
    }
}

/// Whether the record is the one that the letter was written for, as far as size and time tell.
fn is_of(record: &Record, facts: &Facts) -> bool {
    let size = record.value.as_ref().map(|value| value.len() as u64);
    size == facts.value_bytes && record.written.is_none_or(|written| written == facts.record_ts)
}

#[cfg(test)]
mod tests {
    use facestream_schemas::Micros;

    use super::super::fold::tests::facts;
    use super::*;

    fn letter(facts: Result<Facts, String>) -> Letter {
        let newest = Place { partition: 0, offset: 0 };
        Letter { name: "cams/0/1".to_owned(), key: None, facts, bytes: 0, written: Micros(0), newest, places: BTreeMap::new() }
    }

    #[test]
    fn what_is_damaged_exhausted_or_of_another_topic_is_left_with_the_reason() {
        let cams = ["cams".to_owned(), "yard".to_owned()];
        let why = |letter: &Letter, topics: &[String], letters: &str| retryable(letter, 3, topics, letters).err();
        let good = letter(Ok(facts(1, "expired", 2)));
        assert_eq!(why(&good, &cams, "dead"), None);
        assert_eq!(why(&good, &[], "dead"), None);
        let elsewhere = |topic: &str| {
            let mut facts = facts(1, "expired", 2);
            facts.original.topic = topic.into();
            letter(Ok(facts))
        };
        for (letter, topics, mentions) in [
            (letter(Err("it has no key".to_owned())), &cams[..], "damaged: it has no key"),
            (letter(Ok(facts(1, "expired", 3))), &cams, "failed 3 times"),
            (elsewhere("other"), &cams, "none of kafka.topics"),
            (elsewhere("dead"), &[], "cannot be"),
            (elsewhere("a b"), &[], "cannot be"),
        ] {
            let why = why(&letter, topics, "dead").unwrap();
            assert!(why.contains(mentions), "{why}");
        }
        assert!(retryable(&letter(Ok(facts(1, "expired", 3))), u32::MAX, &cams, "dead").is_ok(), "forced");
    }

    #[test]
    fn a_record_of_another_size_or_time_is_not_the_original() {
        let facts = facts(5, "too_large", 1);
        let record = |bytes: Option<&'static [u8]>, written: Option<i64>| Record {
            key: None,
            value: bytes.map(bytes::Bytes::from_static),
            headers: Vec::new(),
            written: written.map(Micros),
        };
        assert!(is_of(&record(Some(b"four"), Some(5)), &facts) && is_of(&record(Some(b"four"), None), &facts));
        assert!(!is_of(&record(Some(b"fourt"), Some(5)), &facts) && !is_of(&record(None, Some(5)), &facts));
        assert!(!is_of(&record(Some(b"four"), Some(6)), &facts));
    }
}
