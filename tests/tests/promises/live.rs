//! The live page's server: who may see it, what it shows of hostile text, that pictures are made only for who looks, and that rows
//! never change with it.

use std::path::Path;

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::http::{Answer, ask, events, get};
use facestream_tests::{Duck, Facestream, Kafka, Record, free_port, scratch, workspace};
use serde_json::{Value, json};

use crate::{LONG, file_url, pictures, quick, set, wait_output};

const TOKEN: &str = "a-token-of-some-length";

/// A running process with a topic of its own, and `token`.
fn running(name: &str, token: &str, folder: &Path) -> (Facestream, String) {
    let kafka = Kafka::shared();
    let topic = kafka.topic(name, 1);
    let mut config = quick(kafka, &topic, name, &file_url(folder));
    set(&mut config, "http", "token", token);
    let mut running = Facestream::run(&config, &[]);
    running.wait_ready();
    (running, topic)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Every route of the description, with something that exists for what it leaves open.
fn routes() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(workspace().join("pipeline/assets/openapi.json")).expect("the description");
    let description: Value = serde_json::from_str(&text).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let of = |(path, methods): (&String, &Value)| {
        let path = path.replace("{file}", "live.js").replace("{id}", "1");
        let methods: Vec<_> = methods.as_object().expect("methods").keys().map(|method| method.to_uppercase()).collect();
        methods.into_iter().map(move |method| (method, path.clone()))
    };
    paths.iter().flat_map(of).collect()
}

#[test]
fn everything_but_the_probes_and_the_log_in_form_asks_for_the_token() {
    let folder = scratch();
    let (running, _) = running("token", TOKEN, folder.path());
    let routes = routes();
    assert!(routes.len() >= 13, "{routes:?}");
    for (method, path) in &routes {
        let url = format!("{}{path}", running.http());
        let with = |headers: &[(&str, &str)]| ask(method, &url, headers, (method == "POST").then_some("")).unwrap();
        let without = with(&[]);
        assert_headers(&without);
        match path.as_str() {
            "/livez" | "/readyz" => assert_eq!(without.status, 200, "{path}"),
            "/login" if method == "GET" => assert_eq!(without.status, 200, "{path}"),
            // A form without a token.
            "/login" => assert_eq!(without.status, 400, "{path}"),
            "/" | "/logout" => assert_eq!((without.status, without.header("location")), (303, "login"), "{path}"),
            _ => {
                assert_eq!((without.status, without.text().lines().count()), (401, 1), "{method} {path}");
                for wrong in ["Bearer", "Bearer a-token-of-some-lengt", "Basic YTpi", "a-token-of-some-length"] {
                    assert_eq!(with(&[("authorization", wrong)]).status, 401, "{method} {path} with {wrong}");
                }
            }
        }
        if path == "/live/events" {
            let first = events(&url, &[("authorization", &bearer(TOKEN))], 1).unwrap();
            assert_eq!(first[0].0, "history");
        } else if !path.starts_with("/log") {
            let allowed = with(&[("authorization", &bearer(TOKEN))]);
            assert!(matches!(allowed.status, 200 | 404), "{path}: {allowed:?}");
            assert_headers(&allowed);
            // HEAD is GET without a body.
            let head = ask("HEAD", &url, &[("authorization", &bearer(TOKEN))], None).unwrap();
            assert_eq!((head.status, head.body.len()), (allowed.status, 0), "{path}");
        }
    }
    let unknown = get(&format!("{}/nothing/here", running.http())).unwrap();
    assert_eq!(unknown.status, 401, "nothing is told of what exists");
    let favicon = get(&format!("{}/favicon.svg", running.http())).unwrap();
    assert_eq!(favicon.status, 200);
    assert!(!running.output().contains(TOKEN));
}

fn assert_headers(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("unsafe"), "{policy}");
    let expected = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ];
    for (name, value) in expected {
        assert_eq!(answer.header(name), value, "{name} of {answer:?}");
    }
}

