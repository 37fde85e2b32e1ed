//! The demo, in its ten-second form.

use facestream_tests::{Duck, Facestream, scratch};
use serde_json::json;

use crate::LONG;

#[test]
fn the_demo_shows_faces_and_its_queries_work_as_printed() {
    let folder = scratch();
    let finished = Facestream::command(folder.path(), &["demo", "--for", "10s", "--out", "out"], LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
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
