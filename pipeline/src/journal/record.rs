//! A journal record: an Arrow IPC stream of result rows with a JSON header in its schema metadata.
//!
//! In and out: [`Header`] and [`Rows`] ⇄ bytes. Each batch holds rows of one table in that table's struct column (the others
//! are null) and each row's hour folder beside it, so that publishing consults no configuration. Invariant: a record that is read is
//! the one that was written, byte for byte, or an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
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
use facestream_schemas::{Hour, WindowRow};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::header::Header;

/// The version that this program writes, and the highest that it reads.
///
/// It rises with every change that an older program could not go on from. What may be added without that: optional fields of
/// [`Header`] itself that hold for all later records, too (older programs carry them along unread), and nullable columns that are
/// listed in `ADDED`: an older program refuses rows with a column that it does not know.
pub const FORMAT_VERSION: u32 = 3;

/// Columns that came after format 1. A record lacks those that are null in all its rows, and they are null where a record lacks
/// them; those that are not raise its format, and that of all records up to the seal whose files they go into
/// ([`Header::format`]).
const ADDED: [(Table, &str); 1] = [(Table::Windows, "tracks_started")];

const HEADER_KEY: &str = "facestream";
/// Holds `<nonce>:<sha256 in hex>` of the whole object, taken with zeros in the place of the sum.
const SUM_KEY: &str = "facestream.sha256";
const SUM_DIGITS: usize = 64;

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

    /// Whether windows say how many tracks began in them.
    pub(super) fn counts_tracks(&self) -> bool {
        self.windows.iter().any(|window| window.tracks_started.is_some())
    }

    fn folders(&self, table: Table) -> Vec<Hour> {
        match table {
            Table::Detections => detection_folders(&self.frames),
            Table::Windows => self.windows.iter().map(|window| Hour::of(window.window_start)).collect(),
            Table::Frames => self.frames.iter().map(|frame| frame.folder).collect(),
        }
    }

    pub(super) fn batch(&self, table: Table) -> RecordBatch {
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
        let no_sum = format!("{}:{}", header.nonce, "0".repeat(SUM_DIGITS));
        let metadata = [(HEADER_KEY.to_owned(), json), (SUM_KEY.to_owned(), no_sum.clone())];
        let batches = Table::ALL.map(|table| (table, lean(table, rows.batch(table))));
        let schema = Arc::new(Schema::new_with_metadata(fields(&batches), metadata));
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &schema, options)?;
        for (table, batch) in batches {
            let folders = rows.folders(table);
            if !folders.is_empty() {
                writer.write(&stored(&schema, table, &folders, batch)?)?;
            }
        }
        let mut bytes = writer.into_inner()?;
        let (place, sum) = sum_of(&bytes, &no_sum).ok_or(RecordError::NoHeader)?;
        bytes[place].copy_from_slice(sum.as_bytes());
        Ok(Self { header, bytes: bytes.into() })
    }

    /// Reads a stored record's header and checks that the bytes are those written and that this program can go on from them.
    pub fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let reader = StreamReader::try_new(Cursor::new(&bytes), None)?;
        let schema = reader.schema();
        let json = schema.metadata().get(HEADER_KEY).ok_or(RecordError::NoHeader)?;
        let version = serde_json::from_str::<Version>(json)?.format_version;
        if version > FORMAT_VERSION {
            return Err(RecordError::Newer(version));
        }
        let written = schema.metadata().get(SUM_KEY).ok_or(RecordError::NoHeader)?;
        match sum_of(&bytes, written) {
            Some((_, sum)) if written.ends_with(&sum) => Ok(Self { header: serde_json::from_str(json)?, bytes }),
            _ => Err(RecordError::Altered),
        }
    }

    /// The rows, as (table, folder of each row, rows).
    pub fn batches(&self) -> Result<Vec<(Table, Int64Array, RecordBatch)>, RecordError> {
        StreamReader::try_new(Cursor::new(&self.bytes), None)?.map(|batch| unpack(&batch?, Table::schema)).collect()
    }
}

