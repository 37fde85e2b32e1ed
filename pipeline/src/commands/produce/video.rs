//! Video files and cameras, through OpenCV.
//!
//! In: a file, a device or an address that OpenCV's `VideoCapture` opens. Out: frames as JPEGs. Invariant: a frame's time in a
//! file never goes backwards.

use std::path::Path;
use std::time::{Duration, Instant};

use facestream_schemas::Size;
use opencv::core::{Mat, MatTraitConst as _, MatTraitConstManual as _};
use opencv::videoio::{CAP_ANY, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_POS_MSEC};
use opencv::videoio::{VideoCapture, VideoCaptureTrait as _, VideoCaptureTraitConst as _};

use super::outlet::{Outlet, nanos, now_ns};
use super::patience::Patience;
use super::shot::frame_id;

/// Sends every frame of a file, over and over where that is wanted.
pub(super) fn send_file(path: &Path, outlet: &mut Outlet) {
    let mut next_seq = 0;
    loop {
        let first_seq = next_seq;
        match file_once(path, &mut next_seq, outlet) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return outlet.unreadable(format_args!("{}: {error}", outlet.name)),
        }
        if next_seq == first_seq {
            return outlet.unreadable(format_args!("{}: holds no frame that can be decoded", outlet.name));
        }
        if !outlet.is_again() {
            return;
        }
    }
}

/// False if there is no use in going on.
fn file_once(path: &Path, next_seq: &mut u64, outlet: &mut Outlet) -> Result<bool, String> {
    let mut capture = open(&path.display().to_string())?;
    let fps = Some(property(&capture, CAP_PROP_FPS)).filter(|fps| fps.is_finite() && *fps > 0.0);
    let mut clock = Clock::new(fps.unwrap_or(25.0));
    let (begin, begin_ns) = (Instant::now(), now_ns());
    let (mut frame, mut frames) = (Mat::default(), 0_u64);
    while read(&mut capture, &mut frame)? {
        frames += 1;
        let position = clock.position(property(&capture, CAP_PROP_POS_MSEC));
        let jpeg = encode(&frame, outlet)?;
        let is_due = if outlet.manner.is_as_recorded { outlet.wait_until(begin + position) } else { outlet.wait_due() };
        let captured_ns = begin_ns.zip(nanos(position)).map(|(begin, position)| begin + position);
        let captured_ns = captured_ns.filter(|_| outlet.manner.is_as_recorded);
        let id = frame_id(&format!("{}#{}", outlet.name, frames - 1));
        if !is_due || !outlet.offer(*next_seq, id, captured_ns, jpeg) {
            return Ok(false);
        }
        *next_seq += 1;
    }
    // The number is the container's word, or an estimate.
    let announced = property(&capture, CAP_PROP_FRAME_COUNT);
    if frames > 0 && announced > 1.05 * frames as f64 + 1.0 {
        outlet.unreadable(format_args!(
            "{}: only {frames} of {announced} announced frames are there, it is cut short",
            outlet.name
        ));
    }
    Ok(true)
}

/// Sends on what a camera shows, until nobody wants it or it is gone for good.
pub(super) fn send_camera(address: &str, outlet: &mut Outlet) {
    let mut patience = Patience::new(outlet.manner.attempts);
    loop {
        let why = match watch(address, outlet, &mut patience) {
            Ok(()) => return,
            Err(why) => why,
        };
        let Some(delay) = patience.failed() else {
            let (name, attempts) = (&outlet.name, outlet.manner.attempts);
            return outlet.unreadable(format_args!("{name}: given up after {attempts} attempts (--attempts): {why}"));
        };
        outlet.note(format_args!("{}: {why}; next attempt in {:.1} s", outlet.name, delay.as_secs_f64()));
        if !outlet.stop.wait(delay) {
            return;
        }
    }
}

/// Ends without an error when nobody wants more.
fn watch(address: &str, outlet: &mut Outlet, patience: &mut Patience) -> Result<(), String> {
    let mut capture = open(address)?;
    let mut frame = Mat::default();
    while read(&mut capture, &mut frame)? {
        patience.succeeded();
        if !outlet.is_surplus() {
            let captured_ns = now_ns();
            let jpeg = encode(&frame, outlet)?;
            if !outlet.offer_live(captured_ns, jpeg) {
                return Ok(());
            }
        }
        if outlet.is_stopped() {
            return Ok(());
        }
    }
    Err("no more frames come".to_owned())
}

fn open(address: &str) -> Result<VideoCapture, String> {
    let capture =
        VideoCapture::from_file(address, CAP_ANY).map_err(|error| format!("OpenCV cannot open it: {}", error.message))?;
    if capture.is_opened().unwrap_or(false) {
        Ok(capture)
    } else {
        Err("OpenCV cannot open it: it is no video that it knows, or the camera is not there".to_owned())
    }
}

fn read(capture: &mut VideoCapture, frame: &mut Mat) -> Result<bool, String> {
    let is_there = capture.read(frame).map_err(|error| format!("OpenCV cannot read on: {}", error.message))?;
    Ok(is_there && !frame.empty())
}

/// What OpenCV says of a video; it says 0 where it does not know.
fn property(capture: &VideoCapture, property: i32) -> f64 {
    capture.get(property).unwrap_or(0.0)
}

fn encode(frame: &Mat, outlet: &mut Outlet) -> Result<Vec<u8>, String> {
    let is_bgr = frame.typ() == opencv::core::CV_8UC3;
    let pixels = frame.data_bytes().map_err(|error| format!("OpenCV gives no pixels: {}", error.message))?;
    if !is_bgr {
        return Err(format!("OpenCV gives pixels of its type {}, expected three bytes for blue, green, red", frame.typ()));
    }
    let size = Size { w: frame.cols().unsigned_abs(), h: frame.rows().unsigned_abs() };
    outlet.encoded(pixels, size, turbojpeg::PixelFormat::BGR).map_err(|error| error.to_string())
}

/// A video's own time.
struct Clock {
    frame: Duration,
    last: Option<Duration>,
}

impl Clock {
    fn new(fps: f64) -> Self {
        Self { frame: Duration::from_secs_f64(1.0 / fps.clamp(0.001, 1e6)), last: None }
    }

    /// The next frame's, for what OpenCV says of it in ms. Where that does not go on, a frame's time later than the last one.
    fn position(&mut self, said_ms: f64) -> Duration {
        let said = Duration::try_from_secs_f64(said_ms / 1e3).unwrap_or_default();
        let position = match self.last {
            Some(last) if said <= last => last + self.frame,
            _ => said,
        };
        self.last = Some(position);
        position
    }
}

#[cfg(test)]
mod tests;
