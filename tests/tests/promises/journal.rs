//! The journal proves what was promised, a damaged record stops its partition alone, and a reset only goes forward.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use facestream::journal::header::Header;

use facestream::journal::record::{FORMAT_VERSION, Record as Stored, Rows};
use facestream_tests::{Duck, Facestream, Finished, Kafka, S3, scratch, wait_for};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::{Value, json};
use toml::Table;

use crate::{LONG, assert_exactly_once, file_url, pictures, set};

/// A configuration with fast detection, and the folder that its commands run in.
struct Line {
    folder: tempfile::TempDir,
    config: Table,
}

impl Line {
    fn new(kafka: &Kafka, topic: &str, group: &str) -> Self {
        let folder = scratch();
        let mut config = Facestream::config(kafka, topic, group, &file_url(&folder.path().join("faces")));
        set(&mut config, "detector", "input", "320x192");
        set(&mut config, "journal", "append_every", "200ms");
        Self { folder, config }
    }

    fn faces(&self) -> PathBuf {
        self.folder.path().join("faces")
    }

    fn run(&self) -> Finished {
        Facestream::run(&self.config, &["--until-end"]).wait_exit(LONG)
    }

    fn run_to_the_end(&self) {
        let finished = self.run();
        assert_eq!(finished.code, Some(0), "{}", finished.output);
    }

    /// `facestream journal …` with this line's configuration.
    fn journal(&self, arguments: &[&str]) -> Finished {
        fs::write(self.folder.path().join("facestream.toml"), self.config.to_string()).expect("writing the configuration");
        Facestream::command(self.folder.path(), &[&["journal"], arguments].concat(), LONG)
    }

    /// What it says; panics unless it exits with `code`.
    fn says(&self, code: i32, arguments: &[&str]) -> String {
        let Finished { code: found, output } = self.journal(arguments);
        assert_eq!(found, Some(code), "journal {arguments:?}: {output}");
        output
    }

    fn offsets(&self) -> Value {
        Duck::in_folder(&self.faces()).value("SELECT list(kafka_offset ORDER BY kafka_offset) FROM 'frames/**/*.parquet'")
    }

    /// The records of a partition, newest first.
    fn records(&self, topic: &str, partition: i32) -> Vec<PathBuf> {
        let folder = self.faces().join("_journal").join(topic).join(partition.to_string());
        let mut records: Vec<_> = fs::read_dir(folder).expect("a log").map(|entry| entry.expect("a record").path()).collect();
        records.sort();
        records
    }
}

