//! The whole pipeline on a real Kafka broker, next to a bare loop of decode + detect over the same pictures.
//!
//! In: Kafka's jars, ONNX Runtime and a model, as set-up brings them (`FACESTREAM_MODELS` names another folder for models), and
//! `FRAMES`, `ROUNDS`, `BACKLOG`, `ENVELOPES`, `APPENDS`, `LIVE` and `TAKEOVERS` for shorter runs (0 leaves out the last five). Out: figures on standard
//! error, each beside its target. Invariant: what is compared was measured by turns, in CPU time; speed is printed and never asserted.

mod envelopes;
mod journal;
mod live;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use facestream::config::Config;
use facestream::models::Folders;
use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_stages::decode::{Decode, Limits};
use facestream_stages::detect::{self, Settings};
use facestream_tests::{Facestream, Kafka, Record, scratch, wait_for};
use rustix::time::{ClockId, clock_gettime};
use toml::Table;

const SIZE: Size = Size { w: 1920, h: 1080 };
const WORKERS: usize = 2;
/// Partitions, with one camera in each.
const PARTITIONS: usize = 4;
const PICTURES_PER_CAMERA: usize = 8;
/// Only a hang takes this long.
const LONG: Duration = Duration::from_mins(30);
/// Looks at the process (20 ms apart) for each look at its metrics, which cost it CPU time: less than a thousandth.
const LOOKS_PER_SAMPLE: u64 = 10;
/// Linux counts CPU time for people in hundredths of a second, on every machine that this runs on (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

fn main() {
    if !env::args().any(|argument| argument == "--bench") {
        eprintln!("SKIPPED pipeline: it measures, and tests nothing; `cargo bench` runs it");
        return;
    }
    // Cargo starts a bench in its package's folder; paths in the environment are meant from the workspace's.
    env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("the workspace's folder");
    let (frames, rounds, backlog) = (number("FRAMES", 3000), number("ROUNDS", 3), number("BACKLOG", 20_000));
    let bare = Bare::new(pictures());
    let kafka = Kafka::start();
    let topic = bare.produce(&kafka, frames);
    eprintln!(
        "\npipeline: {frames} frames of {}x{}, {:.0} kB on average, {PARTITIONS} partitions, {}, {WORKERS} workers, {} cores",
        SIZE.w,
        SIZE.h,
        bare.mean_bytes() / 1e3,
        bare.model.display(),
        cores()
    );
    compare(&bare, &kafka, &topic, frames, rounds);
    start(&kafka, &topic, rounds);
    if backlog > 0 {
        peak_memory(&bare, &kafka, backlog);
    }
    match number("ENVELOPES", 5) {
        0 => {}
        rounds => envelopes::compare(&bare, &kafka, frames, rounds),
    }
    match number("APPENDS", 7) {
        0 => {}
        pairs => journal::appends(&kafka, &bare.produce(&kafka, 2 * frames), 2 * frames, pairs),
    }
    match number("LIVE", 7) {
        0 => {}
        pairs => live::unwatched(&kafka, &bare.produce(&kafka, 2 * frames), 2 * frames, pairs),
    }
    match number("TAKEOVERS", 9) {
        0 => {}
        kills => journal::takeovers(&kafka, kills),
    }
}

/// Bare loop and pipeline by turns.
fn compare(bare: &Bare, kafka: &Kafka, topic: &str, frames: usize, rounds: usize) {
    let mut columns: [Vec<f64>; 9] = Default::default();
    for round in 1..=rounds {
        let alone = bare.cpu_ms(frames / WORKERS, 1);
        let beside = bare.cpu_ms(frames, WORKERS);
        let run = Run::measure(kafka, topic, frames);
        let cpu_ms = run.cpu_s * 1e3 / frames as f64;
        let allowed = |cores: f64| run.frames_per_s / (cores * 1e3 / beside);
        let left = cores() - run.broker_cores;
        eprintln!(
            "  round {round}: bare {alone:.2} and {beside:.2}, pipeline {cpu_ms:.2} ms of CPU a frame, {:.1} frames/s; cores: \
             broker {:.3}, everything else on this machine {:.3}; peak {:.0} MiB",
            run.frames_per_s, run.broker_cores, run.other_cores, run.peak_mib
        );
        let ratios = [cpu_ms / alone, cpu_ms / beside];
        let rates = [run.frames_per_s, allowed(left), allowed(left - run.other_cores)];
        let row = [alone, beside, cpu_ms, ratios[0], ratios[1], rates[0], rates[1], rates[2], run.broker_cores];
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let [alone, beside, cpu_ms, to_alone, to_beside, rate, share, undisturbed, broker] = columns.map(median);
    let loops = |cpu_ms: f64| format!("{cpu_ms:.2} ms a frame, {:.0} frames/s per core", 1e3 / cpu_ms);
    eprintln!("  medians of {rounds} rounds, CPU time is user + sys:");
    eprintln!("    bare loop, one thread        {}", loops(alone));
    eprintln!("    bare loop, {WORKERS} threads         {}", loops(beside));
    eprintln!("    facestream run --until-end   {cpu_ms:.2} ms a frame: {to_beside:.3} of the bare loop on {WORKERS} threads,");
    eprintln!("                                 {to_alone:.3} of it on one (target 1.10)");
    eprintln!("    first to last frame          {rate:.0} frames/s: {share:.2} of what the cores that the broker leaves allow,");
    eprintln!("                                 {undisturbed:.2} of what all other processes leave (target 0.9)");
    eprintln!("    the broker in that time      {broker:.2} cores, {:.2} ms a frame", broker * 1e3 / rate);
}

/// From the start of the process to its first frame.
fn start(kafka: &Kafka, topic: &str, rounds: usize) {
    let mut columns: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        let folder = scratch();
        let started = Instant::now();
        let mut running = Facestream::run(&config(kafka, topic, folder.path()), &[]);
        running.wait_until("/livez", LONG, |own| own.get("/livez"));
        let loaded = started.elapsed().as_secs_f64();
        running.wait_metric("facestream_rebalanced_partitions_total", &[("what", "assigned")], LONG, |assigned| assigned > 0.0);
        let joined = started.elapsed().as_secs_f64();
        running.wait_metric("facestream_frames_total", &[("status", "ok")], LONG, |frames| frames > 0.0);
        let first = started.elapsed().as_secs_f64();
        running.kill();
        columns.iter_mut().zip([loaded, joined - loaded, first - joined]).for_each(|(column, value)| column.push(value));
    }
    let [load, join, frame] = columns.map(median);
    eprintln!(
        "  start to first frame: {load:.2} s until model and store are ready, {join:.2} s to reach Kafka and join the group, \
         {frame:.2} s to the first frame; without the join {:.2} s (target 2)",
        load + frame
    );
}

