//! Events against the tables' columns, against the published schemas, and against values worked out by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use serde_json::{Value, json};

use super::*;
use crate::frame::{FrameMeta, MessageKey, Offset, Reason, Rejection, Size, SourceId, TsOrigin};
use crate::tables::{Table, Timings};
use crate::time::{Hour, Micros};
use crate::window::ClosedBy;
use crate::{Bbox, Detection, DetectorIdentity, ScoreKind};

/// 2026-11-22T12:00:00Z; `date -u -d @1795348800` says so.
const NOON: Micros = Micros(1_795_348_800_000_000);

fn row(outcome: Result<Vec<Detection>, Rejection>) -> FrameRow {
    FrameRow {
        meta: FrameMeta {
            key: MessageKey { topic: "cams".into(), partition: 2, offset: Offset(7) },
            frame_id: "f-1".to_owned(),
            source_id: SourceId::new("front door"),
            frame_seq: Some(12),
            capture_ts: NOON,
            ts_origin: TsOrigin::Header,
            record_ts: Micros(NOON.0 + 1),
            content_type: Some("image/jpeg"),
            size_bytes: 9,
        },
        folder: Hour(0),
        image: Some(Size { w: 100, h: 50 }),
        outcome,
        detector: Arc::new(DetectorIdentity {
            detector_id: "yunet_n".to_owned(),
            model_sha256: Some("ab".to_owned()),
            score_threshold: 0.5,
            nms_iou: 0.25,
        }),
        timings: Timings { queue_ms: Some(1.5), fetch_ms: Some(2.0), decode_ms: Some(2.5), detect_ms: Some(3.0) },
        e2e_ms: 20.25,
        worker_id: Some(1),
        run_id: "run".into(),
    }
}

fn face(x: f32) -> Detection {
    let bbox = Bbox { x, y: 1.0, w: 10.0, h: 10.5 };
    Detection { bbox, score: Some(0.75), score_kind: ScoreKind::Prob, landmarks: Some([1.5; 10]), track: None }
}

/// As little as a row can hold.
fn bare_row() -> FrameRow {
    let mut bare = row(Err(Rejection::new(Reason::EnvelopeError, "the value is empty")));
    bare.meta.frame_seq = None;
    bare.meta.content_type = None;
    bare.image = None;
    bare.detector = Arc::new(DetectorIdentity {
        model_sha256: None,
        score_threshold: f32::NAN,
        nms_iou: f32::NAN,
        ..(*bare.detector).clone()
    });
    bare.timings = Timings::default();
    bare.e2e_ms = f64::INFINITY;
    bare.worker_id = None;
    bare
}

fn bare_face() -> Detection {
    let none = f32::NAN;
    let bbox = Bbox { x: none, y: none, w: none, h: none };
    Detection { bbox, score: None, score_kind: ScoreKind::None, landmarks: None, track: None }
}

fn window() -> WindowRow {
    WindowRow {
        source_id: SourceId::new("front door/2\n%é"),
        window_start: NOON,
        window_end: Micros(NOON.0 + 60_000_000),
        topic: "cams".into(),
        partition: 2,
        revision: 3,
        frames_ok: 4,
        frames_failed: 1,
        frames_skipped: 2,
        frames_missing: Some(5),
        frames_with_face: 3,
        faces_total: 6,
        faces_per_frame_mean: Some(1.5),
        faces_per_frame_max: Some(3),
        score_mean: Some(0.75),
        tracks_started: Some(2),
        e2e_ms_p50: Some(20.0),
        e2e_ms_p99: Some(40.0),
        late_frames: 1,
        closed_by: ClosedBy::Watermark,
    }
}

fn bare_window() -> WindowRow {
    WindowRow {
        frames_missing: None,
        faces_per_frame_mean: None,
        faces_per_frame_max: None,
        score_mean: None,
        tracks_started: None,
        e2e_ms_p50: Some(f64::NAN),
        e2e_ms_p99: None,
        ..window()
    }
}

fn json_of(message: &Message) -> Value {
    serde_json::from_slice(message.value.as_deref().expect("a body")).expect("JSON")
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let found = message.headers.iter().find(|(header, _)| header == name).expect("the header");
    std::str::from_utf8(found.1.as_deref().expect("a value")).expect("text")
}