fn data_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { files.extend(data_files(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

#[test]
fn the_journal_proves_that_every_message_has_its_row_once_and_names_what_speaks_against_it() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("proven", 2);
    kafka.produce(&topic, &pictures(200, 2));
    let mut line = Line::new(kafka, &topic, "proven");
    set(&mut line.config, "parquet", "roll_every", "1s");
    let mut running = Facestream::run(&line.config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 60.0);
    running.kill();
    // After a crash, too, there is nothing wrong: what is missing is still to come.
    assert!(line.says(0, &["verify"]).contains("nothing is wrong"));
    line.run_to_the_end();
    assert_exactly_once(kafka, &topic, &line.faces());
    let summary = line.says(0, &["verify", "--json"]);
    let summary: Value = serde_json::from_str(summary.lines().last().expect("a summary")).expect("JSON");
    let count = |sql: &str| Duck::in_folder(&line.faces()).value(sql);
    let rows: i64 = ["frames", "detections", "windows"]
        .iter()
        .map(|table| count(&format!("SELECT count(*) FROM '{table}/**/*.parquet'")).as_i64().expect("a number"))
        .sum();
    assert_eq!((&summary["partitions"], &summary["rows"], &summary["findings"]), (&json!(2), &json!(rows), &json!(0)));

    let listed: Value = serde_json::from_str(&line.says(0, &["ls", "--json"])).expect("JSON");
    assert_eq!(listed.as_array().expect("partitions").len(), 2);
    for (n, log) in listed.as_array().expect("partitions").iter().enumerate() {
        assert_eq!(
            (&log["partition"], &log["end_offset"], &log["unsealed_frames"]),
            (&json!(n), &json!(100), &json!(0)),
            "{log}"
        );
        assert_eq!(log["records"], json!(line.records(&topic, n as i32).len()));
    }
    assert!(line.says(0, &["ls"]).contains(&topic));
    let shown = line.says(0, &["show", &format!("{topic}/0"), "--last", "1000"]);
    assert!(["takeover", "append", "seal", "published"].iter().all(|what| shown.contains(what)), "{shown}");
    let whole: Value = serde_json::from_str(&line.says(0, &["show", &format!("{topic}/0"), "--seq", "0"])).expect("JSON");
    assert_eq!(whole["header"]["seq"], json!(0));
    line.says(2, &["show", &format!("{topic}/7")]);

    let files = data_files(&line.faces().join("frames"));
    fs::remove_file(&files[0]).expect("removing a file");
    let name = files[0].strip_prefix(line.faces()).expect("a path in the store").display().to_string();
    let said = line.says(3, &["verify"]);
    assert!(said.contains(&name) && said.contains("backup") && said.contains("1 findings"), "{said}");
}

#[test]
fn a_store_on_s3_is_verified_too() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("remote", 1);
    kafka.produce(&topic, &pictures(30, 1));
    let s3 = S3::start();
    let mut line = Line::new(kafka, &topic, "remote");
    set(&mut line.config, "store", "url", s3.url("faces"));
    set(&mut line.config, "store", "options", s3.options());
    line.run_to_the_end();
    assert!(line.says(0, &["verify"]).contains("checked 1 partitions"));
    set(&mut line.config, "store", "url", s3.url("elsewhere"));
    assert!(line.says(2, &["verify"]).contains("is store.url right?"));
}

/// What can happen to a record, and how `run` puts it.
fn damages(whole: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let Stored { header, .. } = Stored::read(whole.to_vec().into()).expect("a record");
    let made = |header: Header| Stored::new(header, &Rows::default()).expect("a record").bytes.to_vec();
    let mut edited = whole.to_vec();
    let number = whole.windows(13).position(|window| window == b"\"end_offset\":").expect("the header in plain text") + 13;
    let last_digit = (number..whole.len()).take_while(|at| whole[*at].is_ascii_digit()).last().expect("a number");
    edited[last_digit] ^= 1;
    vec![
        (whole[..whole.len() - 1].to_vec(), "cannot be used"),
        (edited, "cut short or edited"),
        (made(Header { format_version: FORMAT_VERSION + 1, ..header.clone() }), "use a newer one"),
        (made(Header { seq: header.seq.next(), ..header }), "its name says"),
    ]
}

#[test]
fn a_damaged_record_stops_its_partition_alone_and_nothing_is_overwritten() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("damaged", 2);
    kafka.produce(&topic, &pictures(20, 2));
    let line = Line::new(kafka, &topic, "damaged");
    line.run_to_the_end();
    let head = line.records(&topic, 0).remove(0);
    let whole = fs::read(&head).expect("the newest record");
    let name = head.strip_prefix(line.faces()).expect("a path in the store").display().to_string();
    let mut expected = 10;
    for (damaged, why) in damages(&whole) {
        fs::write(&head, &damaged).expect("damaging the record");
        kafka.produce(&topic, &pictures(10, 2));
        expected += 5;
        let finished = line.run();
        assert_eq!(finished.code, Some(1), "{}", finished.output);
        let names = |line: &str| line.contains(&name) && line.contains(why) && line.contains("restore that object");
        assert!(finished.output.lines().any(names), "{name} with {why:?} is not named:\n{}", finished.output);
        assert_eq!(fs::read(&head).expect("the record"), damaged, "nothing is overwritten");
        assert_eq!(line.records(&topic, 0)[0], head, "nothing is appended");
        let complete = "SELECT count(*) FROM 'frames/**/*.parquet' WHERE kafka_partition = 1";
        assert_eq!(Duck::in_folder(&line.faces()).value(complete), expected, "the other partition goes on");
        let said = line.says(3, &["verify"]);
        assert!(said.contains(&name) && said.contains("1 findings"), "{said}");
    }
    fs::write(&head, &whole).expect("restoring the record");
    line.run_to_the_end();
    assert_exactly_once(kafka, &topic, &line.faces());
    line.says(0, &["verify"]);

    // What is advised where there is no copy: no data file is as new as this record, so that it may go.
    let head = line.records(&topic, 0).remove(0);
    fs::write(&head, b"").expect("damaging the record");
    assert!(line.says(3, &["verify"]).contains("delete the records of seq"));
    fs::remove_file(&head).expect("removing the record");
    kafka.produce(&topic, &pictures(10, 2));
    line.run_to_the_end();
    assert_exactly_once(kafka, &topic, &line.faces());
    line.says(0, &["verify"]);
}

