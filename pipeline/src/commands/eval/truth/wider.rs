//! WIDER FACE's validation set as it is unpacked: `WIDER_val/images/EVENT/NAME.jpg` and `wider_face_split/wider_face_val_bbx_gt.txt`,
//! and for the subsets easy, medium and hard the four `.mat` files of `eval_tools/ground_truth`, for they are listed nowhere else.
//!
//! Invariant: a subset's boxes and its choice of them come from the same `.mat` files.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::str::SplitWhitespace;

use anyhow::bail;
use facestream_stages::accuracy::{Face, Protocol};

use super::mat::{self, Value};
use super::{Subset, Truth, rect, text, wrong};
use crate::commands::Failure;

const LAYOUT: &str = "the folder holds WIDER_val/images/ and wider_face_split/wider_face_val_bbx_gt.txt as they are unpacked";
const SUBSETS: [&str; 3] = ["easy", "medium", "hard"];
/// Where `eval_tools` may have been unpacked to.
const GROUND_TRUTH: [&str; 3] = ["eval_tools/ground_truth", "ground_truth", "eval_tools/eval_tools/ground_truth"];

pub(in crate::commands::eval) fn wider(folder: &Path) -> anyhow::Result<Truth> {
    let list = folder.join("wider_face_split/wider_face_val_bbx_gt.txt");
    let images = folder.join("WIDER_val/images");
    if !list.is_file() || !images.is_dir() {
        let missing = if list.is_file() { &images } else { &list };
        bail!(Failure::Usage(format!("there is no {}: {LAYOUT}", missing.display())));
    }
    let mut truth = Truth::of_files(&list, Protocol::Wider, &images, boxes(&list)?)?;
    match GROUND_TRUTH.iter().map(|path| folder.join(path)).find(|path| path.is_dir()) {
        Some(ground_truth) => add_subsets(&mut truth, &ground_truth)?,
        None => truth.notes.push(format!(
            "easy, medium and hard are left out: only the .mat files of WIDER FACE's eval_tools list them; unpack those into {}",
            folder.join(GROUND_TRUTH[0]).display()
        )),
    }
    Ok(truth)
}

/// The list: a path, a number of faces, a line for each; one of zeros where there is none. The eighth column is 1 where a face is marked
/// as invalid, such as one that cannot be made out.
fn boxes(list: &Path) -> anyhow::Result<Vec<(String, Vec<Face>)>> {
    let text = text(list)?;
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let (mut labelled, mut seen) = (Vec::new(), HashSet::new());
    while let Some((name, at)) = lines.next() {
        let name = name.trim().to_owned();
        if !seen.insert(name.clone()) {
            return Err(wrong(list, format_args!("line {at}"), format_args!("{name} is there a second time")));
        }
        let (count, at) = lines.next().unwrap_or(("", at));
        let count: usize = count.trim().parse().map_err(|_| {
            wrong(list, format_args!("line {at}"), format_args!("{count:?} should be the number of faces in {name}"))
        })?;
        let mut faces = Vec::new();
        for _ in 0..count.max(1) {
            let (line, at) = lines.next().unwrap_or(("", at));
            faces.push(face(line.split_whitespace()).map_err(|what| wrong(list, format_args!("line {at}"), what))?);
        }
        faces.truncate(count);
        labelled.push((name, faces));
    }
    Ok(labelled)
}

fn face(columns: SplitWhitespace<'_>) -> Result<Face, String> {
    let numbers: Vec<f64> = columns.map_while(|column| column.parse().ok()).collect();
    let [x, y, w, h, rest @ ..] = &numbers[..] else { return Err("a face has left, top, width and height".to_owned()) };
    Ok(Face { rect: rect([*x, *y, *w, *h])?, ignored: rest.get(3) == Some(&1.0) })
}

/// Adds easy, medium and hard: all faces of the `.mat` files, those outside of a subset ignored in it.
fn add_subsets(truth: &mut Truth, ground_truth: &Path) -> anyhow::Result<()> {
    let path = ground_truth.join("wider_face_val.mat");
    let all = load(&path)?;
    let names = names(&all).map_err(|what| wrong(&path, "file_list", what))?;
    let places = places(truth, &names).map_err(|what| wrong(&path, "file_list", what))?;
    let boxes = per_picture(&all, "face_bbx_list", &names).map_err(|what| wrong(&path, "face_bbx_list", what))?;
    for subset in SUBSETS {
        let path = ground_truth.join(format!("wider_{subset}_val.mat"));
        let variables = load(&path)?;
        let chosen = per_picture(&variables, "gt_list", &names).map_err(|what| wrong(&path, "gt_list", what))?;
        let mut faces = vec![Vec::new(); truth.pictures.len()];
        for (((place, boxes), chosen), name) in places.iter().zip(&boxes).zip(&chosen).zip(&names) {
            faces[*place] = faces_of(boxes, chosen).map_err(|what| wrong(&path, name, what))?;
        }
        truth.subsets.push(Subset { name: subset, faces });
    }
    Ok(())
}

type Variables = HashMap<String, Value>;

fn load(path: &Path) -> anyhow::Result<Variables> {
    let bytes = std::fs::read(path).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    mat::variables(&bytes).map_err(|what| Failure::Usage(format!("cannot read {}: {what}", path.display())).into())
}

fn variable<'a>(variables: &'a Variables, name: &str) -> Result<&'a Value, String> {
    variables.get(name).ok_or_else(|| format!("there is no variable {name}"))
}

/// `EVENT/NAME` of every picture, in the files' order.
fn names(variables: &Variables) -> Result<Vec<String>, String> {
    let events = variable(variables, "event_list")?.cells()?;
    let files = variable(variables, "file_list")?.cells()?;
    if events.len() != files.len() {
        return Err(format!("there are files of {} events, event_list names {}", files.len(), events.len()));
    }
    let mut names = Vec::new();
    for (event, files) in events.iter().zip(files) {
        for file in files.cells()? {
            names.push(format!("{}/{}", event.text()?, file.text()?));
        }
    }
    Ok(names)
}

/// Where each of them is in the list of pictures.
fn places(truth: &Truth, names: &[String]) -> Result<Vec<usize>, String> {
    let by_name = truth.by_name();
    let place = |name: &String| {
        let place = by_name.get(format!("{name}.jpg").as_str()).copied();
        place.ok_or_else(|| format!("{name}.jpg is not in {}: the two do not belong together", truth.from))
    };
    names.iter().map(place).collect()
}

/// What a list of lists has for each picture.
fn per_picture<'a>(variables: &'a Variables, name: &str, names: &[String]) -> Result<Vec<&'a Value>, String> {
    let mut all = Vec::new();
    for event in variable(variables, name)?.cells()? {
        all.extend(event.cells()?);
    }
    if all.len() == names.len() { Ok(all) } else { Err(format!("it is of {} pictures, file_list of {}", all.len(), names.len())) }
}

/// Rows of left, top, width and height; of them those count whose numbers, from 1, are chosen.
fn faces_of(boxes: &Value, chosen: &Value) -> Result<Vec<Face>, String> {
    let rows = boxes.rows::<4>()?;
    let mut faces = Vec::new();
    for row in rows {
        faces.push(Face { rect: rect(row)?, ignored: true });
    }
    for number in chosen.numbers()? {
        let index = (*number as usize).checked_sub(1).filter(|_| number.fract() == 0.0);
        let face = index.and_then(|index| faces.get_mut(index));
        face.ok_or_else(|| format!("face {number} of {} is chosen", boxes.rows::<4>().map_or(0, |rows| rows.len())))?.ignored =
            false;
    }
    Ok(faces)
}
