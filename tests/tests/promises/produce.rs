//! `facestream produce` on a real broker: every envelope, uploads, HTTP cameras, and what it says when something does not arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::{Facestream, Finished, Kafka, S3, scratch};
use rdkafka::Message as _;
use rdkafka::message::{Headers as _, OwnedMessage};
use serde_json::Value;

use crate::{LONG, SMALL, file_url};

/// Three pictures in `photos`, by their names.
fn photos(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::create_dir(folder.join("photos")).expect("a folder");
    let scene = Scene::new(0, SMALL);
    let pictures = (0..3).map(|n| (format!("photos/{n}.jpg"), scene.picture(n * 30).jpeg));
    pictures.inspect(|(name, jpeg)| std::fs::write(folder.join(name), jpeg).expect("writing")).collect()
}

fn produce(kafka: &Kafka, folder: &Path, topic: &str, arguments: &[&str]) -> Finished {
    let common = ["produce", "--brokers", kafka.brokers(), "--topic", topic];
    Facestream::command(folder, &[&common, arguments].concat(), LONG)
}

/// A message's headers; none is there twice.
fn headers(message: &OwnedMessage) -> BTreeMap<String, String> {
    let headers = message.headers().expect("headers");
    let text = |value: Option<&[u8]>| String::from_utf8(value.expect("a value").to_vec()).expect("text");
    let found: BTreeMap<_, _> = headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect();
    assert_eq!(found.len(), headers.count());
    found
}

#[test]
fn every_envelope_carries_the_same_pictures_and_facts() {
    let kafka = Kafka::shared();
    let folder = scratch();
    let photos = photos(folder.path());
    for envelope in ["raw", "cloudevents", "json", "msgpack"] {
        let topic = kafka.topic(&format!("produce-{envelope}"), 2);
        let arguments = ["--envelope", envelope, "--cameras", "2", "--header", "site=north", "photos"];
        let finished = produce(kafka, folder.path(), &topic, &arguments);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        assert!(finished.output.contains("6 frames"), "{}", finished.output);
        let mut seen = BTreeSet::new();
        for message in kafka.read(&topic) {
            let (camera, name, seq, image) = opened(envelope, &message);
            assert_eq!(message.key(), Some(camera.as_bytes()));
            assert_eq!(headers(&message)["site"], "north");
            assert_eq!(image, photos[&name], "{envelope}");
            assert_eq!(name, format!("photos/{seq}.jpg"));
            seen.insert((camera, seq));
        }
        let cameras = ["camera-000", "camera-001"].into_iter();
        let expected = cameras.flat_map(|camera| ["0", "1", "2"].map(|seq| (camera.to_owned(), seq.to_owned())));
        assert_eq!(seen, expected.collect());
    }
}

/// Camera, frame id, number and image, read with other means than the pipeline's. The time has to be about now.
fn opened(envelope: &str, message: &OwnedMessage) -> (String, String, String, Vec<u8>) {
    let record_ms = message.timestamp().to_millis().expect("a time");
    let is_now = |ns: i64| assert!((record_ms - ns / 1_000_000).abs() < 60_000, "captured at {ns} ns, sent at {record_ms} ms");
    let headers = headers(message);
    let value = message.payload().expect("a value");
    let key = String::from_utf8(message.key().expect("a key").to_vec()).expect("text");
    match envelope {
        "raw" => {
            is_now(headers["capture_ts_ns"].parse().expect("a number"));
            assert_eq!(headers["content-type"], "image/jpeg");
            (key, headers["frame_id"].clone(), headers["frame_seq"].clone(), value.to_vec())
        }
        "cloudevents" => {
            assert_eq!((headers["ce_specversion"].as_str(), headers["ce_type"].as_str()), ("1.0", "org.facestream.frame"));
            assert_eq!(headers["ce_source"], format!("/cameras/{key}"));
            assert!(headers["ce_time"].starts_with("20") && headers["ce_time"].ends_with('Z'), "{}", headers["ce_time"]);
            assert_eq!(headers["content-type"], "image/jpeg");
            (headers["ce_sourceid"].clone(), headers["ce_id"].clone(), headers["ce_sequence"].clone(), value.to_vec())
        }
        "json" => {
            let body: Value = serde_json::from_slice(value).expect("JSON");
            is_now(body["capture_ts_ns"].as_i64().expect("a number"));
            let text = |name: &str| body[name].as_str().expect("text").to_owned();
            (text("source_id"), text("frame_id"), body["frame_seq"].to_string(), STANDARD.decode(text("image")).expect("base64"))
        }
        _ => {
            #[derive(serde::Deserialize)]
            struct Body {
                source_id: String,
                capture_ts_ns: i64,
                frame_id: String,
                frame_seq: u64,
                image: Bin,
            }
            let body: Body = rmp_serde::from_slice(value).expect("MessagePack");
            is_now(body.capture_ts_ns);
            (body.source_id, body.frame_id, body.frame_seq.to_string(), body.image.0)
        }
    }
}

