//! The kernel: encoded picture to faces on one core, for pictures of several sizes.
//!
//! In: the detector. Out: medians of this thread's CPU time. Invariant: sizes and pictures take turns, so that what else the machine
//! does hits all alike; nothing but decoding and detection is timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use facestream_schemas::Size;
use facestream_stages::decode::{Decode, Limits};
use facestream_stages::detect::{self, Detector};
use indicatif::ProgressBar;
use serde::Serialize;

use super::report::{median, rounded};
use crate::clock::thread_cpu;
use crate::commands::produce::stop::Stop;
use crate::detector::Ready;
use crate::scene::Scene;

/// Pictures of a size: as many cameras, each with another number of people.
const PICTURES: u32 = 3;

/// At least so many rounds are measured, however long they take.
const LEAST_ROUNDS: usize = 2;

/// What one frame of a size takes.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kernel {
    width_px: u32,
    height_px: u32,
    /// Mean of the pictures' sizes.
    pub(super) jpeg_bytes: u64,
    frames: usize,
    #[serde(serialize_with = "rounded")]
    pub(super) decode_ms: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) detect_ms: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) cpu_ms: f64,
    #[serde(serialize_with = "rounded")]
    pub(super) frames_per_s_per_core: f64,
    /// What the clock says, too: a scripted detector sleeps.
    #[serde(skip)]
    wall_ms: f64,
}

impl Kernel {
    pub(super) fn size(&self) -> Size {
        Size { w: self.width_px, h: self.height_px }
    }

    /// How long a worker has its hands full with a frame.
    pub(super) fn per_frame_ms(&self) -> f64 {
        self.wall_ms
    }
}

/// Pictures of one size, and what they took so far.
struct Bench {
    size: Size,
    pictures: Vec<Vec<u8>>,
    decode: Decode,
    times: [Vec<f64>; 4],
}

/// Measures for so long. `None` if it was interrupted.
pub(super) fn measure(
    ready: &Ready,
    sizes: &[Size],
    length: Duration,
    stop: &Stop,
    bar: &ProgressBar,
) -> anyhow::Result<Option<Vec<Kernel>>> {
    bar.set_message("kernel: making pictures");
    let mut detector = detect::load(&ready.model.path, &ready.settings)?;
    let mut benches = Vec::new();
    for size in sizes {
        if stop.is_raised() {
            return Ok(None);
        }
        benches.push(Bench::new(*size, detector.decode_for()));
    }
    bar.set_message("kernel");
    let started = Instant::now();
    for round in 0.. {
        let elapsed = started.elapsed();
        bar.set_position((elapsed.as_secs_f64() / length.as_secs_f64() * 500.0).min(500.0) as u64);
        if round > LEAST_ROUNDS && elapsed >= length {
            break;
        }
        for bench in &mut benches {
            if stop.is_raised() {
                return Ok(None);
            }
            // The first round fills caches and buffers.
            bench.round(&mut *detector, round > 0)?;
        }
    }
    Ok(Some(benches.into_iter().map(Bench::sum_up).collect()))
}

impl Bench {
    fn new(size: Size, decode_for: Size) -> Self {
        let pictures = (0..PICTURES).map(|camera| Scene::new(camera, size).picture(30).jpeg).collect();
        let max_pixels = u64::from(size.w) * u64::from(size.h);
        Self { size, pictures, decode: Decode::new(Limits { max_pixels }, decode_for), times: Default::default() }
    }

    fn round(&mut self, detector: &mut dyn Detector, counts: bool) -> anyhow::Result<()> {
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        for picture in &self.pictures {
            let (started, start) = (Instant::now(), thread_cpu());
            let image = self.decode.decode(picture).map_err(|rejection| anyhow::anyhow!("decoding: {rejection:?}"))?;
            let decoded = thread_cpu();
            black_box(detector.detect(&image)?);
            let done = thread_cpu();
            if counts {
                let spans =
                    [decoded.saturating_sub(start), done.saturating_sub(decoded), done.saturating_sub(start), started.elapsed()];
                self.times.iter_mut().zip(spans).for_each(|(times, span)| times.push(millis(span)));
            }
        }
        Ok(())
    }

    fn sum_up(self) -> Kernel {
        let bytes: usize = self.pictures.iter().map(Vec::len).sum();
        let frames = self.times[0].len();
        let [decode_ms, detect_ms, cpu_ms, wall_ms] = self.times.map(median);
        Kernel {
            width_px: self.size.w,
            height_px: self.size.h,
            jpeg_bytes: (bytes / self.pictures.len()) as u64,
            frames,
            decode_ms,
            detect_ms,
            cpu_ms,
            frames_per_s_per_core: 1e3 / cpu_ms,
            wall_ms,
        }
    }
}
