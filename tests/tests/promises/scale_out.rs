//! Scale-out on one machine: processes join and leave under load, work is shared among them, and every message has its row once.
//!
//! The detector sleeps, so that two cores can stand for many. Rates are printed, and never asserted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use facestream_tests::{Duck, Facestream, Kafka, scratch, wait_for};
use toml::Table;

use crate::transport::scripted;
use crate::{LONG, assert_exactly_once, file_url, pictures, set};

const PARTITIONS: usize = 8;
/// Messages that lie in Kafka ahead of what is committed: more than all processes work on until their next commits.
const AHEAD: i64 = 480;
const GROUP: &str = "scale-out";

fn config(kafka: &Kafka, topic: &str, folder: &std::path::Path) -> Table {
    let mut config = Facestream::config(kafka, topic, GROUP, &file_url(&folder.join("faces")));
    set(&mut config, "detector", "model", scripted(folder, "50ms"));
    set(&mut config, "workers", "count", 2);
    set(&mut config, "journal", "append_every", "500ms");
    // So little is prefetched that what one process holds does not decide who has work.
    set(&mut config, "workers", "in_flight", "48MiB");
    config
}

/// Stops the producer, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps the topic full until it is told to stop.
fn keep_full(kafka: &Kafka, topic: &str, stop: &AtomicBool) {
    let batch = pictures(PARTITIONS * 8, PARTITIONS);
    // Before anything is asked: a leader that is new does not yet answer every question.
    kafka.produce(topic, &batch);
    let mut produced = batch.len() as i64;
    while !stop.load(Ordering::Relaxed) {
        let committed: i64 = kafka.committed(GROUP, topic).values().sum();
        while produced - committed < AHEAD {
            kafka.produce(topic, &batch);
            produced += batch.len() as i64;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn frames(process: &mut Facestream) -> f64 {
    process.metric("facestream_frames_total", &[])
}

/// The partitions of a process, as it says itself.
fn partitions(process: &Facestream) -> Result<BTreeSet<u64>, String> {
    let status: serde_json::Value = serde_json::from_str(&process.get("/status")?).map_err(|error| error.to_string())?;
    let partitions = status["partitions"].as_array().ok_or("no partitions")?;
    Ok(partitions.iter().filter_map(|partition| partition["partition"].as_u64()).collect())
}

/// Waits until every partition has one owner, and each process its share.
fn wait_shared(processes: &[Facestream]) {
    wait_for(&format!("{} processes to share {PARTITIONS} partitions", processes.len()), LONG, || {
        let owned = processes.iter().map(partitions).collect::<Result<Vec<_>, _>>()?;
        let all: BTreeSet<u64> = owned.iter().flatten().copied().collect();
        let is_shared = owned.iter().all(|own| own.len() == PARTITIONS / processes.len());
        if is_shared && all.len() == PARTITIONS { Ok(()) } else { Err(format!("{owned:?}")) }
    });
}

/// Frames a second over the time in which the processes finish so many together; each has its part in that.
fn rate(processes: &mut [Facestream]) -> f64 {
    let wanted = 60.0 * processes.len() as f64;
    let before: Vec<f64> = processes.iter_mut().map(frames).collect();
    let started = Instant::now();
    let done = wait_for(&format!("{wanted} frames of {} processes", processes.len()), LONG, || {
        let now: Vec<f64> = processes.iter_mut().map(frames).collect();
        let done: Vec<f64> = now.iter().zip(&before).map(|(now, before)| now - before).collect();
        if done.iter().sum::<f64>() >= wanted { Ok(done) } else { Err(format!("{done:?}")) }
    });
    let rate = done.iter().sum::<f64>() / started.elapsed().as_secs_f64();
    assert!(done.iter().all(|frames| *frames > 0.0), "each process works: {done:?}");
    rate
}

#[test]
fn processes_that_join_and_leave_under_load_share_the_work_and_double_nothing() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("scale-out", PARTITIONS as i32);
    let folder = scratch();
    let config = config(kafka, &topic, folder.path());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _at_the_end = Stop(&stop);
        let producer = scope.spawn(|| keep_full(kafka, &topic, &stop));
        let mut rates = Vec::new();
        let mut processes: Vec<Facestream> = Vec::new();
        for count in [1, 2, 4] {
            processes.extend((processes.len()..count).map(|_| Facestream::run(&config, &[])));
            wait_shared(&processes);
            rates.push(rate(&mut processes));
        }
        let ratios: Vec<_> = rates.iter().map(|rate| format!("{:.2}", rate / rates[0])).collect();
        eprintln!(
            "scale-out: 1, 2 and 4 processes of 2 workers that sleep 50 ms: {rates:.1?} frames/s, {} times",
            ratios.join(", ")
        );

        // One dies, two leave: the last takes over all, and works on.
        processes.remove(0).kill();
        for left in processes.drain(1..) {
            assert_eq!(left.terminate(LONG).code, Some(0));
        }
        wait_shared(&processes);
        rate(&mut processes);
        stop.store(true, Ordering::Relaxed);
        producer.join().expect("the producer");
        let [last] = &mut processes[..] else { panic!("one process is left") };
        let total: i64 = kafka.ends(&topic).values().map(|(_, end)| end).sum();
        crate::wait_committed(last, kafka, GROUP, &topic, total);
        assert_eq!(processes.remove(0).terminate(LONG).code, Some(0));
    });
    assert_exactly_once(kafka, &topic, &folder.path().join("faces"));
    assert_one_owner_at_a_time(folder.path());
    let verified = Facestream::command(
        folder.path(),
        &["journal", "verify", "--set", &format!("store.url={}", file_url(&folder.path().join("faces")))],
        LONG,
    );
    assert_eq!(verified.code, Some(0), "{}", verified.output);
}

/// The rows of a partition, in the order of their offsets, come from one process, then from the next: in no more stretches than
/// there were changes in the group (three that joined, three that left), and one more.
fn assert_one_owner_at_a_time(folder: &std::path::Path) {
    let rows = Duck::in_folder(folder)
        .rows("SELECT kafka_partition AS p, run_id AS r FROM 'faces/frames/**/*.parquet' ORDER BY kafka_partition, kafka_offset");
    let mut stretches: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for row in &rows {
        let owners = stretches.entry(row["p"].as_i64().expect("a partition")).or_default();
        let run = row["r"].as_str().expect("a run");
        if owners.last() != Some(&run) {
            owners.push(run);
        }
    }
    assert_eq!(stretches.len(), PARTITIONS);
    assert!(stretches.values().all(|owners| owners.len() <= 7), "{stretches:?}");
    let runs: BTreeSet<_> = stretches.values().flatten().collect();
    assert_eq!(runs.len(), 4, "each process has rows");
}
