//! What a demo has written: read back from the Parquet files, and held against what the cameras sent.
//!
//! In: the folder with the tables, and the cameras' counts. Out: text for people. Invariant: every number of the pipeline's comes from
//! the files alone; nothing is taken from the process that wrote them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use comfy_table::{CellAlignment, Table as Grid};
use facestream_schemas::tables::Table;
use indicatif::{BinaryBytes, HumanCount};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::cameras::Sent;
use crate::commands::grid;

/// What the files hold.
#[derive(Default)]
pub(super) struct Written {
    tables: Vec<(Table, Files)>,
    statuses: BTreeMap<String, u64>,
    /// Frames and faces per `source_id`.
    sources: BTreeMap<String, [u64; 2]>,
    /// (partition, offset) of each message with a row.
    messages: BTreeSet<(i64, i64)>,
    /// Rows of `frames` whose message already had one.
    doubled: u64,
}

/// The files of a table.
#[derive(Default)]
struct Files {
    count: u64,
    rows: u64,
    bytes: u64,
}

impl Written {
    /// Reads the tables under `folder`.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut written = Self::default();
        for table in Table::ALL.into_iter().rev() {
            let mut files = Files::default();
            for path in parquet_files(folder, table)? {
                let context = || format!("cannot read back {}", path.display());
                let file = File::open(&path).with_context(context)?;
                files.count += 1;
                files.bytes += file.metadata().with_context(context)?.len();
                let reader = ParquetRecordBatchReaderBuilder::try_new(file).with_context(context)?;
                files.rows += reader.metadata().file_metadata().num_rows() as u64;
                if table == Table::Frames {
                    for batch in reader.build().with_context(context)? {
                        written.add(&batch.with_context(context)?).with_context(context)?;
                    }
                }
            }
            written.tables.push((table, files));
        }
        Ok(written)
    }

    fn add(&mut self, frames: &RecordBatch) -> anyhow::Result<()> {
        let column = |name: &str, to: &DataType| {
            let column = frames.column_by_name(name).with_context(|| format!("there is no column {name}"))?;
            cast(column, to).with_context(|| format!("the column {name} has another type"))
        };
        let (source, status) = (column("source_id", &DataType::Utf8)?, column("status", &DataType::Utf8)?);
        let faces = column("face_count", &DataType::Int64)?;
        let (partition, offset) = (column("kafka_partition", &DataType::Int64)?, column("kafka_offset", &DataType::Int64)?);
        let (source, status) = (source.as_string::<i32>(), status.as_string::<i32>());
        let faces = faces.as_primitive::<Int64Type>();
        let (partition, offset) = (partition.as_primitive::<Int64Type>(), offset.as_primitive::<Int64Type>());
        for row in 0..frames.num_rows() {
            *self.statuses.entry(status.value(row).to_owned()).or_default() += 1;
            let [frames, found] = self.sources.entry(source.value(row).to_owned()).or_default();
            *frames += 1;
            *found += if faces.is_null(row) { 0 } else { faces.value(row) as u64 };
            self.doubled += u64::from(!self.messages.insert((partition.value(row), offset.value(row))));
        }
        Ok(())
    }

    /// What speaks against one row for each message sent, if anything does.
    pub(super) fn complaint(&self, sent: &Sent) -> Option<String> {
        let expected = || {
            let partitions = sent.messages.iter().enumerate();
            partitions.flat_map(|(partition, &messages)| (0..messages as i64).map(move |offset| (partition as i64, offset)))
        };
        let lost: Vec<_> = expected().filter(|message| !self.messages.contains(message)).collect();
        let unknown = self.messages.len() + lost.len() - expected().count();
        if lost.is_empty() && unknown == 0 && self.doubled == 0 {
            return None;
        }
        let first = lost.first().map(|(partition, offset)| format!(" (the first: partition {partition}, offset {offset})"));
        Some(format!(
            "{} of {} frames sent have no row{}, {} have more than one, {unknown} rows belong to no frame sent",
            lost.len(),
            expected().count(),
            first.unwrap_or_default(),
            self.doubled,
        ))
    }

    /// The tables of the report.
    pub(super) fn text(&self, sent: &Sent) -> String {
        let mut tables = grid(["table", "files", "rows", "size"]);
        for (table, files) in &self.tables {
            tables.add_row([
                table.name().to_owned(),
                files.count.to_string(),
                count(files.rows),
                BinaryBytes(files.bytes).to_string(),
            ]);
        }
        let mut statuses = grid(["status", "frames"]);
        for (status, frames) in &self.statuses {
            statuses.add_row([status.clone(), count(*frames)]);
        }
        let mut cameras = grid(["camera", "frames sent", "of them broken", "rows", "faces shown", "faces found"]);
        for camera in &sent.cameras {
            let [rows, found] = self.sources.get(&camera.id).copied().unwrap_or_default();
            let numbers = [camera.sent, camera.broken, rows, camera.shown, found];
            cameras.add_row(std::iter::once(camera.id.clone()).chain(numbers.map(count)));
        }
        [tables, statuses, cameras].map(aligned).join("\n\n")
    }
}