fn events(row: &FrameRow, what: What) -> Vec<Message> {
    of_frame(row, EventSettings { format: EventFormat::Json, what })
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn columns(table: Table) -> Vec<String> {
    table.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn there_is_an_event_for_what_is_wanted_and_none_for_the_rest() {
    let two = row(Ok(vec![face(1.0), face(50.0)]));
    let none = row(Ok(vec![]));
    let failed = row(Err(Rejection::new(Reason::DecodeError, "cut")));
    let count = |what| [&two, &none, &failed].map(|row| events(row, what).len());
    assert_eq!(count(What::Frames), [1, 1, 1]);
    assert_eq!(count(What::FramesWithFaces), [1, 0, 0]);
    assert_eq!(count(What::Faces), [2, 0, 0]);
}

#[test]
fn events_are_keyed_by_the_camera_and_named_by_where_the_message_lies() {
    let two = row(Ok(vec![face(1.0), face(50.0)]));
    for (what, ids) in [(What::Frames, vec!["cams/2/7"]), (What::Faces, vec!["cams/2/7/0", "cams/2/7/1"])] {
        for format in [EventFormat::Json, EventFormat::MsgPack] {
            let events = of_frame(&two, EventSettings { format, what });
            assert_eq!(events.iter().map(|event| header(event, "event_id")).collect::<Vec<_>>(), ids);
            for event in events {
                assert_eq!(event.key, b"front door");
                assert_eq!(header(&event, "schema_version"), "1");
                let media_type = if format == EventFormat::Json { "application/json" } else { "application/msgpack" };
                assert_eq!(header(&event, "content-type"), media_type);
            }
        }
    }
    let window = of_window(&window(), EventFormat::Json);
    assert_eq!(window.key, "front door/2\n%é".as_bytes());
    assert_eq!(header(&window, "event_id"), "cams/2/front%20door%2F2%0A%25%C3%A9/2026-11-22T12:00:00.000000Z/3");
    assert_eq!(json_of(&window)["event_id"], json!(header(&window, "event_id")));
}

#[test]
fn fields_are_the_tables_columns_in_their_order() {
    let two = row(Ok(vec![face(1.0), face(95.0)]));
    let frames = columns(Table::Frames);
    let head = ["type", "schema_version", "event_id"].map(str::to_owned);
    let frame = json_of(&events(&two, What::Frames)[0]);
    assert_eq!(names(&frame), [&head[..], &frames, &["detections".to_owned()]].concat());

    let own: Vec<_> = columns(Table::Detections).into_iter().filter(|column| !frames.contains(column)).collect();
    assert_eq!(names(&frame["detections"][0]), own);
    let face = json_of(&events(&two, What::Faces)[1]);
    assert_eq!(names(&face), [&head[..], &frames, &own].concat());
    assert_eq!((&face["type"], &face["detection_idx"], &face["truncated"]), (&json!("face"), &json!(1), &json!(true)));
    assert_eq!(names(&json_of(&of_window(&window(), EventFormat::Json))), [&head[..], &columns(Table::Windows)].concat());
}

#[test]
fn values_are_the_rows_and_what_is_no_number_is_null() {
    let frame = json_of(&events(&row(Ok(vec![face(1.0), bare_face()])), What::Frames)[0]);
    for (name, value) in [
        ("type", json!("frame")),
        ("capture_ts", json!("2026-11-22T12:00:00.000000Z")),
        ("record_ts", json!("2026-11-22T12:00:00.000001Z")),
        ("kafka_offset", json!(7)),
        ("frame_seq", json!(12)),
        ("status", json!("ok")),
        ("error", json!(null)),
        ("face_count", json!(2)),
        ("e2e_ms", json!(20.25)),
        ("image_w_px", json!(100)),
    ] {
        assert_eq!(frame[name], value, "{name}");
    }
    let faces = &frame["detections"];
    assert_eq!(
        (&faces[0]["bbox_h_px"], &faces[0]["score"], &faces[0]["landmarks_px"][9]),
        (&json!(10.5), &json!(0.75), &json!(1.5))
    );
    assert_eq!(
        (&faces[1]["bbox_x_px"], &faces[1]["landmarks_px"], &faces[1]["truncated"]),
        (&json!(null), &json!(null), &json!(false))
    );

    let failed = json_of(&events(&bare_row(), What::Frames)[0]);
    assert_eq!((&failed["status"], &failed["error"]), (&json!("envelope_error"), &json!("the value is empty")));
    assert_eq!((&failed["face_count"], &failed["e2e_ms"], &failed["nms_iou"]), (&json!(null), &json!(null), &json!(null)));
    assert_eq!(failed["detections"], json!([]));
}

#[test]
fn message_pack_says_the_same_as_json() {
    let two = row(Ok(vec![face(1.0), bare_face()]));
    for what in [What::Frames, What::Faces] {
        let packed = of_frame(&two, EventSettings { format: EventFormat::MsgPack, what });
        for (packed, text) in packed.iter().zip(events(&two, what)) {
            let packed: Value = rmp_serde::from_slice(packed.value.as_deref().expect("a body")).expect("MessagePack");
            assert_eq!(packed, json_of(&text));
        }
    }
    let packed = of_window(&bare_window(), EventFormat::MsgPack).value.expect("a body");
    let packed: Value = rmp_serde::from_slice(&packed).expect("MessagePack");
    assert_eq!(packed, json_of(&of_window(&bare_window(), EventFormat::Json)));
}

/// The published schemas.
fn published(name: &str) -> Value {
    let text = match name {
        "window" => include_str!("../../json/window.schema.json"),
        _ => include_str!("../../json/event.schema.json"),
    };
    serde_json::from_str(text).expect("a schema is JSON")
}

/// A part of a schema with its properties: its own, and those of the parts that it refers to.
struct Described {
    properties: Vec<(String, Value)>,
}

impl Described {
    fn of(schema: &Value, part: &Value) -> Self {
        let mut properties = Vec::new();
        for referred in part["allOf"].as_array().into_iter().flatten() {
            let pointer = referred["$ref"].as_str().expect("a reference").trim_start_matches('#');
            properties.extend(Self::of(schema, schema.pointer(pointer).expect("what is referred to")).properties);
        }
        assert_eq!(part["additionalProperties"], json!(true));
        let own = part["properties"].as_object().expect("properties");
        let required: Vec<_> = part["required"].as_array().expect("required").iter().filter_map(Value::as_str).collect();
        assert_eq!(own.keys().collect::<Vec<_>>(), required, "every field is always there");
        properties.extend(own.iter().map(|(name, property)| (name.clone(), property.clone())));
        Self { properties }
    }

    fn types(property: &Value) -> Vec<&str> {
        match &property["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        }
    }

    /// Names in both directions, types, enumerations; and every description is there.
    fn assert_describes(&self, written: &Value) {
        let described: BTreeSet<_> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(described, names(written).into_iter().collect());
        for (name, property) in &self.properties {
            let value = &written[name];
            let found = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            let types = Self::types(property);
            assert!(
                types.contains(&found) || (found == "integer" && types.contains(&"number")),
                "{name} is {value}, not {types:?}"
            );
            assert!(property["description"].as_str().is_some_and(|text| text.len() > 10), "{name} is described");
            let allowed = property["enum"].as_array();
            assert!(allowed.is_none_or(|allowed| allowed.contains(value)), "{name} is {value}");
            assert!(
                name.rsplit('_').next().is_none_or(|last| !["ms", "px", "bytes"].contains(&last) || property["unit"].is_string())
            );
        }
    }

    /// A column that can be null may be null here, and one that cannot is not, unless it is a float (NaN).
    fn assert_nulls_of(&self, table: Table) {
        let schema = table.schema();
        for (name, property) in &self.properties {
            let Ok(column) = schema.field_with_name(name) else { continue };
            let is_float = |column: &Field| matches!(column.data_type(), DataType::Float32 | DataType::Float64);
            let may_be_null = column.is_nullable() || is_float(column);
            assert_eq!(Self::types(property).contains(&"null"), may_be_null, "{name}");
        }
    }
}

#[test]
fn the_published_schemas_describe_every_field_that_is_written_and_no_other() {
    let schema = published("event");
    let part = |name: &str| Described::of(&schema, &schema["$defs"][name]);
    let full = row(Ok(vec![face(1.0), bare_face()]));
    for row in [&full, &bare_row()] {
        let frame = json_of(&events(row, What::Frames)[0]);
        part("frame_event").assert_describes(&frame);
        for face in frame["detections"].as_array().expect("a list") {
            part("face").assert_describes(face);
        }
        for event in events(row, What::Faces) {
            part("face_event").assert_describes(&json_of(&event));
        }
    }
    part("frame").assert_nulls_of(Table::Frames);
    part("face").assert_nulls_of(Table::Detections);
    let statuses: Vec<_> = std::iter::once("ok").chain(Reason::ALL.map(Reason::as_str)).collect();
    assert_eq!(schema["$defs"]["frame"]["properties"]["status"]["enum"], json!(statuses));

    let schema = published("window");
    let part = Described::of(&schema, &schema);
    for row in [window(), bare_window()] {
        part.assert_describes(&json_of(&of_window(&row, EventFormat::Json)));
    }
    part.assert_nulls_of(Table::Windows);
}
