//! Events, windows and dead letters: headers and fields against real messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::{code, first, rows};
use crate::dead_letter::{self, Original};
use crate::event::{self, EventFormat, EventSettings, What};
use crate::message::Message;
use crate::tables::{FrameRow, Table, Timings};
use crate::{
    Bbox, ClosedBy, Detection, DetectorIdentity, FrameMeta, Hour, MessageKey, Micros, Offset, Reason, Rejection, ScoreKind,
    SourceId, TsOrigin, WindowRow,
};

fn row(outcome: Result<Vec<Detection>, Rejection>) -> FrameRow {
    let detector =
        DetectorIdentity { detector_id: "scripted".to_owned(), model_sha256: None, score_threshold: 0.5, nms_iou: 0.5 };
    FrameRow {
        meta: FrameMeta {
            key: MessageKey { topic: "cams".into(), partition: 2, offset: Offset(7) },
            frame_id: "f-1".to_owned(),
            source_id: SourceId::new("door"),
            frame_seq: None,
            capture_ts: Micros(5),
            ts_origin: TsOrigin::Record,
            record_ts: Micros(5),
            content_type: None,
            size_bytes: 9,
        },
        folder: Hour(0),
        image: None,
        outcome,
        detector: Arc::new(detector),
        timings: Timings::default(),
        e2e_ms: 1.0,
        worker_id: None,
        run_id: "run".into(),
    }
}

fn face() -> Detection {
    let bbox = Bbox { x: 1.0, y: 1.0, w: 9.0, h: 9.0 };
    Detection { bbox, score: None, score_kind: ScoreKind::None, landmarks: None, track: None }
}

fn window() -> WindowRow {
    WindowRow {
        source_id: SourceId::new("door"),
        window_start: Micros(0),
        window_end: Micros(60_000_000),
        topic: "cams".into(),
        partition: 2,
        revision: 0,
        frames_ok: 1,
        frames_failed: 0,
        frames_skipped: 0,
        frames_missing: None,
        frames_with_face: 0,
        faces_total: 0,
        faces_per_frame_mean: None,
        faces_per_frame_max: None,
        score_mean: None,
        tracks_started: None,
        e2e_ms_p50: None,
        e2e_ms_p99: None,
        late_frames: 0,
        closed_by: ClosedBy::Idle,
    }
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let (_, value) = message.headers.iter().find(|(header, _)| header == name).unwrap_or_else(|| panic!("a header {name}"));
    value.as_deref().and_then(|value| std::str::from_utf8(value).ok()).expect("text")
}

fn header_names(message: &Message) -> Vec<&str> {
    message.headers.iter().map(|(name, _)| name.as_str()).collect()
}

/// The fields of a JSON body that are no columns of these tables.
fn own_fields(message: &Message, tables: &[Table]) -> Vec<String> {
    let body: Value = serde_json::from_slice(message.value.as_deref().expect("a body")).expect("JSON");
    let mut fields: Vec<String> = body.as_object().expect("an object").keys().cloned().collect();
    for table in tables {
        for column in table.schema().fields() {
            assert!(fields.contains(column.name()), "{} is a field", column.name());
        }
    }
    fields.retain(|field| tables.iter().all(|table| table.schema().field_with_name(field).is_err()));
    fields
}

/// What the page says of one kind of event besides the tables' columns.
fn described(heading: &str, kind: &str) -> Vec<String> {
    let rows = rows(heading, &["field of", "field", "type", "unit", "null", "means"]);
    rows.iter().filter(|row| row[0] == kind).map(|row| code(&row[1]).to_owned()).collect()
}

fn event(what: What, format: EventFormat) -> Message {
    event::of_frame(&row(Ok(vec![face()])), EventSettings { format, what }).pop().expect("an event")
}

#[test]
fn events_have_the_headers_and_fields_that_the_page_describes() {
    let (frame, face) = (event(What::Frames, EventFormat::Json), event(What::Faces, EventFormat::Json));
    let window = event::of_window(&window(), EventFormat::Json);
    let headers = rows("### Events", &["header", "means"]);
    for message in [&frame, &face, &window] {
        assert_eq!(header_names(message), first(&headers));
        assert_eq!((header(message, "schema_version"), &*message.key), ("1", &b"door"[..]));
    }
    assert_eq!(own_fields(&frame, &[Table::Frames]), described("### Events", "frame"));
    assert_eq!(own_fields(&face, &[Table::Frames, Table::Detections]), described("### Events", "face"));
    assert_eq!(own_fields(&window, &[Table::Windows]), described("### Windows", "window"));
}