/// A backlog that is there before the process starts, consumed to its end.
fn peak_memory(bare: &Bare, kafka: &Kafka, backlog: usize) {
    let topic = bare.produce(kafka, backlog);
    let run = Run::measure(kafka, &topic, backlog);
    eprintln!(
        "  backlog of {backlog} such frames, consumed to the end: peak memory {:.0} MiB (target 250), {:.2} ms of CPU a frame, \
         {:.0} frames/s",
        run.peak_mib,
        run.cpu_s * 1e3 / backlog as f64,
        run.frames_per_s
    );
}

/// Decode + detect with nothing around it, and the pictures that the pipeline gets, too.
struct Bare {
    model: PathBuf,
    settings: Settings,
    limits: Limits,
    /// In the order in which they are sent.
    pictures: Vec<Vec<u8>>,
}

impl Bare {
    fn new(pictures: Vec<Vec<u8>>) -> Bare {
        let folders = Folders::from_env().expect("a cache folder");
        let library = folders.runtime_library().unwrap_or_else(|error| panic!("{error}"));
        detect::init_runtime(&library).unwrap_or_else(|error| panic!("{error}"));
        let Config { detector, envelope, .. } = Config::default();
        let settings = Settings {
            input: detector.input,
            score_threshold: detector.score_threshold,
            nms_iou: detector.nms_iou,
            min_face_px: detector.min_face_px,
            ..Settings::DEFAULT
        };
        let model = folders.find(&detector.model).unwrap_or_else(|error| panic!("{error}")).path;
        Bare { model, settings, limits: Limits { max_pixels: envelope.max_pixels }, pictures }
    }

    fn mean_bytes(&self) -> f64 {
        self.pictures.iter().map(Vec::len).sum::<usize>() as f64 / self.pictures.len() as f64
    }

    /// CPU milliseconds per frame, when `threads` share `frames` frames.
    fn cpu_ms(&self, frames: usize, threads: usize) -> f64 {
        let cpu_s: f64 = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.thread_cpu_s(frames / threads))).collect();
            running.into_iter().map(|thread| thread.join().expect("the loop runs")).sum()
        });
        cpu_s * 1e3 / (frames / threads * threads) as f64
    }

    /// CPU seconds of this thread for `frames` frames; loading the model is not counted.
    fn thread_cpu_s(&self, frames: usize) -> f64 {
        let mut detector = detect::load(&self.model, &self.settings).expect("the model loads");
        let mut decode = Decode::new(self.limits, detector.decode_for());
        let now = || {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        let start = now();
        for picture in self.pictures.iter().cycle().take(frames) {
            let image = decode.decode(picture).expect("the picture is whole");
            black_box(detector.detect(&image).expect("inference works"));
        }
        now() - start
    }

    /// A new topic with this many frames; a few at a time, so that this process stays small.
    fn produce(&self, kafka: &Kafka, frames: usize) -> String {
        self.produce_as(kafka, frames, |n| Record { payload: Some(self.pictures[n].clone()), ..Record::default() })
    }

    /// The same, with the message of each picture made by `message`, which gets the picture's number.
    fn produce_as(&self, kafka: &Kafka, frames: usize, message: impl Fn(usize) -> Record) -> String {
        let topic = kafka.topic("bench", PARTITIONS as i32);
        let records = (0..frames).map(|n| Record {
            partition: (n % PARTITIONS) as i32,
            key: Some(format!("camera-{}", n % PARTITIONS).into_bytes()),
            ..message(n % self.pictures.len())
        });
        let mut records = records.peekable();
        while records.peek().is_some() {
            kafka.produce(&topic, &records.by_ref().take(64).collect::<Vec<_>>());
        }
        topic
    }
}

