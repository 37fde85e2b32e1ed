//! Bodies whose structure is the attack: none may overflow the stack, take long, or be taken.

use super::*;

const SIZE: usize = 10_000_000;

fn refused(format: Format, body: Vec<u8>, mentions: &str) {
    let rules = Rules { max_bytes: u64::MAX, ..rules_for(format) };
    let mut record = record(Some(b"cam"), b"", &[]);
    (record.value_bytes, record.value) = (body.len() as u64, Some(Bytes::from(body)));
    // A worker's stack is larger than this.
    let opened = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        thread.spawn_scoped(scope, || open(&record, &rules)).unwrap().join().unwrap()
    });
    assert_refused(mentions, &opened, Reason::EnvelopeError, &[mentions]);
    assert_eq!(opened.0.source_id.as_str(), "cam");
}

#[test]
fn nested_json_is_refused() {
    for start in ["", "{\"x\":", "{\"image\":", "{\"x\":\"[\\\"\","] {
        for (open, _) in [("[", 1), ("{\"a\":", 5), ("[{\"image\":", 10)] {
            refused(Format::Json, (start.to_owned() + &open.repeat(SIZE / open.len())).into_bytes(), "JSON");
        }
    }
    refused(Format::Json, ("{\"x\":".to_owned() + &"[".repeat(SIZE)).into_bytes(), "nested more than 100 deep");
}

#[test]
fn nested_message_pack_is_refused() {
    // Arrays of one, maps of one whose name is 0, maps of one whose name is such a map.
    for open in [&[0x91_u8][..], &[0x81, 0x00], &[0x81]] {
        for start in [&[][..], &[0x81, 0xA1, b'x'], b"\x81\xA5image"] {
            refused(Format::MsgPack, [start, &open.repeat(SIZE / open.len())].concat(), "nested more than 100 deep");
        }
    }
}

#[test]
fn a_hundred_levels_are_accepted_and_one_more_is_not() {
    for (levels, taken) in [(100, true), (101, false)] {
        let inside = levels - 1;
        let json = format!("{{\"image\":\"{JPEG_BASE64}\",\"x\":{}{}}}", "[".repeat(inside), "]".repeat(inside));
        assert_eq!(open(&record(None, json.as_bytes(), &[]), &rules_for(Format::Json)).1.is_ok(), taken, "{levels}");
        let mut msgpack = b"\x82\xA5image\xC4\x07".to_vec();
        msgpack.extend(JPEG);
        msgpack.extend(b"\xA1x");
        msgpack.extend([0x91].repeat(inside - 1));
        msgpack.push(0x90);
        assert_eq!(open(&record(None, &msgpack, &[]), &rules_for(Format::MsgPack)).1.is_ok(), taken, "{levels}");
    }
}

#[test]
fn wide_bodies_without_an_image_are_refused() {
    let array = "[".to_owned() + &"1,".repeat(SIZE / 2) + "1]";
    refused(Format::Json, array.clone().into_bytes(), "expected an object");
    refused(Format::Json, format!("{{\"image\":{array}}}").into_bytes(), "image is an array");
    refused(Format::Json, format!("{{{}\"x\":1}}", "\"image\":[],".repeat(SIZE / 11)).into_bytes(), "image is an array");
    refused(Format::Json, format!("{{\"{}\":1}}", "\\n".repeat(SIZE / 2)).into_bytes(), "image is missing");
    refused(
        Format::Json,
        format!("{{\"source_id\":\"{}\"}}", "\\n".repeat(SIZE / 2)).into_bytes(),
        "source_id has 5000000 bytes",
    );
    refused(Format::Json, format!("{{\"frame_seq\":{}}}", "9".repeat(SIZE)).into_bytes(), "number out of range");

    let mut map = vec![0xDF];
    map.extend((SIZE as u32 / 2).to_be_bytes());
    map.extend([1, 0xC0].repeat(SIZE / 2));
    refused(Format::MsgPack, map, "image is missing");
    let mut images = vec![0xDF];
    images.extend((SIZE as u32 / 7).to_be_bytes());
    images.extend(b"\xA5image\x90".repeat(SIZE / 7));
    refused(Format::MsgPack, images, "image is an array");
}
