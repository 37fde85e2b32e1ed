//! Publishing: the records since the last seal become the Parquet files that the seal names.
//!
//! In: a seal that was won. Out: its files visible, in the order detections, windows, frames; or `None` where another writer has
//! gone on (the files are theirs to publish, or published already). One code path, live and in recovery: rows are always read
//! back from the log. Invariant: nothing becomes visible unless the seal is still the head after everything was staged.

mod staged;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use facestream_schemas::tables::Table;
use facestream_schemas::{Hour, Partition};
use facestream_stages::encode::{Encoder, ROW_GROUP_ROWS};
use object_store::path::Path;
use parquet::errors::ParquetError;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::JournalError;
use super::header::{DataFile, Header, Seq};
use super::log::{Log, backoff, pause};
use super::mutation::{self, Mutation};
use crate::failpoint;
use crate::metrics::{Busy, Metrics, Operation, Roll};
use crate::store::Upload;
use staged::Staged;

/// Publishes at a time, per process: each holds a row group and encodes on a thread of its own.
const AT_A_TIME: usize = 2;

/// Runs publishes.
#[derive(Clone, Debug)]
pub struct Publisher {
    slots: Arc<Semaphore>,
    runtime: Handle,
    metrics: Metrics,
    /// On the runtime's own thread: the simulation has no other.
    #[cfg(test)]
    as_tasks: bool,
}

impl Publisher {
    /// A publisher that does its I/O on `runtime`.
    #[must_use]
    pub fn new(runtime: Handle, metrics: Metrics) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_A_TIME)),
            runtime,
            metrics,
            #[cfg(test)]
            as_tasks: false,
        }
    }

    /// A publisher that does everything on `runtime`, for a simulation with a single thread.
    #[cfg(test)]
    pub(crate) fn as_tasks(runtime: Handle, metrics: Metrics) -> Self {
        Self { as_tasks: true, ..Self::new(runtime, metrics) }
    }

    /// Makes the files of `seal`, which were rolled for the reason `why`, visible; `None` where the log goes on beyond it. Waits its
    /// turn, retries transient errors.
    pub async fn publish(&self, log: &Log, partition: &Partition, seal: &Header, why: Roll) -> Result<Option<()>, JournalError> {
        // The thread keeps its turn to its end, also when nobody waits for it any more; the semaphore is never closed.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let metadata = metadata(partition, seal);
        let (log, seal, metrics) = (log.clone(), seal.clone(), self.metrics.clone());
        let result = self.start(Job { log, metadata, seal, why, metrics, staged: None, _slot: slot }, partition)?;
        result.await.map_err(|_| encode_error(&"the publishing thread panicked"))?
    }

    /// Encoding is CPU work and stays off the I/O threads. Dropping the receiver does not end the thread: it finishes or finds that
    /// the log has gone on.
    fn start(&self, job: Job, partition: &Partition) -> Result<oneshot::Receiver<Published>, JournalError> {
        let (done, result) = oneshot::channel();
        #[cfg(test)]
        if self.as_tasks {
            self.runtime.spawn(async move { done.send(job.publish().await) });
            return Ok(result);
        }
        let runtime = self.runtime.clone();
        std::thread::Builder::new()
            .name(format!("publish-{}", partition.number))
            .spawn(move || {
                let _ = done.send(runtime.block_on(job.publish()));
            })
            .map_err(|error| encode_error(&error))?;
        Ok(result)
    }
}

type Published = Result<Option<()>, JournalError>;

/// What a file says about itself, for `verify` and for people.
fn metadata(partition: &Partition, seal: &Header) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("facestream.pipeline_id", seal.pipeline_id.clone()),
        ("facestream.topic", partition.topic.to_string()),
        ("facestream.partition", partition.number.to_string()),
        ("facestream.seq", seal.seq.0.to_string()),
        ("facestream.first_offset", seal.unsealed.first_offset.to_string()),
        ("facestream.end_offset", seal.end_offset.to_string()),
    ];
    pairs.extend(seal.topic_id.iter().map(|id| ("facestream.topic_id", id.clone())));
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

