//! The most recent failures, for people.
//!
//! In: rejections, as they happen. Out: the newest first. Invariant: no more than [`MOST`] are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use facestream_schemas::SourceId;

use super::lock;

/// How many are kept.
const MOST: usize = 50;

/// A message that has no detections, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it failed, in microseconds since 1970.
    pub at_us: i64,
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// The camera: hostile text.
    pub source_id: SourceId,
    /// The `status` of its row.
    pub status: &'static str,
    /// What is wrong: may quote hostile text.
    pub error: String,
}

#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<VecDeque<Failure>>);

impl Failures {
    pub(super) fn add(&self, failure: Failure) {
        let mut failures = lock(&self.0);
        failures.truncate(MOST - 1);
        failures.push_front(failure);
    }

    pub(super) fn newest(&self) -> Vec<Failure> {
        lock(&self.0).iter().cloned().collect()
    }
}
