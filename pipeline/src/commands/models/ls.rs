//! `facestream models ls`: every model that is known or was added, where it lies, and what one may do with it.
//!
//! In: `deploy/models.toml` and the model folder. Out: a table, or JSON. Invariant: a file counts as present only if its bytes are right.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::print;
use crate::commands::grid;
use crate::models::added::{self, Added};
use crate::models::registry::{Known, Licence, Pin, all};
use crate::models::{CASCADE, Folders, HAAR, ModelsError, sum};

const EXAMPLES: &str = "Examples:
  facestream models ls
  facestream models ls --json | jq -r '.[] | select(.state == \"present\") | .name'

AP is the average precision on WIDER FACE's validation set (easy / medium / hard) that the authors publish, each measured in their own \
way (ap_source in --json says how): figures of different models are not comparable to the last digit. `facestream eval` measures \
on your own pictures.";

/// List the models: licence, size, published accuracy, where they lie, what is missing
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print a JSON array instead
    #[arg(long)]
    json: bool,
}

/// Whether a model can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Present,
    Missing,
    /// Its bytes are others than they were.
    Wrong,
    /// File or description cannot be read.
    Unreadable,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    family: Option<String>,
    #[serde(flatten)]
    licence: Option<Licence>,
    /// The user's own.
    added: bool,
    /// What `detector.model = "auto"` is.
    auto: bool,
    state: State,
    path: Option<PathBuf>,
    #[serde(flatten)]
    pin: Option<Pin>,
    /// `None`: any whose sides are multiples of 32.
    input: Option<String>,
    faces_px: Option<[u32; 2]>,
    ap: Option<[f64; 3]>,
    ap_source: Option<String>,
    url: Option<String>,
    /// What to do where it is not there.
    get: Option<String>,
}

pub(super) fn run(args: &Args, folders: &Folders) -> anyhow::Result<()> {
    let lines = lines(folders)?;
    if args.json {
        return print(&serde_json::to_string_pretty(&lines)?);
    }
    let mut table = grid(["name", "family", "licence", "input", "AP", "state", "where"]);
    for line in &lines {
        table.add_row(line.cells());
    }
    print(&table.trim_fmt())?;
    let restricted: Vec<_> = lines.iter().filter(|line| line.is_restricted()).map(|line| line.name.as_str()).collect();
    if !restricted.is_empty() {
        print(&format!("\nNot for commercial use: {}.", restricted.join(", ")))?;
    }
    Ok(())
}

fn lines(folders: &Folders) -> anyhow::Result<Vec<Line>> {
    let names = added::names(&folders.folder())?;
    let known = all().iter().map(|known| Line::known(known, folders));
    let own = names.iter().filter(|name| all().iter().all(|known| known.name != **name)).map(|name| Line::own(name, folders));
    Ok(known.chain([Line::cascade()]).chain(own).collect())
}

impl Line {
    fn known(known: &Known, folders: &Folders) -> Self {
        let added = if known.pin.is_none() { folders.added(&known.name) } else { Ok(None) };
        let is_damaged = added.is_err();
        let added = added.ok().flatten();
        let pin = known.pin.clone().or_else(|| added.as_ref().map(|added| added.pin.clone()));
        let (state, path) = look(pin.as_ref(), folders);
        let pull = known.url.is_some().then(|| format!("facestream models pull {}", known.name));
        Self {
            name: known.name.clone(),
            family: Some(known.family.clone()),
            licence: Some(known.licence.clone()),
            added: added.is_some(),
            auto: folders.auto() == known.name,
            state: if is_damaged { State::Unreadable } else { state },
            path,
            pin,
            input: known.input.clone().or_else(|| added.and_then(|added| added.input)),
            faces_px: known.faces_px,
            ap: known.ap,
            ap_source: known.ap_source.clone(),
            url: known.url.clone(),
            get: pull.or_else(|| known.get.clone()),
        }
    }

    fn own(name: &str, folders: &Folders) -> Self {
        let Ok(Some(Added { family, input, licence, pin, .. })) = folders.added(name) else { return Self::damaged(name) };
        let (state, path) = look(Some(&pin), folders);
        Self { state, path, family: Some(family), input, licence: Some(licence), pin: Some(pin), ..Self::damaged(name) }
    }

    /// Debian's own, whatever its bytes are.
    fn cascade() -> Self {
        let path = PathBuf::from(CASCADE);
        Self {
            family: Some(HAAR.to_owned()),
            licence: Some(Licence { text: "Intel License Agreement (BSD-like)".to_owned(), non_commercial: false }),
            added: false,
            state: if path.exists() { State::Present } else { State::Missing },
            path: Some(path),
            get: Some("install Debian's package opencv-data".to_owned()),
            ..Self::damaged(HAAR)
        }
    }

    fn damaged(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            family: None,
            licence: None,
            added: true,
            auto: false,
            state: State::Unreadable,
            path: None,
            pin: None,
            input: None,
            faces_px: None,
            ap: None,
            ap_source: None,
            url: None,
            get: Some(format!("facestream models add {name} FILE --force")),
        }
    }

    fn is_restricted(&self) -> bool {
        self.licence.as_ref().is_some_and(|licence| licence.non_commercial)
    }

    fn cells(&self) -> [String; 7] {
        let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let state = match self.state {
            State::Present => "present",
            State::Missing => "missing",
            State::Wrong => "wrong bytes",
            State::Unreadable => "unreadable",
        };
        let place = self.path.as_ref().filter(|_| self.state != State::Missing).map(|path| path.display().to_string());
        let ap = self.ap.map(|ap| ap.map(|ap| format!("{ap:.3}")).join(" / "));
        let any = if self.state == State::Present || self.pin.is_some() { "any" } else { "-" };
        [
            if self.auto { format!("{} (auto)", self.name) } else { self.name.clone() },
            or_dash(self.family.as_deref()),
            or_dash(self.licence.as_ref().map(|licence| licence.text.as_str())),
            self.input.clone().unwrap_or_else(|| any.to_owned()),
            or_dash(ap.as_deref()),
            state.to_owned(),
            match (&self.state, place) {
                (State::Present, Some(place)) => place,
                (_, place) => [place, self.get.clone()].into_iter().flatten().collect::<Vec<_>>().join(": "),
            },
        ]
    }
}

/// Whether the file is there with the right bytes, and where it should be.
fn look(pin: Option<&Pin>, folders: &Folders) -> (State, Option<PathBuf>) {
    let Some(pin) = pin else { return (State::Missing, None) };
    let path = folders.folder().join(&pin.file);
    let state = match sum(&path) {
        Ok(found) if found == pin.sha256 => State::Present,
        Ok(_) => State::Wrong,
        Err(ModelsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => State::Missing,
        Err(_) => State::Unreadable,
    };
    (state, Some(path))
}
