//! A truth of JSON lines, one for each picture: `{"file": "a.jpg", "faces": [[left, top, width, height], …], "ignore": […]}`.

use std::collections::HashSet;
use std::path::Path;

use facestream_stages::accuracy::{Face, Protocol};
use serde::Deserialize;

use super::{Truth, rect, text, wrong};

/// Keys beside these are none of our business.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "image")]
    file: String,
    faces: Vec<[f64; 4]>,
    #[serde(default)]
    ignore: Vec<[f64; 4]>,
}

pub(in crate::commands::eval) fn lines(path: &Path, images: &Path) -> anyhow::Result<Truth> {
    let (mut labelled, mut seen) = (Vec::new(), HashSet::new());
    for (number, line) in text(path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = format!("line {}", number + 1);
        let line: Line = serde_json::from_str(line).map_err(|error| {
            wrong(
                path,
                &at,
                format_args!("{error}; each line is {{\"file\": \"a.jpg\", \"faces\": [[left, top, width, height]]}}"),
            )
        })?;
        if !seen.insert(line.file.clone()) {
            return Err(wrong(path, &at, format_args!("{} is there a second time", line.file)));
        }
        let face = |ignored: bool| move |numbers: &[f64; 4]| rect(*numbers).map(|rect| Face { rect, ignored });
        let faces = line.faces.iter().map(face(false)).chain(line.ignore.iter().map(face(true)));
        labelled.push((line.file, faces.collect::<Result<_, _>>().map_err(|what| wrong(path, &at, what))?));
    }
    Truth::of_files(path, Protocol::Coco, images, labelled)
}
