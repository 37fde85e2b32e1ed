//! The journal: exactly-once rows on plain Parquet.
//!
//! One log per partition ([`log`]) of records ([`record`]), each carrying the partition's whole state ([`header`]). Rows are made durable by
//! appends, often and small; Parquet files are published from them ([`publish`]), rarely and large. A [`Journal`] is one
//! writer's hold on a log. Invariant: whoever creates the record of the next seq owns the partition, and nothing else decides
//! that; a writer that finds another's record there is fenced and forgets everything. Kafka is unknown here.

pub mod collect;
pub mod header;
pub mod log;
pub mod memory;
#[cfg(test)]
mod mutated;
pub(crate) mod mutation;
pub mod publish;
pub mod record;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use facestream_schemas::{Hour, Micros, Offset, Partition};
use facestream_stages::aggregate::WindowState;
use facestream_stages::annotate::HoldState;
use facestream_stages::track::TrackState;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::now;
use crate::failpoint;
use crate::metrics::{Append, Busy, Roll, SealReason};
use header::{DataFile, Header, Jump, Seq, Suspect, Unsealed, Why};
use log::{Log, Outcome};
use memory::Memory;
use mutation::Mutation;
use publish::Publisher;
use record::{Record, RecordError, Rows};

/// So many takeovers in a row without progress mean that some frame ends the process.
const BARREN_TAKEOVERS: u32 = 3;
/// So many owners have to die over a frame that they work on alone before it is given up: fewer may have had other reasons.
const DEATHS: u32 = 3;

/// Who writes: goes into every record.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Kafka cluster and consumer group; a log of another pipeline is refused.
    pub pipeline_id: String,
    /// Host, process and run, for people.
    pub owner: String,
    /// The weights in use.
    pub model_sha256: Option<String>,
}

/// How a writer's hold on a log ends.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another writer's record lies where ours would go.
    #[error("another process has taken over the partition")]
    Fenced,
    /// The log belongs to another pipeline.
    #[error(
        "the journal of {partition} in {url} belongs to the pipeline {found}, this one is {ours}: give each consumer group (and each \
         Kafka cluster) a store.url of its own"
    )]
    Foreign {
        /// Which partition.
        partition: Partition,
        /// Which store.
        url: String,
        /// The pipeline in the log.
        found: String,
        /// The pipeline that asks.
        ours: String,
    },
    /// A record cannot be read. Nothing is overwritten.
    #[error(
        "the journal record {path} cannot be used: {cause}; restore that object from the store's versions or a backup, then start \
         again; nothing was overwritten, and `facestream journal verify` shows what else is affected"
    )]
    Damaged {
        /// Path in the store.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A record or data file cannot be encoded.
    #[error("cannot encode {what}: {cause}")]
    Encode {
        /// What was to be written.
        what: &'static str,
        /// Why not.
        cause: String,
    },
    /// A bug.
    #[error("a task of this partition panicked, which is a bug: {0}; start again, nothing is lost")]
    Panicked(String),
}

impl From<RecordError> for JournalError {
    fn from(error: RecordError) -> Self {
        Self::Encode { what: "a journal record", cause: error.to_string() }
    }
}

/// How a partition has to be gone on with, after what became of its earlier owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caution {
    /// Rows are appended as soon as there are any, so that the next owner begins close to whatever ended this one.
    pub eager: bool,
    /// Frames are worked on one at a time, each named by a record beforehand.
    pub alone: bool,
    /// The frame that was named when owners died: it is not worked on again.
    pub condemned: Option<Offset>,
}

/// A suspect as the next owner has it.
fn taken_over(suspect: Suspect) -> Suspect {
    Suspect { deaths: suspect.deaths + u32::from(suspect.working), working: false, ..suspect }
}

/// A log that was looked at but not taken over: where its owner would go on.
#[derive(Clone, Debug)]
pub struct Opened {
    log: Log,
    partition: Partition,
    writer: Arc<Writer>,
    head: Option<Header>,
}

