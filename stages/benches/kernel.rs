//! The kernel: one 1080p JPEG to faces with `YuNet` at 640x384, and its parts, on one core; what a Haar cascade takes for it; and what
//! a picture costs that people may see of it.
//!
//! In: a picture made here, and the library, models and `OpenCV` for Python that set-up fetched (`ONNXRUNTIME` and `YUNET` name others).
//! Out: criterion's figures (those of tracks first, which need nothing), then the CPU times of parts and whole measured by turns, the
//! ratio of the whole to the sum of its parts, and, by turns again, those of the plain loop in Python and of `OpenCV`'s own cascade.

use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use criterion::Criterion;
use facestream_schemas::{Bbox, Detection, ScoreKind, Size};
use facestream_stages::annotate::{Easel, Style, Tile, What};
use facestream_stages::decode::{Decode, Limits};
use facestream_stages::detect::{Detector, Haar, Settings, YuNet, init_runtime};
use rustix::time::{ClockId, clock_gettime};
use turbojpeg::{Compressor, PixelFormat, Subsamp};

const SIZE: Size = Size { w: 1920, h: 1080 };
const SETTINGS: Settings = Settings::DEFAULT;
const LIMITS: Limits = Limits { max_pixels: 100_000_000 };
/// Size of the JPEG in bytes: what a camera sends at a usual quality.
const JPEG_BYTES: usize = 290_000;
const ROUNDS: usize = 400;
/// Rounds that take turns with Python.
const ROUNDS_WITH_PYTHON: usize = 60;
const ROUNDS_OF_HAAR: usize = 9;
/// The same weights as the kernel's, with the shape that `OpenCV` wants: it reads no dynamic ones.
const MODEL_FOR_OPENCV: &str = "yunet_n_640_640.onnx";
const CASCADE: &str = "/usr/share/opencv4/haarcascades/haarcascade_frontalface_default.xml";

#[path = "kernel/python.rs"]
mod python;
#[path = "kernel/tracks.rs"]
mod tracks;

use python::Python;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    tracks::measure(&mut criterion, cpu_ms);
    kernel(&mut criterion);
    haar();
    criterion.final_summary();
}

fn kernel(criterion: &mut Criterion) {
    let (Some(library), Some(model)) = (found("ONNXRUNTIME", "lib", "libonnxruntime.so"), model_file()) else {
        eprintln!(
            "SKIPPED kernel: no ONNX Runtime library or YuNet model in the cache folder: run deploy/setup.sh, or name a folder with the model in FACESTREAM_MODELS"
        );
        return;
    };
    init_runtime(&library).expect("the library loads");
    let mut decode = Decode::new(LIMITS, SETTINGS.input);
    let mut yunet = YuNet::load(&model, &SETTINGS).expect("the model loads");
    let jpeg = camera_jpeg();

    criterion.bench_function("decode", |bencher| bencher.iter(|| decode.decode(&jpeg).is_ok()));
    let image = decode.decode(&jpeg).expect("the picture is whole");
    criterion.bench_function("resize and convert", |bencher| bencher.iter(|| yunet.prepare(&image)));
    let scale = yunet.prepare(&image);
    criterion.bench_function("inference and postprocessing", |bencher| bencher.iter(|| yunet.infer(scale).is_ok()));
    criterion.bench_function("whole", |bencher| bencher.iter(|| whole(&mut decode, &mut yunet, &jpeg)));
    compare(&mut decode, &mut yunet, &jpeg);
    compare_with_python(&mut decode, &mut yunet, &jpeg, &model.with_file_name(MODEL_FOR_OPENCV));
    annotate(&jpeg);
}

/// What each way to annotate costs a picture with five faces of 100 to 200 pixels, and what the picture itself costs.
fn annotate(jpeg: &[u8]) {
    let mut decode = Decode::full(LIMITS);
    let mut easel = Easel::new(85);
    let mut tile = Tile { rgb: Vec::new(), size: SIZE };
    let face = |at: usize| {
        let (x, y, w) = (90.0 + 360.0 * at as f32, 150.0 + 130.0 * at as f32, 100.0 + 25.0 * at as f32);
        let (bbox, score_kind) = (Bbox { x, y, w, h: w }, ScoreKind::Prob);
        Detection { bbox, score: Some(0.97), score_kind, landmarks: None, track: None }
    };
    let faces: Vec<_> = (0..5).map(face).collect();
    let mut times: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS / 4 {
        let decoding = second_time_ms(|| decode.decode_into(jpeg, &mut tile.rgb).expect("the picture is whole"));
        let doing = [What::Boxes, What::Blur, What::Pixelate]
            .map(|what| second_time_ms(|| tile.annotate(what, &faces, &[], SIZE, &Style::default())));
        let encoding = second_time_ms(|| easel.encode(&tile).expect("a size that JPEG has"));
        let [boxes, blur, pixelate] = doing;
        times.iter_mut().zip([decoding, boxes, blur, pixelate, encoding]).for_each(|(times, time)| times.push(time));
    }
    let [decode, boxes, blur, pixelate, encode] = times.map(median);
    eprintln!("annotated picture of {}x{} with 5 faces, medians of {} in ms of CPU time:", SIZE.w, SIZE.h, ROUNDS / 4);
    eprintln!(
        "  boxes {boxes:.2}, blur {blur:.2}, pixelate {pixelate:.2} (target 3); beside that decode in full {decode:.2}, encode {encode:.2}"
    );
}

