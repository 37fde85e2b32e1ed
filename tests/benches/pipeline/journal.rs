//! What the journal costs: CPU time for appends, and how long a partition of a killed process waits for its next owner.

use std::time::{Duration, Instant};

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::{Facestream, Kafka, Record, scratch, wait_for};
use toml::toml;

use super::{LONG, Run, config, median};

/// Appends every 10 s next to appends every 10 minutes, by turns.
pub(super) fn appends(kafka: &Kafka, topic: &str, frames: usize, pairs: usize) {
    let cpu_ms = |append_every: &str| {
        let folder = scratch();
        let mut config = config(kafka, topic, folder.path());
        config.insert("journal".to_owned(), toml! { append_every = append_every }.into());
        Run::of(kafka, &config, frames).cpu_s * 1e3 / frames as f64
    };
    let mut columns: [Vec<f64>; 3] = Default::default();
    for pair in 1..=pairs {
        let (often, rarely) = (cpu_ms("10s"), cpu_ms("10m"));
        eprintln!("  pair {pair}: {often:.3} ms of CPU a frame with appends every 10 s, {rarely:.3} every 10 minutes");
        columns.iter_mut().zip([often, rarely, often / rarely]).for_each(|(column, value)| column.push(value));
    }
    let [often, rarely, ratio] = columns.map(median);
    eprintln!(
        "  appends every 10 s: {often:.2} ms of CPU a frame, every 10 minutes: {rarely:.2}; medians of {pairs}, of their ratios {ratio:.3} \
         (target 1.03)"
    );
}

/// Two processes on a partition each, one of which is killed: how long until the other has what both had.
pub(super) fn takeovers(kafka: &Kafka, kills: usize) {
    let picture = Scene::new(0, Size { w: 320, h: 192 }).picture(0).jpeg;
    let records = |count: usize| -> Vec<_> {
        let record = |n: usize| Record { partition: (n % 2) as i32, payload: Some(picture.clone()), ..Record::default() };
        (0..count).map(record).collect()
    };
    let mut columns: [Vec<f64>; 2] = Default::default();
    for _ in 0..kills {
        let (folder, topic) = (scratch(), kafka.topic("takeovers", 2));
        kafka.produce(&topic, &records(20));
        let mut config = config(kafka, &topic, folder.path());
        config["kafka"].as_table_mut().expect("a section").insert(
            "properties".to_owned(),
            toml! { "session.timeout.ms" = "3000"
            "heartbeat.interval.ms" = "500" }
            .into(),
        );
        let [mut victim, mut survivor] = [(); 2].map(|()| Facestream::run(&config, &[]));
        for process in [&mut victim, &mut survivor] {
            process.wait_until("one of the two partitions", LONG, |own| match own.get("/status") {
                Ok(page) if page.matches("journal_end\":").count() == 1 && !page.contains("null") => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        let killed = Instant::now();
        victim.kill();
        let mut both = |what: &str, journals: bool| {
            wait_for(what, Duration::from_mins(1), || {
                let status = survivor.status();
                let partitions = status["partitions"].as_array().expect("partitions");
                let won = partitions.iter().filter(|partition| !journals || !partition["journal_end"].is_null()).count();
                if won == 2 { Ok(killed.elapsed().as_secs_f64()) } else { Err(status.to_string()) }
            })
        };
        let (assigned, won) = (both("the assignment", false), both("the takeover", true));
        columns.iter_mut().zip([assigned, won - assigned]).for_each(|(column, value)| column.push(value));
    }
    let [assigned, won] = columns.map(median);
    eprintln!(
        "  after SIGKILL, medians of {kills}: {assigned:.2} s until Kafka gives the partition to the other process (session time-out \
         3 s), {won:.3} s from there until it has taken over (target 1)"
    );
}
