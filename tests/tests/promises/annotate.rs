//! Annotated pictures: every frame that was looked at has one in the topic and in the store, with its faces hidden, though the process is
//! killed; and nobody gets one who has not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use facestream::scene::{Picture, Scene};
use facestream_schemas::{Bbox, Size};
use facestream_stages::decode::{Decode, Limits};
use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use rdkafka::Message as _;
use rdkafka::message::{Headers as _, OwnedMessage};
use toml::Table;

use crate::{LONG, assert_exactly_once, file_url, set};

const PICTURE: Size = Size { w: 640, h: 360 };

/// Pictures of two cameras in turn, and every seventh message is no picture.
fn sent(count: usize) -> (Vec<Record>, Vec<Option<Picture>>) {
    let scenes = [Scene::with_people(1, PICTURE, 2), Scene::with_people(2, PICTURE, 2)];
    let pictures: Vec<_> = (0..count).map(|n| (n % 7 != 6).then(|| scenes[n % 2].picture(n as u64 / 2))).collect();
    let record = |(n, picture): (usize, &Option<Picture>)| Record {
        partition: 0,
        key: Some(format!("gate/{}", n % 2).into_bytes()),
        payload: Some(picture.as_ref().map_or_else(|| b"no picture".to_vec(), |picture| picture.jpeg.clone())),
        ..Record::default()
    };
    (pictures.iter().enumerate().map(record).collect(), pictures)
}

fn header(message: &OwnedMessage, name: &str) -> String {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let value = headers.filter(|header| header.key == name).last().and_then(|header| header.value).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn decoded(jpeg: &[u8]) -> Vec<u8> {
    let mut decode = Decode::full(Limits { max_pixels: 1_000_000 });
    let image = decode.decode(jpeg).expect("a JPEG");
    assert_eq!(image.size, PICTURE);
    image.pixels.to_vec()
}

/// The strength of fine structure within a box: the mean square of the difference to the pixel two to the right.
fn detail(pixels: &[u8], bbox: &Bbox) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for y in bbox.y as usize..(bbox.y + bbox.h) as usize {
        for x in bbox.x as usize..(bbox.x + bbox.w) as usize - 2 {
            let at = |x: usize| f64::from(pixels[(y * PICTURE.w as usize + x) * 3 + 1]);
            sum += (at(x) - at(x + 2)).powi(2);
            count += 1.0;
        }
    }
    sum / count
}