/// Where the digits of `marked` (`<nonce>:<digits>`) stand in a record's bytes, and what they should be. The nonce is random, so
/// that nothing that came out of a message looks like it.
fn sum_of(bytes: &[u8], marked: &str) -> Option<(std::ops::Range<usize>, String)> {
    let start = bytes.windows(marked.len()).position(|window| window == marked.as_bytes())?;
    let end = start + marked.len();
    let place = end.checked_sub(SUM_DIGITS)?..end;
    let mut digest = Sha256::new();
    digest.update(&bytes[..place.start]);
    digest.update([b'0'; SUM_DIGITS]);
    digest.update(&bytes[place.end..]);
    let sum = digest.finalize().iter().fold(String::with_capacity(SUM_DIGITS), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    Some((place, sum))
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
    /// Other bytes than were written.
    #[error("its bytes are not those that were written (their sha256 differs): it was cut short or edited")]
    Altered,
    /// Rows with a column that a newer program has added.
    #[error("its column {0} is unknown: it was written by a newer version of facestream; use that one")]
    Column(String),
    /// A batch without rows of a known table.
    #[error("a batch holds no table that is known")]
    NoTable,
}

/// Rows without the added columns that say nothing.
fn lean(table: Table, mut rows: RecordBatch) -> RecordBatch {
    for (_, name) in ADDED.into_iter().filter(|(of, _)| *of == table) {
        if let Ok(column) = rows.schema().index_of(name)
            && rows.column(column).null_count() == rows.num_rows()
        {
            rows.remove_column(column);
        }
    }
    rows
}

fn fields(batches: &[(Table, RecordBatch)]) -> Vec<Field> {
    let of_table =
        |(table, rows): &(Table, RecordBatch)| Field::new(table.name(), DataType::Struct(rows.schema().fields().clone()), true);
    std::iter::once(Field::new("hour", DataType::Int64, false)).chain(batches.iter().map(of_table)).collect()
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

/// A batch's rows, in the tables' schemas.
fn unpack(batch: &RecordBatch, schema: impl Fn(Table) -> SchemaRef) -> Result<(Table, Int64Array, RecordBatch), RecordError> {
    let column = |table: Table| batch.column_by_name(table.name()).filter(|column| column.null_count() == 0);
    let (table, rows) =
        Table::ALL.into_iter().find_map(|table| Some((table, column(table)?.as_struct_opt()?))).ok_or(RecordError::NoTable)?;
    let hours =
        batch.column_by_name("hour").and_then(|hours| hours.as_primitive_opt::<Int64Type>()).ok_or(RecordError::NoTable)?;
    Ok((table, hours.clone(), conform(table, schema(table), &RecordBatch::from(rows))?))
}

/// Rows as a program's table has them: columns that an older program did not know are null. What a newer one knew must not be
/// dropped in silence.
fn conform(table: Table, schema: SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, RecordError> {
    if let Some(unknown) = rows.schema().fields().iter().find(|field| schema.field_with_name(field.name()).is_err()) {
        return Err(RecordError::Column(format!("{}.{}", table.name(), unknown.name())));
    }
    let column = |field: &Arc<Field>| match rows.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => new_null_array(field.data_type(), rows.num_rows()),
    };
    let columns = schema.fields().iter().map(column).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::header::Seq;
    use crate::journal::samples;

    #[test]
    fn a_record_reads_back_as_written() {
        let rows = samples::rows(0..5);
        let header = Header { window_state: samples::memory(&rows).windows, ..samples::header(Seq(3)) };
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
            assert!(Record::read(bytes.slice(..cut)).is_err(), "cut at {cut} of {}", bytes.len());
        }
        assert!(Record::read(Bytes::from_static(b"not arrow at all")).is_err());
    }

    #[test]
    fn an_edited_record_is_refused_wherever_it_was_edited() {
        let bytes = Record::new(samples::header(Seq(1)), &samples::rows(0..3)).unwrap().bytes;
        for at in (0..bytes.len()).step_by(7) {
            let mut edited = bytes.to_vec();
            edited[at] ^= 1;
            assert!(Record::read(edited.into()).is_err(), "byte {at} of {}", bytes.len());
        }
        let digit = bytes.windows(14).position(|window| window == b"\"end_offset\":5").unwrap() + 13;
        let mut edited = bytes.to_vec();
        edited[digit] = b'4';
        assert!(matches!(Record::read(edited.into()), Err(RecordError::Altered)));
    }

    #[test]
    fn fields_of_a_newer_program_are_carried_along() {
        let mut header = samples::header(Seq(1));
        header.unknown.insert("of_tomorrow".to_owned(), serde_json::json!({"x": [1, 2]}));
        let read = Record::read(Record::new(header.clone(), &Rows::default()).unwrap().bytes).unwrap();
        assert_eq!(read.header, header);
    }

    #[test]
    fn rows_of_an_older_program_get_nulls_and_those_of_a_newer_one_are_refused() {
        let rows = frames_batch(&samples::rows(0..3).frames);
        let error = rows.schema().index_of("error").unwrap();
        let others: Vec<_> = (0..rows.num_columns()).filter(|column| *column != error).collect();
        let read = conform(Table::Frames, rows.schema(), &rows.project(&others).unwrap()).unwrap();
        assert_eq!(read.schema(), rows.schema());
        assert_eq!(read.column(error).null_count(), 3);
        // A column that cannot be null cannot have been added.
        let key = rows.schema().index_of("kafka_offset").unwrap();
        let without: Vec<_> = (0..rows.num_columns()).filter(|column| *column != key).collect();
        assert!(conform(Table::Frames, rows.schema(), &rows.project(&without).unwrap()).is_err());

        let mut fields = rows.schema().fields().to_vec();
        fields.push(Arc::new(Field::new("of_tomorrow", DataType::Int64, true)));
        let mut columns = rows.columns().to_vec();
        columns.push(new_null_array(&DataType::Int64, 3));
        let newer = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let refused = conform(Table::Frames, rows.schema(), &newer).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("frames.of_tomorrow"), "{refused}");
    }

    /// The tables as they were before faces were tracked.
    fn untracked(table: Table) -> SchemaRef {
        let schema = table.schema();
        let fields = schema.fields().iter().filter(|field| table != Table::Windows || field.name() != "tracks_started");
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    #[test]
    fn a_program_from_before_tracks_reads_rows_that_count_none_as_they_are() {
        for (tracks_started, is_readable) in [(None, true), (Some(0), false), (Some(2), false)] {
            let mut rows = samples::rows(0..3);
            rows.windows[0].tracks_started = tracks_started;
            let bytes = Record::new(samples::header(Seq(1)), &rows).unwrap().bytes;
            let stored = StreamReader::try_new(Cursor::new(&bytes), None).unwrap();
            let windows = stored.schema().field_with_name("windows").unwrap().clone();
            let as_before = windows.data_type() == &DataType::Struct(untracked(Table::Windows).fields().clone());
            assert_eq!(as_before, is_readable, "{tracks_started:?}");
            let read: Result<Vec<_>, _> = stored.map(|batch| unpack(&batch.unwrap(), untracked)).collect();
            assert_eq!(read.is_ok(), is_readable, "{tracks_started:?}");
            assert_eq!(rows.counts_tracks(), !is_readable, "what it cannot read is of a newer format");
            for (table, _, batch) in read.unwrap_or_default() {
                assert_eq!(batch.schema(), untracked(table));
                assert_eq!(conform(table, table.schema(), &batch).unwrap(), rows.batch(table), "and back");
            }
            for (table, _, batch) in Record::read(bytes).unwrap().batches().unwrap() {
                assert_eq!(batch, rows.batch(table));
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let newer = Header { format_version: FORMAT_VERSION + 1, ..samples::header(Seq(1)) };
        let bytes = Record::new(newer, &Rows::default()).unwrap().bytes;
        assert!(matches!(Record::read(bytes), Err(RecordError::Newer(4))));
    }
}
