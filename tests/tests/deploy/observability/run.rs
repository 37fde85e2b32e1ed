//! A real run that a real Prometheus scrapes: two processes of a group, good and broken frames, a rebalance in each direction.
//!
//! In: a Kafka broker, the real binary. Out: a Prometheus that has seen it all. Invariant: it sees each process before that
//! gets frames, so that every counter is seen to grow.

use std::fs;
use std::time::Duration;

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::{Facestream, Kafka, Prometheus, Record, Series, scratch};
use tempfile::TempDir;
use toml::Table;

use super::dashboards::Asked;
use super::fill::Filled;

/// Longer than anything takes on a busy machine; only a hang gets there.
const LONG: Duration = Duration::from_mins(4);
const PARTITIONS: i32 = 4;

/// Two processes of a group over a topic of four partitions, with everything switched on that has metrics of its own.
pub(super) struct Run {
    pub(super) prometheus: Prometheus,
    /// When it began and ended, in seconds since 1970.
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    pub(super) topic: String,
    /// Both addresses, as Grafana joins what was chosen.
    pub(super) instances: String,
    kafka: &'static Kafka,
    config: Table,
    folder: TempDir,
}

impl Run {
    /// All of it, from the first process's start to the second one's end, and what the first does with its partitions.
    pub(super) fn whole() -> Run {
        let (mut run, mut first) = Run::start();
        run.produce(&[&first]);
        let mut second = Facestream::run(&run.config, &[]);
        for process in [&mut first, &mut second] {
            process.wait_metric("facestream_partitions_assigned", &[], LONG, |held| held == f64::from(PARTITIONS / 2));
        }
        second.wait_ready();
        run.prometheus.scrape(&[address(&first), address(&second)]);
        run.prometheus.wait_for("sum(facestream_ready)", LONG, |ready| ready == 2.0);
        run.produce(&[&first, &second]);
        run.instances = [&first, &second].map(|process| address(process).to_owned()).join("|");
        assert_eq!(second.terminate(LONG).code, Some(0));
        first.wait_metric("facestream_partitions_assigned", &[], LONG, |held| held == f64::from(PARTITIONS));
        run.produce(&[&first]);
        (_, run.to_s) = run.prometheus.wait_for("sum(up)", LONG, |up| up == 1.0);
        assert_eq!(first.terminate(LONG).code, Some(0));
        run
    }

    /// One process, with everything switched on that has metrics of its own.
    fn start() -> (Run, Facestream) {
        let kafka = Kafka::shared();
        let (topic, folder) = (kafka.topic("observed", PARTITIONS), scratch());
        let tables = format!("file://{}", folder.path().join("tables").display());
        let mut config = Facestream::config(kafka, &topic, "observed", &tables);
        let mut set = |section: &str, key: &str, value: toml::Value| {
            let section = config.entry(section).or_insert_with(|| Table::new().into());
            section.as_table_mut().expect("a section").insert(key.to_owned(), value);
        };
        for section in ["events", "windows", "dead_letters"] {
            set(section, "topic", kafka.topic(section, 2).into());
        }
        set("detector", "input", "320x192".into());
        set("windows", "length", "2s".into());
        set("parquet", "roll_every", "2s".into());
        set("fetch", "allow", vec![format!("file://{}/", folder.path().join("pictures").display())].into());
        fs::create_dir(folder.path().join("pictures")).expect("a folder");
        let prometheus = Prometheus::start();
        let mut first = Facestream::run(&config, &[]);
        first.wait_metric("facestream_partitions_assigned", &[], LONG, |held| held == f64::from(PARTITIONS));
        first.wait_ready();
        prometheus.scrape(&[address(&first)]);
        let (_, from_s) = prometheus.wait_for("sum(facestream_ready)", LONG, |ready| ready == 1.0);
        (Run { prometheus, from_s, to_s: from_s, topic, instances: String::new(), kafka, config, folder }, first)
    }

    /// Good frames, and every way in which one is none; then waits until Prometheus has seen that the processes together have
    /// finished them all, and that each has published what it had.
    fn produce(&self, processes: &[&Facestream]) {
        let sums = ["facestream_frames_total", "facestream_e2e_seconds_count{since=\"event\", until=\"visible\"}"];
        let instances = processes.iter().map(|process| address(process)).collect::<Vec<_>>().join("|");
        let sum = |metric: &str| match metric.split_once('{') {
            Some((name, matchers)) => format!("sum({name}{{instance=~\"{instances}\", {matchers})"),
            None => format!("sum({metric}{{instance=~\"{instances}\"}})"),
        };
        let before = sums.map(|metric| self.prometheus.wait_for(&sum(metric), LONG, |_| true).0);
        let records = records(&self.folder);
        self.kafka.produce(&self.topic, &records);
        for (metric, before) in sums.into_iter().zip(before) {
            self.prometheus.wait_for(&sum(metric), LONG, |now| now >= before + records.len() as f64);
        }
    }

    /// What a panel or a mark would show.
    pub(super) fn asked(&self, asked: &Asked, filled: &Filled) -> Vec<Series> {
        let expression = filled.expression(&asked.expression);
        if asked.instant {
            self.prometheus.query(&expression, self.to_s)
        } else {
            self.prometheus.query_range(&expression, self.from_s, self.to_s)
        }
    }
}

/// `host:port`.
fn address(process: &Facestream) -> &str {
    process.http().strip_prefix("http://").expect("an address")
}

/// Twelve frames for each partition: nine with a picture, one of them fetched; a cut one, none, and one that may not be fetched.
/// One frame comes an hour late.
fn records(folder: &TempDir) -> Vec<Record> {
    let scene = Scene::new(0, Size { w: 320, h: 192 });
    let jpegs: Vec<_> = (0..6).map(|n| scene.picture(n * 10).jpeg).collect();
    let picture = folder.path().join("pictures/one.jpg");
    fs::write(&picture, &jpegs[0]).expect("a picture");
    let header = |name: &str, value: String| (name.to_owned(), value.into_bytes());
    let frames = (0..PARTITIONS).flat_map(|partition| (0..12).map(move |n| (partition, n)));
    let record = |(partition, n): (i32, usize)| {
        let jpeg = jpegs[n % jpegs.len()].clone();
        let (payload, headers) = match n {
            3 => (jpeg[..jpeg.len() / 2].to_vec(), Vec::new()),
            5 => (b"no picture".to_vec(), Vec::new()),
            7 => (Vec::new(), vec![header("image_uri", format!("file://{}", picture.display()))]),
            9 => (Vec::new(), vec![header("image_uri", "file:///etc/passwd".to_owned())]),
            11 => (jpeg, vec![header("capture_ts_ns", "1700000000000000000".to_owned())]),
            _ => (jpeg, Vec::new()),
        };
        Record {
            partition,
            key: Some(format!("camera-{partition}").into_bytes()),
            payload: Some(payload),
            headers,
            ..Record::default()
        }
    };
    frames.map(record).collect()
}
