//! What only JSON bodies have: escapes, white space, duplicates, and texts that are not quite JSON.

use super::*;

fn open_json(body: &str) -> (FrameMeta, Result<Picture, Rejection>) {
    open(&record(Some(b"cam"), body.as_bytes(), &[]), &rules_for(Format::Json))
}

#[test]
fn escaped_base64_is_what_it_stands_for() {
    // PHP escapes each slash.
    let (meta, picture) = open_json(r#"{"image":"\/9j\/4AECAw=="}"#);
    assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(JPEG_BASE64.as_bytes())));
    assert_eq!(meta.content_type, Some("image/jpeg"));
    let (_, picture) = open_json(r#"{"image":"data:image\/jpeg;base64,\/9j\/4AECAw=="}"#);
    assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(JPEG_BASE64.as_bytes())));
    let (meta, _) = open_json(r#"{"source\u005fid":"t\u00fcr","image":"/9j/4AECAw=="}"#);
    assert_eq!(meta.source_id.as_str(), "tür");
}

#[test]
fn url_safe_base64_is_recognised_too() {
    let (meta, picture) = open_json(r#"{"image":"_9j_4AECAw"}"#);
    assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(b"_9j_4AECAw")));
    assert_eq!(meta.content_type, Some("image/jpeg"));
}

#[test]
fn of_duplicates_the_last_counts_and_all_of_it() {
    let (meta, picture) =
        open_json(r#"{"frame_seq":1,"image":"a","frame_seq":2,"image":"/9j/4AECAw==","source_id":"a","source_id":null}"#);
    assert_eq!(picture.unwrap(), Picture::Base64(Bytes::from_static(JPEG_BASE64.as_bytes())));
    assert_eq!((meta.frame_seq, meta.source_id.as_str()), (Some(2), "cam"));

    let mut rules = rules_for(Format::Json);
    rules.pointers = BTreeMap::from([(Field::SourceId, "/camera/name".to_owned())]);
    let body = br#"{"camera":{"name":"first"},"image":"/9j/4AECAw==","camera":{}}"#;
    assert_eq!(open(&record(Some(b"cam"), body, &[]), &rules).0.source_id.as_str(), "cam");
}

#[test]
fn a_byte_order_mark_and_white_space_are_no_mistake() {
    for format in [Format::Json, Format::Auto] {
        let body = format!("\u{FEFF}\r\n\t {{\"image\" : \"{JPEG_BASE64}\"}} \n");
        let (_, picture) = open(&record(None, body.as_bytes(), &[]), &rules_for(format));
        assert!(matches!(picture, Ok(Picture::Base64(_))), "{picture:?}");
    }
}

#[test]
fn broken_texts_keep_what_came_before_and_say_where_they_break() {
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("cut", br#"{"source_id":"gate","image":"/9j"#, &["JSON", "EOF", "column"]),
        ("cut after a comma", br#"{"source_id":"gate","#, &["JSON", "EOF"]),
        ("two texts", br#"{"source_id":"gate","image":"/9j/4AECAw=="}{}"#, &["JSON", "trailing"]),
        ("trailing comma", br#"{"source_id":"gate","image":"/9j/4AECAw==",}"#, &["JSON", "trailing comma"]),
        ("single quotes", br#"{"source_id":"gate",'image':'x'}"#, &["JSON", "column 21"]),
        ("comment", br#"{"source_id":"gate",/* */"image":"x"}"#, &["JSON", "column 21"]),
        ("line in a string", b"{\"source_id\":\"gate\",\"image\":\"/9j/\n4AE\"}", &["JSON", "control character"]),
        ("lone surrogate", br#"{"source_id":"gate","image":"\ud800"}"#, &["JSON", "escape"]),
        ("huge number", br#"{"source_id":"gate","frame_seq":1e999}"#, &["JSON", "number out of range"]),
        ("NaN", br#"{"source_id":"gate","frame_seq":NaN}"#, &["JSON", "column"]),
        ("closed twice", br#"{"source_id":"gate"}}"#, &["JSON", "trailing"]),
    ];
    for (case, body, mentions) in cases {
        let opened = open(&record(Some(b"cam"), body, &[]), &rules_for(Format::Json));
        assert_refused(case, &opened, Reason::EnvelopeError, mentions);
        assert_eq!(opened.0.source_id.as_str(), "gate", "{case}");
    }
    for (case, body, mentions) in [
        ("not UTF-8", b"{\"image\":\"\xff\xd8\"}".as_slice(), ["JSON", "not UTF-8"]),
        ("overlong UTF-8", b"{\"image\":\"\xc0\xaf\"}", ["JSON", "not UTF-8"]),
        ("UTF-16", b"\xff\xfe{\0}\0", ["JSON", "not UTF-8"]),
        ("blank", b" \n ", ["JSON", "EOF"]),
        ("an image", JPEG, ["JSON", "not UTF-8"]),
    ] {
        let opened = open(&record(Some(b"cam"), body, &[]), &rules_for(Format::Json));
        assert_refused(case, &opened, Reason::EnvelopeError, &mentions);
        assert_eq!(opened.0.source_id.as_str(), "cam", "{case}");
    }
}

#[test]
fn what_is_not_wanted_may_be_of_any_size() {
    let (meta, picture) = open_json(r#"{"score":1e999,"n":123456789012345678901234567890,"image":"/9j/4AECAw==","s":"\ud800"}"#);
    assert!(picture.is_ok(), "{picture:?}");
    assert_eq!(meta.content_type, Some("image/jpeg"));
}
