//! Pictures on their way to a pipeline.
//!
//! In: an encoded picture. Out: where its message lies in the topic, once all in-sync replicas have it. Invariant: a message that says
//! where its picture lies is sent only once the picture is there; each has a `frame_id` that no other has.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use facestream_schemas::envelope::Format;
use indicatif::ProgressBar;
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use super::super::seen::Failed;
use crate::clock::now;
use crate::commands::produce::envelope::{Content, Envelope, Facts};
use crate::commands::produce::sender::headers;
use crate::commands::produce::shot::media_type;
use crate::commands::produce::upload::{Claim, Uploads, sha256};
use crate::commands::read::Logs;
use crate::config::Config;
use crate::kafka::client;

/// How long the brokers may take to acknowledge.
const ACKNOWLEDGED: Duration = Duration::from_mins(1);

/// A message's partition and offset.
pub(super) type Place = (i32, i64);

/// A producer, and a place for pictures.
pub(super) struct Post<'a> {
    producer: FutureProducer<Logs>,
    uploads: Option<Uploads>,
    envelope: Envelope,
    topic: &'a str,
    source_id: &'a str,
}

impl<'a> Post<'a> {
    /// Pictures are uploaded to `place`, or go in their messages.
    pub(super) fn new(
        topic: &'a str,
        source_id: &'a str,
        place: Option<&str>,
        config: &Config,
        bar: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let settings = config.envelope_of(topic);
        let envelope = match settings.format {
            Format::Auto | Format::Raw => Envelope::Raw,
            Format::CloudEvents => Envelope::CloudEvents,
            Format::Json => Envelope::Json,
            Format::MsgPack => Envelope::MsgPack,
        };
        let uploads = place.map(|place| Uploads::open(place, config)).transpose()?;
        let most_bytes = envelope.most_bytes(settings.max_bytes.bytes());
        let mut client = client::producer(&config.kafka, &config.kafka.brokers, most_bytes);
        client.set("message.timeout.ms", ACKNOWLEDGED.as_millis().to_string()).set("linger.ms", "0");
        let logs = Logs::above(bar.clone());
        let producer = client.create_with_context(logs).context("cannot set up the Kafka producer: see [kafka.properties]")?;
        Ok(Self { producer, uploads, envelope, topic, source_id })
    }

    pub(super) fn topic(&self) -> &str {
        self.topic
    }

    /// Sends the picture of this number: where the message lies, and the picture, if not in it.
    pub(super) async fn send(&self, number: usize, picture: Bytes) -> Result<(Place, Option<String>), Failed> {
        let claim = match &self.uploads {
            None => None,
            Some(uploads) => {
                Some(uploads.put(picture.clone(), sha256(&picture)).await.map_err(|error| not_sent("upload it", error))?)
            }
        };
        let content = match &claim {
            None => Content::Image(&picture),
            Some(Claim { uri, sha256 }) => Content::Claim { uri, sha256 },
        };
        let facts = Facts {
            source_id: self.source_id,
            capture_ts_ns: now().0.saturating_mul(1_000),
            frame_id: &format!("detect/{}", Uuid::new_v4()),
            frame_seq: number as u64,
            media_type: media_type(&picture),
            content,
        };
        let sealed = self.envelope.seal(&facts);
        let record = FutureRecord::<str, [u8]>::to(self.topic)
            .key(self.source_id)
            .payload(&sealed.value)
            .headers(headers(sealed.headers.iter().map(|(name, value)| (*name, &**value)), &[]));
        let sent = self.producer.send(record, ACKNOWLEDGED).await;
        let delivery = sent.map_err(|(error, _)| not_sent(&format!("send it to {}", self.topic), error))?;
        Ok(((delivery.partition, delivery.offset), claim.map(|claim| claim.uri)))
    }
}

fn not_sent(what: &str, error: impl std::fmt::Display) -> Failed {
    Failed { status: "not_sent".into(), error: format!("cannot {what}: {error}") }
}
