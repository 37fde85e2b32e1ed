//! A message's way from the consumer to the workers: its envelope is opened, the load policy asked, its picture fetched if it
//! lies elsewhere.
//!
//! In: polled messages. Out: a [`Job`] each, always. Invariant: what is left out is decided in the order of offsets, by event time,
//! so that a replay decides the same.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use facestream_schemas::dead_letter::Original;
use facestream_schemas::envelope::{self, Record, Rules};
use facestream_schemas::{FrameMeta, Micros, Offset, Partition, Picture, Reason, Rejection, TsOrigin};
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message};

use super::Polling;
use super::alone::{Alone, Unsent};
use crate::clock::now;
use crate::config::{Load, Policy};
use crate::fetch::Fetched;
use crate::kafka::assignment::{Care, Held, list};
use crate::kafka::headers::{Header, headers};
use crate::metrics::Queue;
use crate::workers::Job;

/// A partition is held back when its pictures that wait to be fetched come to this part of the memory for frames, shared by all
/// partitions; so one whose pictures come slowly leaves room for the others.
const PART_FOR_WAITING: usize = 4;
/// So many of a partition's pictures may wait in any case.
const LEAST_WAITING: usize = 16;

/// How a topic is read.
#[derive(Clone, Debug)]
pub struct Intake {
    /// What messages look like.
    pub rules: Rules,
    /// Largest decoded image in pixels.
    pub max_pixels: u64,
    /// What to do with frames that there is no time for.
    pub load: Load,
}

impl Polling<'_> {
    /// Opens the envelope and hands the message to the workers, or keeps it until it can be worked on alone.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>) {
        let offset = Offset(message.offset());
        let Some((topic, ticket, care)) = self.assignment.ticket(message.topic(), message.partition(), offset) else { return };
        let Some(Intake { rules, load, max_pixels }) = self.poller.topics.get(&topic) else { return };
        // Copied once: envelope, dead letter and decoder share it.
        let value = message.payload().filter(|value| value.len() as u64 <= rules.max_bytes).map(Bytes::copy_from_slice);
        let headers = headers(message);
        let original = self.poller.keeps_originals.then(|| Box::new(original(message, &headers, value.clone())));
        let (meta, picture) = envelope::open(&record(message, &headers, topic, value.clone()), rules);
        let picture = if self.assignment.is_chosen(&meta, picture.is_ok()) {
            picture
        } else {
            Err(Rejection::new(Reason::SampledOut, format_args!("load.policy is sample with load.fps {}", load.fps)))
        };
        self.count(&meta);
        let turn = self.poller.live.turn(&meta);
        // What is left out on purpose is no dead letter.
        let original = original.filter(|_| picture.as_ref().err().is_none_or(|rejection| !rejection.reason.is_skip()));
        let frame = Unsent {
            memory: memory(value.as_ref(), picture.as_ref().ok(), original.as_deref()),
            meta,
            picture,
            ticket,
            turn,
            max_pixels: *max_pixels,
            max_age: (load.policy == Policy::SkipStale).then_some(load.max_age),
            original,
        };
        match care {
            Care::None => self.send(frame),
            Care::Alone => self.alone.push_back(Alone::Waiting(frame)),
            Care::Condemned => self.send(frame.condemned()),
        }
    }

    fn count(&self, meta: &FrameMeta) {
        let metrics = &self.assignment.lanes.metrics;
        metrics.records.inc();
        metrics.record_bytes.inc_by(meta.size_bytes);
        metrics.clamped_frames.inc_by(u64::from(meta.ts_origin == TsOrigin::Clamped));
    }

    /// To the workers, whose channel holds all that the budget allows; a picture that lies elsewhere is fetched on the way.
    pub(super) fn send(&mut self, Unsent { meta, picture, memory, ticket, turn, max_pixels, max_age, original }: Unsent) {
        let permit = self.poller.in_flight.take(memory.max(self.frame_bytes));
        let job = Job { meta, picture, ticket, turn, permit, polled: Instant::now(), fetch: None, max_pixels, max_age, original };
        if matches!(job.picture, Ok(Picture::At(_))) && !job.is_stale() {
            self.fetch(job);
        } else {
            self.assignment.lanes.metrics.queue_depth.of(Queue::Work).inc();
            // Fails only when all workers are gone; the message then has no row and is the next run's.
            let _ = self.poller.jobs.send(job);
        }
    }

    /// Has the picture fetched; then the job goes to the workers, from the thread that has fetched it.
    fn fetch(&mut self, mut job: Job) {
        let Ok(Picture::At(reference)) = &job.picture else { return };
        let reference = reference.clone();
        let partition = Partition { topic: Arc::clone(&job.meta.key.topic), number: job.meta.key.partition };
        let (jobs, ticket) = (Arc::downgrade(&self.poller.jobs), job.ticket.clone());
        let queued = self.assignment.lanes.metrics.queue_depth.of(Queue::Work).clone();
        let done = move |fetched: Fetched| {
            job.polled = Instant::now();
            job.fetch = Some(fetched.took);
            job.picture = fetched.outcome.map(|(image, permit)| {
                job.permit.merge(permit);
                Picture::Encoded(image)
            });
            if let Some(jobs) = jobs.upgrade() {
                queued.inc();
                let _ = jobs.send(job);
            }
        };
        self.poller.fetcher.fetch(partition.clone(), reference, move || ticket.is_wanted(), done);
        self.hold_back(partition);
    }

    /// Pauses a partition too many of whose pictures wait, so that it does not take the memory of all.
    fn hold_back(&mut self, partition: Partition) {
        // One that was held back and is read all the same was resumed by something else meanwhile.
        if self.poller.fetcher.waiting(&partition) < self.most_waiting() {
            return;
        }
        match self.consumer.pause(&list([&partition])) {
            Ok(()) => {
                tracing::debug!(%partition, "its pictures come slowly, paused");
                self.held_back.insert(partition);
            }
            Err(error) => tracing::warn!(%partition, "cannot pause: {error}"),
        }
    }

    /// Resumes partitions whose pictures have come.
    pub(super) fn release(&mut self) {
        if self.held_back.is_empty() || self.paused {
            return;
        }
        let few = self.most_waiting() / 4;
        let ready: Vec<_> =
            self.held_back.iter().filter(|partition| self.poller.fetcher.waiting(partition) <= few).cloned().collect();
        for partition in ready {
            // One that has been given up meanwhile, or waits for its journal, is not this function's to resume.
            let takes_messages = matches!(self.assignment.held().get(&partition), Some(Held::Bound(bound)) if bound.is_open());
            if takes_messages && let Err(error) = self.consumer.resume(&list([&partition])) {
                tracing::warn!(%partition, "cannot resume, trying again: {error}");
                continue;
            }
            self.held_back.remove(&partition);
        }
    }

    /// How many of a partition's pictures may wait.
    fn most_waiting(&self) -> usize {
        let frames = self.poller.in_flight.limit() / PART_FOR_WAITING / self.frame_bytes;
        LEAST_WAITING.max(frames / self.assignment.held().len().max(1))
    }
}

