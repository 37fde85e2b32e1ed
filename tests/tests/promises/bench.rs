//! `facestream bench` measures: every figure is there, and the frames that it counts are those that it sent.

use facestream_tests::{Facestream, Kafka, scratch};
use serde_json::Value;

use crate::LONG;
use crate::transport::scripted;

/// The document that a quick bench prints, with these further arguments.
fn bench(arguments: &[&str]) -> Value {
    let folder = scratch();
    let model = format!("detector.model={}", scripted(folder.path(), "5ms"));
    let arguments = [&["bench", "--quick", "--format", "json", "--set", &model], arguments].concat();
    let finished = Facestream::command(folder.path(), &arguments, LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let document = finished.output.find('{').map_or("", |start| &finished.output[start..]);
    serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}: {}", finished.output))
}

#[track_caller]
fn positive(object: &Value, keys: &[&str]) {
    for key in keys {
        assert!(object[key].as_f64().is_some_and(|number| number > 0.0), "{key} in {object}");
    }
}

#[test]
fn a_quick_bench_says_what_it_measured_and_on_what() {
    let report = bench(&["--workers", "2"]);
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    positive(&report["machine"], &["cores", "memory_bytes"]);
    assert!(report["machine"]["cpu"].as_str().is_some_and(|cpu| !cpu.is_empty()));
    assert_eq!((&report["detector"]["id"], &report["detector"]["input_width_px"]), (&"scripted".into(), &640.into()));
    let kernel = report["kernel"].as_array().expect("a list");
    let sizes: Vec<_> = kernel.iter().map(|size| (size["width_px"].as_u64(), size["height_px"].as_u64())).collect();
    assert_eq!(sizes, [(640, 360), (1280, 720), (1920, 1080), (3840, 2160)].map(|(w, h)| (Some(w), Some(h))));
    for size in kernel {
        positive(size, &["jpeg_bytes", "frames", "decode_ms", "cpu_ms", "frames_per_s_per_core"]);
        let product = size["cpu_ms"].as_f64().unwrap_or(0.0) * size["frames_per_s_per_core"].as_f64().unwrap_or(0.0);
        assert!((product - 1e3).abs() < 20.0, "{size}");
    }
    let whole = &report["end_to_end"];
    assert_eq!((&whole["broker"], &whole["workers"], &whole["runs"]), (&"embedded".into(), &2.into(), &1.into()));
    positive(whole, &["frames", "frames_per_s", "cpu_ms", "peak_memory_bytes"]);
    // Each partition at least a takeover, an append and the word that its files are there; a file of frames each.
    let (partitions, frames) = (whole["partitions"].as_u64().expect("a number"), whole["frames"].as_u64().expect("a number"));
    assert!(frames >= partitions && whole["journal_records"].as_u64() >= Some(2 * partitions), "{whole}");
    assert!(whole["parquet_files"].as_u64() >= Some(partitions), "{whole}");
    // What lies there was put there, and more was asked.
    let requests = &whole["store_requests"];
    assert!(requests["append"].as_u64() >= whole["journal_records"].as_u64(), "{requests}");
    assert!(requests["list"].as_u64() >= Some(partitions), "{requests}");
}

#[test]
fn a_bench_through_a_broker_leaves_nothing_there() {
    let kafka = Kafka::shared();
    let report = bench(&["--workers", "1", "--kafka", kafka.brokers()]);
    assert_eq!(report["end_to_end"]["broker"], kafka.brokers());
    positive(&report["end_to_end"], &["frames", "frames_per_s", "cpu_ms"]);
    let left: Vec<_> = kafka.topics().into_iter().filter(|topic| topic.starts_with("facestream-bench")).collect();
    assert!(left.is_empty(), "{left:?}");
}
