//! Reading a data file: footer, then every row group, at bounded memory.
//!
//! In: an object of the store. Out: what it says of itself and what its rows are, or why it cannot be read. Invariant: in memory are
//! the last MiB of the file and a row group.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use facestream_schemas::tables::Table;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use parquet::DecodeResult;
use parquet::arrow::push_decoder::ParquetPushDecoderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};
use tokio::runtime::Handle;

use super::file::{Facts, FileName};

/// The end of a file that is read at once: a small file whole, of a large one the footer.
const TAIL: u64 = 1 << 20;

/// Why a file gave no facts.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The store does not answer, or the file is gone.
    #[error(transparent)]
    Store(#[from] Error),
    /// It is no Parquet file, or not a whole one.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// Its columns are others than the table's.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// [`read`] on this thread. A decoder that panics over a file is one that cannot read it.
pub(super) fn read_here(
    io: &Handle,
    store: &dyn ObjectStore,
    object: &ObjectMeta,
    name: &FileName,
    quick: bool,
) -> Result<Facts, ReadError> {
    let read = AssertUnwindSafe(|| io.block_on(read(store, object, name, quick)));
    catch_unwind(read).unwrap_or_else(|_| Err(ParquetError::General("the decoder panicked".to_owned()).into()))
}

/// Reads the file's footer and, unless `quick`, all of its rows.
async fn read(store: &dyn ObjectStore, object: &ObjectMeta, name: &FileName, quick: bool) -> Result<Facts, ReadError> {
    let source = Source::open(store, object).await?;
    let footer = Arc::new(source.footer().await?);
    let pairs = footer.file_metadata().key_value_metadata().into_iter().flatten();
    let metadata: BTreeMap<_, _> = pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?))).collect();
    let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default();
    let mut facts = Facts { rows, metadata, decoded: None, stray: None };
    if !quick {
        let mut seen = Seen::new(name);
        source.decode(footer, |batch| seen.take(batch)).await?;
        (facts.decoded, facts.stray) = (Some(seen.rows), seen.stray);
    }
    Ok(facts)
}

/// A file with its end in memory.
struct Source<'a> {
    store: &'a dyn ObjectStore,
    path: &'a Path,
    size: u64,
    tail: Bytes,
}

impl<'a> Source<'a> {
    async fn open(store: &'a dyn ObjectStore, object: &'a ObjectMeta) -> Result<Self, ReadError> {
        let (path, size) = (&object.location, object.size);
        // Not as "the last MiB": Azure has no such request, and S3 refuses it for an empty object.
        let tail =
            if size > TAIL { store.get_range(path, size - TAIL..size).await? } else { store.get(path).await?.bytes().await? };
        match tail.len() as u64 {
            length if length == size.min(TAIL) => Ok(Self { store, path, size, tail }),
            length => Err(ParquetError::EOF(format!("{length} bytes came instead of {}", size.min(TAIL))).into()),
        }
    }

    async fn ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let from = self.size - self.tail.len() as u64;
        if ranges.iter().all(|range| range.start >= from) {
            let local = |range: &Range<u64>| self.tail.slice((range.start - from) as usize..(range.end - from) as usize);
            return Ok(ranges.iter().map(local).collect());
        }
        self.store.get_ranges(self.path, ranges).await
    }

    async fn footer(&self) -> Result<ParquetMetaData, ReadError> {
        let mut decoder = ParquetMetaDataPushDecoder::try_new(self.size)?.with_page_index_policy(PageIndexPolicy::Skip);
        loop {
            match decoder.try_decode()? {
                DecodeResult::Data(footer) => return Ok(footer),
                DecodeResult::Finished => return Err(ParquetError::General("there is no footer".to_owned()).into()),
                DecodeResult::NeedsData(ranges) => {
                    check(&ranges, self.size)?;
                    let bytes = self.ranges(&ranges).await?;
                    decoder.push_ranges(ranges, bytes)?;
                }
            }
        }
    }

    async fn decode(
        &self,
        footer: Arc<ParquetMetaData>,
        mut take: impl FnMut(&RecordBatch) -> Result<(), ArrowError>,
    ) -> Result<(), ReadError> {
        let mut decoder = ParquetPushDecoderBuilder::try_new_decoder(footer)?.build()?;
        loop {
            match decoder.try_decode()? {
                DecodeResult::Data(batch) => take(&batch)?,
                DecodeResult::Finished => return Ok(()),
                DecodeResult::NeedsData(ranges) => {
                    check(&ranges, self.size)?;
                    let bytes = self.ranges(&ranges).await?;
                    decoder.push_ranges(ranges, bytes)?;
                }
            }
        }
    }
}

/// A damaged footer may point anywhere.
fn check(ranges: &[Range<u64>], size: u64) -> Result<(), ParquetError> {
    match ranges.iter().find(|range| range.end > size || range.start > range.end) {
        Some(range) => Err(ParquetError::EOF(format!("it refers to the bytes {}..{}, and has {size}", range.start, range.end))),
        None => Ok(()),
    }
}

/// What the rows of a file are.
struct Seen<'a> {
    name: &'a FileName,
    rows: u64,
    stray: Option<String>,
    /// Offsets of `frames` by blocks of 64: memory follows the rows, not the range.
    offsets: HashMap<i64, u64>,
}

impl<'a> Seen<'a> {
    fn new(name: &'a FileName) -> Self {
        Self { name, rows: 0, stray: None, offsets: HashMap::new() }
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.rows += batch.num_rows() as u64;
        if self.stray.is_none() {
            self.stray = self.look_for_strays(batch)?;
        }
        Ok(())
    }

    /// The first row that is another partition's, lies outside the sealed range, or is there twice.
    fn look_for_strays(&mut self, batch: &RecordBatch) -> Result<Option<String>, ArrowError> {
        let column = |name: &str, to: &DataType| {
            let column =
                batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))?;
            cast(column, to)
        };
        let partition = &self.name.partition;
        let (topics, numbers) = (column("kafka_topic", &DataType::Utf8)?, column("kafka_partition", &DataType::Int64)?);
        let topics = topics.as_string::<i32>();
        let numbers = numbers.as_primitive::<Int64Type>();
        let is_other = |row: usize| {
            topics.is_null(row) || topics.value(row) != &*partition.topic || numbers.value(row) != i64::from(partition.number)
        };
        if let Some(row) = (0..batch.num_rows()).find(|row| is_other(*row)) {
            return Ok(Some(format!("it has a row of {}/{}", topics.value(row), numbers.value(row))));
        }
        if self.name.table == Table::Windows {
            return Ok(None);
        }
        let offsets = column("kafka_offset", &DataType::Int64)?;
        for offset in offsets.as_primitive::<Int64Type>().values() {
            if !(self.name.first..self.name.end).contains(offset) {
                return Ok(Some(format!("it has a row of offset {offset}, outside {}..{}", self.name.first, self.name.end)));
            }
            if self.name.table == Table::Frames && !self.insert(*offset) {
                return Ok(Some(format!("it has more than one row of offset {offset}")));
            }
        }
        Ok(None)
    }

    fn insert(&mut self, offset: i64) -> bool {
        let block = self.offsets.entry(offset.div_euclid(64)).or_default();
        let bit = 1 << offset.rem_euclid(64);
        let is_new = *block & bit == 0;
        *block |= bit;
        is_new
    }
}
