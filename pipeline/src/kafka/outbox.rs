//! Messages that the pipeline produces: events, windows, dead letters, annotated pictures.
//!
//! In: [`Outgoing`] from lanes. Out: a future each, ready once the message is acknowledged by all in-sync replicas. Invariant:
//! nothing is given up that another attempt may bring through; memory is bounded by the budget that lanes count messages into.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use facestream_schemas::dead_letter;
use facestream_schemas::{Message, Reason};
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{DeliveryFuture, FutureProducer};
use rdkafka::producer::{FutureRecord, Producer as _};
use tokio::time::sleep;

use super::client;
use crate::config::{ByteSize, Config};
use crate::lane::{Outbox, Outgoing, Output};
use crate::metrics::Metrics;

/// First and longest wait before a message is sent again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// What key and headers may add to the largest value.
const HEADERS_BYTES: u64 = 1 << 20;
/// An annotated picture may be larger than what it was made from, which had another format or quality.
const PICTURE_BYTES: ByteSize = ByteSize(64 << 20);
/// A topic that takes nothing is reported this often.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// The producer, and which topic is for what.
#[derive(Clone)]
pub struct KafkaOutbox(Arc<Inner>);

struct Inner {
    producer: Lasting,
    /// For messages that were refused as too large: brokers mean the batch, and here each is a batch of its own.
    alone: Lasting,
    events: String,
    windows: String,
    dead_letters: String,
    pictures: String,
    metrics: Metrics,
    /// When a topic's failure was last reported.
    reported: Reports,
    /// The same of a message that was given up.
    gave_up: Reports,
}

impl std::fmt::Debug for KafkaOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KafkaOutbox")
    }
}

impl KafkaOutbox {
    /// A producer for the topics that are configured; `None` where there is none.
    pub fn new(config: &Config, metrics: Metrics) -> KafkaResult<Option<Self>> {
        let (events, windows, dead_letters) = (&config.events.topic, &config.windows.topic, &config.dead_letters.topic);
        let pictures = &config.annotate.topic;
        if [events, windows, dead_letters, pictures].iter().all(|topic| topic.is_empty()) {
            return Ok(None);
        }
        let topics = config.kafka.topics.iter().map(|topic| config.envelope_of(topic).max_bytes);
        let picture = if pictures.is_empty() { ByteSize(0) } else { PICTURE_BYTES };
        let others = [config.envelope.max_bytes, config.dead_letters.max_bytes, picture];
        let largest = topics.chain(others).max().map_or(0, ByteSize::bytes);
        let client = client::producer(&config.kafka, &config.kafka.brokers, largest + HEADERS_BYTES);
        Ok(Some(Self(Arc::new(Inner {
            alone: Lasting::new(client.clone().set("batch.num.messages", "1").clone())?,
            producer: Lasting::new(client)?,
            events: events.clone(),
            windows: windows.clone(),
            dead_letters: dead_letters.clone(),
            pictures: pictures.clone(),
            metrics,
            reported: Reports::default(),
            gave_up: Reports::default(),
        }))))
    }
}

impl Outbox for KafkaOutbox {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'static, ()> {
        // Queued here and now, so that messages leave in the order in which they are given.
        let (first, sent) = (self.0.queue(&outgoing, false), Instant::now());
        Arc::clone(&self.0).deliver(outgoing, first, sent).boxed()
    }
}

/// A producer that is made anew after a fatal error, which an idempotent one does not recover from.
struct Lasting {
    client: ClientConfig,
    producer: RwLock<FutureProducer>,
}

impl Lasting {
    fn new(client: ClientConfig) -> KafkaResult<Self> {
        Ok(Self { producer: RwLock::new(client.create()?), client })
    }

    fn send(&self, record: FutureRecord<'_, [u8], [u8]>) -> Result<DeliveryFuture, KafkaError> {
        self.producer.read().unwrap_or_else(PoisonError::into_inner).send_result(record).map_err(|(error, _)| error)
    }

