//! What comes in comes out: a row for every message, with the right status, and faces where they were put.

use facestream::scene::{Scene, View};
use facestream_schemas::{Bbox, Size};
use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use image::{ExtendedColorType, ImageEncoder as _};
use serde_json::{Map, Value};

use crate::{LONG, assert_exactly_once, file_url};

const PICTURE: Size = Size { w: 640, h: 360 };

/// A message and what is to become of it: its status and, where it is an image, the faces in it.
struct Sent {
    what: &'static str,
    payload: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    status: &'static str,
    faces: Vec<Bbox>,
}

impl Sent {
    fn good(what: &'static str, payload: Vec<u8>, faces: Vec<Bbox>) -> Self {
        Self { what, payload: Some(payload), headers: Vec::new(), status: "ok", faces }
    }

    fn bad(what: &'static str, payload: impl Into<Option<Vec<u8>>>, status: &'static str) -> Self {
        Self { what, payload: payload.into(), headers: Vec::new(), status, faces: Vec::new() }
    }

    fn with_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }
}

fn encoded(view: &View, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let buffer = image::RgbImage::from_raw(view.size.w, view.size.h, view.rgb.clone()).expect("the picture's size");
    buffer.write_to(&mut bytes, format).expect("encoding");
    bytes.into_inner()
}

/// A PNG of a few bytes that declares 50,000 x 50,000 pixels.
fn bomb() -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.write_image(&[0; 3], 1, 1, ExtendedColorType::Rgb8).expect("encoding");
    bytes[16..24].copy_from_slice(&[0, 0, 0xC3, 0x50, 0, 0, 0xC3, 0x50]);
    // The chunk's checksum covers its type and data: without the right one the header would merely be broken.
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// CRC-32 as in the PNG specification, annex D.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

fn messages() -> Vec<Sent> {
    let mut sent = Vec::new();
    for camera in 0..3 {
        let scene = Scene::new(camera, PICTURE);
        for n in 0..6 {
            let picture = scene.picture(n * 25);
            sent.push(Sent::good("a JPEG", picture.jpeg, picture.faces));
        }
    }
    let scene = Scene::new(1, PICTURE);
    for (n, (what, format)) in [
        ("a PNG", image::ImageFormat::Png),
        ("a WebP", image::ImageFormat::WebP),
        ("a BMP", image::ImageFormat::Bmp),
        ("a TIFF", image::ImageFormat::Tiff),
    ]
    .into_iter()
    .enumerate()
    {
        let view = scene.view(n as u64 * 40);
        let bytes = encoded(&view, format);
        sent.push(Sent::good(what, bytes, view.faces));
    }
    let whole = scene.picture(7);
    sent.push(
        Sent::good("a JPEG that calls itself text", whole.jpeg.clone(), whole.faces).with_header("content-type", b"text/plain"),
    );
    sent.push(Sent::bad("half a JPEG", whole.jpeg[..whole.jpeg.len() / 2].to_vec(), "decode_error"));
    sent.push(Sent::bad("nothing", Vec::new(), "envelope_error"));
    sent.push(Sent::bad("a tombstone", None, "envelope_error"));
    sent.push(Sent::bad("text", b"no picture at all".to_vec(), "unsupported"));
    sent.push(Sent::bad("a bomb", bomb(), "too_large"));
    sent.push(Sent::bad("a malformed header", whole.jpeg, "envelope_error").with_header("frame_seq", b"one"));
    sent
}

#[test]
fn every_message_has_one_row_with_its_status_and_every_face_is_found_where_it_was_put() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("content", 4);
    let sent = messages();
    let records: Vec<_> = sent
        .iter()
        .enumerate()
        .map(|(n, sent)| Record {
            partition: (n % 4) as i32,
            key: Some(format!("camera-{}", n % 3).into_bytes()),
            payload: sent.payload.clone(),
            headers: sent.headers.clone(),
            ..Record::default()
        })
        .collect();
    let offsets = kafka.produce(&topic, &records);
    let folder = scratch();
    let config = Facestream::config(kafka, &topic, "content", &file_url(folder.path()));

    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);

    assert_exactly_once(kafka, &topic, folder.path());
    let duck = Duck::in_folder(folder.path());
    for (n, (sent, offset)) in sent.iter().zip(offsets).enumerate() {
        let key = format!("kafka_partition = {} AND kafka_offset = {offset}", n % 4);
        let row = &duck
            .rows(&format!("SELECT status, error, face_count, image_w_px, source_id FROM 'frames/**/*.parquet' WHERE {key}"))[0];
        assert_eq!(row["status"], sent.status, "{}: {row:?}", sent.what);
        assert_eq!(row["source_id"], format!("camera-{}", n % 3));
        assert_eq!(row["error"].is_null(), sent.status == "ok", "{}: {row:?}", sent.what);
        let faces = duck.rows(&format!(
            "SELECT bbox_x_px AS x, bbox_y_px AS y, bbox_w_px AS w, bbox_h_px AS h FROM 'detections/**/*.parquet' WHERE {key}"
        ));
        if sent.status == "ok" {
            assert_eq!(row["image_w_px"], PICTURE.w, "{}", sent.what);
            assert_eq!(row["face_count"], faces.len(), "{}", sent.what);
        }
        assert_found(sent, &faces);
    }
    assert_windows_add_up(&duck, records.len());
}

/// Each face that was put in is found at an IoU of one half or more, and nothing else is.
fn assert_found(sent: &Sent, found: &[Map<String, Value>]) {
    assert_eq!(found.len(), sent.faces.len(), "{}: {found:?} for {:?}", sent.what, sent.faces);
    for face in &sent.faces {
        let side = |row: &Map<String, Value>, key: &str| row[key].as_f64().expect("a number") as f32;
        let bbox = |row| Bbox { x: side(row, "x"), y: side(row, "y"), w: side(row, "w"), h: side(row, "h") };
        let best = found.iter().map(|row| bbox(row).iou(face)).fold(0.0, f32::max);
        assert!(best >= 0.5, "{}: {face:?} is matched by {best} only among {found:?}", sent.what);
    }
}

/// The windows of all sources and partitions count every message once.
fn assert_windows_add_up(duck: &Duck, messages: usize) {
    let counted = duck.value("SELECT sum(frames_ok + frames_failed)::BIGINT FROM 'windows/**/*.parquet'");
    assert_eq!(counted, messages);
    let faces = duck.rows(
        "SELECT (SELECT sum(faces_total)::BIGINT FROM 'windows/**/*.parquet') AS windows, (SELECT count(*) FROM 'detections/**/*.parquet') AS detections",
    );
    assert_eq!(faces[0]["windows"], faces[0]["detections"]);
}
