//! Faces that somebody else found: as `facestream detect --format json` writes them, or in WIDER FACE's folders of text.
//!
//! In: a file or a folder, and the truth's names. Out: what was found in each picture. Invariant: a picture is answered for once at most,
//! every score is a finite number, and what is of no picture of the truth is counted, not taken.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail};
use facestream_stages::accuracy::Found;
use serde::Deserialize;
use walkdir::WalkDir;

use super::truth::{Truth, rect};
use crate::commands::Failure;

/// What was given.
#[derive(Debug)]
pub(super) struct Predictions {
    /// For each picture of the truth; `None` where it is not answered for.
    pub(super) found: Vec<Option<Vec<Found>>>,
    /// Answers for pictures that the truth does not have.
    pub(super) strangers: usize,
    /// Whether scores are something else than probabilities, so that the configured threshold does not apply.
    pub(super) other_scores: bool,
}

/// One line of `facestream detect --format json`; what else is in it does not matter here.
#[derive(Deserialize)]
struct Line {
    file: String,
    detections: Option<Vec<Detection>>,
    /// Anything but "ok": the picture could not be looked at.
    status: Option<String>,
}

#[derive(Deserialize)]
struct Detection {
    bbox_x_px: f64,
    bbox_y_px: f64,
    bbox_w_px: f64,
    bbox_h_px: f64,
    score: Option<f64>,
    score_kind: Option<String>,
}

impl Predictions {
    /// Reads what is there: a folder is WIDER FACE's, a file is JSON lines.
    pub(super) fn read(path: &Path, truth: &Truth) -> anyhow::Result<Self> {
        let mut predictions = Self { found: vec![None; truth.pictures.len()], strangers: 0, other_scores: false };
        if path.is_dir() {
            predictions.read_folder(path, truth)?;
        } else {
            predictions.read_lines(path, truth)?;
        }
        if predictions.found.iter().all(Option::is_none) {
            bail!(Failure::Usage(format!(
                "{} answers for none of the {} pictures of {}, such as {}",
                path.display(),
                truth.pictures.len(),
                truth.from,
                truth.pictures.first().map_or("", |picture| picture.name.as_str())
            )));
        }
        Ok(predictions)
    }

    fn read_lines(&mut self, path: &Path, truth: &Truth) -> anyhow::Result<()> {
        let by_name = truth.by_name();
        let file = File::open(path).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
        for (line, number) in BufReader::new(file).lines().zip(1..) {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            if line.trim().is_empty() {
                continue;
            }
            let wrong = |what: String| Failure::Usage(format!("{}, line {number}: {what}", path.display()));
            let line: Line = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
            // The truth's names are relative to a folder that is in front of them here.
            let name = suffixes(&line.file).find_map(|name| by_name.get(name));
            self.other_scores |=
                line.detections.iter().flatten().any(|face| face.score_kind.as_deref().is_some_and(|kind| kind != "prob"));
            let is_ok = line.status.is_none_or(|status| status == "ok");
            let found =
                line.detections.filter(|_| is_ok).map(|faces| faces.iter().map(Detection::found).collect::<Result<_, _>>());
            let Some(found) = found.transpose().map_err(wrong)? else { continue };
            self.add(name.copied(), found).map_err(|what| wrong(format!("{}: {what}", line.file)))?;
        }
        Ok(())
    }

    fn read_folder(&mut self, folder: &Path, truth: &Truth) -> anyhow::Result<()> {
        let by_stem: std::collections::HashMap<_, _> =
            truth.by_name().into_iter().map(|(name, index)| (Path::new(name).with_extension(""), index)).collect();
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let path = entry.path();
            if !entry.file_type().is_file() || path.extension().is_none_or(|extension| extension != "txt") {
                continue;
            }
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
            let found = of_text(&text).map_err(wrong)?;
            let stem = path.strip_prefix(folder).unwrap_or(path).with_extension("");
            self.add(by_stem.get(&stem).copied(), found).map_err(wrong)?;
        }
        Ok(())
    }

    fn add(&mut self, picture: Option<usize>, found: Vec<Found>) -> Result<(), String> {
        match picture {
            None => self.strangers += 1,
            Some(index) if self.found[index].is_some() => return Err("it is there a second time".to_owned()),
            Some(index) => self.found[index] = Some(found),
        }
        Ok(())
    }
}

impl Detection {
    fn found(&self) -> Result<Found, String> {
        let rect = rect([self.bbox_x_px, self.bbox_y_px, self.bbox_w_px, self.bbox_h_px])?;
        let score = self.score.ok_or("a face has no score: average precision cannot be had without")?;
        Ok(Found { rect, score })
    }
}

/// The path, then without its first part, and so on.
fn suffixes(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once(path).chain(path.match_indices('/').map(|(at, _)| &path[at + 1..]))
}

/// The picture's name, the number of faces, and a line for each: left, top, width, height, score.
fn of_text(text: &str) -> Result<Vec<Found>, String> {
    let mut lines = text.lines().zip(1..).skip(1).filter(|(line, _)| !line.trim().is_empty());
    let count = lines.next().and_then(|(line, _)| line.trim().parse::<usize>().ok());
    let count = count.ok_or("the second line should be the number of faces, after one with the picture's name")?;
    let mut found = Vec::new();
    for (line, number) in lines {
        let numbers: Vec<f64> = line.split_whitespace().map_while(|number| number.parse().ok()).collect();
        let [x, y, w, h, score] = numbers[..] else {
            return Err(format!("line {number}: a face has left, top, width, height and score"));
        };
        if !score.is_finite() {
            return Err(format!("line {number}: the score is {score}"));
        }
        found.push(Found { rect: rect([x, y, w, h]).map_err(|what| format!("line {number}: {what}"))?, score });
    }
    if found.len() == count { Ok(found) } else { Err(format!("{count} faces are announced, {} are there", found.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_wider_face_writes_it() {
        let found = of_text("0_Parade_1\n2\n1 2 3 4 0.9\n5.5 6 7 8 1e-3\n").unwrap();
        assert_eq!(
            found.iter().map(|found| (found.rect.x, found.rect.h, found.score)).collect::<Vec<_>>(),
            [(1.0, 4.0, 0.9), (5.5, 8.0, 1e-3)]
        );
        assert_eq!(of_text("a\n0\n").unwrap(), []);
        for (text, says) in [
            ("", "number of faces"),
            ("a\n", "number of faces"),
            ("a\n1\n", "1 faces are announced, 0 are there"),
            ("a\n1\n1 2 3 4\n", "line 3: a face has"),
            ("a\n1\n1 2 3 4 NaN\n", "line 3: the score is NaN"),
            ("a\n1\n1 2 -3 4 0.5\n", "line 3: [1, 2, -3, 4] is no box"),
            ("a\n1\n1 2 inf 4 0.5\n", "is no box"),
        ] {
            let error = of_text(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_name_is_looked_for_below_ever_more_folders() {
        assert_eq!(suffixes("/data/val/a.jpg").collect::<Vec<_>>(), ["/data/val/a.jpg", "data/val/a.jpg", "val/a.jpg", "a.jpg"]);
    }
}
