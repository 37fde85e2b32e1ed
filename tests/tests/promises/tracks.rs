//! Tracks: each face that was drawn keeps one track through all frames, though the process is killed among them.

use std::collections::{BTreeMap, BTreeSet};

use facestream::scene::Scene;
use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use rdkafka::Message as _;
use serde_json::{Value, json};

use crate::{LONG, SMALL, assert_exactly_once, file_url, quick, set};

/// 2026-11-22T12:00:00Z in ms.
const NOON_MS: i64 = 1_795_348_800_000;
const FRAMES: u64 = 45;
/// Two people, each in their own half of the picture.
const PEOPLE: usize = 2;

/// The least side of a face in pixels that every detector is sure of.
const SURE_PX: f32 = 48.0;

/// Pictures of one camera at 15 frames/s, from a time on when nobody comes or goes or is too small.
fn frames() -> Vec<Record> {
    let scenes = (0..20).map(|camera| Scene::with_people(camera, SMALL, PEOPLE as u32));
    let is_sure = |scene: &Scene, n| {
        let faces = scene.view(n).faces;
        faces.len() == PEOPLE && faces.iter().all(|face| face.w.min(face.h) >= SURE_PX)
    };
    let all_sure = |scene: &Scene, first: u64| (first..first + FRAMES).all(|n| is_sure(scene, n));
    let found =
        scenes.into_iter().find_map(|scene| (0..400).step_by(20).find(|n| all_sure(&scene, *n)).map(|first| (scene, first)));
    let (scene, first) = found.expect("three seconds with both");
    let frame = |n| Record {
        key: Some(b"door".to_vec()),
        payload: Some(scene.picture(first + n).jpeg),
        timestamp_ms: Some(NOON_MS + n as i64 * 1_000 / 15),
        ..Record::default()
    };
    (0..FRAMES).map(frame).collect()
}

#[test]
fn a_face_keeps_its_track_though_the_process_is_killed() {
    let kafka = Kafka::shared();
    let [topic, events] = ["tracked", "tracks-told"].map(|name| kafka.topic(name, 1));
    kafka.produce(&topic, &frames());
    let folder = scratch();
    let mut config = quick(kafka, &topic, "tracks", &file_url(folder.path()));
    set(&mut config, "track", "enabled", true);
    set(&mut config, "windows", "length", "1s");
    set(&mut config, "events", "topic", events.as_str());
    set(&mut config, "journal", "append_every", "50ms");
    let killed = Facestream::run_to_die(&config, &["--until-end"], "after-append=kill@3").wait_exit(LONG);
    assert_eq!(killed.code, None, "{}", killed.output);
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());

    let duck = Duck::in_folder(folder.path());
    let half = format!("CASE WHEN bbox_x_px + bbox_w_px / 2 < {} THEN 'left' ELSE 'right' END AS half", SMALL.w / 2);
    let rows = duck.rows(&format!(
        "SELECT {half}, count(*) AS faces, count(DISTINCT track_id) AS tracks, min(track_id) AS track, count(DISTINCT run_id) AS runs
         FROM 'detections/**/*.parquet' JOIN 'frames/**/*.parquet' USING (kafka_partition, kafka_offset) GROUP BY half ORDER BY half"
    ));
    let of = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("half"), ["left", "right"]);
    assert_eq!((of("faces"), of("tracks")), (vec![json!(FRAMES); 2], vec![json!(1); 2]), "{rows:?}");
    assert_eq!(of("runs"), [2, 2], "both processes saw each face");
    let ids: BTreeSet<_> = of("track").iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    assert_eq!(ids, (0..PEOPLE).map(|n| format!("{topic}/0/0/{n}")).collect(), "named after the first frame's faces");
    let started = duck.rows("SELECT tracks_started AS n FROM 'windows/**/*.parquet' ORDER BY window_start");
    assert_eq!(started.iter().map(|row| row["n"].clone()).collect::<Vec<_>>(), [2, 0, 0]);

    // Events say the same as the table, those that were sent twice too.
    let faces = duck
        .rows("SELECT kafka_offset AS o, list(track_id ORDER BY detection_idx) AS ids FROM 'detections/**/*.parquet' GROUP BY o");
    let table: BTreeMap<u64, Value> =
        faces.into_iter().map(|mut row| (row["o"].as_u64().expect("an offset"), row["ids"].take())).collect();
    let told = kafka.read(&events);
    assert!(told.len() >= FRAMES as usize);
    for event in told {
        let body: Value = serde_json::from_slice(event.payload().expect("a body")).expect("JSON");
        let ids = body["detections"].as_array().expect("faces").iter().map(|face| face["track_id"].clone()).collect();
        assert_eq!(Value::Array(ids), table[&body["kafka_offset"].as_u64().expect("an offset")]);
    }
}
