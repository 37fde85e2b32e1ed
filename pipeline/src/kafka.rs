//! Kafka: one thread polls a consumer and binds each message to the lane of its partition.
//!
//! In flow order: [`client`] sets librdkafka up, the poll thread ([`consumer`]) takes messages while there is room, and the
//! rebalance callback (`rebalance`) opens and gives up partitions (`assignment` keeps them). The journal is unknown here:
//! lanes are asked where to go on, and tell what may be committed.

mod assignment;
pub mod client;
pub mod consumer;
mod rebalance;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use facestream_schemas::{Offset, Partition};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

/// How long a question to the brokers may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// One past the last offset of every partition of `topics`, as of now.
pub fn end_offsets<C: rdkafka::consumer::ConsumerContext>(
    consumer: &impl Consumer<C>,
    topics: &[String],
) -> Result<BTreeMap<Partition, Offset>, KafkaError> {
    let mut ends = BTreeMap::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT)?;
        let name: Arc<str> = topic.as_str().into();
        if let Some(error) = metadata.topics().iter().find_map(rdkafka::metadata::MetadataTopic::error) {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        for found in metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            let (_, high) = consumer.fetch_watermarks(topic, found.id(), ASK_TIMEOUT)?;
            ends.insert(Partition { topic: Arc::clone(&name), number: found.id() }, Offset(high));
        }
    }
    Ok(ends)
}
