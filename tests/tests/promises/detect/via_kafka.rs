//! The loop through a real pipeline, and what is said when a part of it is missing.

use std::path::Path;

use facestream_tests::{Facestream, Finished, Kafka, S3, wait_for};
use serde_json::{Value, json};
use toml::Table;

use super::{detect, folder, lines, picture, scripted, table};
use crate::{LONG, file_url, quick, set};

/// A configuration with the scripted detector and an events topic, in the folder's `facestream.toml`.
fn configured(kafka: &Kafka, folder: &Path, name: &str, change: impl FnOnce(&mut Table)) -> Table {
    let topic = kafka.topic(name, 2);
    let mut config = quick(kafka, &topic, name, &file_url(&folder.join("store")));
    set(&mut config, "detector", "model", folder.join("two.toml").display().to_string());
    set(&mut config, "events", "topic", kafka.topic(&format!("{name}-events"), 2));
    change(&mut config);
    std::fs::write(folder.join("facestream.toml"), config.to_string()).expect("writing");
    config
}

fn ask(folder: &Path, arguments: &[&str]) -> Finished {
    detect(folder, &[&["--via-kafka"], arguments].concat())
}

/// Asks and waits as long as it takes.
fn answer(folder: &Path, arguments: &[&str]) -> Finished {
    ask(folder, &[&["--timeout", "3m"], arguments].concat())
}

#[test]
fn a_running_pipeline_answers_with_what_detecting_here_would_have_found() {
    let kafka = Kafka::shared();
    let s3 = S3::start();
    for (name, format, what) in [("loop", "json", "frames"), ("loop-faces", "msgpack", "faces")] {
        let folder = folder();
        let path = folder.path();
        picture(&path.join("a.png"), 120, 90);
        picture(&path.join("b.png"), 200, 100);
        let config = configured(kafka, path, name, |config| {
            set(config, "events", "format", format);
            set(config, "events", "what", what);
            set(config, "fetch", "allow", vec![format!("{}/", s3.url(name))]);
            set(config, "fetch", "options", s3.options());
        });
        let mut running = Facestream::run(&config, &[]);
        running.wait_ready();
        let said = answer(path, &["a.png", "b.png", "--out", "out"]);
        assert_eq!(said.code, Some(0), "{}", said.output);
        let here = scripted(path, &["a.png", "b.png"]);
        assert_eq!(table(&said)[..5], table(&here)[..5]);
        assert_eq!(s3.keys(&format!("{name}/")).len(), 2, "the pictures lie in the store, not in messages");
        let copy = image::open(path.join("out/a.png")).expect("a copy").into_rgb8();
        assert_eq!(copy[(10, 55)].0, [0, 255, 0]);

        let inline = answer(path, &["--inline", "--format", "json", "a.png", "missing.png"]);
        assert_eq!(inline.code, Some(1), "{}", inline.output);
        let here = scripted(path, &["--format", "json", "a.png", "missing.png"]);
        assert_eq!(lines(&inline), lines(&here));
        assert_eq!(s3.keys(&format!("{name}/")).len(), 2);
        assert_eq!(running.terminate(LONG).code, Some(0));
    }
}

#[test]
fn what_the_pipeline_refuses_is_its_answer_with_what_to_do() {
    let kafka = Kafka::shared();
    let folder = folder();
    let path = folder.path();
    picture(&path.join("a.png"), 120, 90);
    std::fs::write(path.join("notes.txt"), "no picture").expect("writing");
    let config = configured(kafka, path, "refused", |config| {
        set(config, "fetch", "allow", vec![format!("{}/", file_url(&path.join("allowed")))]);
    });
    let mut running = Facestream::run(&config, &[]);
    running.wait_ready();
    let elsewhere = file_url(&path.join("elsewhere"));
    let said = answer(path, &["--format", "json", "--upload", &elsewhere, "a.png"]);
    assert_eq!(said.code, Some(1), "{}", said.output);
    let line: &Value = &lines(&said)[0];
    assert_eq!(line["status"], json!("fetch_refused"), "{line}");
    assert!(said.output.contains(&format!("add \"{elsewhere}/\" to fetch.allow")), "{}", said.output);
    // By default it goes to where the pipeline may fetch from.
    let said = answer(path, &["--format", "json", "a.png", "notes.txt"]);
    assert_eq!(said.code, Some(1), "{}", said.output);
    let found: Vec<_> = lines(&said).iter().map(|line| line["status"].clone()).collect();
    assert_eq!(found, [json!("ok"), json!("unsupported")]);
    assert_eq!(running.terminate(LONG).code, Some(0));
}

#[test]
fn each_missing_part_is_named() {
    let kafka = Kafka::shared();
    let folder = folder();
    let path = folder.path();
    picture(&path.join("a.png"), 120, 90);
    let config = configured(kafka, path, "missing", |_| ());
    for (set, code, says) in [
        ("kafka.brokers=127.0.0.1:9", 1, "no answer from 127.0.0.1:9"),
        ("events.topic=", 2, "set events.topic"),
        ("events.topic=no-such-events", 2, "the events topic no-such-events does not exist"),
        ("kafka.topics=no-such-frames", 2, "the topic no-such-frames does not exist"),
    ] {
        let said = ask(path, &["--set", set, "a.png"]);
        assert_eq!(said.code, Some(code), "{set}: {}", said.output);
        assert!(said.output.contains(says), "{set}: {}", said.output);
        assert!(!said.output.contains("Recognition Result"), "{set}: {}", said.output);
    }
    let nobody = ask(path, &["--timeout", "1s", "a.png"]);
    assert_eq!(nobody.code, Some(1), "{}", nobody.output);
    assert!(nobody.output.contains("a.png: unanswered: no event came within 1s"), "{}", nobody.output);
    assert!(nobody.output.contains("no pipeline is running: the consumer group missing"), "{}", nobody.output);
    assert_eq!(table(&nobody)[1][..2], ["a.png", "unanswered"]);

    // One that runs without events takes everything in and says nothing.
    let mut silent = config.clone();
    silent.remove("events");
    let mut running = Facestream::run(&silent, &[]);
    running.wait_ready();
    wait_for("the group to have committed beyond the message", LONG, || {
        let said = ask(path, &["--timeout", "3s", "a.png"]);
        assert_eq!(said.code, Some(1), "{}", said.output);
        if said.output.contains("and sent no event to") { Ok(()) } else { Err(said.output) }
    });
    assert_eq!(running.terminate(LONG).code, Some(0));
}

#[test]
fn a_pipeline_that_hangs_is_told_from_one_that_is_not_there() {
    let kafka = Kafka::shared();
    let folder = folder();
    let path = folder.path();
    picture(&path.join("a.png"), 120, 90);
    let config = configured(kafka, path, "hangs", |config| {
        let mut properties = Table::new();
        // It stays a member for as long as the test may take.
        properties.insert("session.timeout.ms".to_owned(), "300000".into());
        set(config, "kafka", "properties", properties);
    });
    let mut running = Facestream::run(&config, &[]);
    running.wait_ready();
    running.signal("STOP");
    let said = ask(path, &["--timeout", "1s", "a.png"]);
    assert_eq!(said.code, Some(1), "{}", said.output);
    assert!(said.output.contains("has not taken the message in yet: the group hangs has 1 members"), "{}", said.output);
    running.kill();
}
