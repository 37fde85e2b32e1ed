//! Killed, stopped, started again, sent gaps: every message has exactly one row in the end.

use std::time::Duration;

use facestream_tests::{Duck, Facestream, Kafka, Record, scratch, wait_for};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use toml::Table;

use crate::{LONG, assert_exactly_once, file_url, pictures, quick, set};

fn run_to_the_end(config: &Table) {
    let finished = Facestream::run(config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
}

#[test]
fn a_process_that_is_killed_in_mid_stream_loses_and_doubles_nothing() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("killed", 3);
    kafka.produce(&topic, &pictures(600, 3));
    let folder = scratch();
    let mut config = quick(kafka, &topic, "killed", &file_url(folder.path()));
    // Seals in mid-stream, so that kills fall between append and publish as well.
    set(&mut config, "parquet", "roll_every", "1s");
    for kill_at in [40.0, 90.0, 140.0] {
        let mut running = Facestream::run(&config, &[]);
        running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= kill_at);
        running.kill();
    }
    run_to_the_end(&config);
    assert_exactly_once(kafka, &topic, folder.path());
    let faces = Duck::in_folder(folder.path());
    let [counted, rows] =
        ["SELECT sum(face_count)::BIGINT FROM 'frames/**/*.parquet'", "SELECT count(*) FROM 'detections/**/*.parquet'"]
            .map(|sql| faces.value(sql));
    assert_eq!(counted, rows, "a frame has all of its detections or none");
}

#[test]
fn a_stop_drains_and_the_next_start_goes_on_at_the_journals_end_even_without_the_groups_offsets() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("stopped", 2);
    kafka.produce(&topic, &pictures(300, 2));
    let folder = scratch();
    let config = quick(kafka, &topic, "stopped", &file_url(folder.path()));

    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[("status", "ok")], LONG, |frames| frames >= 50.0);
    let finished = running.terminate(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let sealed = Duck::in_folder(folder.path()).value("SELECT count(*) FROM 'frames/**/*.parquet'");
    let committed: i64 = kafka.committed("stopped", &topic).values().sum();
    assert_eq!(sealed, committed, "what was finished is sealed and committed");
    assert!(committed >= 50);

    kafka.delete_group("stopped");
    run_to_the_end(&config);
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_drain_that_runs_out_of_time_leaves_what_waits_to_the_next_run() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("overdue", 1);
    // All of them wait in memory for the one worker, which would need some minutes for them.
    kafka.produce(&topic, &pictures(2_000, 1));
    let folder = scratch();
    let mut config = quick(kafka, &topic, "overdue", &file_url(folder.path()));
    set(&mut config, "detector", "input", "1920x1088");
    set(&mut config, "workers", "count", 1);
    set(&mut config, "run", "drain_timeout", "1s");
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_records_total", &[], LONG, |records| records >= 2_000.0);
    let finished = running.terminate(Duration::from_mins(1));
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let committed: i64 = kafka.committed("overdue", &topic).values().sum();
    assert!(committed < 2_000, "there was more than it had time for: {committed}");

    set(&mut config, "detector", "input", "320x192");
    run_to_the_end(&config);
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_run_until_the_end_publishes_what_was_appended_before_it_began() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("appended", 2);
    kafka.produce(&topic, &pictures(60, 2));
    let folder = scratch();
    let config = quick(kafka, &topic, "appended", &file_url(folder.path()));
    let mut running = Facestream::run(&config, &[]);
    running.wait_until("everything to be appended", LONG, |_| {
        let committed: i64 = kafka.committed("appended", &topic).values().sum();
        if committed == 60 { Ok(()) } else { Err(committed.to_string()) }
    });
    running.kill();
    assert!(!folder.path().join("frames").exists(), "nothing was due to be sealed");
    // There is nothing left to consume, and everything to publish.
    run_to_the_end(&config);
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_second_signal_ends_the_process_at_once_and_loses_nothing() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("impatient", 1);
    kafka.produce(&topic, &pictures(300, 1));
    let folder = scratch();
    let config = quick(kafka, &topic, "impatient", &file_url(folder.path()));
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 20.0);
    running.signal("INT");
    running.wait_until("the drain", LONG, |own| if own.output().contains("draining") { Ok(()) } else { Err(String::new()) });
    running.signal("INT");
    let code = running.wait_exit(Duration::from_mins(1)).code;
    assert!(code == Some(130) || code == Some(0), "ended with {code:?}");
    run_to_the_end(&config);
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn offsets_that_a_transaction_left_out_are_walked_over() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("transactions", 1);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("transactional.id", "transactions-test")
        .create()
        .expect("a producer");
    producer.init_transactions(LONG).expect("transactions");
    let pictures = pictures(5, 1);
    for commit in [true, false] {
        producer.begin_transaction().expect("a transaction");
        for Record { payload, .. } in &pictures {
            let record = BaseRecord::<(), _>::to(&topic).payload(payload.as_deref().expect("a picture"));
            producer.send(record).expect("sending");
        }
        producer.flush(LONG).expect("delivery");
        if commit { producer.commit_transaction(LONG) } else { producer.abort_transaction(LONG) }
            .expect("the end of the transaction");
    }
    // 5 pictures, a marker, 5 aborted pictures, a marker.
    // The marker of an abort is written after the answer to it.
    wait_for("the end of the aborted transaction", LONG, || match kafka.ends(&topic)[&0] {
        (0, 12) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let folder = scratch();
    run_to_the_end(&quick(kafka, &topic, "transactions", &file_url(folder.path())));
    let offsets =
        Duck::in_folder(folder.path()).value("SELECT list(kafka_offset ORDER BY kafka_offset) FROM 'frames/**/*.parquet'");
    assert_eq!(offsets, serde_json::json!([0, 1, 2, 3, 4]));
}
