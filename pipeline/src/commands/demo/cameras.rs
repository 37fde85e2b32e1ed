//! The virtual cameras: one thread that produces their frames, no faster than the pipeline reads them.
//!
//! In: a broker with an empty topic, and the pipeline's committed offsets. Out: messages, and a count of them.
//! Invariant: at most [`MOST_UNREAD`] bytes of a partition are produced and not yet journalled, so the embedded broker (5 MiB a
//! partition) never evicts an unread frame; a camera whose partition is full waits, and skips nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::camera::Camera;
use super::unread::Unread;
use crate::commands::broker::Broker;

/// Partitions of the demo's topic.
pub(super) const PARTITIONS: i32 = 4;

/// Pictures a second and camera: modest, so that two cores with the slower detector keep up with four cameras.
const RATE: f64 = 6.0;

/// Bytes of a partition that may wait to be read.
const MOST_UNREAD: u64 = 2 << 20;

/// How often the pipeline's committed offsets are looked up.
const LOOK_UP: Duration = Duration::from_millis(200);

/// The cameras at work.
pub(super) struct Cameras {
    shared: Arc<Shared>,
    thread: JoinHandle<anyhow::Result<Sent>>,
}

/// What was sent, once everything has been acknowledged.
pub(super) struct Sent {
    /// Per camera.
    pub(super) cameras: Vec<Camera>,
    /// Messages per partition.
    pub(super) messages: Vec<u64>,
}

#[derive(Default)]
struct Shared {
    finish: AtomicBool,
    give_up: AtomicBool,
    unread: AtomicU64,
}

impl Cameras {
    /// Starts `count` cameras.
    pub(super) fn start(broker: &Broker, count: u32) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let studio = Studio::new(broker, count, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new()
            .name("cameras".to_owned())
            .spawn(move || studio.run())
            .context("cannot start a thread")?;
        Ok(Self { shared, thread })
    }

    /// Asks the cameras to stop; their thread ends when everything that they sent has been read.
    pub(super) fn finish(&self) {
        self.shared.finish.store(true, Relaxed);
    }

    /// Asks their thread not to wait for readers any more.
    pub(super) fn give_up(&self) {
        self.finish();
        self.shared.give_up.store(true, Relaxed);
    }

    /// Messages produced and not yet committed by the pipeline, as of the last look.
    pub(super) fn unread(&self) -> u64 {
        self.shared.unread.load(Relaxed)
    }

    /// Whether the thread has ended.
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// What was sent in the end. Blocks until the thread has ended.
    pub(super) fn sum_up(self) -> anyhow::Result<Sent> {
        self.thread.join().unwrap_or_else(|_| bail!("the cameras' thread panicked"))
    }
}

/// Counts what the broker has acknowledged.
#[derive(Default)]
struct Deliveries {
    failed: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Relaxed);
        }
    }
}

/// The thread's state.
struct Studio {
    topic: String,
    producer: ThreadedProducer<Deliveries>,
    /// Never subscribes: it only asks what the pipeline's group has committed.
    group: BaseConsumer,
    cameras: Vec<(Instant, Camera)>,
    partitions: Vec<Unread>,
    messages: Vec<u64>,
    looked_up: Instant,
    shared: Arc<Shared>,
}

impl Studio {
    fn new(broker: &Broker, count: u32, shared: Arc<Shared>) -> anyhow::Result<Self> {
        let client = || ClientConfig::new().set("bootstrap.servers", &broker.servers).clone();
        let producer = client()
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "10000000")
            .create_with_context(Deliveries::default())
            .context("cannot create the cameras' producer")?;
        let group = client().set("group.id", &broker.group).create().context("cannot create a client to look up offsets")?;
        let now = Instant::now();
        // Spread over a period, so that the cameras do not send all at once.
        let due = |number: u32| now + Duration::from_secs_f64(f64::from(number) / f64::from(count) / RATE);
        Ok(Self {
            topic: broker.topic.clone(),
            producer,
            group,
            cameras: (0..count).map(|number| (due(number), Camera::new(number))).collect(),
            partitions: (0..PARTITIONS).map(|_| Unread::default()).collect(),
            messages: vec![0; PARTITIONS as usize],
            looked_up: now,
            shared,
        })
    }

    fn run(mut self) -> anyhow::Result<Sent> {
        while !self.shared.finish.load(Relaxed) {
            self.look_up();
            let next = self.send_due()?;
            std::thread::sleep(next.saturating_duration_since(Instant::now()).min(LOOK_UP));
        }
        self.producer.flush(Duration::from_secs(30)).context("the broker did not acknowledge the last frames within 30 s")?;
        while self.partitions.iter().any(|partition| partition.messages() > 0) && !self.shared.give_up.load(Relaxed) {
            std::thread::sleep(LOOK_UP / 4);
            self.look_up();
        }
        match self.producer.context().failed.load(Relaxed) {
            0 => Ok(Sent { cameras: self.cameras.into_iter().map(|(_, camera)| camera).collect(), messages: self.messages }),
            failed => bail!("the broker did not take {failed} of {} frames", self.messages.iter().sum::<u64>()),
        }
    }

    /// Sends what is due, and says when the next is.
    fn send_due(&mut self) -> anyhow::Result<Instant> {
        let now = Instant::now();
        for (number, (due, camera)) in self.cameras.iter_mut().enumerate() {
            if *due > now {
                continue;
            }
            let partition = number % self.partitions.len();
            let message = camera.next();
            let bytes = message.payload.len() as u64;
            if self.partitions[partition].bytes() + bytes > MOST_UNREAD {
                *due = now + LOOK_UP;
                continue;
            }
            match produce(&self.producer, &self.topic, partition as i32, camera, &message.payload) {
                Ok(()) => {}
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    *due = now + LOOK_UP;
                    continue;
                }
                Err(error) => return Err(error).context("cannot produce a frame"),
            }
            camera.went_out(&message);
            self.partitions[partition].produced(bytes);
            self.messages[partition] += 1;
            let period = Duration::from_secs_f64(1.0 / RATE);
            // A camera that is late goes on from now: it does not catch up in a burst.
            *due = (*due + period).max(now);
        }
        Ok(self.cameras.iter().map(|(due, _)| *due).min().unwrap_or(now))
    }

    /// Asks what the pipeline has committed, every now and then. Without an answer the cameras wait.
    fn look_up(&mut self) {
        if self.looked_up.elapsed() < LOOK_UP {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, PARTITIONS - 1);
        match self.group.committed_offsets(list, Duration::from_secs(2)) {
            Ok(committed) => {
                for element in committed.elements() {
                    if let Offset::Offset(offset) = element.offset() {
                        self.partitions[element.partition() as usize].consumed_to(offset);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot look up the group's offsets"),
        }
        self.looked_up = Instant::now();
        self.shared.unread.store(self.partitions.iter().map(Unread::messages).sum(), Relaxed);
    }
}

/// Hands one frame to the producer, with the headers that a good camera sends.
fn produce(
    producer: &ThreadedProducer<Deliveries>,
    topic: &str,
    partition: i32,
    camera: &Camera,
    payload: &[u8],
) -> Result<(), KafkaError> {
    let captured = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
    let sequence = camera.sent.to_string();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "capture_ts_ns", value: Some(&captured) })
        .insert(Header { key: "frame_seq", value: Some(&sequence) });
    let record = BaseRecord::to(topic).partition(partition).key(&camera.id).payload(payload).headers(headers);
    producer.send(record).map_err(|(error, _)| error)
}
