//! The consumer group from outside: its members and what it has committed, and the topic's partitions and their ends.
//!
//! In: `[kafka]` of the configuration. Out: answers, or a refusal. Invariant: this client never joins the group, so that it can commit
//! only while nobody else is in it; that is how members are noticed whatever protocol they joined with.

use anyhow::Context as _;
use facestream_schemas::{Offset, Partition};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::groups::GroupInfo;
use rdkafka::types::RDKafkaErrorCode;

use crate::commands::Failure;
use crate::config::Kafka;
use crate::kafka::silence::{Heard, listen, telling};
use crate::kafka::{ASK_TIMEOUT, Ends, client};

/// A client that asks about the group from outside.
pub(super) struct Group {
    name: String,
    brokers: String,
    cluster: String,
    consumer: BaseConsumer<Heard>,
}

/// A topic as it is now.
pub(super) struct Topic {
    /// Where the brokers tell one.
    pub(super) id: Option<String>,
    pub(super) partitions: Vec<Partition>,
}

impl Group {
    pub(super) fn connect(kafka: &Kafka) -> anyhow::Result<Self> {
        let mut client = telling(client::base(kafka));
        client.set("group.id", &kafka.group).set("enable.auto.commit", "false").set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer<Heard> =
            client.create_with_context(Heard::default()).context("cannot set up a Kafka client: see [kafka.properties]")?;
        let Some(cluster) = consumer.client().fetch_cluster_id(ASK_TIMEOUT) else {
            listen(&consumer);
            return Err(consumer.context().silence(kafka, &kafka.brokers).into());
        };
        Ok(Self { name: kafka.group.clone(), brokers: kafka.brokers.clone(), cluster, consumer })
    }

    /// The cluster's id.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The topic as it is now, with the partitions that are asked for: one, or all.
    pub(super) fn topic(&self, name: &str, only: Option<i32>) -> anyhow::Result<Topic> {
        let ends = match crate::kafka::ends(&self.consumer, &[name.to_owned()]) {
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)) => Ends::default(),
            ends => ends.with_context(|| format!("cannot ask {} about the topic {name}", self.brokers))?,
        };
        let id = ends.topic_ids.get(name).cloned();
        let partitions = ends.offsets.into_keys().filter(|partition| only.is_none_or(|only| only == partition.number));
        let partitions: Vec<_> = partitions.collect();
        if partitions.is_empty() {
            let which = only.map(|only| format!("partition {only} of a ")).unwrap_or_default();
            return Err(Failure::Usage(format!("there is no {which}topic {name} at {}", self.brokers)).into());
        }
        Ok(Topic { id, partitions })
    }

    /// The oldest offset that Kafka has, and one past the newest.
    pub(super) fn watermarks(&self, partition: &Partition) -> anyhow::Result<(Offset, Offset)> {
        let found = self.consumer.fetch_watermarks(&partition.topic, partition.number, ASK_TIMEOUT);
        let (low, high) = found.with_context(|| format!("cannot ask {} for the ends of {partition}", self.brokers))?;
        Ok((Offset(low), Offset(high)))
    }

    /// Refuses while the group has members.
    pub(super) fn refuse_members(&self, ends: &[(&Partition, Option<Offset>)], dry_run: bool) -> anyhow::Result<()> {
        let Some(members) = self.members(ends, dry_run)? else { return Ok(()) };
        let text = format!(
            "the group {} has {members}: stop `facestream run` everywhere, or give --force (a process that was killed counts \
             until its session expires)",
            self.name
        );
        Err(Failure::Refused(text).into())
    }

    /// The group's members, in words; `None` while it has none. Those of the classic protocol are listed; a group of the newer one is
    /// tried by committing what is committed already, which Kafka refuses from outside as long as somebody is in it. `ends` is what is
    /// committed where nothing was, unless that would be a change that a dry run must not make.
    pub(super) fn members(&self, ends: &[(&Partition, Option<Offset>)], dry_run: bool) -> anyhow::Result<Option<String>> {
        let groups = self.consumer.client().fetch_group_list(Some(&self.name), ASK_TIMEOUT);
        let groups = groups.with_context(|| format!("cannot ask {} for the members of the group {}", self.brokers, self.name))?;
        let members = groups.groups().iter().filter(|group| group.name() == self.name).flat_map(GroupInfo::members);
        let members: Vec<_> = members.map(|member| format!("{} at {}", member.client_id(), member.client_host())).collect();
        if !members.is_empty() {
            return Ok(Some(format!("{} members ({})", members.len(), members.join(", "))));
        }
        let again = self
            .committed_again(ends, dry_run)
            .with_context(|| format!("cannot ask for the offsets of the group {}", self.name))?;
        if again.count() == 0 {
            return Ok(None);
        }
        match self.consumer.commit(&again, CommitMode::Sync) {
            Err(error) if is_of_a_living_group(&error) => Ok(Some("members".to_owned())),
            committed => committed.map(|()| None).with_context(|| format!("cannot commit for the group {}", self.name)),
        }
    }

    /// What the group has committed for a partition, if anything.
    pub(super) fn committed(&self, partition: &Partition) -> anyhow::Result<Option<Offset>> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&partition.topic, partition.number);
        let committed = self.consumer.committed_offsets(asked, ASK_TIMEOUT);
        let committed = committed.with_context(|| format!("cannot ask for the offsets of the group {}", self.name))?;
        Ok(match committed.find_partition(&partition.topic, partition.number).map(|found| found.offset()) {
            Some(rdkafka::Offset::Offset(offset)) => Some(Offset(offset)),
            _ => None,
        })
    }

    fn committed_again(&self, ends: &[(&Partition, Option<Offset>)], dry_run: bool) -> KafkaResult<TopicPartitionList> {
        let mut asked = TopicPartitionList::new();
        for (partition, _) in ends {
            asked.add_partition(&partition.topic, partition.number);
        }
        let committed = self.consumer.committed_offsets(asked, ASK_TIMEOUT)?;
        let mut again = TopicPartitionList::new();
        for (partition, end) in ends {
            let found = committed.find_partition(&partition.topic, partition.number).map(|found| found.offset());
            let end = end.filter(|_| !dry_run).map(|end| rdkafka::Offset::Offset(end.0));
            if let Some(offset) = found.filter(|found| matches!(found, rdkafka::Offset::Offset(_))).or(end) {
                again.add_partition_offset(&partition.topic, partition.number, offset)?;
            }
        }
        Ok(again)
    }

    /// Moves the group's offset, for those who look at lag.
    pub(super) fn commit(&self, partition: &Partition, to: Offset) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&partition.topic, partition.number, rdkafka::Offset::Offset(to.0))?;
        self.consumer.commit(&offsets, CommitMode::Sync)
    }
}

/// What Kafka answers to a commit from outside while the group has members.
fn is_of_a_living_group(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::StaleMemberEpoch
        )
    )
}
