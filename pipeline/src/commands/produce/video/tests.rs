//! A clip that is written here is read back: every frame, in order, at its time.

use std::path::PathBuf;
use std::sync::Arc;

use indicatif::ProgressBar;
use opencv::core::{Scalar, Size as CvSize};
use opencv::videoio::{CAP_FFMPEG, VideoWriter, VideoWriterTrait as _, VideoWriterTraitConst as _};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::super::outlet::Manner;
use super::super::report::Tally;
use super::super::retouch::Wanted;
use super::super::shot::Shot;
use super::super::stop::Stop;
use super::*;

const FRAMES: u64 = 20;
const FPS: f64 = 10.0;

/// What frame `n` is filled with: blue, green, red, far from each other so that JPEG cannot mix them up.
fn colour(n: u64) -> [u8; 3] {
    [(n * 12) as u8, 128, 255 - (n * 12) as u8]
}

/// `FRAMES` frames of 64 x 48 pixels, each of one colour, as Motion JPEG in an AVI.
fn clip(folder: &Path) -> PathBuf {
    let path = folder.join("clip.avi");
    let fourcc = VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap();
    let size = CvSize::new(64, 48);
    let mut writer = VideoWriter::new_with_backend(path.to_str().unwrap(), CAP_FFMPEG, fourcc, FPS, size, true).unwrap();
    assert!(writer.is_opened().unwrap());
    for n in 0..FRAMES {
        let [b, g, r] = colour(n).map(f64::from);
        let frame = Mat::new_size_with_default(size, opencv::core::CV_8UC3, Scalar::new(b, g, r, 0.0)).unwrap();
        writer.write(&frame).unwrap();
    }
    writer.release().unwrap();
    path
}

/// What comes of sending `path`, and what could not be read.
fn send(path: &Path, change: impl FnOnce(&mut Manner)) -> (Vec<Shot>, String) {
    let io = Runtime::new().unwrap();
    let tally = Arc::new(Tally::new(vec!["clip".to_owned()], ProgressBar::hidden()));
    let wanted = Wanted { quality: None, max_side: None, max_pixels: 1_000_000 };
    let mut manner = Manner { fps: None, is_as_recorded: false, is_again: false, attempts: 1, max_bytes: 1 << 20, wanted };
    change(&mut manner);
    let (fill, mut shots) = mpsc::channel(1_000);
    let stop = Stop::new(io.handle());
    let mut outlet = Outlet::new("clip.avi".to_owned(), 0..1, manner, fill, Arc::clone(&tally), stop).unwrap();
    send_file(path, &mut outlet);
    drop(outlet);
    let error = tally.report("topic").err().map(|error| error.to_string()).unwrap_or_default();
    (std::iter::from_fn(|| shots.blocking_recv()).collect(), error)
}

/// Size and middle pixel of a JPEG, blue, green, red.
fn look(jpeg: &[u8]) -> ((usize, usize), [u8; 3]) {
    let image = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::BGR).unwrap();
    let at = image.height / 2 * image.pitch + image.width / 2 * 3;
    ((image.width, image.height), [0, 1, 2].map(|channel| image.pixels[at + channel]))
}

#[test]
fn every_frame_of_a_file_comes_in_order_with_the_colours_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let (shots, error) = send(&clip(folder.path()), |_| {});
    assert_eq!((shots.len() as u64, error.as_str()), (FRAMES, ""));
    for (n, shot) in (0..).zip(&shots) {
        assert_eq!((shot.frame_seq, &*shot.frame_id, shot.captured_ns), (n, format!("clip.avi#{n}").as_str(), None));
        let (size, found) = look(&shot.image);
        assert_eq!(size, (64, 48));
        let is_near = found.iter().zip(colour(n)).all(|(found, written)| found.abs_diff(written) <= 5);
        assert!(is_near, "frame {n}: {found:?}, written {:?}", colour(n));
    }
}

#[test]
fn as_recorded_frames_are_as_far_apart_as_in_the_file_and_sent_no_sooner() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path());
    let (begin, begin_ns) = (Instant::now(), now_ns().unwrap());
    let (shots, _) = send(&path, |manner| manner.is_as_recorded = true);
    let last = (FRAMES - 1) as f64 / FPS;
    assert!(begin.elapsed().as_secs_f64() >= last);
    let first_ns = shots[0].captured_ns.unwrap();
    assert!((begin_ns..=now_ns().unwrap()).contains(&first_ns));
    for (n, shot) in shots.iter().enumerate() {
        let expected = n as i64 * (1e9 / FPS) as i64;
        let found = shot.captured_ns.unwrap() - first_ns;
        assert!((found - expected).abs() <= 1_000_000, "frame {n} at {found} ns, written at {expected} ns");
    }
}

#[test]
fn a_file_is_sent_over_and_over_with_running_numbers_and_scaled_down_if_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path());
    let io = Runtime::new().unwrap();
    let tally = Arc::new(Tally::new(vec!["clip".to_owned()], ProgressBar::hidden()));
    let wanted = Wanted { quality: Some(50), max_side: Some(32), max_pixels: 1_000_000 };
    let manner = Manner { fps: None, is_as_recorded: false, is_again: true, attempts: 1, max_bytes: 1 << 20, wanted };
    let (fill, mut shots) = mpsc::channel(1);
    let stop = Stop::new(io.handle());
    let mut outlet = Outlet::new("clip.avi".to_owned(), 0..1, manner, fill, tally, stop).unwrap();
    let thread = std::thread::spawn(move || send_file(&path, &mut outlet));
    for n in 0..2 * FRAMES + 3 {
        let shot = shots.blocking_recv().unwrap();
        assert_eq!((shot.frame_seq, &*shot.frame_id), (n, format!("clip.avi#{}", n % FRAMES).as_str()));
        assert_eq!(look(&shot.image).0, (32, 24));
    }
    drop(shots);
    thread.join().unwrap();
}

#[test]
fn what_is_no_video_or_holds_no_frame_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.avi");
    for bytes in [b"no video at all".to_vec(), Vec::new(), std::fs::read(clip(folder.path())).unwrap()[..300].to_vec()] {
        std::fs::write(&path, bytes).unwrap();
        let (shots, error) = send(&path, |_| {});
        assert!(shots.is_empty() && error.contains("1 files, frames or cameras could not be read"), "{error}");
    }
}

#[test]
fn a_cut_file_gives_the_frames_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let (shots, _) = send(&path, |_| {});
    assert!((5..FRAMES).contains(&(shots.len() as u64)), "{}", shots.len());
}

#[test]
fn time_goes_on_where_opencv_does_not_say_so() {
    let mut clock = Clock::new(10.0);
    let said = [0.0, 100.0, 100.0, 0.0, f64::NAN, 600.0];
    let found = said.map(|said| clock.position(said).as_millis());
    assert_eq!(found, [0, 100, 200, 300, 400, 600]);
}
