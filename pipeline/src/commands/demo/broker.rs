//! Where the demo's frames go: a broker inside this process, or the caller's own.
//!
//! In: nothing, or `host:port`. Out: a topic of [`PARTITIONS`] partitions that nobody else uses. Invariant: the topic is new, so that
//! offset n of a partition is the n-th message that the demo sent there.

use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Partitions of the demo's topic.
pub(super) const PARTITIONS: i32 = 4;

/// A broker with the demo's topic.
pub(super) struct Broker {
    pub(super) servers: String,
    pub(super) topic: String,
    pub(super) group: String,
    /// Lives as long as its clients.
    embedded: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Broker {
    /// A broker inside this process (librdkafka's mock cluster): real wire protocol, memory only, 5 MiB per partition.
    pub(super) fn embedded() -> anyhow::Result<Self> {
        let cluster = MockCluster::new(1).context("cannot start the embedded broker on a loopback port")?;
        let topic = "facestream-demo".to_owned();
        cluster.create_topic(&topic, PARTITIONS, 1).context("cannot create the demo's topic")?;
        Ok(Self { servers: cluster.bootstrap_servers(), topic, group: "facestream-demo".to_owned(), embedded: Some(cluster) })
    }

    /// The caller's broker at `servers`, with a topic and a group of this run's own.
    pub(super) async fn existing(servers: &str, run: &str) -> anyhow::Result<Self> {
        let topic = format!("facestream-demo-{run}");
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .create()
            .with_context(|| format!("cannot use the broker {servers}"))?;
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
        // A replication of -1 is the broker's default.
        let new = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(-1));
        let results = admin
            .create_topics([&new], &options)
            .await
            .with_context(|| format!("cannot create the topic {topic} at {servers}: is a broker listening there"))?;
        if let Some(Err((_, code))) = results.into_iter().next() {
            bail!("cannot create the topic {topic} at {servers}: {code}");
        }
        Ok(Self { servers: servers.to_owned(), group: topic.clone(), topic, embedded: None })
    }

    /// Whether it ends with the process.
    pub(super) fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// How to remove what the demo leaves on a broker of the caller's.
    pub(super) fn removal(&self) -> Option<String> {
        let Self { servers, topic, group, .. } = self;
        (!self.is_embedded()).then(|| {
            format!(
                "kafka-topics.sh --bootstrap-server {servers} --delete --topic {topic}\n  \
                 kafka-consumer-groups.sh --bootstrap-server {servers} --delete --group {group}"
            )
        })
    }
}
