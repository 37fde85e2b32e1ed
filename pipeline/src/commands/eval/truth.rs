//! Which pictures there are, and the faces in them.
//!
//! In: WIDER FACE's folders, COCO JSON, JSON lines, or nothing: pictures composed here. Out: a [`Truth`]. Invariant: each picture is
//! listed once, every box is finite, and a mistake is told with its file and place.

mod coco;
mod lines;
pub(super) mod mat;
mod wider;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use bytes::Bytes;
use facestream_schemas::{Rejection, Size};
use facestream_stages::accuracy::{Face, Protocol, Rect};

pub(super) use coco::coco;
pub(super) use lines::lines;
pub(super) use wider::wider;

use crate::commands::Failure;
use crate::commands::detect::read_picture;
use crate::scene::{QUALITY, Scene};

/// How many pictures are composed.
const COMPOSED: u32 = 24;

/// A labelled set of pictures.
#[derive(Debug)]
pub(super) struct Truth {
    /// Where it comes from.
    pub(super) from: String,
    pub(super) protocol: Protocol,
    pub(super) pictures: Vec<Picture>,
    /// The first is what recall by size is told of.
    pub(super) subsets: Vec<Subset>,
    /// What somebody who reads the figures should know of the set.
    pub(super) notes: Vec<String>,
}

/// One picture.
#[derive(Debug)]
pub(super) struct Picture {
    /// What the truth calls it: a path, `/` between its parts.
    pub(super) name: String,
    pub(super) at: At,
}

/// Where a picture is.
#[derive(Debug)]
pub(super) enum At {
    File(PathBuf),
    /// Made when it is needed.
    Composed(u32, Size),
}

/// One way to look at the set: which of the faces count.
#[derive(Debug)]
pub(super) struct Subset {
    pub(super) name: &'static str,
    /// For each picture.
    pub(super) faces: Vec<Vec<Face>>,
}

impl Truth {
    /// Pictures made here, of people in all sizes.
    pub(super) fn composed(size: Size) -> Self {
        let pictures = 0..COMPOSED;
        let faces = pictures.clone().map(|number| {
            let faces = Scene::crowd(number, size).faces;
            faces.into_iter().map(|bbox| Face { rect: bbox.into(), ignored: false }).collect()
        });
        Self {
            from: format!("composed {}x{}", size.w, size.h),
            protocol: Protocol::Coco,
            subsets: vec![Subset { name: "all", faces: faces.collect() }],
            pictures: pictures.map(|number| Picture { name: format!("{number}.jpg"), at: At::Composed(number, size) }).collect(),
            notes: vec!["one face of known place and size, pasted into made-up backgrounds: for comparing settings, no measure of a detector".to_owned()],
        }
    }

    /// A set of files below `images`, all faces of which count unless they are ignored.
    fn of_files(from: &Path, protocol: Protocol, images: &Path, labelled: Vec<(String, Vec<Face>)>) -> anyhow::Result<Self> {
        if labelled.is_empty() {
            bail!(Failure::Usage(format!("{} lists no pictures", from.display())));
        }
        let (names, faces): (Vec<_>, Vec<_>) = labelled.into_iter().unzip();
        let pictures = names.into_iter().map(|name| Picture { at: At::File(images.join(&name)), name });
        Ok(Self {
            from: from.display().to_string(),
            protocol,
            pictures: pictures.collect(),
            subsets: vec![Subset { name: "all", faces }],
            notes: Vec::new(),
        })
    }

    /// Each picture's place in the list, by name.
    pub(super) fn by_name(&self) -> HashMap<&str, usize> {
        self.pictures.iter().enumerate().map(|(index, picture)| (picture.name.as_str(), index)).collect()
    }
}

impl At {
    /// The encoded picture; `None` where there is no such file.
    pub(super) fn read(&self) -> Result<Option<Bytes>, Rejection> {
        match self {
            Self::File(path) if !path.exists() => Ok(None),
            Self::File(path) => read_picture(path).map(Some),
            Self::Composed(number, size) => Ok(Some(Scene::crowd(*number, *size).encoded(QUALITY).jpeg.into())),
        }
    }
}

/// A box of left, top, width and height, if it is one.
pub(super) fn rect([x, y, w, h]: [f64; 4]) -> Result<Rect, String> {
    if [x, y, w, h].iter().all(|number| number.is_finite()) && w >= 0.0 && h >= 0.0 {
        Ok(Rect { x, y, w, h })
    } else {
        Err(format!("[{x}, {y}, {w}, {h}] is no box of left, top, width and height"))
    }
}

/// A file of the truth, whole.
fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())).into())
}

/// What is wrong at a place in a file.
fn wrong(path: &Path, place: impl std::fmt::Display, what: impl std::fmt::Display) -> anyhow::Error {
    Failure::Usage(format!("{}, {place}: {what}", path.display())).into()
}

#[cfg(test)]
mod tests;