impl Opened {
    /// LISTs and GETs the head (rule 3). Retries for as long as it is polled.
    pub async fn open(log: Log, partition: Partition, writer: Arc<Writer>) -> Result<Self, JournalError> {
        let head = log.head().await?.map(|record| record.header);
        match &head {
            Some(head) if head.pipeline_id != writer.pipeline_id => Err(JournalError::Foreign {
                partition,
                url: log.store().url.clone(),
                found: head.pipeline_id.clone(),
                ours: writer.pipeline_id.clone(),
            }),
            _ => Ok(Self { log, partition, writer, head }),
        }
    }

    /// Which partition this is.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Where to go on; `None` without a log.
    #[must_use]
    pub fn end_offset(&self) -> Option<Offset> {
        self.head.as_ref().map(|head| head.end_offset)
    }

    /// Up to where rows are visible in files; `None` without a log.
    #[must_use]
    pub fn published_end(&self) -> Option<Offset> {
        let is_published = |head: &&Header| !head.is_seal() && head.unsealed.rows.is_empty();
        self.head.as_ref().map(|head| if is_published(&head) { head.end_offset } else { head.unsealed.first_offset })
    }

    /// What the partition remembered at the end of the log.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.head.as_ref().map(Header::memory).unwrap_or_default()
    }

    /// Kafka's id of the topic that the log's offsets belong to, where one was told.
    #[must_use]
    pub fn topic_id(&self) -> Option<&str> {
        self.head.as_ref().and_then(|head| head.topic_id.as_deref())
    }

    /// How its next owner has to go on.
    #[must_use]
    pub fn caution(&self) -> Caution {
        let Some(head) = &self.head else { return Caution::default() };
        let (barren, suspect) = (head.barren_takeovers + 1, head.suspect);
        Caution {
            eager: barren + 1 >= BARREN_TAKEOVERS || suspect.is_some(),
            alone: barren >= BARREN_TAKEOVERS || suspect.is_some(),
            condemned: suspect.map(taken_over).filter(|suspect| suspect.deaths >= DEATHS).map(|suspect| suspect.offset),
        }
    }

    /// Publishes the head's files if it is a seal, then appends an empty record, which fences whoever wrote here before.
    /// `start` is where consuming begins where there is no log yet; `topic_id` is noted where the log names none.
    pub async fn take_over(
        self,
        start: Offset,
        topic_id: Option<String>,
        publisher: &Publisher,
    ) -> Result<Journal, JournalError> {
        let Self { log, partition, writer, head } = self;
        log.sweep();
        let mut header = match head {
            None => first_header(&writer, start),
            Some(head) => {
                let mut next = next_header(&head, &writer);
                next.barren_takeovers += 1;
                next.suspect = next.suspect.map(taken_over);
                if head.is_seal() && !mutation::is(Mutation::NoFinish) {
                    publisher.publish(&log, &partition, &head, Roll::Recovery).await?.ok_or(JournalError::Fenced)?;
                    next.unsealed = Unsealed::starting(next.seq, next.end_offset);
                }
                next
            }
        };
        failpoint::hit("mid-recovery");
        header.topic_id = header.topic_id.or(topic_id);
        let head = create(&log, header, &Rows::default(), Append::Takeover).await?;
        Ok(Journal { log, partition, writer, head, won: Instant::now() })
    }
}

/// A writer's hold on a log: it has won the head record.
#[derive(Debug)]
pub struct Journal {
    log: Log,
    partition: Partition,
    writer: Arc<Writer>,
    head: Header,
    /// When the head was won.
    won: Instant,
}

/// What one append adds.
#[derive(Debug)]
pub struct Batch {
    /// Rows of the offsets from the log's end to `end_offset`.
    pub rows: Rows,
    /// One past the last offset covered.
    pub end_offset: Offset,
    /// What is remembered after those frames.
    pub memory: Memory,
    /// Lowest watermark of active sources.
    pub low_watermark: Option<Micros>,
    /// Whether all rows since the last seal, these included, become files.
    pub seal: bool,
    /// What the record says of the frame that is worked on alone.
    pub note: Note,
}

/// What a record says of the dangers of its partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Note {
    /// What the one before said, as far as it still holds.
    #[default]
    Same,
    /// This frame is worked on alone from now on.
    Suspect(Offset),
    /// The partition is given up by a living process: whatever becomes of that, no frame of this partition did it.
    LeftInPeace,
}

