//! A journal record: an Arrow IPC stream of result rows with a JSON header in its schema metadata.
//!
//! In and out: [`Header`] and [`Rows`] ⇄ bytes. Each batch holds rows of one table in that table's struct column (the others
//! are null) and each row's hour folder beside it, so that publishing consults no configuration. Invariant: the header
//! carries the whole state of its partition; a successor needs no other record to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use bytes::Bytes;
use facestream_schemas::tables::{FrameRow, Table, detection_folders, detections_batch, frames_batch, windows_batch};
use facestream_schemas::{Hour, Micros, Offset, WindowRow};
use facestream_stages::aggregate::WindowState;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version that this program writes, and the highest that it reads.
pub const FORMAT_VERSION: u32 = 1;

const HEADER_KEY: &str = "facestream";

/// Position of a record in its partition's log, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Everything that a successor must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Of the record's layout.
    pub format_version: u32,
    /// Position in the log.
    pub seq: Seq,
    /// Random per record: tells our own write from another's.
    pub nonce: Uuid,
    /// Kafka cluster and consumer group.
    pub pipeline_id: String,
    /// Host, process and run that wrote it; for people.
    pub owner: String,
    /// First offset that the record's rows cover.
    pub start_offset: Offset,
    /// One past the last: where to go on.
    pub end_offset: Offset,
    /// Windows after the frames below `end_offset`.
    pub window_state: WindowState,
    /// Since the last seal, this record included.
    pub unsealed: Unsealed,
    /// Takeovers in a row, up to this record, without a frame in between.
    pub barren_takeovers: u32,
    /// The weights in use.
    pub model_sha256: Option<String>,
    /// Empty, or the data files that this record seals.
    pub files: Vec<DataFile>,
    /// When it was made, by the writer's clock.
    pub created_us: Micros,
}

impl Header {
    /// Whether this record seals data files.
    #[must_use]
    pub fn is_seal(&self) -> bool {
        !self.files.is_empty()
    }
}

/// What a seal must know before its PUT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unsealed {
    /// First record since the last seal.
    pub first_seq: Seq,
    /// First offset since the last seal.
    pub first_offset: Offset,
    /// When the first rows were appended; `None` without rows.
    pub since: Option<Micros>,
    /// Size of the records in bytes.
    pub bytes: u64,
    /// Hour of the lowest watermark when the first rows were appended.
    pub watermark_hour: Option<Hour>,
    /// Rows by table and hour folder.
    pub rows: BTreeMap<Table, BTreeMap<Hour, u64>>,
}

impl Unsealed {
    /// Nothing yet, from this record and offset on.
    #[must_use]
    pub fn starting(first_seq: Seq, first_offset: Offset) -> Self {
        Self { first_seq, first_offset, since: None, bytes: 0, watermark_hour: None, rows: BTreeMap::new() }
    }

    /// How many hour folders have rows.
    #[must_use]
    pub fn hours(&self) -> usize {
        self.rows.values().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>().len()
    }
}

/// A data file that a seal names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Which table.
    pub table: Table,
    /// Which hour folder.
    pub hour: Hour,
    /// Path in the store.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
}

/// Rows that are to be appended: frames with their detections, in offset order, and closed windows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Frames, each with its detections.
    pub frames: Vec<FrameRow>,
    /// Closed windows.
    pub windows: Vec<WindowRow>,
}

impl Rows {
    /// Whether there is nothing to append.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.windows.is_empty()
    }

    /// Rows by table and folder.
    #[must_use]
    pub fn count(&self) -> BTreeMap<Table, BTreeMap<Hour, u64>> {
        let mut counts: BTreeMap<Table, BTreeMap<Hour, u64>> = BTreeMap::new();
        for table in Table::ALL {
            for hour in self.folders(table) {
                *counts.entry(table).or_default().entry(hour).or_default() += 1;
            }
        }
        counts
    }

    fn folders(&self, table: Table) -> Vec<Hour> {
        match table {
            Table::Detections => detection_folders(&self.frames),
            Table::Windows => self.windows.iter().map(|window| Hour::of(window.window_start)).collect(),
            Table::Frames => self.frames.iter().map(|frame| frame.folder).collect(),
        }
    }

    fn batch(&self, table: Table) -> RecordBatch {
        match table {
            Table::Detections => detections_batch(&self.frames),
            Table::Windows => windows_batch(&self.windows),
            Table::Frames => frames_batch(&self.frames),
        }
    }
}

/// A record as it is stored, fixed: its bytes and nonce never change, however often it is sent.
#[derive(Clone, Debug)]
pub struct Record {
    /// What its header says.
    pub header: Header,
    /// The object's content.
    pub bytes: Bytes,
}