/// MessagePack's `bin`, and nothing else.
struct Bin(Vec<u8>);

impl<'de> serde::Deserialize<'de> for Bin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl serde::de::Visitor<'_> for Look {
            type Value = Bin;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bin")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bin, E> {
                Ok(Bin(bytes.to_vec()))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

#[test]
fn pictures_that_are_uploaded_lie_where_their_messages_say() {
    let kafka = Kafka::shared();
    let s3 = S3::start();
    let folder = scratch();
    let photos = photos(folder.path());
    let mut config = toml::Table::new();
    crate::set(&mut config, "fetch", "options", s3.options());
    std::fs::write(folder.path().join("facestream.toml"), config.to_string()).expect("writing");
    let uploaded = folder.path().join("uploaded");
    for (base, envelope) in [(file_url(&uploaded), "raw"), (s3.url("pictures"), "json"), (s3.url("pictures"), "cloudevents")] {
        let topic = kafka.topic("produce-upload", 1);
        let arguments = ["--upload", &base, "--envelope", envelope, "--cameras", "2", "photos", "photos"];
        let finished = produce(kafka, folder.path(), &topic, &arguments);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        let claims: Vec<_> = kafka.read(&topic).iter().map(|message| claim(envelope, message)).collect();
        assert_eq!(claims.len(), 2 * 2 * photos.len());
        if base.starts_with("s3") {
            s3.download("pictures", &uploaded);
        }
        for (name, uri, sha256) in claims {
            let object = uri.strip_prefix(&format!("{base}/")).expect("below the prefix");
            assert_eq!(object, format!("{sha256}.jpg"));
            assert_eq!(std::fs::read(uploaded.join(object)).expect("the object"), photos[&name]);
        }
        // Each picture once, for all cameras and however often it was sent.
        assert_eq!(std::fs::read_dir(&uploaded).expect("a folder").count(), photos.len());
        std::fs::remove_dir_all(&uploaded).expect("removing");
    }
    assert_eq!(s3.keys("pictures").len(), photos.len());
}

/// Frame id, URI and SHA-256.
fn claim(envelope: &str, message: &OwnedMessage) -> (String, String, String) {
    let headers = headers(message);
    let value = message.payload();
    match envelope {
        "json" => {
            let body: Value = serde_json::from_slice(value.expect("a value")).expect("JSON");
            assert_eq!(body.get("image"), None);
            let text = |name: &str| body[name].as_str().expect("text").to_owned();
            (text("frame_id"), text("image_uri"), text("image_sha256"))
        }
        "raw" => {
            assert_eq!(value, Some(&b""[..]), "empty, not a tombstone");
            (headers["frame_id"].clone(), headers["image_uri"].clone(), headers["image_sha256"].clone())
        }
        _ => {
            assert_eq!(value, Some(&b""[..]), "empty, not a tombstone");
            (headers["ce_id"].clone(), headers["ce_dataref"].clone(), headers["ce_imagesha256"].clone())
        }
    }
}

#[test]
fn an_upload_that_fails_sends_no_message_and_is_counted() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("produce-no-upload", 1);
    let s3 = S3::start();
    let folder = scratch();
    photos(folder.path());
    let mut config = toml::Table::new();
    crate::set(&mut config, "fetch", "options", s3.options());
    std::fs::write(folder.path().join("facestream.toml"), config.to_string()).expect("writing");
    let finished = produce(kafka, folder.path(), &topic, &["--upload", "s3://no-such-bucket/x", "photos"]);
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    assert!(finished.output.contains("3 frames were not delivered"), "{}", finished.output);
    assert!(finished.output.contains("not delivered: photos/0.jpg: cannot upload it"), "{}", finished.output);
    assert!(kafka.read(&topic).is_empty());
}

#[test]
fn what_is_too_large_for_the_broker_is_reported_and_all_else_arrives() {
    let kafka = Kafka::shared();
    let topic = "produce-too-large";
    kafka.create_topic(topic, 1, &[("max.message.bytes", "1048588")]);
    let folder = scratch();
    let photos = photos(folder.path());
    std::fs::write(folder.path().join("photos/1-large.jpg"), [&photos["photos/0.jpg"][..], &vec![0; 2_000_000]].concat())
        .expect("writing");
    let finished = produce(kafka, folder.path(), topic, &["--cameras", "2", "photos", "photos/missing.jpg"]);
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    for said in [
        "cannot read photos/missing.jpg",
        "not delivered: photos/1-large.jpg",
        "6 frames",
        "2 frames were not delivered, 1 files",
    ] {
        assert!(finished.output.contains(said), "{said} is not said:\n{}", finished.output);
    }
    let line = finished.output.lines().find(|line| line.trim_start().starts_with("camera-001")).expect("a line for each camera");
    assert_eq!(line.split_whitespace().skip(1).take(3).collect::<Vec<_>>(), ["4", "3", "1"], "sent, delivered, failed");
    assert_eq!(kafka.read(topic).len(), 6);
}

