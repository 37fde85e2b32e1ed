//! Reading topics without a group: from one offset to another, one record, or what comes from now on.
//!
//! In: a topic and offsets. Out: each committed record, once, in the order of its partition. Invariant: nothing is committed or
//! created, no record is kept here, and brokers that fall silent are an error, not a wait without end.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use facestream_schemas::Micros;
use facestream_schemas::dead_letter::Headers;
use indicatif::ProgressBar;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::config::Kafka;
use crate::kafka::silence::{Heard, listen, telling};
use crate::kafka::{ASK_TIMEOUT, client};

/// So long nothing may come before the brokers count as gone.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// First offset and one past the last, by partition.
pub(super) type Ranges = BTreeMap<i32, (i64, i64)>;

/// A record, copied.
pub(super) struct Record {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Headers,
    /// `None` where it has none.
    pub(super) written: Option<Micros>,
}

impl Record {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: headers(message),
            written: message.timestamp().to_millis().map(Micros::from_millis),
        }
    }
}

/// A consumer that belongs to no group.
pub(super) struct Reader {
    consumer: BaseConsumer<Logs>,
    kafka: Kafka,
}

impl Reader {
    pub(super) fn connect(kafka: &Kafka, bar: ProgressBar) -> anyhow::Result<Self> {
        let mut client = telling(client::base(kafka));
        client
            // librdkafka assigns nothing without the name of a group; nobody joins it.
            .set("group.id", &kafka.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("queued.max.messages.kbytes", client::QUEUE_KIB.to_string())
            .set("fetch.max.bytes", "16777216")
            .set("fetch.queue.backoff.ms", "50");
        let consumer =
            client.create_with_context(Logs::above(bar)).context("cannot set up a Kafka client: see [kafka.properties]")?;
        Ok(Self { consumer, kafka: kafka.clone() })
    }

    /// The topic's partitions; `None` where there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> anyhow::Result<Option<Vec<i32>>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ASK_TIMEOUT);
        let Ok(metadata) = metadata else {
            listen(&self.consumer);
            return Err(self.consumer.context().heard.silence(&self.kafka, &self.kafka.brokers).into());
        };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(error) => Err(KafkaError::MetadataFetch(error)).with_context(|| format!("cannot ask for the topic {topic}")),
            None if found.partitions().is_empty() => Ok(None),
            None => Ok(Some(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())),
        }
    }

    /// What the topic holds now; `None` where there is no such topic.
    pub(super) fn ends(&self, topic: &str) -> anyhow::Result<Option<Ranges>> {
        let Some(partitions) = self.partitions(topic)? else { return Ok(None) };
        let ends = partitions.into_iter().map(|partition| {
            let ends = self.consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT);
            Ok((partition, ends.with_context(|| format!("cannot ask for the ends of {topic}/{partition}"))?))
        });
        ends.collect::<anyhow::Result<_>>().map(Some)
    }

    /// Shows `each` every committed record of these ranges.
    pub(super) fn walk(
        &self,
        topic: &str,
        mut ranges: Ranges,
        each: &mut dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        ranges.retain(|_, (from, to)| from < to);
        let mut from = TopicPartitionList::new();
        for (partition, (start, _)) in &ranges {
            from.add_partition_offset(topic, *partition, Offset::Offset(*start)).context("making a list of partitions")?;
        }
        self.consumer.assign(&from).with_context(|| format!("cannot read {topic}"))?;
        let mut last_heard = Instant::now();
        while !ranges.is_empty() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let Some((_, end)) = ranges.get(&message.partition()) else { continue };
                    let is_last = message.offset() + 1 >= *end;
                    if message.offset() < *end {
                        each(&message)?;
                    }
                    if is_last {
                        ranges.remove(&message.partition());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ranges.remove(&partition)),
                Some(Err(error)) if ends_reading(&error) => {
                    return Err(error).with_context(|| format!("cannot read {topic}"));
                }
                // After other errors librdkafka tries again by itself; it is silence that counts.
                None | Some(Err(_)) if last_heard.elapsed() > SILENCE => {
                    bail!("{} did not go on with the topic {topic} for {SILENCE:?}: is the broker running?", self.kafka.brokers)
                }
                None | Some(Err(_)) => continue,
            }
            last_heard = Instant::now();
        }
        Ok(())
    }

    /// Shows `each` what comes to the topic from the ends of these ranges on, and nothing whenever nothing came for a while, until it
    /// breaks off.
    pub(super) fn follow(
        &self,
        topic: &str,
        ends: &Ranges,
        each: &mut dyn FnMut(Option<&BorrowedMessage<'_>>) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        let mut from = TopicPartitionList::new();
        for (partition, (_, end)) in ends {
            from.add_partition_offset(topic, *partition, Offset::Offset(*end)).context("making a list of partitions")?;
        }
        self.consumer.assign(&from).with_context(|| format!("cannot read {topic}"))?;
        loop {
            let shown = match self.consumer.poll(POLL) {
                Some(Ok(message)) => each(Some(&message)),
                Some(Err(error)) if ends_reading(&error) => return Err(error).with_context(|| format!("cannot read {topic}")),
                // The end of a partition, or what librdkafka tries again by itself.
                Some(Err(_)) | None => each(None),
            };
            if shown.is_break() {
                return Ok(());
            }
        }
    }

    /// The record at these coordinates: `None` where there is none any more.
    pub(super) fn one(&self, topic: &str, partition: i32, offset: i64) -> anyhow::Result<Option<Record>> {
        let mut found = None;
        self.walk(topic, Ranges::from([(partition, (offset, offset + 1))]), &mut |message| {
            found = (message.offset() == offset).then(|| Record::of(message));
            Ok(())
        })?;
        Ok(found)
    }
}

/// Whether it does not pass by itself.
fn ends_reading(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Authentication, SaslAuthenticationFailed, TopicAuthorizationFailed, UnknownTopicOrPartition};
    let lasting = [Authentication, SaslAuthenticationFailed, TopicAuthorizationFailed, UnknownTopicOrPartition];
    error.rdkafka_error_code().is_some_and(|code| lasting.contains(&code))
}

/// A record's headers.
pub(super) fn headers(message: &BorrowedMessage<'_>) -> Headers {
    let owned = |(name, value): (Cow<'_, str>, Option<&[u8]>)| (name.into_owned(), value.map(Bytes::copy_from_slice));
    crate::kafka::headers::headers(message).into_iter().map(owned).collect()
}

/// When it was written, as far as it says.
pub(super) fn written(message: &BorrowedMessage<'_>) -> Micros {
    Micros::from_millis(message.timestamp().to_millis().unwrap_or(0))
}

/// What clients have to say, above the progress bar.
pub(super) struct Logs {
    bar: ProgressBar,
    heard: Heard,
}

impl Logs {
    pub(super) fn above(bar: ProgressBar) -> Self {
        Self { bar, heard: Heard::default() }
    }
}

impl ClientContext for Logs {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        // While it tries to connect, librdkafka says the same over and over.
        let is_news = self.heard.take(None, message);
        if level as i32 <= RDKafkaLogLevel::Error as i32 && is_news {
            self.bar.suspend(|| eprintln!("kafka: {message}"));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.take(error.rdkafka_error_code(), reason);
    }
}

impl ConsumerContext for Logs {}