#[test]
fn events_are_written_in_the_formats_that_the_page_names() {
    let formats = [EventFormat::Json, EventFormat::MsgPack].map(|format| match format {
        EventFormat::Json | EventFormat::MsgPack => (
            serde_json::to_value(format).expect("a name").as_str().expect("a name").to_owned(),
            header(&event(What::Frames, format), "content-type").to_owned(),
        ),
    });
    let page = rows("### Events", &["`events.format`", "`content-type`", "body"]);
    let page: Vec<_> = page.iter().map(|row| (code(&row[0]).to_owned(), code(&row[1]).to_owned())).collect();
    assert_eq!(page, formats);
}

fn letter(reason: Reason, original: &Original) -> Message {
    dead_letter::of(&row(Err(Rejection::new(reason, "cut"))), original, Micros(9), 100)
}

fn original(value: Option<&[u8]>) -> Original {
    Original {
        key: Some(Bytes::from_static(b"door")),
        value: value.map(Bytes::copy_from_slice),
        value_bytes: value.map(|value| value.len() as u64),
        headers: vec![("theirs".to_owned(), None), ("dlq_theirs".to_owned(), None)],
    }
}

#[test]
fn dead_letters_have_the_headers_that_the_page_describes() {
    let letter = letter(Reason::DecodeError, &original(Some(b"picture")));
    let page = rows("### Dead letters", &["header", "type", "unit", "means"]);
    assert_eq!(header_names(&letter), [&["theirs"], &first(&page)[..]].concat());
    assert_eq!((&*letter.key, letter.value.as_deref()), (&b"cams/2/7"[..], Some(&b"picture"[..])));
    for (row, (name, value)) in page.iter().zip(&letter.headers[1..]) {
        let text = std::str::from_utf8(value.as_deref().expect("a value")).expect("text");
        match &*row[1] {
            "decimal" => assert!(text.parse::<u64>().is_ok(), "{name} is {text}"),
            "RFC 3339" => assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{name} is {text}"),
            kind => assert!(["text", "bytes"].contains(&kind), "{name} is {kind}"),
        }
    }
    assert_eq!(header(&letter, "dlq_schema_version"), "1");
}

#[test]
fn what_a_dead_letter_holds_is_said_in_the_pages_words() {
    let held = [original(Some(b"picture")), original(None), original(Some(&[0; 101]))].map(|original| {
        let letter = letter(Reason::DecodeError, &original);
        (header(&letter, "dlq_value").to_owned(), letter.value.expect("no tombstone").len())
    });
    let page = rows("### Dead letters", &["`dlq_value`", "the letter's value is"]);
    assert_eq!(first(&page), held.each_ref().map(|(word, _)| word.as_str()));
    assert_eq!(held.map(|(_, bytes)| bytes), [7, 0, 0]);
}

#[test]
fn dead_letters_come_from_the_stages_that_the_page_names() {
    let page = rows("## Statuses", &["status", "counts in `windows` as", "dead letter's `dlq_stage`", "means"]);
    let named = |reason: Reason| {
        let row = page.iter().find(|row| code(&row[0]) == reason.as_str()).expect("the status");
        row[2].split(", ").map(|stage| code(stage).to_owned()).collect::<BTreeSet<_>>()
    };
    let ms = Some(1.0);
    let timings = [
        Timings::default(),
        Timings { fetch_ms: ms, ..Timings::default() },
        Timings { fetch_ms: ms, decode_ms: ms, ..Timings::default() },
    ];
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for reason in Reason::ALL.into_iter().filter(|reason| !reason.is_skip()) {
        for timings in timings {
            let mut row = row(Err(Rejection::new(reason, "cut")));
            row.timings = timings;
            let letter = dead_letter::of(&row, &original(None), Micros(9), 100);
            found.entry(reason.as_str()).or_default().insert(header(&letter, "dlq_stage").to_owned());
        }
        assert_eq!(found[reason.as_str()], named(reason), "{}", reason.as_str());
    }
}
