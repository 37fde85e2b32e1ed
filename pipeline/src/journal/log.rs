//! One partition's log in the store: find the head, read, append.
//!
//! In: fixed records. Out: won or fenced, never "maybe". Invariant (rules 1 and 2): an append is a create-only PUT of the next
//! seq whose bytes never change, and every error is read back until it is clear whose record lies there.

use std::time::{Duration, Instant};

use backon::BackoffBuilder;
use bytes::Bytes;
use facestream_schemas::{Micros, Partition};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::JournalError;
use super::header::Seq;
use super::mutation::{self, Mutation};
use super::record::Record;
use crate::metrics::{Metrics, Operation};
use crate::store::{APPEND_TIMEOUT, Outage, Store};

/// Names are `u64::MAX - seq`, so that the newest lists first.
const NAME_DIGITS: usize = 20;

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Our record lies at its seq.
    Won,
    /// Another's does.
    Fenced,
}

/// A record as the store lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its position, by its name.
    pub seq: Seq,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub written: Micros,
}

/// The log of one partition.
#[derive(Clone, Debug)]
pub struct Log {
    store: Store,
    folder: Path,
    staging: Path,
    metrics: Metrics,
}

impl Log {
    /// The log of `partition`; touches nothing yet.
    #[must_use]
    pub fn new(store: Store, partition: &Partition, metrics: Metrics) -> Self {
        let number = partition.number.to_string();
        let folder = |parent: &str| Path::from(parent).join(&*partition.topic).join(number.as_str());
        Self { store, folder: folder("_journal"), staging: folder("_journal/staging"), metrics }
    }

    /// The store that the log lies in.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where appends are counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where this partition's files wait until they are visible.
    #[must_use]
    pub fn staging(&self) -> &Path {
        &self.staging
    }

    /// Removes what killed writers of this partition left behind.
    pub fn sweep(&self) {
        self.store.sweep(&self.staging, &self.folder);
    }

    /// How many files killed writers of this partition left behind, or live ones are about to show; none on a remote store.
    #[must_use]
    pub fn leftovers(&self) -> usize {
        self.store.leftovers(&self.staging, &self.folder).len()
    }

    /// The newest record, or `None` where there is no log yet. Retries transient errors for as long as it is polled.
    pub async fn head(&self) -> Result<Option<Record>, JournalError> {
        let mut waits = backoff();
        loop {
            match self.head_seq().await {
                Ok(None) => return Ok(None),
                Ok(Some(seq)) => {
                    // Collected between LIST and GET: there is a newer one.
                    if let Some(record) = self.read(seq).await? {
                        return Ok(Some(record));
                    }
                }
                Err(error) => self.transient(Operation::List, &error),
            }
            pause(&mut waits).await;
        }
    }

    /// The newest record's seq: one LIST.
    async fn head_seq(&self) -> Result<Option<Seq>, Error> {
        let depth = self.folder.parts().count() + 1;
        let head = self.store.first(&self.folder, |path| seq_of(path).filter(|_| path.parts().count() == depth)).await?;
        self.answered();
        Ok(head)
    }

