//! Questions to the brokers, each asked once for many partitions.
//!
//! In: partitions and the longest wait. Out: what the brokers say of those that they know. Invariant: a partition without an
//! answer is left out, and an answer is never older than the question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use facestream_schemas::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;

use super::topic_id::topic_ids;

/// The longest wait for ids of topics: they are a check, and whoever asks has other things to do.
const IDS_TIMEOUT: Duration = Duration::from_secs(1);

/// First offset of a partition and one past its last, of those that can be read.
pub(super) type Range = std::ops::RangeInclusive<Offset>;

/// The ids of the partitions' topics, where the brokers tell them.
pub(super) fn ids_of<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = &'a Partition>,
) -> BTreeMap<Arc<str>, String> {
    let topics: BTreeSet<_> = partitions.into_iter().map(|partition| Arc::clone(&partition.topic)).collect();
    if topics.is_empty() { BTreeMap::new() } else { topic_ids(consumer.client(), &topics, IDS_TIMEOUT) }
}

/// What the group has committed, for those partitions where it has.
pub(super) fn committed<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = &'a Partition>,
    limit: Duration,
) -> KafkaResult<BTreeMap<Partition, Offset>> {
    let asked = super::assignment::list(partitions);
    if asked.count() == 0 {
        return Ok(BTreeMap::new());
    }
    let committed = consumer.committed_offsets(asked, limit)?;
    // Left out would mean that nothing was committed.
    committed.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
    Ok(offsets(&committed))
}

/// What can be read of each partition. A topic that the brokers do not know fails alone, and its partitions are left out; `Err`
/// where none of the topics could be asked for.
pub(super) fn ranges<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: impl IntoIterator<Item = &'a Partition>,
    limit: Duration,
) -> KafkaResult<BTreeMap<Partition, Range>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for Partition { topic, number } in partitions {
        topics.entry(topic).or_default().push(*number);
    }
    let started = Instant::now();
    let (mut found, mut failed) = (BTreeMap::new(), Ok(()));
    for (topic, numbers) in topics {
        let ends = |end| ends(consumer, topic, &numbers, end, limit.saturating_sub(started.elapsed()));
        match ends(rdkafka::Offset::Beginning).and_then(|low| Ok((low, ends(rdkafka::Offset::End)?))) {
            Ok((low, mut high)) => {
                let both = low.into_iter().filter_map(|(partition, low)| {
                    let high = high.remove(&partition)?;
                    Some((partition, low..=high))
                });
                found.extend(both);
            }
            Err(error) => failed = Err(error),
        }
    }
    if found.is_empty() { failed.map(|()| found) } else { Ok(found) }
}

/// The partitions' first or last offsets: one request to each leader. In a `ListOffsets` request the "timestamps" -2 and -1, which
/// are also librdkafka's numbers for the two ends, stand for the first and the last offset.
fn ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    numbers: &[i32],
    end: rdkafka::Offset,
    limit: Duration,
) -> KafkaResult<BTreeMap<Partition, Offset>> {
    let mut asked = TopicPartitionList::new();
    for number in numbers {
        asked.add_partition_offset(topic, *number, end)?;
    }
    Ok(offsets(&consumer.offsets_for_times(asked, limit.max(Duration::from_millis(1)))?))
}

fn offsets(list: &TopicPartitionList) -> BTreeMap<Partition, Offset> {
    let known = list.elements().into_iter().filter_map(|element| match (element.error(), element.offset()) {
        (Ok(()), rdkafka::Offset::Offset(offset)) => {
            Some((Partition { topic: element.topic().into(), number: element.partition() }, Offset(offset)))
        }
        _ => None,
    });
    known.collect()
}
