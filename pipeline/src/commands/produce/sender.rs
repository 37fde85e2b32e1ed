//! Encoded images to a topic, each acknowledged by all in-sync replicas, once.
//!
//! In: an image with its camera, number and name. Out: [`Deliveries`]. Invariant: every message that was sent is counted as
//! delivered or failed by the time [`Sender::finish`] returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use facestream_schemas::envelope::sniff;
use indicatif::ProgressBar;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext};

use crate::config::Config;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a topic may take to appear where the broker creates topics by itself.
const TOPIC_ATTEMPTS: u32 = 10;
/// Frames in the client's queue: how far reading may run ahead of the broker.
const QUEUE_KIB: &str = "32768";
/// More failures than this are counted, not printed.
const FAILURES_SHOWN: u64 = 10;

/// What became of the messages, counted as reports come in.
pub(super) struct Deliveries {
    pub(super) delivered: AtomicU64,
    pub(super) delivered_bytes: AtomicU64,
    pub(super) failed: AtomicU64,
    bar: ProgressBar,
}

impl Deliveries {
    fn fail(&self, name: &str, error: &KafkaError) {
        if self.failed.fetch_add(1, Ordering::Relaxed) < FAILURES_SHOWN {
            self.bar.suspend(|| eprintln!("not delivered: {name}: {error}"));
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        if level as i32 <= RDKafkaLogLevel::Error as i32 {
            self.bar.suspend(|| eprintln!("kafka: {message}"));
        }
    }

    fn error(&self, _error: KafkaError, _reason: &str) {} // the log has said it
}

impl ProducerContext for Deliveries {
    /// The file that the frame came from.
    type DeliveryOpaque = Arc<String>;

    fn delivery(&self, result: &DeliveryResult<'_>, name: Arc<String>) {
        match result {
            Ok(message) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
                self.delivered_bytes.fetch_add(message.payload_len() as u64, Ordering::Relaxed);
                self.bar.inc(1);
            }
            Err((error, _)) => self.fail(&name, error),
        }
    }
}

/// One message.
pub(super) struct Picture<'a> {
    pub(super) source_id: &'a str,
    pub(super) frame_seq: u64,
    /// `frame_id`: the path of the file.
    pub(super) name: &'a Arc<String>,
    pub(super) image: &'a [u8],
}

/// A producer for one topic.
pub(super) struct Sender {
    producer: BaseProducer<Deliveries>,
    topic: String,
}

impl Sender {
    /// Connects, and waits until the topic is there.
    pub(super) fn connect(config: &Config, brokers: &str, topic: &str, bar: ProgressBar) -> anyhow::Result<Self> {
        let zero = || AtomicU64::new(0);
        let deliveries = Deliveries { delivered: zero(), delivered_bytes: zero(), failed: zero(), bar };
        let producer: BaseProducer<Deliveries> = client_config(config, brokers)
            .create_with_context(deliveries)
            .context("cannot set up the Kafka producer: see [kafka.properties]")?;
        wait_for_topic(&producer, brokers, topic)?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        self.producer.context()
    }

    /// Queues one message; while the queue is full, waits for the broker. False if `is_stopped` came true first.
    pub(super) fn send(&self, picture: &Picture<'_>, is_stopped: &dyn Fn() -> bool) -> bool {
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut record = BaseRecord::with_opaque_to(&self.topic, Arc::clone(picture.name))
            .key(picture.source_id)
            .payload(picture.image)
            .headers(headers(picture, stamp));
        loop {
            match self.producer.send(record) {
                Ok(()) => return true,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                Err((error, _)) => {
                    self.deliveries().fail(picture.name, &error);
                    return true;
                }
            }
            if is_stopped() {
                return false;
            }
            self.serve(Duration::from_millis(50));
        }
    }

    /// Takes delivery reports for this long.
    pub(super) fn serve(&self, duration: Duration) {
        self.producer.poll(duration);
    }

    /// Waits until every message has its report; once `is_stopped`, no longer than `grace`, and what is left then has failed.
    pub(super) fn finish(&self, is_stopped: &dyn Fn() -> bool, grace: Duration) {
        let mut left = grace;
        let step = Duration::from_millis(100);
        while self.producer.in_flight_count() > 0 && !left.is_zero() {
            self.serve(step);
            if is_stopped() {
                left = left.saturating_sub(step);
            }
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        while self.producer.in_flight_count() > 0 {
            self.serve(step);
        }
    }
}

fn headers(picture: &Picture<'_>, stamp_ns: u128) -> OwnedHeaders {
    let (stamp, seq) = (stamp_ns.to_string(), picture.frame_seq.to_string());
    let headers = OwnedHeaders::new_with_capacity(4)
        .insert(Header { key: "capture_ts_ns", value: Some(&stamp) })
        .insert(Header { key: "frame_seq", value: Some(&seq) })
        .insert(Header { key: "frame_id", value: Some(picture.name.as_str()) });
    match sniff(picture.image) {
        Some(format) => headers.insert(Header { key: "content-type", value: Some(format.media_type()) }),
        None => headers,
    }
}

/// The user's properties as far as they concern a producer, below our own.
fn client_config(config: &Config, brokers: &str) -> ClientConfig {
    const OF_A_PRODUCER: [&str; 14] = [
        "security.",
        "sasl.",
        "ssl.",
        "enable.s",
        "https.",
        "socket.",
        "client.",
        "broker.",
        "reconnect.",
        "retry.",
        "metadata.",
        "compression.",
        "linger.",
        "batch.",
    ];
    let mut client = ClientConfig::new();
    client.set("message.max.bytes", (config.envelope.max_bytes.bytes() + (1 << 20)).to_string());
    for (name, value) in config.kafka.properties.iter() {
        if OF_A_PRODUCER.iter().any(|prefix| name.starts_with(prefix)) || name == "message.max.bytes" {
            client.set(name, value);
        }
    }
    client
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.kbytes", QUEUE_KIB);
    client
}

fn wait_for_topic(producer: &BaseProducer<Deliveries>, brokers: &str, topic: &str) -> anyhow::Result<()> {
    for _ in 0..TOPIC_ATTEMPTS {
        let Ok(metadata) = producer.client().fetch_metadata(Some(topic), CONNECT_TIMEOUT) else {
            producer.poll(Duration::ZERO); // prints why
            bail!("no answer from Kafka at {brokers}: is it running, and are kafka.brokers and [kafka.properties] right?");
        };
        if metadata.topics().iter().any(|found| found.error().is_none() && !found.partitions().is_empty()) {
            return Ok(());
        }
        producer.poll(Duration::from_millis(500));
    }
    bail!("the topic {topic} does not exist at {brokers}, and was not created on request: create it first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_passed_on_and_what_only_a_consumer_understands_is_not() {
        let mut config = Config::default();
        let given =
            [("security.protocol", "ssl"), ("enable.ssl.certificate.verification", "false"), ("session.timeout.ms", "9000")];
        config.kafka.properties = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let client = client_config(&config, "broker:1");
        assert_eq!(client.get("security.protocol"), Some("ssl"));
        assert_eq!(client.get("enable.ssl.certificate.verification"), Some("false"));
        assert_eq!(client.get("session.timeout.ms"), None);
        assert_eq!((client.get("acks"), client.get("bootstrap.servers")), (Some("all"), Some("broker:1")));
    }
}