/// YuNet-n in the folder that `FACESTREAM_MODELS` names, else in the cache folder.
fn model_file() -> Option<PathBuf> {
    match std::env::var_os("FACESTREAM_MODELS").filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(PathBuf::from(folder).join("yunet_n_dynamic.onnx")).filter(|model| model.is_file()),
        None => found("YUNET", "models", "yunet_n_dynamic.onnx"),
    }
}

fn whole(decode: &mut Decode, yunet: &mut YuNet, jpeg: &[u8]) -> usize {
    let image = decode.decode(jpeg).expect("the picture is whole");
    yunet.detect(&image).expect("inference works").len()
}

/// Each part alone and the whole by turns, so that what else the machine does hits all alike; medians of CPU time.
fn compare(decode: &mut Decode, yunet: &mut YuNet, jpeg: &[u8]) {
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let decoding = second_time_ms(|| decode.decode(jpeg).map(|image| image.size).expect("the picture is whole"));
        let image = decode.decode(jpeg).expect("the picture is whole");
        let preparing = second_time_ms(|| yunet.prepare(&image));
        let scale = yunet.prepare(&image);
        let inferring = second_time_ms(|| yunet.infer(scale).expect("inference works"));
        let all = second_time_ms(|| whole(decode, yunet, jpeg));
        times.iter_mut().zip([decoding, preparing, inferring, all]).for_each(|(times, time)| times.push(time));
    }
    let [decode, resize, inference, whole] = times.map(median);
    let sum = decode + resize + inference;
    eprintln!("kernel, {} kB JPEG of {}x{}, medians of {ROUNDS} in ms of CPU time:", jpeg.len() / 1000, SIZE.w, SIZE.h);
    eprintln!("  decode {decode:.2} + resize and convert {resize:.2} + inference and postprocessing {inference:.2} = {sum:.2}");
    eprintln!("  whole {whole:.2}, {:.3} of the sum (target 1.05), {:.0} frames/s on one core", whole / sum, 1e3 / whole);
}

/// The whole against what many begin with, `imdecode` and `FaceDetectorYN`: on the picture made as small as here, and as it is.
fn compare_with_python(decode: &mut Decode, yunet: &mut YuNet, jpeg: &[u8], model: &Path) {
    let Some(interpreter) = found("OPENCV_PYTHON", "venv/opencv/bin", "python").filter(|_| model.is_file()) else {
        eprintln!("SKIPPED the plain Python loop: it needs the venv opencv (deploy/setup.sh bench) and {}", model.display());
        return;
    };
    let picture = picture_file(jpeg);
    let mut python = Python::start(&interpreter, picture.path(), Some(model), None);
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS_WITH_PYTHON {
        let ours = second_time_ms(|| whole(decode, yunet, jpeg));
        let round = [ours, python.round("yunet"), python.round("yunet at full size")];
        times.iter_mut().zip(round).for_each(|(times, time)| times.push(time));
    }
    let [ours, small, full] = times.map(median);
    eprintln!(
        "against Python with OpenCV {}, one thread each, medians of {ROUNDS_WITH_PYTHON} in ms of CPU time:",
        python.version
    );
    eprintln!(
        "  kernel {ours:.2}; imdecode, resize to 640x360, FaceDetectorYN {small:.2}: {:.2} times (target 2.2)",
        small / ours
    );
    eprintln!("  imdecode, FaceDetectorYN at 1920x1080 {full:.2}: {:.2} times", full / ours);
}