/// How far two pictures are apart where none of the boxes, enlarged by their whole side, reaches: the mean of the differences.
fn apart(a: &[u8], b: &[u8], boxes: &[Bbox]) -> f64 {
    let far = |x: f32, y: f32| {
        boxes
            .iter()
            .all(|face| x < face.x - face.w || x > face.x + 2.0 * face.w || y < face.y - face.h || y > face.y + 2.0 * face.h)
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for at in 0..(PICTURE.w * PICTURE.h) as usize {
        if far((at % PICTURE.w as usize) as f32, (at / PICTURE.w as usize) as f32) {
            sum += (0..3).map(|channel| f64::from(a[at * 3 + channel].abs_diff(b[at * 3 + channel]))).sum::<f64>() / 3.0;
            count += 1.0;
        }
    }
    sum / count
}

/// All files in a folder, at any depth; a killed process may leave some in the folder where they are staged.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true if path.ends_with("_staging") => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

fn offsets(rows: &[serde_json::Map<String, serde_json::Value>]) -> BTreeSet<i64> {
    rows.iter().filter_map(|row| row["o"].as_i64()).collect()
}

#[test]
fn every_frame_has_its_picture_with_faces_hidden_the_same_though_the_process_is_killed() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("annotated", 1);
    let (records, pictures) = sent(60);
    kafka.produce(&topic, &records);
    let (folder, kept) = (scratch(), scratch());
    let mut config = Facestream::config(kafka, &topic, "annotated", &file_url(folder.path()));
    let shown = kafka.topic("shown", 2);
    set(&mut config, "annotate", "what", "blur");
    set(&mut config, "annotate", "topic", shown.as_str());
    set(&mut config, "annotate", "store", file_url(kept.path()));
    set(&mut config, "journal", "append_every", "50ms");

    for failpoint in ["frame:annotated=kill@0", "after-append=kill@3", "after-append=kill@4"] {
        let failpoint = failpoint.replace("frame:annotated=kill@0", &format!("frame:{topic}/0/20=kill@1"));
        let killed = Facestream::run_to_die(&config, &["--until-end"], &failpoint).wait_exit(LONG);
        assert_eq!(killed.code, None, "{}", killed.output);
    }
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());
    let duck = Duck::in_folder(folder.path());
    let ok = offsets(&duck.rows("SELECT kafka_offset AS o FROM 'frames/**/*.parquet' WHERE status = 'ok'"));
    assert_eq!(ok.len(), pictures.iter().flatten().count());

    // The topic: at least one picture of each frame that was looked at, and each time the same.
    let mut by_offset: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
    for message in kafka.read(&shown) {
        let id = header(&message, "event_id");
        let offset: i64 = id.strip_prefix(&format!("{topic}/0/")).and_then(|offset| offset.parse().ok()).expect("an id");
        assert_eq!(message.key(), records[offset as usize].key.as_deref(), "keyed as it came");
        assert_eq!((header(&message, "content-type"), header(&message, "annotation")), ("image/jpeg".into(), "blur".into()));
        assert_eq!((header(&message, "frame_id"), header(&message, "source_id")), (id, format!("gate/{}", offset % 2)));
        assert!(header(&message, "capture_ts_ns").parse::<i64>().is_ok());
        let jpeg = message.payload().expect("a picture").to_vec();
        let before = by_offset.insert(offset, jpeg.clone());
        assert!(before.is_none_or(|before| before == jpeg), "{offset}: another picture after a crash");
    }
    assert_eq!(by_offset.keys().copied().collect::<BTreeSet<_>>(), ok);

    // The store has the same, each once, under the camera's folder.
    let found = files(kept.path());
    assert_eq!(found.len(), ok.len(), "{found:?}");
    for file in &found {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        let offset: i64 = name.strip_prefix(&format!("{topic}-0-")).and_then(|offset| offset.parse().ok()).expect("an offset");
        assert_eq!(fs::read(file).expect("a file"), by_offset[&offset]);
        let below = file.strip_prefix(kept.path()).expect("below").to_string_lossy().into_owned();
        assert!(below.starts_with(&format!("gate%2F{}/event_date=", offset % 2)), "{below}");
    }

    // Faces where they were put are gone; what is far from any is as it was, but for JPEG's loss.
    let mut faces = 0;
    for (offset, jpeg) in &by_offset {
        let original = pictures[*offset as usize].as_ref().expect("a picture");
        let (before, after) = (decoded(&original.jpeg), decoded(jpeg));
        for face in &original.faces {
            let left = detail(&after, face) / detail(&before, face);
            assert!(left < 0.1, "{offset}: {left} of the detail of {face:?} is left");
            faces += 1;
        }
        let near: Vec<Bbox> = (0..=8)
            .filter_map(|back| pictures.get((*offset as usize).checked_sub(2 * back)?)?.as_ref())
            .flat_map(|picture| picture.faces.clone())
            .collect();
        let apart = apart(&before, &after, &near);
        assert!(apart < 3.0, "{offset}: {apart} apart where no face is");
    }
    assert!(faces > 60, "{faces} faces");
}

#[test]
fn nobody_gets_a_picture_who_has_not_asked() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("unannotated", 1);
    let (records, _) = sent(14);
    kafka.produce(&topic, &records);
    let folder = scratch();
    let config = Facestream::config(kafka, &topic, "unannotated", &file_url(folder.path()));
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames == 14.0);
    let threads = fs::read_dir(format!("/proc/{}/task", running.id())).expect("its threads");
    let names: Vec<_> = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok()).collect();
    assert!(names.iter().any(|name| name.starts_with("worker-")), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("annotate")), "{names:?}");
    assert_eq!(running.metric("facestream_events_total", &[("topic", "pictures")]), 0.0);
    assert_eq!(running.metric("facestream_annotated_pictures_total", &[]), 0.0);
    let finished = running.terminate(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert!(files(folder.path()).iter().all(|file| file.extension().is_none_or(|ext| ext != "jpg")));
}

#[test]
fn rows_wait_for_pictures_that_a_topic_does_not_take_yet() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("unshown", 1);
    let (records, pictures) = sent(10);
    kafka.produce(&topic, &records);
    let folder = scratch();
    let mut config: Table = Facestream::config(kafka, &topic, "unshown", &file_url(folder.path()));
    let shown = format!("{topic}-shown");
    set(&mut config, "annotate", "what", "pixelate");
    set(&mut config, "annotate", "topic", shown.as_str());
    set(&mut config, "journal", "append_every", "100ms");
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_produce_errors_total", &[("topic", "pictures")], LONG, |errors| errors >= 2.0);
    assert_eq!(running.metric("facestream_last_append_timestamp_seconds", &[]), 0.0);
    kafka.create_topic(&shown, 1, &[]);
    running.wait_metric("facestream_last_append_timestamp_seconds", &[], LONG, |appended| appended > 0.0);
    let finished = running.terminate(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());
    let ids: BTreeSet<_> = kafka.read(&shown).iter().map(|message| header(message, "event_id")).collect();
    assert_eq!(ids.len(), pictures.iter().flatten().count());
}
