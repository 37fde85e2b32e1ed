//! What a message is when its topic's format is `auto`.

use super::*;

fn opened(value: &[u8], headers: &Headers<'_>) -> Result<Picture, Rejection> {
    open(&record(None, value, headers), &rules()).1
}

#[test]
fn a_known_image_is_the_picture_whatever_headers_say() {
    for media in ["application/json", "application/msgpack", "video/h264", "application/cloudevents+json"] {
        let picture = opened(JPEG, &[("content-type", media.as_bytes())]);
        assert_eq!(picture, Ok(Picture::Encoded(Bytes::from_static(JPEG))), "{media}");
    }
}

#[test]
fn the_content_type_says_what_a_body_is() {
    for media in ["application/json", "Application/JSON; charset=utf-8"] {
        let error = opened(b"[]", &[("Content-Type", media.as_bytes())]).unwrap_err();
        assert!(error.error.contains("JSON"), "{error}");
    }
    for media in ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"] {
        let error = opened(b"{}", &[("content-type", media.as_bytes())]).unwrap_err();
        assert!(error.error.contains("MessagePack"), "{error}");
    }
}

#[test]
fn without_one_the_first_byte_says() {
    let error = opened(b"\n {\"a\":1}", &[]).unwrap_err();
    assert!(error.error.contains("image is missing"), "{error}");
    for map in [&[0x80][..], &[0x81, 1, 2], &[0xDE, 0, 0], &[0xDF, 0, 0, 0, 0]] {
        let error = opened(map, &[("content-type", b"application/octet-stream")]).unwrap_err();
        assert!(error.error.contains("image is missing"), "{error}");
    }
    // What is nothing known is left to the decoder, which says so.
    for value in [&b"hello"[..], &[0x90], &[0], b"[1,2]", b"%PDF-1.7"] {
        assert_eq!(opened(value, &[]), Ok(Picture::Encoded(Bytes::copy_from_slice(value))));
    }
}

#[test]
fn a_format_that_is_given_is_not_guessed() {
    let json = format!("{{\"image\":\"{JPEG_BASE64}\"}}");
    for format in [Format::Raw, Format::CloudEvents] {
        let headers: &Headers<'_> = &[("content-type", b"application/json")];
        let (_, picture) = open(&record(None, json.as_bytes(), headers), &rules_for(format));
        assert_eq!(picture, Ok(Picture::Encoded(Bytes::copy_from_slice(json.as_bytes()))));
    }
    let (_, picture) = open(&record(None, json.as_bytes(), &[]), &rules_for(Format::MsgPack));
    assert!(picture.unwrap_err().error.contains("MessagePack"));
}