struct Job {
    log: Log,
    seal: Header,
    metadata: Vec<(String, String)>,
    why: Roll,
    metrics: Metrics,
    /// What there was to be made visible, from the first attempt that got so far: where the answer to that one is lost, later ones
    /// find some of it there.
    staged: Option<Staged>,
    /// Its turn among the publishes of the process.
    _slot: Option<OwnedSemaphorePermit>,
}

/// One file in the making.
struct Output {
    encoder: Option<Encoder>,
    upload: Upload,
    rows: u64,
    bytes: u64,
}

type Outputs = BTreeMap<(Table, Hour), Output>;

impl Job {
    /// All of it, counted here and not by who waits for it: the files become visible whether anybody does or not.
    async fn publish(mut self) -> Result<Option<()>, JournalError> {
        let started = Instant::now();
        let published = self.try_on().await;
        let took = started.elapsed().as_secs_f64();
        self.metrics.busy_seconds.of(Busy::Publish).inc_by(took);
        if let Ok(Some(())) = published {
            self.metrics.publish_seconds.observe(took);
            if let Some(staged) = &self.staged {
                staged.count(&self.metrics, self.why);
            }
        }
        published
    }

    async fn try_on(&mut self) -> Result<Option<()>, JournalError> {
        let mut waits = backoff();
        loop {
            match self.attempt().await {
                Ok(published) => return Ok(published),
                Err(Failure::Journal(error)) => return Err(error),
                Err(Failure::Encode(error)) => return Err(encode_error(&error)),
                Err(Failure::Store(error)) => self.log.transient(Operation::Publish, &error),
            }
            pause(&mut waits).await;
        }
    }

    async fn attempt(&mut self) -> Result<Option<()>, Failure> {
        let Some(mut outputs) = self.missing_files().await? else { return Ok(Some(())) };
        let staged = self.stage(&mut outputs).await;
        // Whatever was read back: where the log has gone on, records may be gone, and late writes of others lie in their places.
        let has_gone_on = !mutation::is(Mutation::NoList) && self.log.goes_beyond(self.seal.seq).await;
        if has_gone_on || !matches!(staged, Ok(true)) {
            for output in outputs.into_values() {
                output.upload.abort().await;
            }
            return if has_gone_on { Ok(None) } else { staged.map(|_| None) };
        }
        // The map's order is the order of appearance: detections, windows, frames.
        for (done, output) in outputs.into_values().enumerate() {
            if done > 0 {
                failpoint::hit("between-files");
            }
            output.upload.complete().await?;
        }
        Ok(Some(()))
    }

    /// Writes the missing files as far as they can go without becoming visible; false where another writer has gone on.
    async fn stage(&mut self, outputs: &mut Outputs) -> Result<bool, Failure> {
        let mut staged = Staged::default();
        if !self.read_back(outputs, &mut staged).await? {
            // A record that is gone was published long ago, if there is a later one; else somebody has removed it.
            return if self.log.goes_beyond(self.seal.seq).await { Ok(false) } else { Err(self.gone().into()) };
        }
        for ((table, hour), output) in outputs {
            output.finish().await?;
            let file = self.seal.files.iter().find(|file| (file.table, file.hour) == (*table, *hour));
            self.check_rows(file, output.rows)?;
            staged.file(*table, output.rows, output.bytes);
        }
        self.staged.get_or_insert(staged);
        Ok(true)
    }

    fn gone(&self) -> JournalError {
        JournalError::Damaged {
            path: format!("a record before the seal of seq {}", self.seal.seq.0),
            cause: "it is gone, and its rows were not published".to_owned(),
        }
    }

