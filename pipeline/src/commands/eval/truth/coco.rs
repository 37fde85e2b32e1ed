//! A truth as COCO writes it: `images`, `annotations` with `bbox` and `iscrowd`, and `categories`, of which one is the face.
//!
//! Pictures are in the order of their ids, as `pycocotools` takes them.

use std::collections::BTreeMap;
use std::path::Path;

use facestream_stages::accuracy::{Face, Protocol};
use serde::Deserialize;

use super::{Truth, rect, text, wrong};

#[derive(Deserialize)]
struct Document {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    bbox: [f64; 4],
    #[serde(default)]
    iscrowd: u8,
    category_id: Option<i64>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

pub(in crate::commands::eval) fn coco(path: &Path, images: &Path) -> anyhow::Result<Truth> {
    let document: Document = serde_json::from_str(&text(path)?)
        .map_err(|error| wrong(path, "as COCO JSON", format_args!("{error}; it has images, annotations and categories")))?;
    let face = category(&document.categories).map_err(|what| wrong(path, "categories", what))?;
    let mut labelled = BTreeMap::new();
    let mut names = std::collections::HashSet::new();
    for image in document.images {
        if !names.insert(image.file_name.clone()) {
            return Err(wrong(path, "images", format_args!("{} is there a second time", image.file_name)));
        }
        if labelled.insert(image.id, (image.file_name, Vec::new())).is_some() {
            return Err(wrong(path, "images", format_args!("two have the id {}", image.id)));
        }
    }
    for (number, annotation) in document.annotations.iter().enumerate() {
        if annotation.category_id.is_some() && face.is_some() && annotation.category_id != face {
            continue;
        }
        let at = format!("annotations[{number}]");
        let rect = rect(annotation.bbox).map_err(|what| wrong(path, &at, what))?;
        let Some((_, faces)) = labelled.get_mut(&annotation.image_id) else {
            return Err(wrong(path, &at, format_args!("there is no image with the id {}", annotation.image_id)));
        };
        faces.push(Face { rect, ignored: annotation.iscrowd != 0 });
    }
    Truth::of_files(path, Protocol::Coco, images, labelled.into_values().collect())
}

/// The only category, or the one of that name; `None` where there is no list.
fn category(categories: &[Category]) -> Result<Option<i64>, String> {
    match categories {
        [] => Ok(None),
        [only] => Ok(Some(only.id)),
        several => match several.iter().find(|category| category.name.eq_ignore_ascii_case("face")) {
            Some(face) => Ok(Some(face.id)),
            None => Err("there are several, and none is named face".to_owned()),
        },
    }
}
