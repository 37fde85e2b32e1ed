//! Kafka on its bad days, and groups of either protocol: every message has exactly one row in the end.

use std::io::{ErrorKind, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use facestream::config::{self, Config};
use facestream::journal::log::Log;
use facestream::journal::publish::Publisher;
use facestream::journal::{Opened, Writer};
use facestream::metrics::Metrics;
use facestream::store::Store;
use facestream_schemas::{Offset, Partition};
use facestream_tests::{Ending, Facestream, Kafka, free_port, scratch};
use tokio::runtime::Runtime;
use toml::Table;

use crate::{LONG, assert_exactly_once, file_url, pictures, quick, set, speak, wait_committed, wait_output};

/// Takes connections on `port` and hands them on to `target`, for as long as the test process lives.
fn forward(port: u16, target: &str) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let target = target.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&target) else { continue };
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                thread::spawn(move || {
                    let _ = copy(&mut from, &mut to).map_err(|error| assert_ne!(error.kind(), ErrorKind::InvalidInput));
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
}

#[test]
fn a_broker_that_is_not_there_at_the_start_is_waited_for() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("late-broker", 1);
    kafka.produce(&topic, &pictures(20, 1));
    let folder = scratch();
    let mut config = quick(kafka, &topic, "late-broker", &file_url(folder.path()));
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    set(&mut config, "kafka", "brokers", address.clone());
    let mut running = Facestream::run(&config, &["--until-end"]);
    wait_output(&mut running, "no Kafka broker answers");
    assert!(running.output().contains(&address));
    forward(port, kafka.brokers());
    let finished = running.wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_broker_that_restarts_in_mid_stream_is_waited_for() {
    let kafka = Kafka::start();
    let topic = kafka.topic("restarted", 2);
    kafka.produce(&topic, &pictures(300, 2));
    let folder = scratch();
    let config = quick(&kafka, &topic, "restarted", &file_url(folder.path()));
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 40.0);
    kafka.restart_broker(0, Ending::Kill, &topic);
    kafka.produce(&topic, &pictures(40, 2));
    wait_committed(&mut running, &kafka, "restarted", &topic, 340);
    assert_eq!(running.metric("facestream_lost_records_total", &[]), 0.0);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(&kafka, &topic, folder.path());
}

#[test]
fn leaders_and_coordinators_that_move_cost_nothing() {
    let kafka = Kafka::cluster(3);
    let topic = kafka.topic("moving", 3);
    let folder = scratch();
    let config = quick(&kafka, &topic, "moving", &file_url(folder.path()));
    let mut running = Facestream::run(&config, &[]);
    for (index, ending) in [Ending::Term, Ending::Kill, Ending::Term].into_iter().enumerate() {
        kafka.produce(&topic, &pictures(60, 3));
        // Each broker leads a third, and one of them has the group.
        kafka.restart_broker(index, ending, &topic);
        kafka.produce(&topic, &pictures(60, 3));
        wait_committed(&mut running, &kafka, "moving", &topic, 120 * (index as i64 + 1));
    }
    assert_eq!(running.metric("facestream_partitions_stopped", &[]), 0.0);
    assert_eq!(running.metric("facestream_lost_records_total", &[]), 0.0);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(&kafka, &topic, folder.path());
}

