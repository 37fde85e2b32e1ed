//! What administrators do to topics and groups, and retention to records.

use rdkafka::admin::NewPartitions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Kafka, REQUEST, client, options};
use crate::wait_for;

impl Kafka {
    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        self.producer.client().fetch_cluster_id(REQUEST).expect("the cluster's id")
    }

    /// Deletes a topic and creates another one of the same name: its offsets count anew.
    pub fn make_topic_anew(&self, name: &str, partitions: i32) {
        self.delete_topic(name);
        wait_for(&format!("{name} to be gone"), REQUEST, || {
            let metadata = self.producer.client().fetch_metadata(Some(name), REQUEST).map_err(|error| error.to_string())?;
            if metadata.topics()[0].partitions().is_empty() { Ok(()) } else { Err("it is there".to_owned()) }
        });
        self.create_topic(name, partitions, &[]);
    }

    /// Adds partitions to a topic, so that it has `count`.
    pub fn add_partitions(&self, name: &str, count: usize) {
        let added = self.runtime.block_on(self.admin.create_partitions([&NewPartitions::new(name, count)], &options()));
        assert!(matches!(added.as_deref(), Ok([Ok(_)])), "adding partitions to {name}: {added:?}");
        wait_for(&format!("{count} partitions of {name}"), REQUEST, || {
            let metadata = self.producer.client().fetch_metadata(Some(name), REQUEST).map_err(|error| error.to_string())?;
            let led = metadata.topics()[0].partitions().iter().filter(|partition| partition.leader() >= 0).count();
            if led == count { Ok(()) } else { Err(led.to_string()) }
        });
    }

    /// Deletes the records of a partition below `offset`, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let deleted = self.runtime.block_on(self.admin.delete_records(&before, &options())).expect("deleting records");
        deleted.elements().iter().for_each(|element| element.error().expect("deleting records"));
        wait_for("the records to be gone", REQUEST, || match self.ends(topic)[&partition] {
            (low, _) if low == offset => Ok(()),
            (low, _) => Err(low.to_string()),
        });
    }

    /// Moves a group's offset by hand; the group must have no members.
    pub fn move_offset(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = client(self.brokers(), &[("group.id", group)]).create().expect("a consumer");
        let mut to = TopicPartitionList::new();
        to.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        wait_for("the offset to be moved", REQUEST, || consumer.commit(&to, CommitMode::Sync).map_err(|error| error.to_string()));
    }

    /// How many members a group of the classic protocol has.
    #[must_use]
    pub fn members(&self, group: &str) -> usize {
        let groups = self.producer.client().fetch_group_list(Some(group), REQUEST).expect("the group");
        groups.groups().iter().map(|group| group.members().len()).sum()
    }
}
