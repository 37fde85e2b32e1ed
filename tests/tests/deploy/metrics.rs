//! Prometheus's own linter has nothing to say about what a running pipeline exports.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::{Facestream, Kafka, Record, scratch};
use toml::Table;

const LONG: Duration = Duration::from_mins(4);

/// What `promtool check metrics` says of a page, and whether it accepts it.
fn promtool(page: &str) -> (bool, String) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool, which `make test-deploy` installs");
    promtool.stdin.take().expect("its input").write_all(page.as_bytes()).expect("writing to promtool");
    let output = promtool.wait_with_output().expect("promtool's end");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success() && said.is_empty(), said)
}

#[test]
fn every_metric_follows_prometheuss_conventions() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("conventions", 2);
    let picture = Scene::new(0, Size { w: 320, h: 192 }).picture(0).jpeg;
    let sources = ["door", "a \"quoted\"\nname\\"];
    let records = (0..4_usize).map(|n| Record {
        partition: (n % 2) as i32,
        key: Some(sources[n % 2].as_bytes().to_vec()),
        payload: Some(picture.clone()),
        ..Record::default()
    });
    kafka.produce(&topic, &records.collect::<Vec<_>>());
    let folder = scratch();
    let mut config = Facestream::config(kafka, &topic, "conventions", &format!("file://{}", folder.path().display()));
    let mut metrics = Table::new();
    metrics.insert("source_label".to_owned(), true.into());
    config.insert("metrics".to_owned(), metrics.into());
    let mut running = Facestream::run(&config, &[]);
    running.wait_metric("facestream_frames_total", &[("status", "ok")], LONG, |frames| frames >= 4.0);
    running.wait_metric("facestream_append_seconds_count", &[("kind", "rows")], LONG, |appends| appends >= 2.0);

    let page = running.get("/metrics").expect("the page");
    let (accepts, said) = promtool(&page);
    assert!(accepts, "{said}");
    for broken in
        [page.replace("facestream_faces_total", "facestream_faces"), page.replace("facestream_ready 1", "facestream_ready one")]
    {
        assert!(broken != page && !promtool(&broken).0, "promtool accepts anything");
    }
}