/// What a message holds in memory on its way: its value as a whole, of which the picture is mostly a part.
fn memory(value: Option<&Bytes>, picture: Option<&Picture>, original: Option<&Original>) -> usize {
    let value = value.filter(|_| picture.is_some() || original.is_some());
    let apart = picture.filter(|picture| match (picture, value) {
        (Picture::Encoded(part) | Picture::Base64(part), Some(value)) => !value.as_ptr_range().contains(&part.as_ptr()),
        _ => true,
    });
    value.map_or(0, Bytes::len) + apart.map_or(0, Picture::memory) + original.map_or(0, Original::memory)
}

fn record<'a>(message: &'a BorrowedMessage<'_>, headers: &'a [Header<'a>], topic: Arc<str>, value: Option<Bytes>) -> Record<'a> {
    let consumed_ts = now();
    Record {
        topic,
        partition: message.partition(),
        offset: Offset(message.offset()),
        key: message.key(),
        value,
        value_bytes: message.payload().map_or(0, <[u8]>::len) as u64,
        headers: headers.iter().map(|(name, value)| (name.as_ref(), value.unwrap_or_default())).collect(),
        record_ts: message.timestamp().to_millis().map_or(consumed_ts, Micros::from_millis),
        consumed_ts,
    }
}

/// The message as it came.
fn original(message: &BorrowedMessage<'_>, headers: &[Header<'_>], value: Option<Bytes>) -> Original {
    let owned = |(name, value): &Header<'_>| (name.clone().into_owned(), value.map(Bytes::copy_from_slice));
    Original {
        key: message.key().map(Bytes::copy_from_slice),
        value,
        value_bytes: message.payload().map(|value| value.len() as u64),
        headers: headers.iter().map(owned).collect(),
    }
}