#[test]
fn partitions_that_are_added_while_it_runs_are_read_from_their_start() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("growing", 1);
    kafka.produce(&topic, &pictures(20, 1));
    let folder = scratch();
    let mut config = quick(kafka, &topic, "growing", &file_url(folder.path()));
    set(&mut config, "kafka", "properties", Table::from_iter([("topic.metadata.refresh.interval.ms".to_owned(), "500".into())]));
    let mut running = Facestream::run(&config, &[]);
    wait_committed(&mut running, kafka, "growing", &topic, 20);
    kafka.add_partitions(&topic, 3);
    kafka.produce(&topic, &pictures(60, 3));
    wait_committed(&mut running, kafka, "growing", &topic, 80);
    assert_eq!(running.metric("facestream_partitions_assigned", &[]), 3.0);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_process_that_was_thrown_out_for_not_polling_comes_back_and_goes_on() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("thrown-out", 2);
    kafka.produce(&topic, &pictures(300, 2));
    let folder = scratch();
    let mut config = quick(kafka, &topic, "thrown-out", &file_url(folder.path()));
    let properties = [("max.poll.interval.ms", "6000"), ("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.into()));
    set(&mut config, "kafka", "properties", Table::from_iter(properties));
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 40.0);
    running.signal("STOP");
    running.wait_until("the group to lose its member", LONG, |_| match kafka.members("thrown-out") {
        0 => Ok(()),
        members => Err(members.to_string()),
    });
    running.signal("CONT");
    wait_committed(&mut running, kafka, "thrown-out", &topic, 300);
    assert!(running.metric("facestream_rebalanced_partitions_total", &[("what", "lost")]) >= 2.0);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn the_brokers_own_group_protocol_shares_partitions_and_survives_a_kill() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("kip-848", 4);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "kip-848", &file_url(folder.path()));
    speak(&mut config, "consumer");
    let mut first = Facestream::run(&config, &[]);
    kafka.produce(&topic, &pictures(200, 4));
    first.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 20.0);
    let mut second = Facestream::run(&config, &[]);
    for process in [&mut first, &mut second] {
        process.wait_metric("facestream_partitions_assigned", &[], LONG, |partitions| partitions == 2.0);
    }
    kafka.produce(&topic, &pictures(200, 4));
    second.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 20.0);
    first.kill();
    second.wait_metric("facestream_partitions_assigned", &[], LONG, |partitions| partitions == 4.0);
    wait_committed(&mut second, kafka, "kip-848", &topic, 400);
    assert_eq!(second.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_partition_that_was_taken_over_by_a_stranger_is_taken_back_in_both_protocols() {
    for protocol in ["classic", "consumer"] {
        let kafka = Kafka::shared();
        let topic = kafka.topic("fenced", 1);
        kafka.produce(&topic, &pictures(30, 1));
        let folder = scratch();
        let mut config = quick(kafka, &topic, &topic, &file_url(folder.path()));
        speak(&mut config, protocol);
        let mut running = Facestream::run(&config, &[]);
        wait_committed(&mut running, kafka, &topic, &topic, 30);
        take_over(kafka, &topic, &file_url(folder.path()));
        kafka.produce(&topic, &pictures(30, 1));
        wait_committed(&mut running, kafka, &topic, &topic, 60);
        assert!(running.metric("facestream_fenced_total", &[]) >= 1.0, "{protocol}");
        assert_eq!(running.terminate(LONG).code, Some(0));
        assert_exactly_once(kafka, &topic, folder.path());
    }
}

/// Takes over partition 0 as another process of the same group would, and does nothing with it.
fn take_over(kafka: &Kafka, topic: &str, url: &str) {
    let store = Store::open(&config::Store { url: url.to_owned(), ..Config::default().store }).expect("the store");
    let pipeline_id = format!("{}/{topic}", kafka.cluster_id());
    let writer = Arc::new(Writer { pipeline_id, owner: "a stranger".to_owned(), model_sha256: None });
    let partition = Partition { topic: topic.into(), number: 0 };
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let log = Log::new(store, &partition, Metrics::new());
        let opened = Opened::open(log, partition, writer).await.expect("the journal");
        let publisher = Publisher::new(runtime.handle().clone(), Metrics::new());
        opened.take_over(Offset(0), None, &publisher).await.expect("the takeover");
    });
}

#[test]
fn what_belongs_to_the_broker_is_refused_with_its_group_protocol() {
    let folder = scratch();
    let sets =
        ["kafka.group_protocol=consumer", "kafka.properties.session.timeout.ms=6000", "kafka.properties.heartbeat.interval.ms=1"];
    let arguments: Vec<_> = ["config", "show"].into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    let finished = Facestream::command(folder.path(), &arguments, LONG);
    assert_eq!(finished.code, Some(2), "{}", finished.output);
    for property in ["session.timeout.ms", "heartbeat.interval.ms"] {
        let about = finished.output.lines().find(|line| line.contains(property)).expect("a line");
        assert!(about.contains("broker"), "{about}");
    }
}

#[test]
fn a_group_offset_that_was_moved_by_hand_is_reported_and_one_that_lags_after_a_kill_is_not() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("moved", 1);
    kafka.produce(&topic, &pictures(100, 1));
    let folder = scratch();
    let config = quick(kafka, &topic, "moved", &file_url(folder.path()));
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 40.0);
    running.kill();
    let mut running = Facestream::run(&config, &[]);
    wait_committed(&mut running, kafka, "moved", &topic, 100);
    let finished = running.terminate(LONG);
    assert_eq!(finished.code, Some(0));
    assert!(!finished.output.contains("moved by hand"), "{}", finished.output);

    // Back, which would double rows, and ahead.
    for (to, way) in
        [(7, "a new kafka.group".to_owned()), (115, format!("journal reset --topic {topic} --partition 0 --to-offset 115"))]
    {
        kafka.move_offset("moved", &topic, 0, to);
        let mut running = Facestream::run(&config, &[]);
        wait_output(&mut running, "moved by hand");
        assert!(running.output().contains(&way), "{way}: {}", running.output());
        kafka.produce(&topic, &pictures(10, 1));
        let end = kafka.ends(&topic)[&0].1;
        wait_committed(&mut running, kafka, "moved", &topic, end);
        assert_eq!(running.terminate(LONG).code, Some(0));
    }
    assert_exactly_once(kafka, &topic, folder.path());
}