impl Journal {
    /// The newest record, which is ours.
    #[must_use]
    pub fn head(&self) -> &Header {
        &self.head
    }

    /// Appends a batch; a seal only becomes files by [`Journal::publish`].
    pub async fn append(&mut self, batch: Batch) -> Result<(), JournalError> {
        debug_assert!(!self.head.is_seal(), "nothing is appended before the files are visible");
        #[cfg(test)]
        let Some(batch) = mutated::append(self, batch).await? else { return Ok(()) };
        let header = self.header_after(&batch);
        self.create(header, &batch.rows).await?;
        failpoint::hit("after-append");
        Ok(())
    }

    /// The header of the record that a batch becomes.
    fn header_after(&self, batch: &Batch) -> Header {
        let mut header = self.next_header();
        if batch.end_offset > header.start_offset || batch.note == Note::LeftInPeace {
            header.barren_takeovers = 0;
        }
        header.end_offset = batch.end_offset;
        let known = header.suspect.filter(|suspect| suspect.offset >= batch.end_offset);
        header.suspect = match batch.note {
            Note::Same => known,
            Note::LeftInPeace => None,
            Note::Suspect(offset) => {
                let deaths = known.filter(|known| known.offset == offset).map_or(0, |known| known.deaths);
                Some(Suspect { offset, deaths, working: true })
            }
        };
        header.remember(batch.memory.clone());
        let unsealed = &mut header.unsealed;
        unsealed.counts_tracks |= batch.rows.counts_tracks();
        for (table, hours) in batch.rows.count() {
            for (hour, rows) in hours {
                *unsealed.rows.entry(table).or_default().entry(hour).or_default() += rows;
            }
        }
        if !unsealed.rows.is_empty() {
            unsealed.since.get_or_insert(header.created_us);
            unsealed.watermark_hour = unsealed.watermark_hour.or(batch.low_watermark.map(Hour::of));
        }
        if batch.seal {
            header.files = data_files(&self.partition, &header);
        }
        header
    }

    /// Makes the head's files visible, then appends the empty record that says so. `why` is what made the seal due.
    pub async fn publish(&mut self, publisher: &Publisher, why: SealReason) -> Result<(), JournalError> {
        let metrics = self.log.metrics();
        metrics.seals.of(why).inc();
        metrics.seal_bytes.observe(self.head.unsealed.bytes as f64);
        let skip = mutation::is(Mutation::AppendBeforePublished) && self.head.seq.0.is_multiple_of(3);
        if !skip && !mutation::is(Mutation::PublishFirst) {
            publisher.publish(&self.log, &self.partition, &self.head, Roll::By(why)).await?.ok_or(JournalError::Fenced)?;
        }
        if mutation::is(Mutation::CollectBeforeEmptyRecord) {
            self.collect(self.head.seq, Duration::ZERO).await;
        }
        let header = self.next_header();
        let unsealed = Unsealed::starting(header.seq, header.end_offset);
        self.create(Header { unsealed, ..header }, &Rows::default()).await
    }

    /// Goes on at `jump.to`, under `topic_id` where that is another one. What was appended before is sealed and published first, so
    /// that no file spans the jump.
    pub async fn jump(&mut self, jump: Jump, topic_id: Option<String>, publisher: &Publisher) -> Result<(), JournalError> {
        if !self.head.unsealed.rows.is_empty() {
            let (end_offset, memory) = (self.head.end_offset, self.head.memory());
            let rest = Batch { rows: Rows::default(), end_offset, memory, low_watermark: None, seal: true, note: Note::Same };
            self.append(rest).await?;
            self.publish(publisher, SealReason::Gap).await?;
        }
        let mut header = self.next_header();
        header.unsealed = Unsealed::starting(header.seq, jump.to);
        (header.start_offset, header.end_offset) = (jump.to, jump.to);
        // An id that belongs to another topic is worse than none: the next owner would jump once more.
        header.topic_id = topic_id.or(header.topic_id.filter(|_| jump.why != Why::NewTopic));
        header.remember(self.head.memory().across(Some(&jump)));
        header.jump = Some(jump);
        header.suspect = None;
        self.create(header, &Rows::default()).await
    }

