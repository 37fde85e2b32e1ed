//! Messages to a topic, each acknowledged by all in-sync replicas, once.
//!
//! In: a message with its camera. Out: counts in the [`Tally`]. Invariant: every message that was sent is counted as delivered or
//! failed by the time [`Sender::finish`] returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};

use super::report::Tally;
use super::stop::Stop;
use crate::config::{Config, Kafka};
use crate::kafka::client;
use crate::kafka::silence::{Heard, telling};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a topic may take to appear where the broker creates topics by itself.
const TOPIC_ATTEMPTS: u32 = 10;
/// Frames in the client's queue: how far reading may run ahead of the broker.
const QUEUE_KIB: &str = "32768";
/// How long to wait for room in the client's queue before looking again.
const FULL_QUEUE: Duration = Duration::from_millis(20);
/// The same for the end of deliveries.
const LAST_DELIVERIES: Duration = Duration::from_millis(20);

/// Passes on what the client says.
struct Deliveries {
    tally: Arc<Tally>,
    /// Why there is no answer, until there was one: then nothing is said twice.
    heard: Heard,
    is_connected: AtomicBool,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        self.heard.take(None, message);
        if level as i32 <= RDKafkaLogLevel::Error as i32 && self.is_connected.load(Ordering::Relaxed) {
            self.tally.note(format_args!("kafka: {message}"));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.take(error.rdkafka_error_code(), reason); // the log has said it
    }
}

/// What is remembered of a message until its delivery.
struct Ticket {
    source: usize,
    frame_id: Arc<str>,
    sent: Instant,
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(message) => self.tally.delivered(ticket.source, message.payload_len(), ticket.sent.elapsed()),
            Err((error, _)) => self.tally.failed(ticket.source, &ticket.frame_id, error),
        }
    }
}

/// One message.
pub(super) struct Outgoing<'a> {
    /// The camera, by its place in the [`Tally`]; its name is the key.
    pub(super) source: usize,
    pub(super) frame_id: &'a Arc<str>,
    pub(super) value: &'a [u8],
    pub(super) headers: OwnedHeaders,
}

/// A producer for one topic.
pub(super) struct Sender {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    tally: Arc<Tally>,
}

impl Sender {
    /// Connects, and waits until the topic is there. `most_bytes` is the largest value that can come.
    pub(super) fn connect(
        config: &Config,
        brokers: &str,
        topic: &str,
        most_bytes: u64,
        tally: &Arc<Tally>,
    ) -> anyhow::Result<Self> {
        let mut client = telling(client::producer(&config.kafka, brokers, most_bytes));
        let producer: ThreadedProducer<Deliveries> = client
            .set("queue.buffering.max.kbytes", QUEUE_KIB)
            .create_with_context(Deliveries {
                tally: Arc::clone(tally),
                heard: Heard::default(),
                is_connected: AtomicBool::new(false),
            })
            .context("cannot set up the Kafka producer: see [kafka.properties]")?;
        wait_for_topic(&producer, &config.kafka, brokers, topic)?;
        producer.context().is_connected.store(true, Ordering::Relaxed);
        Ok(Self { producer, topic: topic.to_owned(), tally: Arc::clone(tally) })
    }

    /// Queues one message; while the queue is full, waits for the broker. False if the stop came first.
    pub(super) async fn send(&self, out: Outgoing<'_>, stop: &Stop) -> bool {
        let ticket = Ticket { source: out.source, frame_id: Arc::clone(out.frame_id), sent: Instant::now() };
        let mut record = BaseRecord::with_opaque_to(&self.topic, Box::new(ticket))
            .key(self.tally.camera(out.source))
            .payload(out.value)
            .headers(out.headers);
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.tally.sent(out.source);
                    return true;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                Err((error, _)) => {
                    self.tally.failed(out.source, out.frame_id, &error);
                    return true;
                }
            }
            tokio::select! { () = stop.raised() => return false, () = tokio::time::sleep(FULL_QUEUE) => () }
            record.delivery_opaque.sent = Instant::now();
        }
    }

    /// Waits until every message has its report; once the stop is raised, no longer than `grace`, and what is left then has failed.
    pub(super) fn finish(&self, stop: &Stop, grace: Duration) {
        let mut left = grace;
        while self.producer.in_flight_count() > 0 && !left.is_zero() {
            std::thread::sleep(LAST_DELIVERIES);
            if stop.is_raised() {
                left = left.saturating_sub(LAST_DELIVERIES);
            }
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        while self.producer.in_flight_count() > 0 {
            std::thread::sleep(LAST_DELIVERIES);
        }
    }
}

/// Headers as the client takes them: ours, but for those that are given, and then these.
pub(in crate::commands) fn headers<'a>(
    own: impl IntoIterator<Item = (&'a str, &'a str)>,
    given: &'a [(String, String)],
) -> OwnedHeaders {
    let own = own.into_iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name));
    let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.chain(given).fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

fn wait_for_topic(producer: &ThreadedProducer<Deliveries>, kafka: &Kafka, brokers: &str, topic: &str) -> anyhow::Result<()> {
    for _ in 0..TOPIC_ATTEMPTS {
        let Ok(metadata) = producer.client().fetch_metadata(Some(topic), CONNECT_TIMEOUT) else {
            return Err(producer.context().heard.silence(kafka, brokers).into());
        };
        if metadata.topics().iter().any(|found| found.error().is_none() && !found.partitions().is_empty()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    bail!("the topic {topic} does not exist at {brokers}, and was not created on request: create it first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_given_takes_the_place_of_ours() {
        use rdkafka::message::Headers as _;
        let given = [("content-type", "x"), ("site", "north")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = headers([("frame_seq", "1"), ("content-type", "image/jpeg")], &given);
        let found: Vec<_> = headers.iter().map(|header| (header.key, header.value.unwrap())).collect();
        assert_eq!(found, [("frame_seq", b"1".as_slice()), ("content-type", b"x"), ("site", b"north")]);
    }
}
