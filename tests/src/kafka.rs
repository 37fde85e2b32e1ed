//! One real Apache Kafka broker per test process, and what tests do with it.
//!
//! In: Kafka's jars and Java. Out: a KRaft broker (broker and controller in one process) on free ports of the loopback, with
//! 512 MB of heap. Invariant: a topic belongs to one test ([`Kafka::topic`] never gives the same name twice).

mod changes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::util::Timeout;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::{free_port, scratch, spawn, tail};
use crate::{cache, wait_for};

/// How long any one request to the broker may take.
const REQUEST: Duration = Duration::from_secs(20);

/// What is produced to one partition.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The partition it goes to.
    pub partition: i32,
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The record's own time, in milliseconds since 1970; the time of producing where there is none.
    pub timestamp_ms: Option<i64>,
}

/// A running broker.
pub struct Kafka {
    brokers: String,
    log: PathBuf,
    runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
    process: Child,
    _folder: TempDir,
}

impl Kafka {
    /// The broker that all tests of this process share, started by the first that asks.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Kafka::start)
    }

    /// A broker of one's own (3 to 5 s), for tests that stop it or break it.
    #[must_use]
    pub fn start() -> Kafka {
        let folder = scratch();
        let (port, controller) = (free_port(), free_port());
        let properties = folder.path().join("server.properties");
        fs::write(&properties, server_properties(folder.path(), port, controller)).expect("writing server.properties");
        format_storage(&properties);
        let log = folder.path().join("broker.log");
        let process = spawn(java("512m").arg("kafka.Kafka").arg(&properties), &log);
        let brokers = format!("127.0.0.1:{port}");
        // A message of 16 MiB, base64 in JSON, must pass.
        let config = client(&brokers, &[("message.max.bytes", "33554432"), ("linger.ms", "5")]);
        let mut kafka = Kafka {
            log,
            runtime: Runtime::new().expect("a tokio runtime"),
            admin: config.create().expect("an admin client"),
            producer: config.create().expect("a producer"),
            process,
            _folder: folder,
            brokers,
        };
        kafka.wait_until_ready();
        kafka
    }

    fn wait_until_ready(&mut self) {
        wait_for("Kafka to answer a metadata request", Duration::from_secs(90), || {
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("Kafka ended with {status}{}", tail(&self.log));
            }
            let metadata = self.producer.client().fetch_metadata(None, Duration::from_secs(1));
            let seen = metadata.map(|metadata| metadata.brokers().len());
            if matches!(seen, Ok(1)) { Ok(()) } else { Err(format!("{seen:?}{}", tail(&self.log))) }
        });
    }

    /// `host:port`, as `kafka.brokers` takes it.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The broker's process id, for looking at `/proc`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The end of the broker's log, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Creates a topic whose name starts with `prefix` and is used by nobody else; returns the name.
    pub fn topic(&self, prefix: &str, partitions: i32) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.create_topic(&name, partitions, &[]);
        name
    }

    /// Creates a topic of this very name, with topic properties such as `("retention.ms", "1000")`, and waits until every
    /// partition has its leader.
    pub fn create_topic(&self, name: &str, partitions: i32, properties: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = properties.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let created = self.runtime.block_on(self.admin.create_topics([&topic], &options()));
        let created = created.unwrap_or_else(|error| panic!("creating topic {name}: {error}{}", self.log_tail()));
        assert!(created.iter().all(Result::is_ok), "creating topic {name}: {created:?}");
        wait_for(&format!("a leader of every partition of {name}"), REQUEST, || {
            let metadata = self.producer.client().fetch_metadata(Some(name), REQUEST).map_err(|error| error.to_string())?;
            let led = metadata.topics()[0].partitions().iter().filter(|partition| partition.leader() >= 0).count();
            if led == partitions as usize { Ok(()) } else { Err(format!("{led} of {partitions}")) }
        });
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) {
        let deleted = self.runtime.block_on(self.admin.delete_topics(&[name], &options()));
        assert!(matches!(deleted.as_deref(), Ok([Ok(_)])), "deleting topic {name}: {deleted:?}");
    }

    /// Produces all records and waits until each is acknowledged; returns their offsets, in the order given.
    pub fn produce(&self, topic: &str, records: &[Record]) -> Vec<i64> {
        self.runtime.block_on(async {
            let mut sent = Vec::with_capacity(records.len());
            for record in records {
                sent.push(self.enqueue(topic, record).await);
            }
            let mut offsets = Vec::with_capacity(records.len());
            for delivery in sent {
                let delivery = delivery.await.expect("the producer lives");
                offsets.push(delivery.unwrap_or_else(|(error, _)| panic!("producing to {topic}: {error}")).offset);
            }
            offsets
        })
    }

    /// Puts one record into the producer's queue, waiting while that is full.
    async fn enqueue(&self, topic: &str, record: &Record) -> rdkafka::producer::DeliveryFuture {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let mut out = FutureRecord::<Vec<u8>, Vec<u8>>::to(topic).partition(record.partition).headers(headers);
        out.key = record.key.as_ref();
        out.payload = record.payload.as_ref();
        out.timestamp = record.timestamp_ms;
        loop {
            match self.producer.send_result(out) {
                Ok(delivery) => return delivery,
                Err((error, back)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull) => {
                    out = back;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err((error, _)) => panic!("producing to {topic}: {error}"),
            }
        }
    }

    /// The log's start and end offset of each partition.
    #[must_use]
    pub fn ends(&self, topic: &str) -> BTreeMap<i32, (i64, i64)> {
        let client = self.producer.client();
        let metadata = client.fetch_metadata(Some(topic), REQUEST).expect("metadata");
        let partitions = metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id);
        partitions.map(|id| (id, client.fetch_watermarks(topic, id, REQUEST).expect("watermarks"))).collect()
    }

    /// What the group has committed, for the partitions where it has.
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = client(&self.brokers, &[("group.id", group)]).create().expect("a consumer");
        let mut wanted = TopicPartitionList::new();
        self.ends(topic).keys().for_each(|partition| {
            wanted.add_partition(topic, *partition);
        });
        let found = consumer.committed_offsets(wanted, REQUEST).expect("committed offsets");
        let known = found.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        });
        known.collect()
    }

    /// Deletes the group with all its offsets, as soon as its last member is gone.
    pub fn delete_group(&self, group: &str) {
        wait_for(&format!("group {group} to be deleted"), Duration::from_mins(1), || {
            let deleted = self.runtime.block_on(self.admin.delete_groups(&[group], &options()));
            match deleted.as_deref() {
                Ok([Ok(_)]) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    /// Every record of the topic from its log's start to its present end, by partition and offset.
    #[must_use]
    pub fn read(&self, topic: &str) -> Vec<OwnedMessage> {
        let config = [("group.id", "facestream-tests-reader"), ("enable.auto.commit", "false")];
        let consumer: BaseConsumer = client(&self.brokers, &config).create().expect("a consumer");
        let mut found = Vec::new();
        for (partition, (start, end)) in self.ends(topic).into_iter().filter(|(_, (start, end))| start < end) {
            let mut from = TopicPartitionList::new();
            from.add_partition_offset(topic, partition, Offset::Offset(start)).expect("an offset");
            consumer.assign(&from).expect("an assignment");
            loop {
                let message = consumer.poll(Timeout::After(REQUEST)).unwrap_or_else(|| panic!("reading {topic}: nothing came"));
                let message = message.unwrap_or_else(|error| panic!("reading {topic}: {error}")).detach();
                let last = message.offset() + 1 >= end;
                found.push(message);
                if last {
                    break;
                }
            }
        }
        found
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST))
}

fn client(brokers: &str, properties: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("reconnect.backoff.max.ms", "200");
    for (key, value) in properties {
        config.set(*key, *value);
    }
    config
}

/// Java with Kafka's jars; short-lived, so the cheap collector and no machine-wide heap guess.
fn java(heap: &str) -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Xmx{heap}")).args([
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]);
    command.arg("-cp").arg(cache::kafka_jars().join("*"));
    command
}

fn format_storage(properties: &Path) {
    // Any 16 bytes, in URL-safe base64.
    let mut format = java("128m");
    format.args(["kafka.tools.StorageTool", "format", "-t", "ZmFjZXN0cmVhbS10ZXN0cw", "-c"]).arg(properties);
    let done = format.output().unwrap_or_else(|error| panic!("starting java: {error}: run `make test`, which installs it"));
    assert!(done.status.success(), "formatting Kafka's storage: {}", String::from_utf8_lossy(&done.stderr));
}

/// A single node that keeps nothing of importance and evicts dead members quickly.
fn server_properties(folder: &Path, port: u16, controller: u16) -> String {
    let data = folder.join("data");
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\nlog.dirs={}\n",
        data.display()
    );
    for (key, value) in [
        ("controller.listener.names", "CONTROLLER"),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("share.coordinator.state.topic.num.partitions", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("message.max.bytes", "33554432"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1000"),
        // The same for the protocol of KIP-848, where these are the broker's to say.
        ("group.consumer.min.session.timeout.ms", "1000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.min.heartbeat.interval.ms", "300"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
    ] {
        writeln!(text, "{key}={value}").expect("writing to a string");
    }
    text
}