/// Two queries over the tables in `folder`, as they are.
pub(super) fn queries(folder: &Path) -> String {
    let folder = folder.display().to_string().replace('\'', "''");
    let table = |name: &str| format!("read_parquet('{folder}/{name}/**/*.parquet', hive_partitioning = true)");
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "SELECT source_id, count(*) AS frames, count_if(status <> 'ok') AS broken, sum(face_count) AS faces,\n       \
         round(quantile_cont(e2e_ms, 0.99)) AS e2e_ms_p99\n  FROM {}\n GROUP BY source_id ORDER BY source_id;\n\n\
         SELECT f.source_id, f.capture_ts, d.bbox_x_px, d.bbox_y_px, d.bbox_w_px, d.bbox_h_px, round(d.score, 3) AS score\n  \
         FROM {} AS f\n  JOIN {} AS d\n       \
         USING (kafka_topic, kafka_partition, kafka_offset)\n ORDER BY d.bbox_h_px DESC LIMIT 5;",
        table("frames"),
        table("frames"),
        table("detections"),
    );
    text
}

/// The Parquet files of a table: `<table>/event_date=…/event_hour=…/*.parquet`.
pub(in crate::commands) fn parquet_files(folder: &Path, table: Table) -> anyhow::Result<Vec<PathBuf>> {
    let folder = folder.display().to_string();
    let pattern = format!("{}/{}/*/*/*.parquet", glob::Pattern::escape(&folder), table.name());
    glob::glob(&pattern).with_context(|| format!("cannot search {folder}"))?.map(|path| Ok(path?)).collect()
}

/// Names to the left, numbers to the right.
fn aligned(mut grid: Grid) -> String {
    for column in grid.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    grid.trim_fmt()
}

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_row_for_each_message_sent_is_without_complaint() {
        let sent = Sent { cameras: Vec::new(), messages: vec![2, 0, 1] };
        let complaint = |messages: &[(i64, i64)], doubled| {
            Written { messages: messages.iter().copied().collect(), doubled, ..Written::default() }.complaint(&sent)
        };
        let all = [(0, 0), (0, 1), (2, 0)];
        assert_eq!(complaint(&all, 0), None);
        let lost = complaint(&all[1..], 0).unwrap();
        assert!(lost.starts_with("1 of 3 frames sent have no row (the first: partition 0, offset 0), 0 have more"), "{lost}");
        let doubled = complaint(&all, 2).unwrap();
        assert!(doubled.starts_with("0 of 3 frames sent have no row, 2 have more than one, 0 rows"), "{doubled}");
        let unknown = complaint(&[(0, 0), (0, 1), (2, 0), (1, 0)], 0).unwrap();
        assert!(unknown.ends_with("1 rows belong to no frame sent"), "{unknown}");
    }
}
