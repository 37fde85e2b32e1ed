//! Video is refused by its name, and nothing else is taken for video. The packets' first bytes are written by hand after the
//! specifications, or are what common encoders begin with.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A packet with so many bytes of payload behind its start.
fn packet(start: &[u8]) -> Vec<u8> {
    [start, &[0xB5; 64]].concat()
}

/// NAL units after their lengths.
fn with_lengths(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect()
}

fn transport_stream() -> Vec<u8> {
    let mut stream = vec![0; 3 * 188];
    for packet in stream.chunks_mut(188) {
        packet[0] = 0x47;
    }
    stream
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let ftyp = |brand: &[u8]| packet(&[&[0, 0, 0, 0x20], b"ftyp".as_slice(), brand].concat());
    vec![
        ("H.264", packet(&[0, 0, 0, 1, 0x67, 0x64, 0x00, 0x28])), // SPS, High profile
        ("H.264", packet(&[0, 0, 0, 1, 0x09, 0x10, 0, 0, 0, 1, 0x67])), // access unit delimiter
        ("H.264", packet(&[0, 0, 1, 0x06, 0x05, 0xFF, 0xFF])),    // x264's SEI
        ("H.264", packet(&[0, 0, 1, 0x65, 0x88, 0x84])),          // IDR slice
        ("H.264", packet(&[0, 0, 0, 1, 0x41, 0x9A, 0x24])),       // non-IDR slice
        ("H.264", packet(&[0, 0, 0, 1, 0x01, 0x9E])),             // non-reference slice
        ("H.264", with_lengths(&[&[0x67, 0x64, 0, 0x28], &[0x68, 0xEE], &packet(&[0x65, 0x88])])),
        ("HEVC", packet(&[0, 0, 0, 1, 0x40, 0x01, 0x0C, 0x01])), // VPS
        ("HEVC", packet(&[0, 0, 1, 0x42, 0x01, 0x01])),          // SPS
        ("HEVC", packet(&[0, 0, 0, 1, 0x46, 0x01, 0x50])),       // access unit delimiter
        ("HEVC", packet(&[0, 0, 0, 1, 0x26, 0x01, 0xAF])),       // IDR slice
        ("HEVC", packet(&[0, 0, 0, 1, 0x02, 0x01, 0xD0])),       // trailing picture
        ("HEVC", with_lengths(&[&[0x40, 1, 0x0C], &[0x42, 1, 1], &packet(&[0x26, 1, 0xAF])])),
        ("VP8", packet(&[0x50, 0x42, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02])),
        ("VP9", packet(&[0x82, 0x49, 0x83, 0x42, 0x00])),
        ("VP9", packet(&[0xA2, 0x49, 0x83, 0x42, 0x00])),
        ("AV1", packet(&[0x12, 0x00, 0x0A, 0x0B])), // then a sequence header
        ("AV1", packet(&[0x12, 0x00, 0x32, 0x81])), // then a frame
        ("MP4", ftyp(b"isom")),
        ("MP4", ftyp(b"qt  ")),
        ("MP4", packet(&[&[0, 0, 0, 0x18], b"styp".as_slice()].concat())),
        ("MP4", packet(&[&[0, 0, 0, 0x18], b"moof".as_slice()].concat())),
        ("AVIF", ftyp(b"avif")),
        ("HEIF", ftyp(b"heic")),
        ("HEIF", ftyp(b"mif1")),
        ("Matroska", packet(&[0x1A, 0x45, 0xDF, 0xA3])),
        ("MPEG transport stream", transport_stream()),
        ("IVF", packet(b"DKIF\0\0")),
        ("FLV", packet(b"FLV\x01\x05")),
        ("AVI", packet(b"RIFF\x10\0\0\0AVI LIST")),
    ]
}

#[test]
fn packets_and_files_are_refused_by_name_wherever_they_are() {
    for (name, bytes) in samples() {
        for format in [Format::Auto, Format::Raw, Format::CloudEvents] {
            let opened = open(&record(Some(b"cam"), &bytes, &[]), &rules_for(format));
            assert_refused(&format!("{name} {bytes:02x?}"), &opened, Reason::Unsupported, &[name, "JPEG"]);
            assert_eq!((opened.0.source_id.as_str(), opened.0.content_type), ("cam", None));
        }
        let mut body = b"\x81\xA5image\xC5".to_vec();
        body.extend((bytes.len() as u16).to_be_bytes());
        body.extend(&bytes);
        assert_refused(name, &open(&record(None, &body, &[]), &rules()), Reason::Unsupported, &[name, "JPEG"]);
    }
}