    /// Every record that there is, in no particular order: one LIST of all pages.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let depth = self.folder.parts().count() + 1;
        let listed = self.store.files.list(Some(&self.folder)).try_filter_map(|object| async move {
            let seq = seq_of(&object.location).filter(|_| object.location.parts().count() == depth);
            let written = Micros(object.last_modified.timestamp_micros());
            Ok(seq.map(|seq| Listed { seq, bytes: object.size, written }))
        });
        listed.try_collect().await
    }

    /// Removes a record; one that is gone already is fine.
    pub async fn remove(&self, seq: Seq) -> Result<(), Error> {
        match self.store.files.delete(&self.path(seq)).await {
            Err(Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Whether there is a record after `seq`. A LIST, never a HEAD: the log may have holes.
    pub async fn goes_beyond(&self, seq: Seq) -> bool {
        let mut waits = backoff();
        loop {
            match self.head_seq().await {
                Ok(head) => return head > Some(seq),
                Err(error) => self.transient(Operation::List, &error),
            }
            pause(&mut waits).await;
        }
    }

    /// Record `seq`, or `None` where it is gone.
    pub async fn read(&self, seq: Seq) -> Result<Option<Record>, JournalError> {
        let mut waits = backoff();
        loop {
            match self.get(seq).await {
                Ok(bytes) => return bytes.map(|bytes| self.decode(seq, bytes)).transpose(),
                Err(error) => self.transient(Operation::Get, &error),
            }
            pause(&mut waits).await;
        }
    }

    /// Creates the record at its seq. The same bytes are sent until it is clear who won; dropping the future gives up.
    pub async fn append(&self, record: &Record) -> Result<Outcome, JournalError> {
        let mut waits = backoff();
        loop {
            if let Some(outcome) = self.try_append(record).await? {
                return Ok(outcome);
            }
            pause(&mut waits).await;
        }
    }

    /// Sends the record once, and looks where the answer does not tell who won; `None` where nothing lies there yet.
    pub(super) async fn try_append(&self, record: &Record) -> Result<Option<Outcome>, JournalError> {
        let (seq, path) = (record.header.seq, self.path(record.header.seq));
        let create = PutOptions::from(PutMode::Create);
        let put = self.store.appends.put_opts(&path, PutPayload::from(record.bytes.clone()), create);
        match tokio::time::timeout(APPEND_TIMEOUT, put).await {
            Ok(Ok(_)) => {
                self.answered();
                return Ok(Some(Outcome::Won));
            }
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => {}
            Ok(Err(error)) => self.transient(Operation::Append, &error),
            Err(_) => {
                self.metrics.store_errors.of(Operation::Append).inc();
                self.transient(Operation::Append, &format_args!("no answer within {APPEND_TIMEOUT:?}"));
            }
        }
        if mutation::is(Mutation::AmbiguousIsWon) {
            return Ok(Some(Outcome::Won));
        }
        let found = self.read(seq).await?;
        let is_ours = |found: Record| found.header.nonce == record.header.nonce;
        Ok(found.map(|found| if is_ours(found) { Outcome::Won } else { Outcome::Fenced }))
    }

    async fn get(&self, seq: Seq) -> Result<Option<Bytes>, Error> {
        match self.store.files.get(&self.path(seq)).await {
            Ok(found) => {
                let bytes = found.bytes().await?;
                self.answered();
                Ok(Some(bytes))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn decode(&self, seq: Seq, bytes: Bytes) -> Result<Record, JournalError> {
        let damaged = |cause: String| JournalError::Damaged { path: self.path(seq).to_string(), cause };
        let record = Record::read(bytes).map_err(|error| damaged(error.to_string()))?;
        let named = record.header.seq;
        if named == seq { Ok(record) } else { Err(damaged(format!("its header says seq {}, its name says {}", named.0, seq.0))) }
    }

    /// Where record `seq` lies.
    #[must_use]
    pub fn path(&self, seq: Seq) -> Path {
        self.folder.clone().join(format!("{:0NAME_DIGITS$}.arrow", u64::MAX - seq.0))
    }

    /// Every store operation that is tried again is counted; an outage is logged, not every failure of it.
    pub(super) fn transient(&self, operation: Operation, error: &dyn std::fmt::Display) {
        self.metrics.store_up.set(0);
        self.metrics.store_retries.of(operation).inc();
        if let Some(failures) = self.store.health.failed(Instant::now()) {
            let operation = operation.as_str();
            tracing::warn!(folder = %self.folder, operation, failures, "the store failed, trying again: {error}");
        }
    }

    fn answered(&self) {
        self.metrics.store_up.set(1);
        if let Some(Outage { lasted, failures }) = self.store.health.answered(Instant::now()) {
            tracing::info!(failures, "the store answers again, after {lasted:.1?}");
        }
    }
}

fn seq_of(path: &Path) -> Option<Seq> {
    let name = path.filename()?.strip_suffix(".arrow").filter(|name| name.len() == NAME_DIGITS)?;
    name.parse().ok().map(|inverted: u64| Seq(u64::MAX - inverted))
}

/// Capped, jittered, doubling, without end: what uses it is dropped when it is no longer wanted.
pub(super) fn backoff() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

pub(super) async fn pause(waits: &mut impl Iterator<Item = Duration>) {
    tokio::time::sleep(waits.next().unwrap_or(Duration::from_secs(5))).await;
}
