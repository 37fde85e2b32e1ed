//! Where frames made here go: a broker inside this process, or the caller's own.
//!
//! In: nothing, or a client of the caller's brokers. Out: a topic that nobody else uses, and a group for it. Invariant: the topic is
//! new, so that offset n of a partition is the n-th message that was sent there.

use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::config::Kafka;

/// Bytes that the embedded broker keeps of a partition; older messages are gone without a word.
pub(super) const EMBEDDED_BYTES: u64 = 5 << 20;

/// A broker with a topic.
pub(super) struct Broker {
    pub(super) servers: String,
    pub(super) topic: String,
    pub(super) group: String,
    /// Lives as long as its clients.
    embedded: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Broker {
    /// A broker inside this process (librdkafka's mock cluster) with a topic and a group called `name`: real wire protocol, memory
    /// only, [`EMBEDDED_BYTES`] a partition.
    pub(super) fn embedded(name: &str, partitions: i32) -> anyhow::Result<Self> {
        let cluster = MockCluster::new(1).context("cannot start the embedded broker on a loopback port")?;
        cluster.create_topic(name, partitions, 1).with_context(|| format!("cannot create the topic {name}"))?;
        let (topic, group) = (name.to_owned(), name.to_owned());
        Ok(Self { servers: cluster.bootstrap_servers(), topic, group, embedded: Some(cluster) })
    }

    /// The caller's brokers at `servers`, reached as `client` says, with a topic and a group called `name`.
    pub(super) async fn existing(client: &ClientConfig, servers: &str, name: &str, partitions: i32) -> anyhow::Result<Self> {
        let admin = admin(client, servers)?;
        // A replication of -1 is the broker's default.
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let results = admin
            .create_topics([&new], &options())
            .await
            .with_context(|| format!("cannot create the topic {name} at {servers}: is a broker listening there"))?;
        if let Some(Err((_, code))) = results.into_iter().next() {
            bail!("cannot create the topic {name} at {servers}: {code}");
        }
        Ok(Self { servers: servers.to_owned(), group: name.to_owned(), topic: name.to_owned(), embedded: None })
    }

    /// Has a pipeline read the topic, in the group.
    pub(super) fn connect(&self, kafka: &mut Kafka) {
        kafka.brokers.clone_from(&self.servers);
        kafka.topics = vec![self.topic.clone()];
        kafka.group.clone_from(&self.group);
        if self.is_embedded() {
            // It answers an empty fetch only after the whole wait, even if a message arrives meanwhile.
            kafka.properties = [("fetch.wait.max.ms".to_owned(), "20".to_owned())].into_iter().collect();
        }
    }

    /// Whether it ends with the process.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// How to remove what stays on a broker of the caller's.
    pub(super) fn removal(&self) -> Option<String> {
        let Self { servers, topic, group, .. } = self;
        (!self.is_embedded()).then(|| {
            format!(
                "kafka-topics.sh --bootstrap-server {servers} --delete --topic {topic}\n  \
                 kafka-consumer-groups.sh --bootstrap-server {servers} --delete --group {group}"
            )
        })
    }

    /// Removes the topic, and these groups, from a broker of the caller's.
    pub(super) async fn remove(&self, client: &ClientConfig, groups: &[String]) -> anyhow::Result<()> {
        if self.is_embedded() {
            return Ok(());
        }
        let admin = admin(client, &self.servers)?;
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let removed = admin.delete_topics(&[&self.topic], &options()).await.context("deleting the topic")?;
        let (Some(Ok(_)), Ok(_)) = (removed.first(), admin.delete_groups(&groups, &options()).await) else {
            bail!("cannot remove topic and groups: {}", self.removal().unwrap_or_default());
        };
        Ok(())
    }
}

fn admin(client: &ClientConfig, servers: &str) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    client.clone().set("bootstrap.servers", servers).create().with_context(|| format!("cannot use the broker {servers}"))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(Duration::from_secs(10)))
}
