//! Originals back to their topics, and tombstones under the keys of their letters.
//!
//! In: a batch. Out: of each where it went, or why not. Invariant: a tombstone is sent only after the original has been
//! acknowledged by all in-sync replicas. A process that ends between the two leaves the letter, and the next retry sends the
//! original again.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use facestream_schemas::dead_letter::Sent;
use futures::future::join_all;
use indicatif::ProgressBar;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::runtime::Runtime;

use super::fold::Place;
use crate::commands::read::Logs;
use crate::config::Kafka;
use crate::kafka::client;

/// How long the brokers may take to acknowledge.
const ACKNOWLEDGED: Duration = Duration::from_mins(1);
/// The largest message that the configuration lets through, and its headers: 64 MiB and 1 MiB.
const LARGEST: u64 = 65 << 20;

/// An original that is to be sent again.
pub(super) struct Outgoing {
    /// Its letter, for people.
    pub(super) name: String,
    /// The letter's key.
    pub(super) key: Vec<u8>,
    /// Where the letter lies: a tombstone goes to each.
    pub(super) places: Vec<Place>,
    /// The topic that the original came from.
    pub(super) topic: String,
    /// The partition that it came from; `None` where that no longer exists: then Kafka's client chooses by key.
    pub(super) partition: Option<i32>,
    pub(super) sent: Sent,
}

impl Outgoing {
    /// The bytes that it holds.
    pub(super) fn memory(&self) -> usize {
        let headers = self.sent.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len));
        self.sent.value.as_ref().map_or(0, Bytes::len) + headers.sum::<usize>()
    }
}

/// A producer.
pub(super) struct Sender {
    producer: FutureProducer<Logs>,
    runtime: Runtime,
    letters: String,
}

impl Sender {
    /// `letters` is the dead-letter topic.
    pub(super) fn new(kafka: &Kafka, letters: &str, bar: ProgressBar) -> anyhow::Result<Self> {
        let mut client = client::producer(kafka, &kafka.brokers, LARGEST);
        client.set("message.timeout.ms", ACKNOWLEDGED.as_millis().to_string()).set("linger.ms", "1");
        let producer =
            client.create_with_context(Logs::above(bar)).context("cannot set up the Kafka producer: see [kafka.properties]")?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the I/O runtime")?;
        Ok(Self { producer, runtime, letters: letters.to_owned() })
    }

    /// Sends a batch and ends the letters of what was acknowledged. The results are in the batch's order.
    pub(super) fn carry_out(&self, batch: &[Outgoing]) -> Vec<Result<Delivery, String>> {
        self.runtime.block_on(async {
            let originals = join_all(batch.iter().map(|outgoing| self.original(outgoing))).await;
            join_all(batch.iter().zip(originals).map(|(outgoing, sent)| self.ended(outgoing, sent))).await
        })
    }

    async fn original(&self, outgoing: &Outgoing) -> Result<Delivery, String> {
        let Sent { key, value, headers } = &outgoing.sent;
        let headers = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |headers, (name, value)| {
            headers.insert(Header { key: name, value: value.as_deref() })
        });
        let record = FutureRecord {
            topic: &outgoing.topic,
            partition: outgoing.partition,
            payload: value.as_deref(),
            key: key.as_deref(),
            timestamp: None,
            headers: Some(headers),
        };
        self.producer.send(record, ACKNOWLEDGED).await.map_err(|(error, _)| format!("not sent to {}: {error}", outgoing.topic))
    }

    async fn ended(&self, outgoing: &Outgoing, sent: Result<Delivery, String>) -> Result<Delivery, String> {
        let delivery = sent?;
        for place in &outgoing.places {
            let tombstone = FutureRecord::<[u8], [u8]>::to(&self.letters).key(&outgoing.key).partition(place.partition);
            if let Err((error, _)) = self.producer.send(tombstone, ACKNOWLEDGED).await {
                return Err(not_ended(&outgoing.topic, &delivery, &error));
            }
        }
        Ok(delivery)
    }
}

fn not_ended(topic: &str, delivery: &Delivery, error: &KafkaError) -> String {
    format!(
        "sent as {topic}/{}/{}, but its letter could not be ended ({error}): the next retry would send it once more",
        delivery.partition, delivery.offset
    )
}
