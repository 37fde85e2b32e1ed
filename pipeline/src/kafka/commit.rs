//! A commit of the group's offsets that nobody waits for, through the part of librdkafka that rust-rdkafka does not wrap: its own
//! asynchronous commit tells nobody how it ended, neither by the callback nor otherwise.
//!
//! In: a consumer's client and offsets. Out: how the commit ended, once Kafka has answered. Invariant: every pointer that librdkafka
//! hands out is freed here, and none gets out.

use std::ptr;
use std::time::{Duration, Instant};

use facestream_schemas::{Offset, Partition};
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

use super::assignment::list_at;
use super::topic_id::Owned;

/// A commit on its way. Dropping it leaves it to its fate.
pub(super) struct Commit {
    /// Where the answer comes: into a queue of its own.
    answer: Owned<native::rd_kafka_queue_t>,
    pub(super) offsets: Vec<(Partition, Offset)>,
    started: Instant,
}

impl Commit {
    /// Has the offsets committed. `client` has to outlive the commit.
    pub(super) fn begin<C: ClientContext>(client: &Client<C>, offsets: &[(Partition, Offset)]) -> KafkaResult<Self> {
        let list = list_at(offsets.iter().map(|(partition, offset)| (partition, *offset)))?;
        let rk = client.native_ptr();
        // SAFETY: `rk` lives as long as `client`; the constructor is paired with its own destructor.
        let answer = unsafe { Owned::new(native::rd_kafka_queue_new(rk), native::rd_kafka_queue_destroy) };
        let answer = answer.ok_or_else(|| KafkaError::ClientCreation("a queue of librdkafka".to_owned()))?;
        // SAFETY: all pointers are live; librdkafka copies the list and keeps a reference of the queue until it has answered.
        let error = unsafe { native::rd_kafka_commit_queue(rk, list.ptr(), answer.pointer(), None, ptr::null_mut()) };
        if error != RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(KafkaError::ConsumerCommit(error.into()));
        }
        Ok(Self { answer, offsets: offsets.to_vec(), started: Instant::now() })
    }

    /// How it ended and how long that took; `None` until Kafka has answered. Never waits.
    pub(super) fn ended(&self) -> Option<(KafkaResult<()>, Duration)> {
        // SAFETY: the queue is live; the event is freed below by its own destructor.
        let event = unsafe { Owned::new(native::rd_kafka_queue_poll(self.answer.pointer(), 0), native::rd_kafka_event_destroy) }?;
        // SAFETY: the event is live.
        let error = unsafe { native::rd_kafka_event_error(event.pointer()) };
        let answer = if error == RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(KafkaError::ConsumerCommit(error.into())) };
        Some((answer, self.started.elapsed()))
    }
}
