//! A backlog bigger than the budgets: memory stays within them, and nothing is lost.

use facestream_tests::{Facestream, Kafka, Record, scratch};

use crate::{LONG, assert_exactly_once, file_url, pictures, set};

#[test]
fn a_backlog_bigger_than_the_budgets_is_held_back_and_stays_within_them() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("pressure", 2);
    // A JPEG is whole at its end marker; what follows is ballast: 240 messages of 200 kB, 48 MB against a budget of 2 MiB.
    let heavy = |mut record: Record| {
        record.payload.as_mut().expect("a picture").resize(200_000, 0);
        record
    };
    let records: Vec<_> = pictures(240, 2).into_iter().map(heavy).collect();
    kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "pressure", &file_url(folder.path()));
    set(&mut config, "envelope", "max_bytes", "256KiB");
    set(&mut config, "workers", "in_flight", "18MiB");

    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[("status", "ok")], LONG, |frames| frames == 240.0);
    assert!(running.metric("facestream_backpressure_seconds_total", &[("budget", "in_flight")]) > 0.0);
    for budget in ["in_flight", "pending_rows"] {
        let labels = [("budget", budget)];
        let (peak, limit) =
            (running.metric("facestream_budget_peak_bytes", &labels), running.metric("facestream_budget_limit_bytes", &labels));
        assert!(peak > 0.0 && peak <= limit, "{budget}: {peak} of {limit}");
    }
    assert_eq!(running.metric("facestream_budget_limit_bytes", &[("budget", "in_flight")]), 2.0 * 1024.0 * 1024.0);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn rows_that_wait_are_appended_before_their_budget_is_full() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("rows", 2);
    // 6,000 rows of some 500 bytes against a budget of 1 MiB, with the next append an hour away.
    let text = |n: i32| Record { partition: n % 2, payload: Some(b"no picture".to_vec()), ..Record::default() };
    kafka.produce(&topic, &(0..6_000).map(text).collect::<Vec<_>>());
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "rows", &file_url(folder.path()));
    set(&mut config, "workers", "pending_rows", "1MiB");
    set(&mut config, "journal", "append_every", "1h");

    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames == 6_000.0);
    let labels = [("budget", "pending_rows")];
    let peak = running.metric("facestream_budget_peak_bytes", &labels);
    assert!(peak > 500_000.0 && peak <= 1_048_576.0, "{peak}");
    // Two takeovers, and at least two appends that nothing but the budget made due.
    assert!(running.metric("facestream_append_seconds_count", &[]) >= 4.0);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, folder.path());
}