/// Pictures of one camera per partition, in turn.
fn pictures() -> Vec<Vec<u8>> {
    let scenes: Vec<Scene> = (0..PARTITIONS as u32).map(|camera| Scene::new(camera, SIZE)).collect();
    (0..PARTITIONS * PICTURES_PER_CAMERA).map(|n| scenes[n % PARTITIONS].picture((n / PARTITIONS) as u64 * 30).jpeg).collect()
}

/// What a `facestream run --until-end` took.
struct Run {
    /// User + sys of the whole process, from its start to its end.
    cpu_s: f64,
    peak_mib: f64,
    /// These are for the time from the first to the last frame.
    frames_per_s: f64,
    broker_cores: f64,
    other_cores: f64,
}

/// What was counted at one instant; CPU times in seconds.
struct Sample {
    at: Instant,
    frames: f64,
    own: f64,
    broker: f64,
    machine: f64,
}

impl Run {
    fn measure(kafka: &Kafka, topic: &str, frames: usize) -> Run {
        let folder = scratch();
        Self::of(kafka, &config(kafka, topic, folder.path()), frames)
    }

    /// With a configuration of one's own.
    fn of(kafka: &Kafka, config: &Table, frames: usize) -> Run {
        let running = Facestream::run(config, &["--until-end"]);
        let (mut samples, mut peak_mib, mut looks) = (Vec::new(), 0.0_f64, 0);
        wait_for("facestream to consume to the end", LONG, || {
            peak_mib = peak_mib.max(peak_memory_mib(running.id()));
            looks += 1;
            if looks % LOOKS_PER_SAMPLE == 0 {
                samples.extend(Sample::take(&running, kafka));
            }
            if has_ended(running.id()) { Ok(()) } else { Err("it runs".to_owned()) }
        });
        // Ended and not yet waited for: the kernel keeps its figures until then.
        let cpu_s = cpu_s(running.id());
        let finished = running.wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        samples.retain(|sample| sample.frames > 0.0 && sample.frames < frames as f64);
        let [first, .., last] = &samples[..] else { panic!("{frames} frames are too few to measure their rate") };
        let seconds = (last.at - first.at).as_secs_f64();
        let cores = |of: fn(&Sample) -> f64| (of(last) - of(first)) / seconds;
        Run {
            cpu_s,
            peak_mib,
            frames_per_s: (last.frames - first.frames) / seconds,
            broker_cores: cores(|sample| sample.broker),
            other_cores: cores(|sample| sample.machine - sample.broker - sample.own),
        }
    }
}

impl Sample {
    /// Nothing while the process starts or ends.
    fn take(running: &Facestream, kafka: &Kafka) -> Option<Sample> {
        let page = running.get("/metrics").ok()?;
        let frames = page.lines().find_map(|line| line.strip_prefix("facestream_frames_total{status=\"ok\"} "))?;
        Some(Sample {
            at: Instant::now(),
            frames: frames.parse().ok()?,
            own: cpu_s(running.id()),
            broker: cpu_s(kafka.id()),
            machine: machine_cpu_s(),
        })
    }
}

/// The product's defaults, but for the number of workers, in a group of its own.
fn config(kafka: &Kafka, topic: &str, store: &Path) -> Table {
    let group = store.file_name().expect("a folder").to_string_lossy();
    let mut config = Facestream::config(kafka, topic, &group, &format!("file://{}", store.display()));
    config.remove("journal");
    config["kafka"].as_table_mut().expect("a section").remove("properties");
    config["workers"]["count"] = (WORKERS as i64).into();
    config
}

fn number(name: &str, default: usize) -> usize {
    let Ok(text) = env::var(name) else { return default };
    text.parse().unwrap_or_else(|error| panic!("{name}={text} is not a number: {error}"))
}

fn cores() -> f64 {
    thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The fields of `/proc/PID/stat` after the command's name, the state first (proc(5) counts that as number 3).
fn stat(process: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process that was not waited for");
    let (_, fields) = text.rsplit_once(')').expect("a name in brackets");
    fields.split_whitespace().map(str::to_owned).collect()
}

fn has_ended(process: u32) -> bool {
    stat(process)[0] == "Z"
}

/// User + sys of all threads of a process, in seconds.
fn cpu_s(process: u32) -> f64 {
    stat(process)[11..=12].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / TICKS_PER_S
}

/// What all processes together used, and what a hypervisor took away, in seconds.
fn machine_cpu_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").expect("/proc/stat");
    let ticks: Vec<f64> = text.split_whitespace().skip(1).take(8).map(|ticks| ticks.parse().expect("ticks")).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = ticks[..] else { panic!("eight times in {text}") };
    (user + nice + system + irq + softirq + steal) / TICKS_PER_S
}

/// The most memory that a process ever had resident; 0 once it has ended.
fn peak_memory_mib(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.map_or(0.0, |kib| kib.trim().parse::<f64>().expect("a number") / 1024.0)
}