impl Record {
    /// Fixes header and rows.
    pub fn new(header: Header, rows: &Rows) -> Result<Self, RecordError> {
        let json = serde_json::to_string(&header)?;
        let schema = Arc::new(Schema::new_with_metadata(fields(), [(HEADER_KEY.to_owned(), json)]));
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options)?;
        for table in Table::ALL {
            let folders = rows.folders(table);
            if !folders.is_empty() {
                writer.write(&stored(&schema, table, &folders, rows.batch(table))?)?;
            }
        }
        Ok(Self { header, bytes: writer.into_inner()?.into() })
    }

    /// Reads a stored record's header and checks that this program can go on from it.
    pub fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let reader = StreamReader::try_new(Cursor::new(&bytes), None)?;
        let json = reader.schema().metadata().get(HEADER_KEY).cloned().ok_or(RecordError::NoHeader)?;
        let version = serde_json::from_str::<Version>(&json)?.format_version;
        if version > FORMAT_VERSION {
            return Err(RecordError::Newer(version));
        }
        let header = serde_json::from_str(&json)?;
        Ok(Self { header, bytes })
    }

    /// The rows, as (table, folder of each row, rows).
    pub fn batches(&self) -> Result<Vec<(Table, Int64Array, RecordBatch)>, RecordError> {
        StreamReader::try_new(Cursor::new(&self.bytes), None)?.map(|batch| unpack(&batch?)).collect()
    }
}

#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

/// Why bytes are no record that this program can read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not an Arrow stream, or cut short.
    #[error("not a whole arrow ipc stream: {0}")]
    Arrow(#[from] ArrowError),
    /// An Arrow stream of something else.
    #[error("the stream's schema has no {HEADER_KEY} header")]
    NoHeader,
    /// The header's JSON is not ours.
    #[error("the header is malformed: {0}")]
    Header(#[from] serde_json::Error),
    /// Written by a newer program.
    #[error(
        "format version {0} is newer than {FORMAT_VERSION}, the highest that this version of facestream reads; use a newer one"
    )]
    Newer(u32),
    /// A batch without rows of a known table.
    #[error("a batch holds no table that is known")]
    NoTable,
}

fn fields() -> Vec<Field> {
    let mut fields = vec![Field::new("hour", DataType::Int64, false)];
    fields.extend(Table::ALL.map(|table| Field::new(table.name(), DataType::Struct(table.schema().fields().clone()), true)));
    fields
}

fn stored(schema: &SchemaRef, table: Table, folders: &[Hour], rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let count = rows.num_rows();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(folders.iter().map(|hour| hour.0)))];
    let rows: ArrayRef = Arc::new(StructArray::from(rows));
    columns.extend(
        Table::ALL
            .into_iter()
            .zip(&schema.fields()[1..])
            .map(|(other, field)| if other == table { Arc::clone(&rows) } else { new_null_array(field.data_type(), count) }),
    );
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn unpack(batch: &RecordBatch) -> Result<(Table, Int64Array, RecordBatch), RecordError> {
    let column = |table: Table| batch.column_by_name(table.name()).filter(|column| column.null_count() == 0);
    let (table, rows) =
        Table::ALL.into_iter().find_map(|table| Some((table, column(table)?.as_struct_opt()?))).ok_or(RecordError::NoTable)?;
    let hours =
        batch.column_by_name("hour").and_then(|hours| hours.as_primitive_opt::<Int64Type>()).ok_or(RecordError::NoTable)?;
    Ok((table, hours.clone(), RecordBatch::from(rows)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::samples;

    #[test]
    fn a_record_reads_back_as_written() {
        let rows = samples::rows(0..5);
        let header = Header { window_state: samples::window_state(&rows), ..samples::header(Seq(3)) };
        let written = Record::new(header.clone(), &rows).unwrap();
        let read = Record::read(written.bytes).unwrap();
        assert_eq!(read.header, header);
        let batches = read.batches().unwrap();
        assert_eq!(batches.len(), 3);
        for (table, folders, batch) in batches {
            assert_eq!(batch, rows.batch(table), "{}", table.name());
            assert_eq!(folders.values().to_vec(), rows.folders(table).iter().map(|hour| hour.0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_empty_record_carries_the_state() {
        let header = samples::header(Seq(0));
        let record = Record::read(Record::new(header.clone(), &Rows::default()).unwrap().bytes).unwrap();
        assert_eq!(record.header, header);
        assert!(record.batches().unwrap().is_empty());
    }

    #[test]
    fn a_damaged_record_is_an_error_and_no_panic() {
        let bytes = Record::new(samples::header(Seq(1)), &samples::rows(0..3)).unwrap().bytes;
        for cut in 0..bytes.len() {
            let read = Record::read(bytes.slice(..cut)).and_then(|record| record.batches());
            // The stream's end marker is optional to the reader; a cut inside the data is not.
            assert!(read.is_err() || read.is_ok_and(|batches| batches.len() <= 3));
        }
        assert!(Record::read(Bytes::from_static(b"not arrow at all")).is_err());
    }

    #[test]
    fn a_newer_format_is_refused() {
        let newer = Header { format_version: FORMAT_VERSION + 1, ..samples::header(Seq(1)) };
        let bytes = Record::new(newer, &Rows::default()).unwrap().bytes;
        assert!(matches!(Record::read(bytes), Err(RecordError::Newer(2))));
    }
}