    /// Makes the producer anew where it cannot go on.
    fn revive(&self) {
        let is_dead = |producer: &FutureProducer| producer.client().fatal_error().is_some();
        if !is_dead(&self.producer.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        if is_dead(&producer) {
            match self.client.create() {
                Ok(new) => *producer = new,
                Err(error) => tracing::error!("cannot make a new producer, trying again: {error}"),
            }
        }
    }
}

impl Inner {
    fn topic(&self, to: Output) -> &str {
        match to {
            Output::Events => &self.events,
            Output::Windows => &self.windows,
            Output::DeadLetters(_) => &self.dead_letters,
            Output::Pictures => &self.pictures,
        }
    }

    fn queue(&self, Outgoing { to, message }: &Outgoing, alone: bool) -> Result<DeliveryFuture, KafkaError> {
        let mut record = FutureRecord::<[u8], [u8]>::to(self.topic(*to)).key(&message.key).headers(headers(message));
        if let Some(value) = &message.value {
            record = record.payload(value);
        }
        if alone { self.alone.send(record) } else { self.producer.send(record) }
    }

    /// Waits for the acknowledgement; where there is none, sends again.
    async fn deliver(self: Arc<Self>, mut outgoing: Outgoing, first: Result<DeliveryFuture, KafkaError>, sent: Instant) {
        let (mut queued, mut alone) = (first, false);
        let mut delay = RETRY.0;
        loop {
            let error = match queued {
                Ok(delivery) => match delivery.await {
                    Ok(Ok(_)) => return self.count(outgoing.to, sent),
                    Ok(Err((error, _))) => error,
                    Err(_) => KafkaError::Canceled,
                },
                Err(error) => error,
            };
            self.metrics.produce_errors.of(outgoing.to.topic()).inc();
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                if alone && !self.shorten(&mut outgoing) {
                    return;
                }
                alone = true;
            } else {
                self.report(outgoing.to, &error);
                self.producer.revive();
                self.alone.revive();
                sleep(delay).await;
                delay = (delay * 2).min(RETRY.1);
            }
            queued = self.queue(&outgoing, alone);
        }
    }

    /// Leaves the value out of a dead letter that its topic does not take; whether there is something left to be sent.
    fn shorten(&self, outgoing: &mut Outgoing) -> bool {
        if matches!(outgoing.to, Output::DeadLetters(_)) && dead_letter::leave_out(&mut outgoing.message) {
            return true;
        }
        self.metrics.given_up_messages.of(outgoing.to.topic()).inc();
        let topic = self.topic(outgoing.to);
        if self.gave_up.is_due(topic) {
            let key = String::from_utf8_lossy(&outgoing.message.key).into_owned();
            tracing::error!(
                topic,
                key,
                "a message is larger than the topic takes and is given up, maybe more: raise its max.message.bytes"
            );
        }
        false
    }

    fn count(&self, to: Output, sent: Instant) {
        self.metrics.produce_seconds.observe(sent.elapsed().as_secs_f64());
        self.metrics.events.of(to.topic()).inc();
        if let Output::DeadLetters(reason) = to {
            self.metrics.dead_letters.with_label_values(&[Reason::as_str(reason)]).inc();
        }
    }

    /// Says that a topic takes nothing, now and then: each message that waits for it fails.
    fn report(&self, to: Output, error: &KafkaError) {
        let topic = self.topic(to);
        if self.reported.is_due(topic) {
            tracing::warn!(topic, "cannot produce, trying again (rows wait for it): {error}");
        }
    }
}

/// When something was last said of each topic.
#[derive(Default)]
struct Reports(Mutex<HashMap<String, Instant>>);

impl Reports {
    /// Whether that is long ago; then it is said now.
    fn is_due(&self, topic: &str) -> bool {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = reports.get(topic).is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if is_due {
            reports.insert(topic.to_owned(), Instant::now());
        }
        is_due
    }
}

fn headers(message: &Message) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(message.headers.len());
    message.headers.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: value.as_ref() }))
}