#[test]
fn an_interrupt_ends_it_with_a_report_of_what_arrived() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("produce-interrupt", 1);
    let folder = scratch();
    photos(folder.path());
    let arguments = ["produce", "--brokers", kafka.brokers(), "--topic", &topic, "--loop", "--rate", "200", "photos"];
    let mut running = Facestream::start(folder.path(), &arguments);
    running.wait_until("messages", LONG, |_| match kafka.ends(&topic)[&0].1 {
        0 => Err(String::new()),
        _ => Ok(()),
    });
    running.signal("INT");
    let finished = running.wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let delivered = kafka.read(&topic).len();
    assert!(finished.output.contains(&format!("{delivered} frames")), "{delivered} arrived:\n{}", finished.output);
}

#[test]
fn an_http_camera_is_read_through_a_break_until_enough_has_come() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("produce-mjpeg", 1);
    let scene = Scene::new(0, SMALL);
    let pictures: Vec<_> = (0..4).map(|n| scene.picture(n * 30).jpeg).collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let parts: Vec<_> =
        pictures.iter().map(|jpeg| [b"--cut here\r\nContent-Type: image/jpeg\r\n\r\n", &jpeg[..], b"\r\n"].concat()).collect();
    // Two connections, each with two pictures, the first cut off in a third.
    let camera = std::thread::spawn(move || {
        for sent in
            [[&parts[0][..], &parts[1], &parts[2][..500]].concat(), [&parts[2][..], &parts[3], b"--cut here\r\n"].concat()]
        {
            let (mut connection, _) = listener.accept().expect("a connection");
            let asked = connection.read(&mut [0; 4096]).expect("a request");
            assert!(asked > 0);
            let head = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=\"--cut here\"\r\n\r\n";
            connection.write_all(&[head.as_bytes(), &sent].concat()).expect("sending");
        }
    });
    let folder = scratch();
    let url = format!("http://user:secret@{address}/live?key=secret");
    let finished = produce(kafka, folder.path(), &topic, &["--source-id", "door", "--count", "4", &url]);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert!(!finished.output.contains("secret"), "{}", finished.output);
    camera.join().expect("the camera");
    let messages = kafka.read(&topic);
    let found: Vec<_> = messages.iter().map(|message| message.payload().expect("a value").to_vec()).collect();
    assert!(found == pictures, "{} pictures came, or others", found.len());
    let seqs: Vec<_> = messages.iter().map(|message| headers(message)["frame_seq"].clone()).collect();
    assert_eq!(seqs, ["0", "1", "2", "3"]);
    assert!(messages.iter().all(|message| message.key() == Some(b"door") && !headers(message)["frame_id"].contains("secret")));
}

#[test]
fn what_cannot_be_done_is_a_usage_error_that_says_what_can() {
    let folder = scratch();
    photos(folder.path());
    for (arguments, says) in [
        (&["ftp://host/photos"][..], "ftp://"),
        (&["--as-recorded", "photos"], "video files"),
        (&["--upload", "ftp://host", "photos"], "s3://bucket/prefix"),
        (&["--envelope", "xml", "photos"], "cloudevents"),
    ] {
        let finished = Facestream::command(folder.path(), &[&["produce", "--topic", "frames"], arguments].concat(), LONG);
        assert_eq!(finished.code, Some(2), "{}", finished.output);
        assert!(finished.output.contains(says), "{}", finished.output);
    }
}

#[test]
fn a_virtual_camera_sends_what_it_sees_and_starts_over() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("produce-scene", 1);
    let folder = scratch();
    // Five more than there are before it starts over.
    let finished = produce(kafka, folder.path(), &topic, &["--count", "205", "scene:1"]);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let messages = kafka.read(&topic);
    let seqs: Vec<_> = messages.iter().map(|message| headers(message)["frame_seq"].clone()).collect();
    assert_eq!(seqs, (0..205).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(messages.iter().all(|message| message.key() == Some(b"camera-000")));
    let scene = Scene::new(0, Size { w: 640, h: 360 });
    for (at, picture) in [(0, 0), (199, 199), (200, 0), (204, 4)] {
        assert!(messages[at].payload() == Some(&scene.picture(picture).jpeg[..]), "message {at} is picture {picture}");
    }
}
