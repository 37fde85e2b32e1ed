//! What a publish is about to make visible, for the metrics.
//!
//! In: rows as they are read back, files as they are staged. Out: counts, once all are visible. Invariant: its memory does not grow
//! with the rows; rows of files that were visible already are none of it.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use facestream_schemas::Micros;
use facestream_schemas::tables::Table;

use crate::clock::now;
use crate::metrics::{Instants, Metrics, Roll, Since, Until};

/// The files, and when their frames were captured and recorded.
#[derive(Debug, Default)]
pub(super) struct Staged {
    files: Vec<(Table, u64, u64)>,
    captured: Instants,
    recorded: Instants,
}

impl Staged {
    /// Takes note of rows that go into one of the files.
    pub(super) fn rows(&mut self, table: Table, rows: &RecordBatch) {
        if table != Table::Frames {
            return;
        }
        for (name, instants) in [("capture_ts", &mut self.captured), ("record_ts", &mut self.recorded)] {
            let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
            column.into_iter().flatten().flatten().for_each(|at| instants.add(Micros(at)));
        }
    }

    /// Takes note of a file that is as far as it can get without becoming visible.
    pub(super) fn file(&mut self, table: Table, rows: u64, bytes: u64) {
        self.files.push((table, rows, bytes));
    }

    /// Counts all of it: it is visible now.
    pub(super) fn count(&self, metrics: &Metrics, why: Roll) {
        for (table, rows, bytes) in &self.files {
            metrics.files.of((*table, why)).inc();
            metrics.rows.of((*table, why)).inc_by(*rows);
            metrics.file_bytes.of(*table).observe(*bytes as f64);
        }
        let now = now();
        for (since, instants) in [(Since::Event, &self.captured), (Since::Record, &self.recorded)] {
            instants.observe(metrics.e2e_seconds.of((since, Until::Visible)), now);
        }
    }
}
