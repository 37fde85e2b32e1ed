//! What only MessagePack bodies have: binary data, names and values of odd types. The bytes are written by hand
//! (<https://github.com/msgpack/msgpack/blob/master/spec.md>).

use super::*;

/// A map of the given members.
fn map(members: &[&[u8]]) -> Vec<u8> {
    [&[0x80 | members.len() as u8], members.concat().as_slice()].concat()
}

/// A short text.
fn text(text: &str) -> Vec<u8> {
    [&[0xA0 | text.len() as u8], text.as_bytes()].concat()
}

fn member(name: &str, value: &[u8]) -> Vec<u8> {
    [&text(name), value].concat()
}

/// `bin 8` of the JPEG.
fn image() -> Vec<u8> {
    member("image", &[&[0xC4, 7], JPEG].concat())
}

#[test]
fn binary_data_is_the_encoded_image_itself() {
    let bin_16 = member("image", &[&[0xC5, 0, 7], JPEG].concat());
    let bin_32 = member("image", &[&[0xC6, 0, 0, 0, 7], JPEG].concat());
    // Of before 2013: text that is no text.
    let raw = member("image", &[&[0xA7], JPEG].concat());
    for image in [image(), bin_16, bin_32, raw] {
        for format in [Format::MsgPack, Format::Auto] {
            let record = record(Some(b"cam"), &map(&[&image, &member("frame_seq", &[0xFF])]), &[]);
            let (meta, picture) = open(&record, &rules_for(format));
            let Picture::Encoded(bytes) = picture.unwrap() else { panic!("not taken as it is") };
            assert_eq!(bytes, JPEG);
            assert!(record.value.unwrap().as_ptr_range().contains(&bytes.as_ptr()), "it was copied");
            assert_eq!((meta.content_type, meta.frame_seq), (Some("image/jpeg"), Some(-1)));
        }
    }
}

#[test]
fn other_members_may_have_names_and_values_of_any_type() {
    let body = map(&[
        &[0x05, 0xC0],                                                                // 5: nil
        &[0xC4, 1, b'x', 0xD6, 0xFF, 0, 0, 0, 1],                                     // binary name: timestamp
        &[0x92, 1, 2, 0xC7, 3, 9, 1, 2, 3],                                           // array as a name: extension
        &[0x81, 1, 2, 0xCB, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0],                            // map as a name: NaN
        &[0xC0, 0xC2],                                                                // nil: false
        &[0xC7, 0, 1, 0xC3],                                                          // empty extension as a name: true
        &[0xC4, 9, b's', b'o', b'u', b'r', b'c', b'e', b'_', b'i', b'd', 0xA1, b'g'], // binary name of ours
        &image(),
    ]);
    let (meta, picture) = open(&record(None, &body, &[]), &rules_for(Format::MsgPack));
    assert_eq!(picture.unwrap(), Picture::Encoded(Bytes::from_static(JPEG)));
    assert_eq!(meta.source_id.as_str(), "g");
}

#[test]
fn hostile_bodies_keep_what_is_known_and_say_what_is_wrong() {
    let gate = member("source_id", &text("gate"));
    let whole = map(&[&gate, &image()]);
    let cut = &whole[..whole.len() - 1];
    let cut_name = &whole[..whole.len() - 12];
    let mut trailing = whole.clone();
    trailing.push(0xC1);
    let mut second = whole.clone();
    second.extend(&whole);
    let endless = map(&[&gate, &member("x", &[0xDD, 0xFF, 0xFF, 0xFF, 0xFF])]);
    let large = map(&[&gate, &member("image", &[0xC6, 0xFF, 0xFF, 0xFF, 0xFF, 0xD8])]);
    let reserved = map(&[&gate, &member("image", &[0xC1])]);
    let cases: &[(&str, &[u8], &str, &[&str])] = &[
        ("cut", cut, "gate", &["MessagePack", "ends before"]),
        ("cut in a name", cut_name, "gate", &["MessagePack", "ends before"]),
        ("a byte too many", &trailing, "gate", &["MessagePack", "after its end"]),
        ("two values", &second, "gate", &["MessagePack", "after its end"]),
        ("array of 4 billion", &endless, "gate", &["MessagePack", "ends before"]),
        ("image of 4 GB", &large, "gate", &["MessagePack", "ends before"]),
        ("reserved byte", &reserved, "gate", &["MessagePack", "Reserved"]),
        ("map of 4 billion", &[0xDF, 0xFF, 0xFF, 0xFF, 0xFF], "cam", &["MessagePack", "ends before"]),
        ("only a number", &[7], "cam", &["MessagePack", "a number", "object"]),
        ("only binary data", &[0xC4, 1, 0xFF], "cam", &["MessagePack", "binary data", "object"]),
        ("only an extension", &[0xD4, 1, 1], "cam", &["MessagePack", "extension", "object"]),
        ("binary source", &map(&[&member("source_id", &[0xC4, 1, b'x'])]), "cam", &["source_id is 1 bytes of binary data"]),
        ("source not UTF-8", &map(&[&member("source_id", &[0xA1, 0xFF])]), "cam", &["source_id is 1 bytes", "UTF-8"]),
        ("URI not UTF-8", &map(&[&member("image_uri", &[0xA2, b's', 0xFF])]), "cam", &["image_uri is 2 bytes", "UTF-8"]),
        ("float seq", &map(&[&member("frame_seq", &[0xCA, 0x3F, 0x80, 0, 0]), &image()]), "cam", &["frame_seq is 1,"]),
        ("timestamp", &map(&[&member("capture_ts_ns", &[0xD6, 0xFF, 0, 0, 0, 1])]), "cam", &["capture_ts_ns", "extension"]),
        ("extension image", &map(&[&member("image", &[0xD4, 1, 1])]), "cam", &["image is an extension", "binary data"]),
        ("image of no bytes", &map(&[&member("image", &[0xC4, 0])]), "cam", &["image is missing"]),
    ];
    for (case, body, source, mentions) in cases {
        let opened = open(&record(Some(b"cam"), body, &[]), &rules_for(Format::MsgPack));
        assert_refused(case, &opened, Reason::EnvelopeError, mentions);
        assert_eq!(opened.0.source_id.as_str(), *source, "{case}");
    }
}

#[test]
fn of_duplicates_the_last_counts() {
    let body = map(&[&member("image", &[0xC4, 1, 0]), &member("frame_seq", &[1]), &image(), &member("frame_seq", &[0xC0])]);
    let (meta, picture) = open(&record(None, &body, &[]), &rules_for(Format::MsgPack));
    assert_eq!(picture.unwrap(), Picture::Encoded(Bytes::from_static(JPEG)));
    assert_eq!(meta.frame_seq, None);
}
