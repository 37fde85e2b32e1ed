//! Kafka: one thread polls a consumer and binds each message to the lane of its partition.
//!
//! In flow order: [`client`] sets librdkafka up, the poll thread ([`consumer`]) takes messages while there is room, and the
//! rebalance callback (`rebalance`) opens and gives up partitions (`assignment` keeps them). The journal is unknown here:
//! lanes are asked where to go on, and tell what may be committed. Where a partition goes on is decided in `resume`, from what
//! the journal and the brokers (`brokers`, `topic_id`) say.

mod assignment;
mod brokers;
pub mod client;
#[allow(unsafe_code, reason = "rust-rdkafka tells nobody how an asynchronous commit ended")]
mod commit;
pub mod consumer;
#[allow(unsafe_code, reason = "rust-rdkafka panics at names that are not UTF-8")]
pub(crate) mod headers;
pub mod outbox;
mod rebalance;
mod resume;
pub mod silence;
#[allow(unsafe_code, reason = "DescribeTopics is only in librdkafka's C interface")]
mod topic_id;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use facestream_schemas::{Offset, Partition};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;

/// How long a question to the brokers may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Where topics end, as of now.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// One past the last offset of every partition.
    pub offsets: BTreeMap<Partition, Offset>,
    /// The topics' ids, where the brokers tell them.
    pub topic_ids: BTreeMap<Arc<str>, String>,
}

/// Asks where `topics` end.
pub fn ends<C: ConsumerContext>(consumer: &BaseConsumer<C>, topics: &[String]) -> Result<Ends, KafkaError> {
    let mut ends = Ends::default();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT)?;
        let name: Arc<str> = topic.as_str().into();
        if let Some(error) = metadata.topics().iter().find_map(MetadataTopic::error) {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        for found in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            let (_, high) = consumer.fetch_watermarks(topic, found.id(), ASK_TIMEOUT)?;
            ends.offsets.insert(Partition { topic: Arc::clone(&name), number: found.id() }, Offset(high));
        }
    }
    ends.topic_ids = brokers::ids_of(consumer, ends.offsets.keys());
    Ok(ends)
}
