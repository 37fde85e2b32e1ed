use std::collections::BTreeSet;

use super::*;

fn partition(topic: &str, number: i32) -> Partition {
    Partition { topic: topic.into(), number }
}

#[test]
fn known_label_sets_are_exported_from_the_start_at_zero() {
    let text = Metrics::new().render();
    for line in [
        "facestream_frames_total{status=\"decode_error\"} 0",
        "facestream_frame_bytes_total{status=\"ok\"} 0",
        "facestream_stage_seconds_count{stage=\"detect\"} 0",
        "facestream_backpressure_seconds_total{budget=\"pending_rows\"} 0",
        "facestream_e2e_seconds_count{since=\"record\",until=\"visible\"} 0",
        "facestream_rows_total{reason=\"recovery\",table=\"detections\"} 0",
        "facestream_append_bytes_count{kind=\"takeover\"} 0",
        "facestream_store_seconds_count{operation=\"delete\"} 0",
        "facestream_windows_total{closed_by=\"idle\"} 0",
        "facestream_partitions_paused{reason=\"journal\"} 0",
        "facestream_dead_letters_total{reason=\"too_large\"} 0",
        "facestream_faces_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("process_resident_memory_bytes"));
    assert!(!text.contains("facestream_source_frames_total"), "no source has a series unless that is asked for");
    assert!(!text.contains("facestream_lag_records"), "no partition is held");
}

#[test]
fn what_is_described_is_what_is_exported() {
    let metrics = Metrics::new();
    metrics.hold(&partition("frames", 0));
    metrics.build_info.with_label_values(&["", "", ""]).set(1);
    metrics.sources_apart.tell_apart(1);
    metrics.sources_apart.count(&facestream_schemas::SourceId::new("a"), 0, facestream_schemas::Micros(0), Instant::now());
    let page = metrics.render();
    let exported: BTreeSet<(&str, &str)> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let described: BTreeSet<_> = metrics.described().iter().map(|metric| (metric.name.as_str(), metric.kind)).collect();
    assert_eq!(described, exported);
    assert_eq!(described.len(), metrics.described().len(), "each is described once");
    for metric in metrics.described() {
        assert_eq!(metric.name.ends_with("_total"), metric.kind == "counter", "{metric:?}");
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{metric:?}");
        let series: usize = metric.labels.iter().map(|label| label.values.len().max(1)).product();
        let sample = if metric.kind == "histogram" { format!("{}_count", metric.name) } else { metric.name.clone() };
        let starts = [format!("{sample}{{"), format!("{sample} ")];
        let found = page.lines().filter(|line| starts.iter().any(|start| line.starts_with(start.as_str()))).count();
        assert_eq!(found, series, "series of {metric:?}");
    }
}

#[test]
fn a_partitions_series_come_and_go_with_it_and_are_its_own() {
    let metrics = Metrics::new();
    // Concatenated, topic and number of both are the same.
    let (first, second) = (metrics.hold(&partition("frames", 10)), metrics.hold(&partition("frames1", 0)));
    first.lag_records.set(7);
    second.lag_records.set(5);
    assert_eq!(metrics.total_lag(), 12);
    let lags = || {
        let page = metrics.render();
        page.lines().filter_map(|line| line.strip_prefix("facestream_lag_records")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lags(), [r#"{partition="0",topic="frames1"} 5"#, r#"{partition="10",topic="frames"} 7"#]);

    // A new lane of the same partition goes on with the same series.
    metrics.hold(&partition("frames", 10)).lag_records.set(6);
    metrics.forget(&partition("frames1", 0));
    assert_eq!(lags(), [r#"{partition="10",topic="frames"} 6"#]);
    // Whoever still holds what was given up reports in vain.
    second.lag_records.set(9);
    metrics.forget(&partition("frames1", 0));
    assert_eq!(metrics.total_lag(), 6);
    assert_eq!(metrics.hold(&partition("frames1", 0)).lag_records.get(), 0);
}