#[test]
fn a_packet_in_base64_is_refused_by_its_beginning() {
    // Python's base64.b64encode of 00 00 00 01 67 64 00 28 and of 1A 45 DF A3 93 42 82 88.
    for (name, text) in [("H.264", "AAAAAWdkACg="), ("Matroska", "GkXfo5NCgog=")] {
        let body = json!({ "image": text }).to_string();
        assert_refused(name, &open(&record(None, body.as_bytes(), &[]), &rules()), Reason::Unsupported, &[name, "still images"]);
    }
}

#[test]
fn a_header_that_says_video_is_believed_of_what_is_not_recognised() {
    let opened = open(&record(None, b"\x3Csomething", &[("content-type", b"Video/VP9; a=b")]), &rules());
    assert_refused("content type", &opened, Reason::Unsupported, &["content-type", "Video/VP9", "still images"]);
}

#[test]
fn what_only_looks_like_video_is_not() {
    let icon = [0, 0, 1, 0, 1, 0, 16, 16, 0, 0];
    let lengths_that_do_not_add_up = [with_lengths(&[&[0x67, 0x64]]), vec![0, 0, 0, 9, 0x65]].concat();
    for bytes in [&icon[..], &lengths_that_do_not_add_up, &[0, 0, 1], &[0, 0, 0, 1], &[0x47; 188], b"", b"ftyp", &[0, 0, 0, 0]] {
        assert_eq!(video(bytes), None, "{bytes:02x?}");
    }
}

#[test]
fn a_map_that_begins_as_vp9_does_is_a_map() {
    // {73: {66: nil, 1: nil, 2: nil}, "image": bin}
    let mut body = b"\x82\x49\x83\x42\xC0\x01\xC0\x02\xC0\xA5image\xC4\x07".to_vec();
    body.extend(JPEG);
    assert_eq!(video(&body), Some(Video::Vp9));
    assert_eq!(open(&record(None, &body, &[]), &rules()).1, Ok(Picture::Encoded(Bytes::from_static(JPEG))));
}

proptest! {
    #[test]
    fn no_image_is_taken_for_video(format in 0..6_usize, rest: Vec<u8>) {
        let starts: [&[u8]; 6] = [
            &[0xFF, 0xD8, 0xFF], b"\x89PNG\r\n\x1A\n", b"RIFF\0\0\0\0WEBP", b"BM\0\0\0\0\0\0\0\0", b"GIF89a", b"II\x2A\0",
        ];
        let bytes = [starts[format], &rest].concat();
        prop_assert_eq!(video(&bytes), None);
        let headers: &Headers<'_> = &[("content-type", b"video/mp4")];
        prop_assert_eq!(open(&record(None, &bytes, headers), &rules()).1, Ok(Picture::Encoded(Bytes::from(bytes))));
    }

    #[test]
    fn no_body_with_an_image_is_taken_for_video(names: Vec<String>, numbers: Vec<u8>, rest: Vec<u8>) {
        let image = [JPEG, &rest].concat();
        let rules = Rules { max_bytes: u64::MAX, ..rules() };
        // Names of any type before ours: what video begins with is mostly small numbers.
        let mut body = vec![0xDE];
        body.extend((1 + names.len() as u16 + numbers.len() as u16).to_be_bytes());
        body.extend(numbers.iter().flat_map(|number| [number & 0x7F, number >> 1]));
        body.extend(names.iter().flat_map(|name| rmp_serde::to_vec(&(format!("x{name}"), 1)).unwrap()[1..].to_vec()));
        body.extend(b"\xA5image\xC6");
        body.extend((image.len() as u32).to_be_bytes());
        body.extend(&image);
        prop_assert_eq!(open(&record(None, &body, &[]), &rules).1, Ok(Picture::Encoded(Bytes::from(image))));

        let members: serde_json::Map<_, _> = names.into_iter().map(|name| (format!("x{name}"), json!(numbers))).collect();
        let mut document = serde_json::Value::Object(members);
        document["image"] = json!(JPEG_BASE64);
        let picture = open(&record(None, document.to_string().as_bytes(), &[]), &rules).1;
        prop_assert!(matches!(picture, Ok(Picture::Base64(_))), "{:?}", picture);
    }
}
