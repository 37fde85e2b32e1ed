//! The producer of numbered frames, and what it knows of them: the truth that the tables are held against.
//!
//! In: pictures, a rate. Out: records in a topic, and for each that Kafka acknowledged its partition, offset, number and faces.
//! Invariant: idempotent, so that a record that is sent again while a broker is away is written once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use super::pictures::{CAMERAS, Shot};
use crate::kafka::client;

/// How long the last records may take to be acknowledged.
const FLUSH: Duration = Duration::from_mins(2);

/// What was sent, by the producer's own account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    number: u64,
    seq: u64,
    camera: usize,
    faces: usize,
}

/// What Kafka acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth(Arc<Mutex<Delivered>>);

#[derive(Debug, Default)]
struct Delivered {
    frames: BTreeMap<(i32, i64), Sent>,
    /// One past the last offset of each partition.
    ends: BTreeMap<i32, i64>,
    failures: Vec<String>,
}

impl Truth {
    /// One past the last acknowledged offset of each partition.
    pub(super) fn ends(&self) -> BTreeMap<i32, i64> {
        self.delivered().ends.clone()
    }

    pub(super) fn count(&self) -> u64 {
        self.delivered().frames.len() as u64
    }

    /// An error unless the records are all that Kafka has, whose logs end at `ends`.
    pub(super) fn assert_complete(&self, ends: &BTreeMap<i32, (i64, i64)>) -> Result<(), String> {
        let delivered = self.delivered();
        let kafkas: i64 = ends.values().map(|(start, end)| end - start).sum();
        let whole = delivered.frames.keys().all(|(partition, offset)| ends.get(partition).is_some_and(|end| *offset < end.1));
        match &delivered.failures[..] {
            [] if whole && kafkas == delivered.frames.len() as i64 => Ok(()),
            [] => Err(format!("{} records were acknowledged, Kafka has {kafkas}: {ends:?}", delivered.frames.len())),
            failures => Err(format!("records were not delivered: {failures:?}")),
        }
    }

    /// A line for each record, under the names of its columns.
    pub(super) fn csv(&self) -> String {
        let mut text = "p,o,frame_id,frame_seq,source_id,faces\n".to_owned();
        for ((partition, offset), Sent { number, seq, camera, faces }) in &self.delivered().frames {
            writeln!(text, "{partition},{offset},{number},{seq},camera-{camera},{faces}").expect("writing to a string");
        }
        text
    }

    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Truth {}

impl ProducerContext for Truth {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let mut delivered = self.delivered();
        match result {
            Ok(message) => {
                delivered.frames.insert((message.partition(), message.offset()), *sent);
                let end = delivered.ends.entry(message.partition()).or_default();
                *end = (*end).max(message.offset() + 1);
            }
            Err((error, _)) => delivered.failures.push(format!("frame {}: {error}", sent.number)),
        }
    }
}

/// Where and how fast frames are sent.
pub(super) struct Target<'a> {
    pub(super) brokers: &'a str,
    pub(super) topic: &'a str,
    pub(super) partitions: u64,
    pub(super) frames_per_s: u64,
}

/// Sends frames until `is_over`, then waits until the last is acknowledged.
pub(super) fn produce(target: &Target<'_>, shots: &[Shot], truth: &Truth, is_over: impl Fn() -> bool) -> Result<(), String> {
    let properties = [
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("linger.ms", "5"),
        // Until it is delivered: a broker's restart takes seconds.
        ("message.timeout.ms", "0"),
    ];
    let config = client(target.brokers, &properties);
    let producer: ThreadedProducer<Truth> = config.create_with_context(truth.clone()).map_err(|error| error.to_string())?;
    let start = Instant::now();
    let mut seqs = [0; CAMERAS];
    for number in 0.. {
        let due = Duration::from_micros(number * 1_000_000 / target.frames_per_s);
        thread::sleep(due.saturating_sub(start.elapsed()));
        if is_over() {
            break;
        }
        // Neighbouring pictures go to one partition, or each partition would have its own cameras only.
        let shot = &shots[(number % shots.len() as u64) as usize];
        let partition = (number + number / target.partitions) % target.partitions;
        let sent = Sent { number, seq: seqs[shot.camera], camera: shot.camera, faces: shot.faces };
        seqs[shot.camera] += 1;
        send(&producer, target.topic, partition as i32, shot, sent)?;
    }
    producer.flush(FLUSH).map_err(|error| format!("frames are not acknowledged: {error}"))
}

fn send(producer: &ThreadedProducer<Truth>, topic: &str, partition: i32, shot: &Shot, sent: Sent) -> Result<(), String> {
    let (number, seq, key) = (sent.number.to_string(), sent.seq.to_string(), format!("camera-{}", sent.camera));
    let headers = OwnedHeaders::new()
        .insert(Header { key: "frame_id", value: Some(&number) })
        .insert(Header { key: "frame_seq", value: Some(&seq) });
    let record = BaseRecord::with_opaque_to(topic, Box::new(sent));
    let record = record.partition(partition).key(&key).payload(&shot.jpeg).headers(headers);
    producer.send(record).map_err(|(error, _)| format!("sending frame {number}: {error}"))
}
