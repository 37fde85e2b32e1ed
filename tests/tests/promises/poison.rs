//! A frame that kills the process is found, named and given up; no other frame is.

use facestream_tests::{Duck, Facestream, Kafka, scratch};
use serde_json::json;

use crate::{LONG, assert_exactly_once, file_url, pictures, set};

/// More deaths than it takes: how many depends on how far appends get between them.
const DEATHS: usize = 40;

#[test]
fn a_frame_that_kills_the_process_becomes_a_row_and_every_other_frame_is_worked_on() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("poison", 2);
    let mut records = pictures(120, 2);
    records[61].headers.push(("frame_id".to_owned(), b"poison".to_vec()));
    let offsets = kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "poison", &file_url(folder.path()));
    set(&mut config, "detector", "input", "320x192");
    // Without eager appends nothing would be appended before the death.
    set(&mut config, "journal", "append_every", "1h");

    let mut deaths = 0;
    let finished = loop {
        let finished = Facestream::run_to_die(&config, &["--until-end"], "frame:poison=kill@1").wait_exit(LONG);
        if finished.code.is_some() || deaths == DEATHS {
            break finished;
        }
        deaths += 1;
    };
    assert_eq!(finished.code, Some(0), "after {deaths} deaths: {}", finished.output);
    // Two barren takeovers before the third, then three deaths over the frame that is named.
    assert!(deaths >= 5, "{deaths}");
    assert_exactly_once(kafka, &topic, folder.path());
    let duck = Duck::in_folder(folder.path());
    let failed =
        duck.rows("SELECT kafka_partition, kafka_offset, status, frame_id FROM 'frames/**/*.parquet' WHERE status <> 'ok'");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        serde_json::Value::Object(failed[0].clone()),
        json!({"kafka_partition": 1, "kafka_offset": offsets[61], "status": "internal_error", "frame_id": "poison"})
    );
}
