//! Rows of one table → the bytes of one Parquet file.
//!
//! In: batches in time order. Out: Parquet bytes, as row groups fill up. Invariant: each row group is sorted by
//! (`source_id`, time), row groups follow in time order, so that statistics prune; memory is one row group.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::error::ArrowError;
use facestream_schemas::tables::{SCHEMA_VERSION, Table};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows of a full row group.
pub const ROW_GROUP_ROWS: usize = 65_536;

/// Writes one Parquet file into memory; the caller takes finished bytes away as they come.
pub struct Encoder {
    table: Table,
    writer: ArrowWriter<Vec<u8>>,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
}

impl Encoder {
    /// An encoder for a file of `table`; `metadata` goes into the footer's key-value metadata beside `schema_version`.
    pub fn new(table: Table, metadata: impl IntoIterator<Item = (String, String)>) -> Result<Self, ParquetError> {
        let writer = ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties(table, metadata)?))?;
        Ok(Self { table, writer, waiting: Vec::new(), waiting_rows: 0 })
    }

    /// Takes rows; writes a row group once enough are waiting.
    pub fn push(&mut self, rows: RecordBatch) -> Result<(), ParquetError> {
        self.waiting_rows += rows.num_rows();
        self.waiting.push(rows);
        if self.waiting_rows >= ROW_GROUP_ROWS { self.end_row_group() } else { Ok(()) }
    }

    /// Rows that wait for their row group.
    #[must_use]
    pub fn waiting_rows(&self) -> usize {
        self.waiting_rows
    }

    /// Writes the waiting rows as a row group.
    pub fn end_row_group(&mut self) -> Result<(), ParquetError> {
        if self.waiting_rows > 0 {
            let rows = concat_batches(&self.table.schema(), &std::mem::take(&mut self.waiting))?;
            self.waiting_rows = 0;
            self.writer.write(&sorted(self.table, &rows)?)?;
            self.writer.flush()?;
        }
        Ok(())
    }

    /// The bytes that are finished since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    /// Writes what is left and the footer; the bytes since the last [`Encoder::take_bytes`].
    pub fn finish(mut self) -> Result<Vec<u8>, ParquetError> {
        self.end_row_group()?;
        self.writer.into_inner()
    }
}

/// Sorted by source, then time, then offset: the same order on every run.
fn sorted(table: Table, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let keys: &[&str] = match table {
        Table::Detections => &["source_id", "capture_ts", "kafka_offset", "detection_idx"],
        Table::Windows => &["source_id", "window_start", "revision"],
        Table::Frames => &["source_id", "capture_ts", "kafka_offset"],
    };
    let columns: Vec<_> = keys.iter().map(|key| SortColumn { values: Arc::clone(&rows[*key]), options: None }).collect();
    take_record_batch(rows, &lexsort_to_indices(&columns, None)?)
}

fn properties(table: Table, metadata: impl IntoIterator<Item = (String, String)>) -> Result<WriterProperties, ParquetError> {
    let mut pairs = vec![KeyValue::new("schema_version".to_owned(), SCHEMA_VERSION.to_owned())];
    pairs.extend(metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)));
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("facestream ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS * 2))
        .set_key_value_metadata(Some(pairs));
    // High cardinality: a dictionary only costs. Offsets and times ascend within a source: deltas are small.
    if table != Table::Windows {
        let offset = ColumnPath::from("kafka_offset");
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from("frame_id"), false)
            .set_column_dictionary_enabled(offset.clone(), false)
            .set_column_encoding(offset, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use facestream_schemas::{ClosedBy, Micros, SourceId, WindowRow};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use proptest::prelude::*;

    use super::*;

    fn window(source: usize, start: i64, n: i64) -> WindowRow {
        WindowRow {
            source_id: SourceId::new(&format!("s{source}")),
            window_start: Micros(start),
            window_end: Micros(start + 1),
            topic: "t".into(),
            partition: 0,
            revision: 0,
            frames_ok: n,
            frames_failed: 0,
            frames_skipped: 0,
            frames_missing: None,
            frames_with_face: 0,
            faces_total: 0,
            faces_per_frame_mean: None,
            faces_per_frame_max: None,
            score_mean: None,
            tracks_started: None,
            e2e_ms_p50: None,
            e2e_ms_p99: None,
            late_frames: 0,
            closed_by: ClosedBy::Watermark,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_row_comes_back_sorted_within_its_row_group(rows in prop::collection::vec((0..5_usize, 0..50_i64), 1..200), cut in 0..200_usize) {
            let rows: Vec<_> = rows.iter().zip(0..).map(|((source, start), n)| window(*source, *start, n)).collect();
            let cut = cut.min(rows.len());
            let mut encoder = Encoder::new(Table::Windows, [("seq".to_owned(), "7".to_owned())]).unwrap();
            let mut bytes = Vec::new();
            for part in [&rows[..cut], &rows[cut..]] {
                encoder.push(facestream_schemas::tables::windows_batch(part)).unwrap();
                encoder.end_row_group().unwrap();
                bytes.extend(encoder.take_bytes());
            }
            bytes.extend(encoder.finish().unwrap());

            let file = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
            let pairs = file.metadata().file_metadata().key_value_metadata().unwrap().clone();
            prop_assert!(pairs.contains(&KeyValue::new("seq".to_owned(), "7".to_owned())));
            prop_assert!(pairs.contains(&KeyValue::new("schema_version".to_owned(), "1".to_owned())));

            let mut seen = Vec::new();
            for batch in file.build().unwrap() {
                let batch = batch.unwrap();
                let sources = batch["source_id"].as_string::<i32>();
                let starts = batch["window_start"].as_primitive::<TimestampMicrosecondType>();
                let numbers = batch["frames_ok"].as_primitive::<Int64Type>();
                seen.extend((0..batch.num_rows()).map(|i| (numbers.value(i), sources.value(i).to_owned(), starts.value(i))));
            }
            let group = |n: i64| usize::from(n as usize >= cut);
            let mut expected: Vec<_> = rows.iter().map(|r| (r.frames_ok, r.source_id.to_string(), r.window_start.0)).collect();
            expected.sort_by_key(|(n, source, start)| (group(*n), source.clone(), *start));
            let key = |rows: &[(i64, String, i64)]| rows.iter().map(|(n, s, t)| (group(*n), s.clone(), *t)).collect::<Vec<_>>();
            prop_assert_eq!(key(&seen), key(&expected));
            seen.sort();
            expected.sort();
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn an_empty_file_has_the_schema() {
        let bytes = Encoder::new(Table::Frames, []).unwrap().finish().unwrap();
        let file = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(file.schema().fields(), Table::Frames.schema().fields());
    }
}
