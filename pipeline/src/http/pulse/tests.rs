//! Rates, the state that all share, and how many may share it.

use super::*;

fn sample(at: Instant, frames: u64) -> Sample {
    let latencies = vec![(0.1, frames), (f64::INFINITY, frames)];
    let busy = vec![Duration::from_millis(frames * 5)];
    Sample { at, frames, faces: frames * 2, bytes: frames * 100, latencies, busy }
}

fn pulse() -> Pulse {
    let process = state::Process {
        host: "host".to_owned(),
        pid: 1,
        run_id: String::new(),
        started_us: 0,
        group: "group".to_owned(),
        topics: vec!["frames".to_owned()],
        brokers: String::new(),
        store: String::new(),
        detector: String::new(),
        workers: 1,
    };
    let metrics = Metrics::new();
    let settings = crate::live::Settings { blur: true, silent_after: Duration::from_secs(30), workers: 1 };
    Pulse::new(Arc::new(Sight {
        metrics: metrics.clone(),
        board: crate::lane::Board::default(),
        decided: serde_json::Value::Null,
        process: Arc::new(process),
        live: crate::live::Live::new(settings, metrics),
        access: crate::http::Access::new(&crate::config::Secret::default(), true),
    }))
}

#[test]
fn there_is_a_place_for_32_viewers_and_one_that_leaves_makes_room() {
    let pulse = pulse();
    let viewers = || pulse.0.sight.metrics.live_viewers.get();
    let mut all: Vec<_> = std::iter::from_fn(|| pulse.viewer()).take(100).collect();
    assert_eq!((all.len(), viewers()), (32, 32));
    assert!(pulse.viewer().is_none());
    all.pop();
    assert!(pulse.viewer().is_some());
    drop(all);
    assert_eq!(viewers(), 0);
}

#[test]
fn all_who_ask_within_a_second_get_the_same_bytes() {
    let pulse = pulse();
    pulse.sample();
    let (first, second) = (pulse.state(), pulse.state());
    assert_eq!(first.as_ptr(), second.as_ptr());
    assert_eq!(pulse.history().as_ptr(), pulse.history().as_ptr());
    let state: serde_json::Value = serde_json::from_slice(&data(&first)).unwrap();
    assert_eq!((state["ready"].as_bool(), state["latency_s"].is_null()), (Some(false), true));
    (0..200).for_each(|_| pulse.sample());
    let memory = pulse.memory();
    assert_eq!((memory.samples.len(), memory.history.len()), (11, 120), "no more is kept");
}

#[test]
fn rates_are_those_of_the_last_two_seconds_and_busy_a_share() {
    let start = Instant::now();
    let mut memory = Memory::default();
    assert!(memory.lately().rates.frames_per_s.abs() < 1e-9);
    for (second, frames) in [(0, 0), (1, 1_000), (2, 1_100), (3, 1_200)] {
        memory.samples.push_back(sample(start + Duration::from_secs(second), frames));
    }
    let lately = memory.lately();
    assert!((lately.rates.frames_per_s - 100.0).abs() < 1e-9);
    assert!((lately.rates.faces_per_s - 200.0).abs() < 1e-9);
    assert!((lately.rates.bytes_per_s - 10_000.0).abs() < 1e-6);
    // 200 frames of 5 ms in two seconds.
    assert!((lately.busy[0] - 0.5).abs() < 1e-9);
    assert!(lately.latency.is_some_and(|latency| latency.p99 <= 0.1));
}

#[test]
fn an_event_is_one_line_of_json_whatever_the_text() {
    let event = event("state", &serde_json::json!({"id": "a\n\ndata: b\r\u{2028}"}));
    let text = std::str::from_utf8(&event).unwrap();
    assert_eq!(text.lines().count(), 3, "{text:?}");
    assert!(text.ends_with("\n\n") && !text.contains('\r'));
    let json: serde_json::Value = serde_json::from_slice(&data(&event)).unwrap();
    assert_eq!(json["id"], "a\n\ndata: b\r\u{2028}");
}
