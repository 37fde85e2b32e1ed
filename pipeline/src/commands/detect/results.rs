//! What was seen, written: a table for people, JSON, CSV or Parquet.
//!
//! In: pictures in order. Out: text or bytes on stdout or in a file. Invariant: no more than [`BLOCK`] pictures are held back, and what was
//! taken is written by [`Results::finish`] at the latest.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::Path;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::CellAlignment;
use facestream_schemas::Detection;
use indicatif::ProgressBar;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::inputs::Inputs;
use super::seen::{Found, Seen, batch};
use crate::commands::{Failure, grid, plain};

/// Columns are as wide as the widest of so many pictures.
const BLOCK: usize = 1_000;

/// How faces are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// A JSON object a picture, one a line
    Json,
    /// Comma-separated, a line a face
    Csv,
    /// A Parquet file, a row a face
    Parquet,
}

impl Format {
    /// Refuses bytes on a terminal, and a file that would be written over an input.
    pub(super) fn check(self, output: Option<&Path>, inputs: &Inputs) -> Result<(), Failure> {
        if self == Self::Parquet && output.is_none() && std::io::stdout().is_terminal() {
            return Err(Failure::Usage("Parquet is nothing for a terminal: name a file with --output".to_owned()));
        }
        match inputs.overwritten(output) {
            Some(input) => Err(Failure::Usage(format!("--output {}: is one of the inputs", input.display()))),
            None => Ok(()),
        }
    }
}

type Sink = Box<dyn Write + Send>;

enum Out {
    Text(Sink),
    Parquet(Box<ArrowWriter<Sink>>),
}

/// What has been seen so far.
pub(super) struct Results {
    format: Format,
    out: Out,
    /// Not written yet.
    block: Vec<Seen>,
    is_begun: bool,
    bar: ProgressBar,
}

impl Results {
    /// Written to `output`, or to stdout.
    pub(super) fn open(format: Format, output: Option<&Path>, bar: ProgressBar) -> anyhow::Result<Self> {
        let sink: Sink = match output {
            Some(path) => {
                let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
                Box::new(BufWriter::new(file))
            }
            None => Box::new(std::io::stdout()),
        };
        let out = match format {
            Format::Parquet => {
                let zstd = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
                Out::Parquet(Box::new(ArrowWriter::try_new(sink, batch(&[])?.schema(), Some(zstd))?))
            }
            _ => Out::Text(sink),
        };
        Ok(Self { format, out, block: Vec::new(), is_begun: false, bar })
    }

    pub(super) fn take(&mut self, seen: Seen) -> anyhow::Result<()> {
        self.block.push(seen);
        if self.block.len() >= BLOCK || self.format == Format::Json { self.write() } else { Ok(()) }
    }

    /// Writes what is left, and the end.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.write()?;
        match self.out {
            Out::Text(mut sink) => sink.flush()?,
            Out::Parquet(writer) => writer.into_inner()?.flush()?,
        }
        Ok(())
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let block = std::mem::take(&mut self.block);
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let text = match self.format {
            Format::Table => table(&block, is_first),
            Format::Json => lines(&block)?,
            Format::Csv => csv(&batch(&block)?, is_first)?,
            Format::Parquet => String::new(),
        };
        match &mut self.out {
            Out::Text(sink) => self.bar.suspend(|| sink.write_all(text.as_bytes()))?,
            Out::Parquet(writer) => writer.write(&batch(&block)?)?,
        }
        Ok(())
    }
}

fn lines(block: &[Seen]) -> serde_json::Result<String> {
    block.iter().map(|seen| Ok(seen.json()? + "\n")).collect()
}

/// A line a face. A picture without faces, or that failed, has one that says so.
fn table(block: &[Seen], is_first: bool) -> String {
    let mut table = grid(["file", "face", "x", "y", "w", "h", "score"]);
    for Seen { name, outcome, .. } in block {
        match outcome {
            Err(failed) => drop(table.add_row([plain(name), failed.status.to_string()])),
            Ok(Found { faces, .. }) if faces.is_empty() => drop(table.add_row([plain(name), "none".to_owned()])),
            Ok(Found { faces, .. }) => {
                for (face, number) in faces.iter().zip(1..) {
                    table.add_row([plain(name), format!("{number}")].into_iter().chain(numbers(face)));
                }
            }
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let title = if is_first { "Recognition Result:\n" } else { "" };
    if block.is_empty() { title.to_owned() } else { format!("{title}{}\n", table.trim_fmt()) }
}

fn numbers(face: &Detection) -> [String; 5] {
    let px = |number: f32| format!("{number:.1}");
    let score = face.score.map_or_else(|| "-".to_owned(), |score| format!("{score:.3}"));
    [px(face.bbox.x), px(face.bbox.y), px(face.bbox.w), px(face.bbox.h), score]
}

/// As RFC 4180 has it, but for the ends of lines; null is empty, a list is as in JSON.
fn csv(rows: &RecordBatch, with_header: bool) -> Result<String, ArrowError> {
    let options = FormatOptions::default();
    let columns = rows.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let schema = rows.schema();
    let mut text = String::new();
    if with_header {
        let names = schema.fields().iter().map(|field| field.name().to_owned());
        text = names.collect::<Vec<_>>().join(",") + "\n";
    }
    for row in 0..rows.num_rows() {
        let cells = columns.iter().map(|column| Ok(quoted(column.value(row).try_to_string()?)));
        text += &(cells.collect::<Result<Vec<_>, ArrowError>>()?.join(",") + "\n");
    }
    Ok(text)
}

fn quoted(cell: String) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::{broken, seen};
    use super::*;

    #[test]
    fn every_picture_has_its_line_whatever_it_is_called() {
        let pictures = [seen("a b\n\u{1b}[2J.jpg", &[[1.25, 2.0, 30.0, 40.0], [5.0; 4]]), seen("ü.jpg", &[]), broken("c.jpg")];
        let text = table(&pictures, true);
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert_eq!(lines[0], ["Recognition", "Result:"]);
        assert_eq!(lines[1], ["file", "face", "x", "y", "w", "h", "score"]);
        assert_eq!(lines[2], ["a", "b\\n\\u{1b}[2J.jpg", "1", "1.2", "2.0", "30.0", "40.0", "0.900"]);
        assert_eq!(lines[3][2..], ["2", "5.0", "5.0", "5.0", "5.0", "0.900"]);
        assert_eq!((&lines[4][..], &lines[5][..]), (&["ü.jpg", "none"][..], &["c.jpg", "decode_error"][..]));
        assert_eq!(table(&[], true), "Recognition Result:\n");
        assert_eq!(table(&[], false), "");
    }

    #[test]
    fn csv_quotes_what_has_to_be() {
        let text = csv(&batch(&[seen("a,\"b\"\n.jpg", &[[1.5, -2.0, 0.1, 4.0]]), broken("c")]).unwrap(), true).unwrap();
        let expected = "file,detection_idx,bbox_x_px,bbox_y_px,bbox_w_px,bbox_h_px,truncated,score,score_kind,landmarks_px,track_id,\
                        detector_id,model_sha256,image_w_px,image_h_px\n\
                        \"a,\"\"b\"\"\n.jpg\",0,1.5,-2.0,0.1,4.0,true,0.9,prob,,,d,,100,50\n";
        assert_eq!(text, expected);
        assert_eq!(csv(&batch(&[broken("c")]).unwrap(), false).unwrap(), "");
    }
}
