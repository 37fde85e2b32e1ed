//! The demo, in its ten-second form.

use facestream_tests::http::get;
use facestream_tests::{Duck, Facestream, scratch};
use serde_json::{Value, json};

use crate::LONG;

#[test]
fn the_demo_shows_faces_and_its_queries_work_as_printed() {
    let folder = scratch();
    let finished = Facestream::command(folder.path(), &["demo", "--for", "10s", "--out", "out"], LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert!(finished.output.starts_with("watch it at http://127.0.0.1:"), "{}", finished.output);
    let queries: Vec<_> = finished
        .output
        .split("SELECT")
        .skip(1)
        .map(|rest| format!("SELECT{}", rest.split(';').next().unwrap_or_default()))
        .collect();
    assert_eq!(queries.len(), 2, "{}", finished.output);
    let duck = Duck::in_folder(folder.path());
    for query in &queries {
        assert!(!duck.rows(query).is_empty(), "{query}");
    }
    let seen =
        duck.rows("SELECT count(*) > 0 AS faces, count(DISTINCT source_id) > 1 AS cameras FROM 'out/detections/**/*.parquet'");
    assert_eq!(json!(seen), json!([{"faces": true, "cameras": true}]));
    let broken = duck.value("SELECT count(*) > 0 FROM 'out/frames/**/*.parquet' WHERE status <> 'ok'");
    assert_eq!(broken, json!(true), "one camera sends a broken frame now and then");
}

#[test]
fn the_demos_page_shows_every_camera_with_moving_pictures_until_it_ends() {
    let folder = scratch();
    let mut demo = Facestream::start(folder.path(), &["demo", "--for", "forever", "--out", "out"]);
    let page = demo.wait_until("the page's address", LONG, |own| {
        let output = own.output();
        let address = output.strip_prefix("watch it at ").and_then(|rest| rest.lines().next()).map(str::to_owned);
        address.ok_or(output)
    });
    let state = || serde_json::from_str::<Value>(&get(&format!("{page}live/state")).ok()?.text()).ok();
    let pictures = |state: &Value| {
        let sources = state["sources"].as_array().cloned().unwrap_or_default();
        for source in &sources {
            let _ = get(&format!("{page}live/frames/{}", source["id"]));
        }
        sources.iter().filter(|source| source["image"].as_u64() >= Some(3) && source["faces"].as_u64() >= Some(1)).count()
    };
    demo.wait_until("three pictures of each of four cameras", LONG, |_| match state() {
        Some(state) if pictures(&state) >= 4 && state["blur"] == true => Ok(()),
        state => Err(format!("{state:?}")),
    });
    demo.signal("INT");
    let finished = demo.wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
}
