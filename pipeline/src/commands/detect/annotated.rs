//! Annotated copies: where each goes, and drawing it.
//!
//! In: the inputs and a folder; then encoded pictures with their faces. Out: files of the pictures' full size. Invariant: no two pictures
//! have the same copy, and none is an input.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use facestream_schemas::{Bbox, Detection};
use facestream_stages::annotate::{Easel, Format, Style, Tile, What};
use facestream_stages::decode::{Decode, Limits};

use super::inputs::{Input, Inputs};
use crate::commands::Failure;

/// Lines a few pixels wide stay sharp.
const QUALITY: u8 = 92;

/// What becomes of every picture.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) what: What,
    style: Style,
    folder: PathBuf,
    /// The copy of each input, in their order.
    targets: Vec<PathBuf>,
}

impl Plan {
    /// A copy of every input in `folder`. Refused where one would be an input itself.
    pub(super) fn new(folder: &Path, what: What, style: Style, inputs: &Inputs) -> Result<Self, Failure> {
        let targets: Vec<_> = names(&inputs.all).into_iter().map(|name| folder.join(name)).collect();
        if let Some(target) = inputs.overwritten(targets.iter().map(PathBuf::as_path)) {
            let text = format!("--out {}: {} is one of the inputs: name another folder", folder.display(), target.display());
            return Err(Failure::Usage(text));
        }
        Ok(Self { what, style, folder: folder.to_owned(), targets })
    }

    /// Makes the folder, before the first picture is looked at.
    pub(super) fn make_folder(&self) -> Result<(), Failure> {
        let cannot = |error| Failure::Usage(format!("--out {}: cannot make that folder: {error}", self.folder.display()));
        std::fs::create_dir_all(&self.folder).map_err(cannot)
    }

    /// Whether one of the copies is this file, by whatever name of its folder.
    pub(super) fn makes(&self, file: &Path) -> bool {
        let place = |path: &Path| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (folder.canonicalize().unwrap_or_else(|_| folder.to_owned()), path.file_name().map(ToOwned::to_owned))
        };
        let file = place(file);
        self.targets.iter().any(|target| place(target) == file)
    }
}

/// A name for the copy of each input: its own, that with all folders where several would have the same, and a number where even those
/// are the same.
fn names(inputs: &[Input]) -> Vec<PathBuf> {
    let mut short: HashMap<PathBuf, usize> = HashMap::new();
    for input in inputs {
        *short.entry(named(&input.copy)).or_default() += 1;
    }
    let mut taken: HashMap<PathBuf, usize> = HashMap::new();
    let name = |input: &Input| {
        let own = named(&input.copy);
        let mut name = if short[&own] == 1 { own } else { named(&input.long_copy()) };
        while let Some(before) = taken.get_mut(&name) {
            *before += 1;
            name = numbered(&name, *before);
        }
        taken.insert(name.clone(), 1);
        name
    };
    inputs.iter().map(name).collect()
}

/// A name that says what the copy is: a JPEG's, where the picture's own is not one of a format that is written.
fn named(name: &Path) -> PathBuf {
    let mut named = name.as_os_str().to_owned();
    if !is(name, &["png", "jpg", "jpeg"]) {
        named.push(".jpg");
    }
    named.into()
}

fn is(name: &Path, extensions: &[&str]) -> bool {
    name.extension().is_some_and(|found| extensions.iter().any(|extension| found.eq_ignore_ascii_case(extension)))
}

/// `a/b.jpg` as `a/b-2.jpg`.
fn numbered(name: &Path, number: usize) -> PathBuf {
    let mut file = name.file_stem().unwrap_or_default().to_owned();
    file.push(format!("-{number}."));
    file.push(name.extension().unwrap_or(OsStr::new("jpg")));
    name.with_file_name(file)
}

/// Draws copies; one for each thread.
pub(super) struct Artist {
    decode: Decode,
    easel: Easel,
}

impl Artist {
    pub(super) fn new(max_pixels: u64) -> Self {
        Self { decode: Decode::full(Limits { max_pixels }), easel: Easel::new(QUALITY) }
    }

    /// Writes the copy of the input of this number. `weak` are faces that are hidden though they are no detections.
    pub(super) fn draw(
        &mut self,
        plan: &Plan,
        number: usize,
        picture: &[u8],
        faces: &[Detection],
        weak: &[Bbox],
    ) -> anyhow::Result<()> {
        let target = &plan.targets[number];
        let image = self.decode.decode(picture)?;
        let mut tile = Tile::of(&image);
        tile.annotate(plan.what, faces, weak, image.original, &plan.style);
        let format = if is(target, &["png"]) { Format::Png } else { Format::Jpeg };
        let encoded = self.easel.encode_as(&tile, format)?;
        let cannot = || format!("cannot write {}", target.display());
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder).with_context(cannot)?;
        }
        std::fs::write(target, encoded).with_context(cannot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(arguments: &[&str]) -> Inputs {
        let arguments: Vec<_> = arguments.iter().map(std::ffi::OsString::from).collect();
        Inputs::list(&arguments, &mut "".as_bytes()).unwrap()
    }

    #[test]
    fn copies_have_their_pictures_names_and_never_the_same_ones() {
        let given = ["a.jpg", "x/b.PNG", "y/b.PNG", "./a.webp", "x/b.PNG", "https://host/c", "x/b-2.PNG"];
        let names: Vec<_> = names(&inputs(&given).all).into_iter().map(|name| name.display().to_string()).collect();
        assert_eq!(names, ["a.jpg", "x/b.PNG", "y/b.PNG", "a.webp.jpg", "x/b-2.PNG", "c.jpg", "b-2.PNG"]);
    }

    #[test]
    fn a_copy_that_would_be_an_input_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.jpg");
        std::fs::write(&file, b"\xFF\xD8\xFF\xE0").unwrap();
        let plan = |out: &Path| Plan::new(out, What::Boxes, Style::default(), &inputs(&[file.to_str().unwrap()]));
        let error = plan(folder.path()).unwrap_err().to_string();
        assert!(error.contains("a.jpg is one of the inputs"), "{error}");
        assert_eq!(plan(&folder.path().join("out")).unwrap().targets, [folder.path().join("out/a.jpg")]);
    }
}