#[test]
fn a_reset_moves_forward_only_and_is_part_of_the_history() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("moved", 1);
    kafka.produce(&topic, &pictures(20, 1));
    let mut line = Line::new(kafka, &topic, "moved");
    line.run_to_the_end();
    kafka.produce(&topic, &pictures(20, 1));
    let reset = ["reset", "--topic", &topic];
    let to = |offset: &'static str| [&reset[..], &["--partition", "0", "--to-offset", offset]].concat();

    assert!(line.says(3, &to("19")).contains("new kafka.group and a new store.url"));
    assert!(line.says(3, &to("41")).contains("beyond the topic's end 40"));
    assert!(line.says(0, &to("20")).contains("nothing to do"));
    assert!(line.says(0, &[&to("30")[..], &["--dry-run"]].concat()).contains("would move from offset 20 to 30"));
    line.says(2, &reset);
    let before = line.records(&topic, 0).len();
    assert!(line.says(0, &to("30")).contains("moved from offset 20 to 30: 10 offsets get no row"));
    assert_eq!(line.records(&topic, 0).len(), before + 2, "a takeover and a jump");
    assert_eq!(kafka.committed("moved", &topic)[&0], 30);
    line.run_to_the_end();
    assert_eq!(line.offsets(), json!((0..20).chain(30..40).collect::<Vec<_>>()));
    line.says(0, &["verify"]);
    assert!(line.says(0, &["show", &format!("{topic}/0"), "--last", "100"]).contains("jump from 20 to 30: reset"));

    kafka.produce(&topic, &pictures(10, 1));
    assert!(line.says(0, &[&reset[..], &["--latest"]].concat()).contains("moved from offset 40 to 50"));
    line.run_to_the_end();
    assert_eq!(line.offsets(), json!((0..20).chain(30..40).collect::<Vec<_>>()));
    // Another group must not move it.
    set(&mut line.config, "kafka", "group", "moved-by-another");
    assert!(line.says(3, &to("50")).contains("belongs to the pipeline"));
}

/// A member of the group, which is there until it is dropped.
fn member(kafka: &Kafka, group: &str, topic: &str, protocol: &str) -> BaseConsumer {
    let config = [
        ("bootstrap.servers", kafka.brokers()),
        ("group.id", group),
        ("group.protocol", protocol),
        ("enable.auto.commit", "false"),
        ("client.id", "somebody"),
    ];
    let consumer: BaseConsumer = config
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect::<ClientConfig>()
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribing");
    wait_for("the member's partition", LONG, || {
        drop(consumer.poll(Duration::from_millis(100)));
        match consumer.assignment().map(|assigned| assigned.count()) {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    consumer
}

#[test]
fn a_reset_is_refused_while_the_group_has_members_and_fences_them_when_it_is_forced() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("busy", 1);
    kafka.produce(&topic, &pictures(10, 1));
    let line = Line::new(kafka, &topic, "busy");
    line.run_to_the_end();
    kafka.produce(&topic, &pictures(10, 1));
    let reset = ["reset", "--topic", &topic, "--partition", "0", "--to-offset"];
    let records = line.records(&topic, 0);
    for (protocol, said) in [("classic", "1 members (somebody"), ("consumer", "has members")] {
        let member = member(kafka, "busy", &topic, protocol);
        for also in [&["15"][..], &["15", "--dry-run"]] {
            let refused = line.says(3, &[&reset[..], also].concat());
            assert!(refused.contains(said) && refused.contains("--force"), "{protocol}: {refused}");
        }
        drop(member);
    }
    assert_eq!(line.records(&topic, 0), records, "nothing was written");

    let mut running = Facestream::run(&line.config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 10.0);
    wait_for("the commit", LONG, || match kafka.committed("busy", &topic).get(&0) {
        Some(20) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    running.signal("STOP");
    kafka.produce(&topic, &pictures(10, 1));
    let forced = line.says(0, &[&reset[..], &["25", "--force"]].concat());
    assert!(forced.contains("moved from offset 20 to 25"), "{forced}");
    running.signal("CONT");
    running.wait_until("all to be appended", LONG, |_| match kafka.committed("busy", &topic).get(&0) {
        Some(30) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_eq!(line.offsets(), json!((0..20).chain(25..30).collect::<Vec<_>>()));
    line.says(0, &["verify"]);
}