    /// Removes the records before the published `seal` that are older than `retention`; goes on without this writer.
    pub fn collect(&self, seal: Seq, retention: Duration) -> impl Future<Output = ()> + Send + 'static {
        collect::collect(self.log.clone(), self.partition.clone(), seal, retention)
    }

    /// How long the oldest unsealed row has waited, as time passes, whatever the machine's clock says; `None` without one.
    #[must_use]
    pub fn unsealed_age(&self) -> Option<Duration> {
        let unsealed = &self.head.unsealed;
        unsealed.since.map(|_| Duration::from_millis(unsealed.age_ms) + self.won.elapsed())
    }

    fn next_header(&self) -> Header {
        let mut header = next_header(&self.head, &self.writer);
        header.unsealed.age_ms = self.unsealed_age().map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        header
    }

    async fn create(&mut self, header: Header, rows: &Rows) -> Result<(), JournalError> {
        let kind = match () {
            () if header.is_seal() => Append::Seal,
            () if rows.is_empty() => Append::Empty,
            () => Append::Rows,
        };
        self.head = create(&self.log, header, rows, kind).await?;
        self.won = Instant::now();
        Ok(())
    }
}

/// The first record of a log.
fn first_header(writer: &Writer, start: Offset) -> Header {
    Header {
        format_version: 1,
        seq: Seq(0),
        nonce: Uuid::new_v4(),
        pipeline_id: writer.pipeline_id.clone(),
        owner: writer.owner.clone(),
        start_offset: start,
        end_offset: start,
        window_state: WindowState::default(),
        track_state: TrackState::default(),
        hold_state: HoldState::default(),
        unsealed: Unsealed::starting(Seq(0), start),
        barren_takeovers: 0,
        model_sha256: writer.model_sha256.clone(),
        files: Vec::new(),
        created_us: now(),
        topic_id: None,
        jump: None,
        suspect: None,
        unknown: serde_json::Map::new(),
    }
}

/// The record after `head`, as it is when nothing happens.
fn next_header(head: &Header, writer: &Writer) -> Header {
    Header {
        seq: head.seq.next(),
        nonce: Uuid::new_v4(),
        pipeline_id: writer.pipeline_id.clone(),
        owner: writer.owner.clone(),
        start_offset: head.end_offset,
        model_sha256: writer.model_sha256.clone(),
        files: Vec::new(),
        created_us: now(),
        jump: None,
        ..head.clone()
    }
}

/// The files of a seal with this header: one for each table and hour that has rows since the last seal.
fn data_files(partition: &Partition, header: &Header) -> Vec<DataFile> {
    let (seq, first, end) = (header.seq.0, header.unsealed.first_offset, header.end_offset);
    let name = format!("{}-{}-{seq}-{first}-{end}.parquet", partition.topic, partition.number);
    let tables = header.unsealed.rows.iter();
    let folders = tables.flat_map(|(table, hours)| hours.iter().map(move |(hour, rows)| (*table, *hour, *rows)));
    folders.map(|(table, hour, rows)| DataFile { table, hour, path: format!("{}/{hour}/{name}", table.name()), rows }).collect()
}

/// Creates the record, of the format that its header asks for; the header of the new head. Its `unsealed.bytes` only then include the record's own size: a seal by
/// size is due one record later.
async fn create(log: &Log, mut header: Header, rows: &Rows, kind: Append) -> Result<Header, JournalError> {
    let started = Instant::now();
    header.format_version = header.format();
    let record = Record::new(header.clone(), rows)?;
    let outcome = log.append(&record).await?;
    let (metrics, took) = (log.metrics(), started.elapsed().as_secs_f64());
    metrics.busy_seconds.of(Busy::Append).inc_by(took);
    match outcome {
        Outcome::Fenced => Err(JournalError::Fenced),
        Outcome::Won => {
            metrics.append_seconds.of(kind).observe(took);
            metrics.append_bytes.of(kind).observe(record.bytes.len() as f64);
            header.unsealed.bytes += record.bytes.len() as u64;
            Ok(header)
        }
    }
}
