//! Several processes: they share the partitions, and a run until the end ends for all of them.

use facestream_tests::{Duck, Facestream, Kafka, scratch};
use serde_json::json;

use crate::{LONG, assert_exactly_once, file_url, pictures, set};

#[test]
fn two_processes_share_the_partitions_and_double_nothing() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("shared", 4);
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "shared", &file_url(folder.path()));
    set(&mut config, "detector", "input", "320x192");

    let mut first = Facestream::run(&config, &[]);
    kafka.produce(&topic, &pictures(200, 4));
    first.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 20.0);
    // The second joins while the first works.
    let mut second = Facestream::run(&config, &[]);
    second.wait_metric("facestream_partitions_assigned", &[], LONG, |partitions| partitions == 2.0);
    first.wait_metric("facestream_partitions_assigned", &[], LONG, |partitions| partitions == 2.0);
    kafka.produce(&topic, &pictures(200, 4));
    second.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 20.0);
    // One leaves in mid-stream, the other takes over what it had.
    assert_eq!(first.terminate(LONG).code, Some(0));
    second.wait_metric("facestream_partitions_assigned", &[], LONG, |partitions| partitions == 4.0);
    second.wait_until("all to be committed", LONG, |_| {
        let committed: i64 = kafka.committed("shared", &topic).values().sum();
        if committed == 400 { Ok(()) } else { Err(committed.to_string()) }
    });
    assert_eq!(second.terminate(LONG).code, Some(0));

    assert_exactly_once(kafka, &topic, folder.path());
    let runs = Duck::in_folder(folder.path()).value("SELECT count(DISTINCT run_id) FROM 'frames/**/*.parquet'");
    assert_eq!(runs, json!(2));
}

#[test]
fn a_run_until_the_end_ends_for_the_process_without_partitions_too() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("batch", 1);
    kafka.produce(&topic, &pictures(40, 1));
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "batch", &file_url(folder.path()));
    set(&mut config, "detector", "input", "320x192");
    let processes = [(); 2].map(|()| Facestream::run(&config, &["--until-end"]));
    for process in processes {
        let finished = process.wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
    }
    assert_exactly_once(kafka, &topic, folder.path());
    let open = Duck::in_folder(folder.path()).value("SELECT sum(frames_ok)::BIGINT FROM 'windows/**/*.parquet'");
    assert_eq!(open, json!(40), "open windows were closed");
}
