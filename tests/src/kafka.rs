//! Real Apache Kafka: one broker that the tests of a process share, or brokers of one's own, and what tests do with them.
//!
//! In: Kafka's jars and Java. Out: brokers ([`broker`]) on free ports of the loopback, topics, records, offsets. Invariant: a
//! topic belongs to one test ([`Kafka::topic`] never gives the same name twice).

mod broker;
pub(crate) mod certificates;
mod changes;
mod secure;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
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

use crate::process::scratch;
use crate::wait_for;
use broker::{Broker, Doors, Ports};
pub use secure::{SecureKafka, USER};

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

/// How a broker is ended before it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: it hands over what it leads.
    Term,
    /// SIGKILL: the others notice.
    Kill,
}

/// A running cluster, of one broker unless told otherwise.
pub struct Kafka {
    addresses: String,
    brokers: Vec<Mutex<Broker>>,
    runtime: Runtime,
    admin: AdminClient<DefaultClientContext>,
    producer: FutureProducer,
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
        Kafka::cluster(1)
    }

    /// `count` brokers of one's own. With three, topics are kept three times, and a record counts as written once two have it.
    #[must_use]
    pub fn cluster(count: usize) -> Kafka {
        Self::behind(count, &Doors::default())
    }

    /// `count` brokers with further listeners.
    fn behind(count: usize, doors: &Doors) -> Kafka {
        let folder = scratch();
        let ports: Vec<Ports> = (0..count).map(|_| Ports::free()).collect();
        let brokers = (0..count).map(|index| Mutex::new(Broker::start(folder.path(), index, &ports, doors))).collect();
        let addresses = ports.iter().copied().map(Ports::address).collect::<Vec<_>>().join(",");
        // A message of 16 MiB, base64 in JSON, must pass.
        let config = client(&addresses, &[("message.max.bytes", "33554432"), ("linger.ms", "5")]);
        let kafka = Kafka {
            addresses,
            brokers,
            runtime: Runtime::new().expect("a tokio runtime"),
            admin: config.create().expect("an admin client"),
            producer: config.create().expect("a producer"),
            _folder: folder,
        };
        kafka.wait_until_ready();
        kafka
    }

    fn wait_until_ready(&self) {
        wait_for("Kafka to answer a metadata request", Duration::from_secs(90), || {
            if !self.running().all(|mut broker| broker.listens()) {
                return Err(format!("not all listen{}", self.log_tail()));
            }
            let metadata = self.producer.client().fetch_metadata(None, Duration::from_secs(1));
            let seen = metadata.map(|metadata| metadata.brokers().len());
            if matches!(seen, Ok(count) if count == self.brokers.len()) {
                return Ok(());
            }
            Err(format!("{seen:?}{}", self.log_tail()))
        });
    }

    /// Ends one broker and starts it again on the same data and ports; returns once all are there and every partition of
    /// `topic` has its leader and all of its replicas in sync.
    pub fn restart_broker(&self, index: usize, ending: Ending, topic: &str) {
        let mut broker = self.brokers[index].lock().unwrap_or_else(PoisonError::into_inner);
        broker.end(ending);
        broker.start_again();
        drop(broker);
        self.wait_until_ready();
        let replicas = self.brokers.len().min(3);
        wait_for(&format!("all replicas of {topic} to be in sync"), Duration::from_mins(2), || {
            let metadata =
                self.producer.client().fetch_metadata(Some(topic), Duration::from_secs(2)).map_err(|error| error.to_string())?;
            let partitions = metadata.topics()[0].partitions();
            let good = partitions.iter().filter(|found| found.leader() >= 0 && found.isr().len() == replicas).count();
            if good == partitions.len() && good > 0 { Ok(()) } else { Err(format!("{good} of {}", partitions.len())) }
        });
    }

    fn running(&self) -> impl Iterator<Item = MutexGuard<'_, Broker>> {
        self.brokers.iter().map(|broker| broker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `host:port`, several separated by commas, as `kafka.brokers` takes it.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.addresses
    }

    /// The process id of the first broker, for looking at `/proc`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running().next().expect("a broker").id()
    }

    /// The end of the brokers' logs, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.running().map(|broker| broker.log_tail()).collect()
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
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.brokers.len().min(3) as i32));
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

    /// The names of all topics.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let metadata = self.producer.client().fetch_metadata(None, REQUEST).expect("metadata");
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
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
        let consumer: BaseConsumer = client(&self.addresses, &[("group.id", group)]).create().expect("a consumer");
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

    /// Waits until the group has no member left: until the sessions of those that died are over.
    pub fn wait_for_no_members(&self, group: &str) {
        wait_for(&format!("group {group} to have no members"), Duration::from_mins(1), || {
            let groups = self.producer.client().fetch_group_list(Some(group), REQUEST).map_err(|error| error.to_string())?;
            match groups.groups().iter().map(|found| found.members().len()).sum::<usize>() {
                0 => Ok(()),
                members => Err(format!("{members} members")),
            }
        });
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
        let consumer: BaseConsumer = client(&self.addresses, &config).create().expect("a consumer");
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

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST))
}

/// Settings of any client of these brokers.
pub(crate) fn client(brokers: &str, properties: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("reconnect.backoff.max.ms", "200");
    for (key, value) in properties {
        config.set(*key, *value);
    }
    config
}
