//! The figures: as a table for people, as a JSON document for programs.
//!
//! Invariant: units are in the names, and both say what it was measured on.

use std::collections::BTreeMap;

use anyhow::bail;
use comfy_table::CellAlignment;
use facestream_schemas::Size;
use facestream_stages::detect;
use indicatif::BinaryBytes;
use serde::{Serialize, Serializer};

use super::end_to_end::Sample;
use super::feed::Cut;
use super::kernel::Kernel;
use super::machine::Machine;
use crate::commands::{grid, print};

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) machine: Machine,
    pub(super) detector: Detector,
    /// By size of the picture.
    pub(super) kernel: Vec<Kernel>,
    pub(super) end_to_end: Whole,
}

/// The detector in use.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Detector {
    id: String,
    model_sha256: Option<String>,
    input_width_px: u32,
    input_height_px: u32,
}

impl Detector {
    pub(super) fn of(detector: &dyn detect::Detector, input: Size) -> Self {
        let identity = detector.identity();
        Self {
            id: identity.detector_id.clone(),
            model_sha256: identity.model_sha256.clone(),
            input_width_px: input.w,
            input_height_px: input.h,
        }
    }
}

/// One run of the whole pipeline.
#[derive(Clone, Debug)]
pub(super) struct Run {
    frames_per_s: f64,
    cpu_ms: f64,
    peak_bytes: u64,
    /// Journal records, and files of all tables.
    pub(super) appends: u64,
    pub(super) files: u64,
    requests: BTreeMap<String, u64>,
}

impl Run {
    /// From the first look that saw a frame to the last that saw new ones.
    pub(super) fn of(samples: &[Sample], peak_bytes: u64, requests: BTreeMap<String, u64>) -> anyhow::Result<Self> {
        let first = samples.iter().position(|sample| sample.frames > 0.0).unwrap_or(0);
        // Where all were through by the second look, the time before the first frame counts, too.
        let first = if first + 1 < samples.len() { first } else { first.saturating_sub(1) };
        let [from, .., to] = &samples[first..] else {
            bail!("the run was too short to be measured: give it more time with --for")
        };
        let frames = to.frames - from.frames;
        Ok(Self {
            frames_per_s: frames / (to.at - from.at).as_secs_f64(),
            cpu_ms: (to.cpu_s - from.cpu_s) * 1e3 / frames,
            peak_bytes,
            appends: 0,
            files: 0,
            requests,
        })
    }
}

/// The whole pipeline: medians of its runs, or the most where memory is concerned.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Whole {
    /// `embedded`, or whose.
    broker: String,
    workers: usize,
    width_px: u32,
    height_px: u32,
    partitions: i32,
    /// In each run.
    frames: usize,
    runs: usize,
    #[serde(serialize_with = "rounded")]
    frames_per_s: f64,
    #[serde(serialize_with = "rounded")]
    cpu_ms: f64,
    peak_memory_bytes: u64,
    /// Objects written in a run: records of the journal, and files.
    journal_records: u64,
    parquet_files: u64,
    /// Requests to the store in a run, by operation, those for the takeover of each partition and the last seal included.
    store_requests: BTreeMap<String, u64>,
}

impl Whole {
    pub(super) fn of(kafka: Option<&str>, workers: usize, size: Size, cut: Cut, runs: &[Run]) -> Self {
        let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
        let last = runs.last();
        Self {
            broker: kafka.unwrap_or("embedded").to_owned(),
            workers,
            width_px: size.w,
            height_px: size.h,
            partitions: cut.partitions,
            frames: cut.frames,
            runs: runs.len(),
            frames_per_s: of(|run| run.frames_per_s),
            cpu_ms: of(|run| run.cpu_ms),
            peak_memory_bytes: runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0),
            journal_records: of(|run| run.appends as f64) as u64,
            parquet_files: of(|run| run.files as f64) as u64,
            store_requests: last.map(|run| run.requests.clone()).unwrap_or_default(),
        }
    }
}

impl Report {
    pub(super) fn print_json(&self) -> anyhow::Result<()> {
        print(&serde_json::to_string_pretty(self)?)
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        let Self { version, machine, detector, end_to_end: whole, .. } = self;
        let Detector { id, input_width_px, input_height_px, .. } = detector;
        let store = whole.store_requests.iter().map(|(operation, count)| format!("{operation} {count}")).collect::<Vec<_>>();
        let store = if store.is_empty() { String::new() } else { format!("  store requests    {}\n", store.join(", ")) };
        let text = format!(
            "facestream {version} on {}, {} cores, {}; load {:.1} when it began\ndetector {id}, input {input_width_px}x{input_height_px}\n\n\
             Kernel: one JPEG to faces on one core\n{}\n\n\
             Whole pipeline: {} frames of {}x{} in {} partitions, {} workers, {} broker, {} runs\n  frames/s          {:.1}\n  \
             CPU ms a frame    {:.2}\n  peak memory       {}\n  journal records   {}\n  Parquet files     {}\n{store}",
            machine.cpu,
            machine.cores,
            BinaryBytes(machine.memory_bytes),
            machine.load_1m,
            self.kernel_table(),
            whole.frames,
            whole.width_px,
            whole.height_px,
            whole.partitions,
            whole.workers,
            whole.broker,
            whole.runs,
            whole.frames_per_s,
            whole.cpu_ms,
            BinaryBytes(whole.peak_memory_bytes),
            whole.journal_records,
            whole.parquet_files,
        );
        print(text.trim_end())
    }

    fn kernel_table(&self) -> String {
        let mut table = grid(["picture", "JPEG kB", "decode ms", "detect ms", "CPU ms a frame", "frames/s per core"]);
        for kernel in &self.kernel {
            let Size { w, h } = kernel.size();
            table.add_row([
                format!("{w}x{h}"),
                format!("{:.0}", kernel.jpeg_bytes as f64 / 1e3),
                format!("{:.2}", kernel.decode_ms),
                format!("{:.2}", kernel.detect_ms),
                format!("{:.2}", kernel.cpu_ms),
                format!("{:.1}", kernel.frames_per_s_per_core),
            ]);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table.trim_fmt()
    }
}

/// The middle one; 0 where there is none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Thousandths are more than what was measured.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(super) fn rounded<S: Serializer>(number: &f64, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64((number * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_run_is_measured_from_its_first_frame_to_its_last() {
        let start = Instant::now();
        let sample = |ms: u64, frames: f64, cpu_s: f64| Sample { at: start + Duration::from_millis(ms), frames, cpu_s };
        let samples = [sample(0, 0.0, 0.5), sample(500, 0.0, 1.0), sample(1000, 10.0, 1.5), sample(3000, 210.0, 3.5)];
        let run = |samples: &[Sample]| Run::of(samples, 7, BTreeMap::new()).map(|run| (run.frames_per_s, run.cpu_ms));
        assert_eq!(run(&samples).unwrap(), (100.0, 10.0));
        assert_eq!(run(&[sample(0, 0.0, 0.5), sample(500, 10.0, 1.0)]).unwrap(), (20.0, 50.0));
        assert!(run(&samples[..1]).is_err());
    }

    #[test]
    fn a_median_is_the_middle_one() {
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![]), median(vec![5.0])), (2.0, 0.0, 5.0));
    }
}
