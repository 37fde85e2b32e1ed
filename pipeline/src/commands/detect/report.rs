//! Results, failures and counts, as pictures come in.
//!
//! In: what was seen, in order. Out: results where they are wanted, a line on stderr for everything that went wrong, and an error at the
//! end if anything did. Invariant: nothing is left out of both.

use anyhow::bail;
use indicatif::{HumanCount, ProgressBar};

use super::inputs::Inputs;
use super::results::Results;
use super::seen::{Found, Seen};
use crate::commands::plain;

pub(super) struct Report {
    results: Results,
    bar: ProgressBar,
    /// How many pictures there are.
    all: usize,
    looked_at: usize,
    faces: usize,
    without: usize,
    failed: usize,
    not_copied: usize,
    unreadable: usize,
    detector: Option<String>,
}

impl Report {
    /// Says at once what could not be listed.
    pub(super) fn new(results: Results, bar: ProgressBar, inputs: &Inputs) -> Self {
        for unreadable in &inputs.unreadable {
            eprintln!("cannot read {}", plain(unreadable));
        }
        if inputs.skipped > 0 {
            eprintln!("{} files are no images and are left out", HumanCount(inputs.skipped as u64));
        }
        let (all, unreadable) = (inputs.all.len(), inputs.unreadable.len());
        Self { results, bar, all, looked_at: 0, faces: 0, without: 0, failed: 0, not_copied: 0, unreadable, detector: None }
    }

    pub(super) fn take(&mut self, seen: Seen) -> anyhow::Result<()> {
        self.looked_at += 1;
        self.bar.inc(1);
        let name = || plain(&seen.name);
        match &seen.outcome {
            Ok(Found { faces, detector }) => {
                self.faces += faces.len();
                self.without += usize::from(faces.is_empty());
                self.detector.get_or_insert_with(|| detector.detector_id.clone());
            }
            Err(failed) => {
                self.failed += 1;
                self.bar.suspend(|| eprintln!("{}: {}: {}", name(), failed.status, plain(&failed.error)));
            }
        }
        if let Some(why) = &seen.not_copied {
            self.not_copied += 1;
            self.bar.suspend(|| eprintln!("{}: no copy: {}", name(), plain(why)));
        }
        self.results.take(seen)
    }

    /// Writes what is left, and says how many there were. An error if anything went wrong; `why` is what stands behind it.
    pub(super) fn finish(self, why: Option<String>) -> anyhow::Result<()> {
        self.results.finish()?;
        self.bar.finish_and_clear();
        let count = |number: usize| HumanCount(number as u64);
        if self.all > 1 {
            let with = self.looked_at - self.without - self.failed;
            let detector = self.detector.map(|detector| format!(" ({detector})")).unwrap_or_default();
            let (faces, without) = (count(self.faces), count(self.without));
            eprintln!("{} pictures: {faces} faces in {}, {without} without{detector}", count(self.looked_at), count(with));
        }
        let wrong = [
            (self.failed, "could not be looked at"),
            (self.not_copied, "copies could not be written"),
            (self.unreadable, "files or folders could not be read"),
            (self.all - self.looked_at, "were not looked at: it was stopped"),
        ];
        let wrong: Vec<_> =
            wrong.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{} {what}", count(*number))).collect();
        match (wrong.is_empty(), why) {
            (true, None) => Ok(()),
            (_, why) => bail!(
                "of {} pictures {}{}",
                count(self.all),
                wrong.join(", "),
                why.map(|why| format!(": {why}")).unwrap_or_default()
            ),
        }
    }
}