    /// The files that are not visible yet; `None` where all are.
    async fn missing_files(&self) -> Result<Option<Outputs>, Failure> {
        let mut outputs = Outputs::new();
        for file in &self.seal.files {
            let target = Path::from(file.path.as_str());
            if self.log.store().exists(&target).await? {
                continue;
            }
            let staging = self.log.staging().clone().join(format!("{}-{}-{}", self.seal.seq.0, file.table.name(), file.hour.0));
            let rows = ("facestream.rows".to_owned(), file.rows.to_string());
            let encoder = Encoder::new(file.table, self.metadata.iter().cloned().chain([rows]))?;
            let upload = self.log.store().upload(target, staging);
            outputs.insert((file.table, file.hour), Output { encoder: Some(encoder), upload, rows: 0, bytes: 0 });
        }
        Ok((!outputs.is_empty()).then_some(outputs))
    }

    /// Streams the sealed records into their files; false where a record is gone (then it was published long ago).
    async fn read_back(&self, outputs: &mut Outputs, staged: &mut Staged) -> Result<bool, Failure> {
        for seq in self.seal.unsealed.first_seq.0..=self.seal.seq.0 {
            let Some(record) = self.log.read(Seq(seq)).await? else { return Ok(false) };
            for (table, folders, rows) in record.batches().map_err(JournalError::from)? {
                for (hour, rows) in by_folder(&folders, &rows)? {
                    if let Some(output) = outputs.get_mut(&(table, hour)) {
                        staged.rows(table, &rows);
                        output.push(rows).await?;
                    }
                }
            }
            bound_memory(outputs).await?;
        }
        Ok(true)
    }

    /// A file with other rows than the seal promised is never made visible.
    fn check_rows(&self, file: Option<&DataFile>, rows: u64) -> Result<(), JournalError> {
        match file {
            Some(file) if file.rows != rows => Err(JournalError::Damaged {
                path: format!("{} (seal of seq {})", file.path, self.seal.seq.0),
                cause: format!("the records hold {rows} rows, the seal promises {}", file.rows),
            }),
            _ => Ok(()),
        }
    }
}

impl Output {
    async fn push(&mut self, rows: RecordBatch) -> Result<(), Failure> {
        self.rows += rows.num_rows() as u64;
        if let Some(encoder) = &mut self.encoder {
            encoder.push(rows)?;
            let bytes = encoder.take_bytes();
            self.write(&bytes).await?;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        Ok(self.upload.write(bytes).await?)
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        if let Some(encoder) = self.encoder.take() {
            self.write(&encoder.finish()?).await?;
        }
        Ok(self.upload.stage().await?)
    }

    fn waiting_rows(&self) -> usize {
        self.encoder.as_ref().map_or(0, Encoder::waiting_rows)
    }
}

/// All files together hold at most a row group: the fullest is written out first.
async fn bound_memory(outputs: &mut Outputs) -> Result<(), Failure> {
    while outputs.values().map(Output::waiting_rows).sum::<usize>() > ROW_GROUP_ROWS {
        let Some(fullest) = outputs.values_mut().max_by_key(|output| output.waiting_rows()) else { break };
        if let Some(encoder) = &mut fullest.encoder {
            encoder.end_row_group()?;
            let bytes = encoder.take_bytes();
            fullest.write(&bytes).await?;
        }
    }
    Ok(())
}

/// Splits rows by their hour folder, keeping their order.
fn by_folder(folders: &Int64Array, rows: &RecordBatch) -> Result<Vec<(Hour, RecordBatch)>, ParquetError> {
    let mut hours = folders.values().to_vec();
    hours.sort_unstable();
    hours.dedup();
    if let [hour] = hours[..] {
        return Ok(vec![(Hour(hour), rows.clone())]);
    }
    let of = |hour: i64| {
        let mask: BooleanArray = folders.values().iter().map(|folder| Some(*folder == hour)).collect();
        Ok((Hour(hour), filter_record_batch(rows, &mask)?))
    };
    hours.into_iter().map(of).collect()
}

fn encode_error(cause: &dyn std::fmt::Display) -> JournalError {
    JournalError::Encode { what: "a data file", cause: cause.to_string() }
}

/// Why an attempt failed: only the store's errors are worth another.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Store(#[from] object_store::Error),
    #[error(transparent)]
    Encode(#[from] ParquetError),
}