#[test]
fn a_log_in_sets_a_strict_cookie_that_a_log_out_takes_back() {
    let folder = scratch();
    let (mut running, _) = running("cookie", TOKEN, folder.path());
    let url = |path: &str| format!("{}{path}", running.http());
    let log_in = |form: &str, headers: &[(&str, &str)]| ask("POST", &url("/login"), headers, Some(form)).unwrap();

    let wrong = log_in("token=not-the-token-at-all", &[]);
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    assert!(wrong.text().contains("That is not the token."), "{}", wrong.text());
    let huge = log_in(&format!("token={}", "x".repeat(10_000)), &[]);
    assert_eq!(huge.status, 400);

    let right = log_in(&format!("other=1&token={TOKEN}"), &[]);
    assert_eq!((right.status, right.header("location")), (303, "./"));
    let (cookie, flags) = right.header("set-cookie").split_once("; ").expect("a cookie with flags");
    assert_eq!(flags, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert!(!cookie.contains(TOKEN));
    let secure = log_in(&format!("token={TOKEN}"), &[("x-forwarded-proto", "https")]);
    assert!(secure.header("set-cookie").ends_with("; Secure"));

    let with = |path: &str, cookie: &str| ask("GET", &url(path), &[("cookie", cookie)], None).unwrap().status;
    assert_eq!((with("/", cookie), with("/status", cookie), with("/live/state", cookie)), (200, 200, 200));
    let (name, session) = cookie.split_once('=').unwrap();
    let (until, code) = session.split_once('.').unwrap();
    let later = until.parse::<u64>().unwrap() + 1;
    for forged in [format!("{name}={later}.{code}"), format!("{name}={until}."), format!("x{cookie}"), format!("{name}={TOKEN}")]
    {
        assert_eq!(with("/status", &forged), 401, "{forged}");
    }
    let out = ask("POST", &url("/logout"), &[("cookie", cookie)], Some("")).unwrap();
    assert_eq!((out.status, out.header("location")), (303, "login"));
    assert!(out.header("set-cookie").starts_with(&format!("{name}=; Path=/; Max-Age=0")), "{out:?}");
    wait_output(&mut running, "with a wrong token");
    let status = ask("GET", &format!("{}/status", running.http()), &[("authorization", &bearer(TOKEN))], None).unwrap();
    assert!(!running.output().contains(TOKEN) && !status.text().contains(TOKEN));
}

#[test]
fn a_server_that_others_can_reach_says_that_it_has_no_token() {
    const WARNING: &str = "set http.token";
    let kafka = Kafka::shared();
    let topic = kafka.topic("open", 1);
    let folder = scratch();
    let config = quick(kafka, &topic, "open", &file_url(folder.path()));
    let open = format!("http.listen=0.0.0.0:{}", free_port());
    wait_output(&mut Facestream::run(&config, &["--set", &open]), WARNING);
    let token = format!("http.token={TOKEN}");
    let mut closed = Facestream::run(&config, &["--set", &open, "--set", &token]);
    wait_output(&mut closed, "http://0.0.0.0:");
    assert!(!closed.output().contains(WARNING) && !closed.output().contains(TOKEN), "{}", closed.output());
    let mut own = Facestream::run(&config, &[]);
    own.wait_ready();
    assert!(!own.output().contains(WARNING), "{}", own.output());
    // Without a token, no name from elsewhere may be made to mean it.
    let foreign = ask("GET", &format!("{}/live/state", own.http()), &[("host", "example.com")], None).unwrap();
    assert_eq!(foreign.status, 421);
    let probe = ask("GET", &format!("{}/livez", own.http()), &[("host", "example.com")], None).unwrap();
    assert_eq!(probe.status, 200);
}

fn state(running: &Facestream) -> Value {
    let answer = get(&format!("{}/live/state", running.http())).expect("an answer");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn source_ids_that_try_everything_come_through_as_text() {
    let hostile = [
        "<script>alert(1)</script><img src=x onerror=alert(1)>".to_owned(),
        "a\n\nevent: state\ndata: {}\n\n".to_owned(),
        "\u{202e}right to left\u{0}\u{7f}\u{2028}\"'\\".to_owned(),
        "x".repeat(256),
        "__proto__".to_owned(),
    ];
    let folder = scratch();
    let (mut running, topic) = running("hostile", "", folder.path());
    let record = |id: &String| Record {
        key: Some(id.clone().into_bytes()),
        payload: pictures(1, 1)[0].payload.clone(),
        ..Record::default()
    };
    Kafka::shared().produce(&topic, &hostile.iter().map(record).collect::<Vec<_>>());
    running.wait_metric("facestream_frames_total", &[("status", "ok")], LONG, |frames| frames >= hostile.len() as f64);
    let mut expected: Vec<_> = hostile.to_vec();
    expected.sort();
    let seen = |state: &Value| -> Vec<String> {
        state["sources"]
            .as_array()
            .expect("sources")
            .iter()
            .map(|source| source["source_id"].as_str().expect("text").to_owned())
            .collect()
    };
    running.wait_until("all sources", LONG, |own| {
        let seen = seen(&state(own));
        if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    let events = events(&format!("{}/live/events", running.http()), &[], 3).expect("three events");
    assert_eq!(events.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["history", "state", "state"]);
    assert_eq!(seen(&serde_json::from_str(&events[2].1).expect("JSON")), expected);
}

#[test]
fn pictures_are_made_of_a_camera_that_somebody_asks_for_and_of_no_other() {
    let kafka = Kafka::shared();
    let folder = scratch();
    let (mut running, topic) = running("watched", "", folder.path());
    kafka.produce(&topic, &pictures(20, 1));
    running.wait_metric("facestream_frames_total", &[("status", "ok")], LONG, |frames| frames >= 20.0);
    assert_eq!(running.metric("facestream_live_images_total", &[]), 0.0);
    assert_eq!(running.metric("facestream_stage_seconds_count", &[("stage", "live")]), 0.0);
    let source = |own: &Facestream, name: &str| {
        let state = state(own);
        let sources = state["sources"].as_array().expect("sources").clone();
        sources.into_iter().find(|source| source["source_id"] == name).unwrap_or_else(|| panic!("no {name} in {state}"))
    };
    let id = source(&running, "camera-0")["id"].clone();
    assert_eq!(get(&format!("{}/live/frames/{id}", running.http())).unwrap().status, 204);
    for unknown in ["999", "x", "-1", "18446744073709551616"] {
        assert_eq!(get(&format!("{}/live/frames/{unknown}", running.http())).unwrap().status, 404, "{unknown}");
    }
    let picture = running.wait_until("a picture of camera-0", LONG, |own| {
        kafka.produce(&topic, &pictures(2, 1));
        let answer = get(&format!("{}/live/frames/{id}", own.http()))?;
        if answer.status == 200 { Ok(answer) } else { Err(format!("{answer:?}")) }
    });
    assert_eq!(picture.header("content-type"), "image/jpeg");
    assert!(picture.header("x-image").parse::<u64>().is_ok_and(|number| number >= 1));
    // A picture of 320 x 192 is not enlarged. Its size follows the marker SOF0: length, precision, height, width.
    let at = picture.body.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a JPEG");
    assert_eq!(picture.body[at + 5..at + 9], [0, 192, 1, 64]);
    assert!(running.metric("facestream_live_images_total", &[]) >= 1.0);
    // The state may be a second old.
    running.wait_until("the picture's number in the state", LONG, |own| match source(own, "camera-0")["image"].as_u64() {
        Some(_) => Ok(()),
        None => Err("no picture".to_owned()),
    });
    assert_eq!(source(&running, "camera-1")["image"], Value::Null);
}

#[test]
fn a_page_that_is_switched_off_says_so_and_costs_nothing() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("off", 1);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "off", &file_url(folder.path()));
    set(&mut config, "live", "enabled", false);
    let mut running = Facestream::run(&config, &[]);
    running.wait_ready();
    for path in ["/live/state", "/live/events", "/live/frames/1"] {
        let answer = get(&format!("{}{path}", running.http())).unwrap();
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.text().contains("live.enabled"), "{path}");
    }
    assert!(running.get("/").is_ok_and(|text| text.contains("/metrics")));
}

/// Rows that two runs must have in common: everything but times of processing, and who processed.
const COMPARED: [&str; 3] = [
    "SELECT kafka_partition, kafka_offset, detection_idx, source_id, capture_ts::VARCHAR AS captured, bbox_x_px, bbox_y_px, bbox_w_px, bbox_h_px, \
     truncated, score, score_kind, landmarks_px::VARCHAR AS landmarks, detector_id FROM 'detections/**/*.parquet' ORDER BY ALL",
    "SELECT kafka_partition, kafka_offset, source_id, status, error, face_count, score_threshold, nms_iou, image_w_px, detector_id \
     FROM 'frames/**/*.parquet' ORDER BY ALL",
    "SELECT kafka_partition, source_id, window_start::VARCHAR AS start, revision, frames_ok, frames_failed, frames_with_face, faces_total, \
     faces_per_frame_max, score_mean FROM 'windows/**/*.parquet' ORDER BY ALL",
];

#[test]
fn rows_are_the_same_with_the_live_page_and_without() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("same", 2);
    let scene = Scene::new(2, Size { w: 640, h: 360 });
    let mut records: Vec<_> = (0..60)
        .map(|n| Record {
            partition: n % 2,
            key: Some(b"camera".to_vec()),
            payload: Some(scene.picture(n as u64 * 5).jpeg),
            ..Record::default()
        })
        .collect();
    records.push(Record { payload: Some(b"no picture".to_vec()), ..Record::default() });
    kafka.produce(&topic, &records);
    let rows = |live: bool| {
        let folder = scratch();
        let name = format!("same-{live}");
        let mut config = quick(kafka, &topic, &name, &file_url(folder.path()));
        // Scores and sizes of the scene's faces lie on both sides of these.
        set(&mut config, "detector", "score_threshold", 0.8);
        set(&mut config, "detector", "min_face_px", 60.0);
        set(&mut config, "live", "enabled", live);
        let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        let duck = Duck::in_folder(folder.path());
        COMPARED.map(|sql| duck.rows(sql))
    };
    let (with, without) = (rows(true), rows(false));
    assert_eq!(with, without);
    assert_eq!((with[1].len(), with[1][0]["score_threshold"].clone()), (61, json!(0.8_f32)));
    assert!(!with[0].is_empty(), "there are faces above the threshold");
}