/// The classic cascade on the same picture, and `OpenCV`'s own where that is there.
fn haar() {
    let cascade = Path::new(CASCADE);
    if !cascade.is_file() {
        eprintln!("SKIPPED haar: there is no {CASCADE}: install Debian's package opencv-data");
        return;
    }
    let jpeg = camera_jpeg();
    let mut decode = Decode::new(LIMITS, Size::MAX);
    let decoding = median((0..ROUNDS_OF_HAAR).map(|_| second_time_ms(|| decode.decode(&jpeg).is_ok())).collect());
    let image = decode.decode(&jpeg).expect("the picture is whole");
    let mut haar = Haar::load(cascade, &SETTINGS).expect("the cascade loads");
    let picture = picture_file(&jpeg);
    let interpreter = found("OPENCV_PYTHON", "venv/opencv/bin", "python");
    let mut python = interpreter.map(|interpreter| Python::start(&interpreter, picture.path(), None, Some(cascade)));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS_OF_HAAR {
        ours.push(second_time_ms(|| haar.detect(&image).expect("it is no crowd").len()));
        theirs.extend(python.as_mut().map(|python| python.round("haar")));
    }
    let ours = median(ours);
    eprintln!("haar_frontalface_default, medians of {ROUNDS_OF_HAAR} in ms of CPU time: decode {decoding:.2}, detect {ours:.1}");
    match python {
        Some(python) => {
            let theirs = median(theirs);
            eprintln!("  OpenCV {} detectMultiScale, one thread {theirs:.1}: {:.2} times", python.version, theirs / ours);
        }
        None => eprintln!("  SKIPPED OpenCV's own: there is no venv opencv (deploy/setup.sh bench)"),
    }
}

fn picture_file(jpeg: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(jpeg).expect("room for a picture");
    file
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// CPU milliseconds of the second of two runs, which finds caches and buffers as a steady stream would.
fn second_time_ms<T>(mut run: impl FnMut() -> T) -> f64 {
    black_box(run());
    cpu_ms(&mut || drop(black_box(run())))
}

/// CPU milliseconds of this thread.
fn cpu_ms(run: &mut dyn FnMut()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    };
    let start = now();
    run();
    now() - start
}

/// A file that the environment names, or the first of that name in set-up's cache folder.
fn found(variable: &str, folder: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let cache = std::env::var_os("FACESTREAM_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("facestream")))
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/facestream")))?;
    let files = std::fs::read_dir(cache.join(folder)).ok()?;
    files
        .flatten()
        .map(|file| file.path())
        .find(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
}

/// A picture with the spectrum of a natural one (noise whose strength falls with its frequency), compressed at the quality
/// that comes nearest to [`JPEG_BYTES`].
fn camera_jpeg() -> Vec<u8> {
    let (width, height) = (SIZE.w as usize, SIZE.h as usize);
    let pixels: Vec<u8> = (0..width * height).flat_map(|at| colour((at % width) as f32, (at / width) as f32)).collect();
    let picture = turbojpeg::Image { pixels: pixels.as_slice(), width, pitch: width * 3, height, format: PixelFormat::RGB };
    let mut compressor = Compressor::new().expect("TurboJPEG starts");
    compressor.set_subsamp(Subsamp::Sub2x2).expect("4:2:0 exists");
    let files = (30..=95).map(|quality| {
        compressor.set_quality(quality).expect("a quality from 1 to 100");
        compressor.compress_to_vec(picture).expect("the picture is valid")
    });
    files.min_by_key(|file| file.len().abs_diff(JPEG_BYTES)).expect("there are qualities")
}

fn colour(x: f32, y: f32) -> [u8; 3] {
    let light = 120.0 + noise(x, y, 0);
    let tint = noise(x / 4.0, y / 4.0, 1000) / 3.0;
    [light + tint, light, light - tint].map(|channel| channel.clamp(0.0, 255.0) as u8)
}

/// Nine octaves of value noise, each of half the size and 0.6 of the strength of the one before.
fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let octave = |octave: u32| {
        let cell = 512.0 / f32::from(1_u16 << octave);
        let (u, v) = (x / cell, y / cell);
        let corner = |right: u32, down: u32| lattice(u as u32 + right, v as u32 + down, seed + octave);
        let (across, down) = (u.fract(), v.fract());
        let top = corner(0, 0) * (1.0 - across) + corner(1, 0) * across;
        let bottom = corner(0, 1) * (1.0 - across) + corner(1, 1) * across;
        (top * (1.0 - down) + bottom * down) * 80.0 * 0.6_f32.powi(octave as i32)
    };
    (0..9).map(octave).sum()
}

/// A fixed value from -1 to 1 for each lattice point.
fn lattice(x: u32, y: u32, seed: u32) -> f32 {
    let mut hash = x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77) ^ seed.wrapping_mul(0xC2B2_AE3D);
    hash = (hash ^ (hash >> 15)).wrapping_mul(0x2C1B_3C6D);
    hash = (hash ^ (hash >> 12)).wrapping_mul(0x297A_2D39);
    (hash ^ (hash >> 15)) as f32 / (u32::MAX as f32 / 2.0) - 1.0
}
