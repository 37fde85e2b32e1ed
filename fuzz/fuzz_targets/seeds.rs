//! No target: writes what the targets start from, so that they need not find a PNG's chunks by chance.
//!
//! In: the folder, the one argument that is no option (`cargo fuzz run seeds fuzz/corpus`). Out: a folder of files per target.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::json;
use turbojpeg::Subsamp;

/// `FF D8 FF E0 01 02 03` in base64.
const JPEG_BASE64: &str = "/9j/4AECAw==";

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).expect("a folder for the seeds");
    let folder = Path::new(&folder);
    for (target, seeds) in [("image", images()), ("json", json_bodies()), ("msgpack", msgpack_bodies()), ("video", videos())] {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).expect("the seed can be written");
        }
    }
}

/// Small pictures in every format, layout and subsampling.
fn images() -> Vec<Vec<u8>> {
    let picture = RgbImage::from_fn(24, 16, |x, y| Rgb([(x * 9) as u8, (y * 15) as u8, (x * y) as u8]));
    let picture = DynamicImage::ImageRgb8(picture);
    let layouts = [picture.clone(), DynamicImage::ImageLuma8(picture.to_luma8()), DynamicImage::ImageRgba8(picture.to_rgba8())];
    let formats = [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff];
    let mut seeds = Vec::new();
    for (layout, format) in layouts.iter().flat_map(|layout| formats.map(|format| (layout, format))) {
        let mut file = Cursor::new(Vec::new());
        // Not every format has every layout.
        if layout.write_to(&mut file, format).is_ok() {
            seeds.push(file.into_inner());
        }
    }
    let mut deep = Cursor::new(Vec::new());
    DynamicImage::ImageRgb16(picture.to_rgb16()).write_to(&mut deep, ImageFormat::Png).expect("PNG has 16 bits");
    seeds.push(deep.into_inner());
    for subsampling in [Subsamp::None, Subsamp::Sub2x2, Subsamp::Sub2x1, Subsamp::Gray] {
        seeds.push(turbojpeg::compress_image(&picture.to_rgb8(), 80, subsampling).expect("JPEG is written").to_vec());
    }
    seeds
}

fn json_bodies() -> Vec<Vec<u8>> {
    let bodies = [
        json!({"image": JPEG_BASE64, "source_id": "gate", "frame_seq": 5, "capture_ts_ns": "1795348799250000000", "frame_id": 7}),
        json!({"image": format!("data:image/jpeg;base64,{JPEG_BASE64}")}),
        json!({"image_uri": "s3://bucket/f.jpg", "image_sha256": "ab".repeat(32), "image": null}),
        json!({"a": {"b": "gate", "0": 1.5}, "0": {"i": JPEG_BASE64}, "t": 1_795_348_799.25, "x": [[], {}, [1, "\u{e4}\n"]]}),
        json!([{"i": JPEG_BASE64}]),
    ];
    bodies.map(|body| body.to_string().replace('/', "\\/").into_bytes()).into()
}

fn msgpack_bodies() -> Vec<Vec<u8>> {
    vec![
        b"\x82\xA5image\xC4\x07\xFF\xD8\xFF\xE0\x01\x02\x03\xA9source_id\xA4gate".to_vec(),
        b"\x83\xA5image\xAC/9j/4AECAw==\xA9frame_seq\xCD\x01\x00\xADcapture_ts_ns\xCF\x18\xEA\x4E\x2C\x1B\x5F\x00\x00".to_vec(),
        b"\x82\xA9image_uri\xB1s3://bucket/f.jpg\xAcimage_sha256\xC0".to_vec(),
        b"\x83\xA1a\x81\xA1b\xC3\xA10\x81\xA1i\xC4\x01\xFF\xA1t\xCB\x41\xDA\xC0\x00\x00\x00\x00\x00".to_vec(),
        b"\x82\xD6\xFF\x00\x00\x00\x01\x91\xC0\xC4\x01x\xC7\x02\x05ab".to_vec(),
    ]
}

fn videos() -> Vec<Vec<u8>> {
    let mut stream = vec![0; 2 * 188];
    (stream[0], stream[188]) = (0x47, 0x47);
    let mut seeds: Vec<Vec<u8>> = [
        &b"\0\0\0\x01\x67\x64\0\x28"[..],
        b"\0\0\x01\x26\x01\xAF",
        b"\0\0\0\x04\x67\x64\0\x28\0\0\0\x02\x68\xEE",
        b"\x50\x42\0\x9D\x01\x2A\x80\x02",
        b"\x82\x49\x83\x42\0",
        b"\x12\0\x0A\x0B",
        b"\0\0\0\x20ftypisom",
        b"\0\0\0\x20ftypavif",
        b"\x1A\x45\xDF\xA3",
        b"RIFF\0\0\0\0AVI ",
        b"RIFF\0\0\0\0WEBP",
        b"GIF89a",
    ]
    .map(<[u8]>::to_vec)
    .into();
    seeds.push(stream);
    seeds
}
