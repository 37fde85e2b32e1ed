//! What is wrong is named, with its key, file or address and what to do; a process that waits says what for.

use std::process::{Command, Stdio};
use std::time::Duration;

use facestream_tests::{Facestream, Kafka, binary, scratch};

use crate::{LONG, file_url, set};

#[test]
fn every_mistake_in_the_configuration_is_named_at_once() {
    let folder = scratch();
    let file = folder.path().join("facestream.toml");
    let text = "[kafka]\ntopcis = 'frames'\n[detector]\nscore_threshold = 7\n[workers]\nin_flight = '64Mib/s'\n[store]\nurl = 'ftp://x'\n";
    std::fs::write(&file, text).expect("writing");
    let finished = Facestream::command(folder.path(), &["run", "--config", "facestream.toml"], LONG);
    assert_eq!(finished.code, Some(2));
    for mentioned in [
        "kafka.topcis",
        "did you mean kafka.topics",
        "detector.score_threshold",
        "workers.in_flight",
        "store.url",
        "facestream.toml",
    ] {
        assert!(finished.output.contains(mentioned), "{mentioned} is not mentioned:\n{}", finished.output);
    }
    assert!(!finished.output.contains("panicked") && !finished.output.contains("backtrace"));
}

#[test]
fn check_names_what_does_not_work_and_what_does() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("check", 2);
    let folder = scratch();
    let url = file_url(&folder.path().join("faces"));
    let arguments = |topic: &str| {
        ["check", "--set", &format!("kafka.brokers={}", kafka.brokers()), "--set", &format!("kafka.topics={topic}")]
            .map(str::to_owned)
            .into_iter()
            .chain(["--set".to_owned(), format!("store.url={url}"), "--set".to_owned(), "http.listen=127.0.0.1:0".to_owned()])
            .collect::<Vec<_>>()
    };
    let check = |topic: &str| {
        let arguments = arguments(topic);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        Facestream::command(folder.path(), &arguments, LONG)
    };
    let fine = check(&topic);
    assert_eq!(fine.code, Some(0), "{}", fine.output);
    assert!(fine.output.contains(&topic) && !fine.output.contains("WRONG"), "{}", fine.output);
    let missing = check("no-such-topic");
    assert_eq!(missing.code, Some(1), "{}", missing.output);
    assert!(missing.output.lines().any(|line| line.contains("WRONG") && line.contains("no-such-topic")), "{}", missing.output);
}

#[test]
fn a_store_of_another_group_is_refused() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("foreign", 1);
    kafka.produce(&topic, &crate::pictures(3, 1));
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "foreign-a", &file_url(folder.path()));
    assert_eq!(Facestream::run(&config, &["--until-end"]).wait_exit(LONG).code, Some(0));
    set(&mut config, "kafka", "group", "foreign-b");
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(3), "{}", finished.output);
    assert!(finished.output.contains("foreign-a") && finished.output.contains("store.url"), "{}", finished.output);
    let file = folder.path().join("facestream.toml");
    for (group, code) in [("foreign-b", 3), ("foreign-a", 0)] {
        set(&mut config, "kafka", "group", group);
        std::fs::write(&file, config.to_string()).expect("writing");
        let checked = Facestream::command(folder.path(), &["check", "--set", "http.listen=127.0.0.1:0"], LONG);
        assert_eq!((checked.code, checked.output.contains("WRONG  store")), (Some(code), code == 3), "{}", checked.output);
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let folder = scratch();
    for arguments in [&["config", "show"][..], &["models", "ls"], &["metrics"], &["--help"]] {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starting");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("its end");
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_process_without_a_broker_lives_is_not_ready_says_so_and_stops_when_told() {
    let folder = scratch();
    let mut config = Facestream::config(Kafka::shared(), "anything", "without", &file_url(folder.path()));
    // Nothing listens on the discard port.
    set(&mut config, "kafka", "brokers", "127.0.0.1:9");
    let mut running = Facestream::run(&config, &[]);
    running.wait_until("/livez", LONG, |own| own.get("/livez"));
    running.wait_until("the warning", LONG, |own| {
        if own.output().contains("no Kafka broker answers") { Ok(()) } else { Err(String::new()) }
    });
    assert!(running.get("/readyz").is_err_and(|error| error.contains("503")));
    assert_eq!(running.terminate(Duration::from_mins(1)).code, Some(0));
    // A batch that was told to stop has not done what it was started for.
    let mut running = Facestream::run(&config, &["--until-end"]);
    running.wait_until("/livez", LONG, |own| own.get("/livez"));
    let finished = running.terminate(Duration::from_mins(1));
    assert_eq!(finished.code, Some(1), "{}", finished.output);
    assert!(finished.output.contains("told to stop before the end of the topics was reached"), "{}", finished.output);
}
