//! `facestream models verify`: are the files the right ones, and do they run?
//!
//! In: names or paths, else every model that is there. Out: one line a model, all of them, whatever the earlier ones showed; exit code 1
//! where one is wrong.

use std::path::Path;

use facestream_stages::detect;

use super::{print, trial};
use crate::models::registry::{all, written};
use crate::models::{CASCADE, Folders, HAAR, added};

/// Check the sha256 of each model that is there, and run each once on a grey picture
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 all are fine, 1 one is not, or there is none.")]
pub(super) struct Args {
    /// Names as `facestream models ls` lists them, or paths [default: every model that is there]
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
}

pub(super) fn run(args: &Args, folders: &Folders) -> anyhow::Result<u8> {
    let models = if args.models.is_empty() { there(folders)? } else { args.models.clone() };
    if models.is_empty() {
        print(&format!("there is no model in {}: `facestream models ls` says how to get one", folders.folder().display()))?;
        return Ok(1);
    }
    let mut code = 0;
    for model in models {
        match verify(&model, folders) {
            Ok(text) => print(&format!("ok     {model:<16}  {text}"))?,
            Err(error) => {
                code = 1;
                print(&format!("WRONG  {model:<16}  {error:#}"))?;
            }
        }
    }
    Ok(code)
}

/// The models whose files are there, whatever is in them.
fn there(folders: &Folders) -> anyhow::Result<Vec<String>> {
    let folder = folders.folder();
    let is_there = |file: &str| folder.join(Path::new(file)).exists();
    let pinned = all().iter().filter(|known| known.pin.as_ref().is_some_and(|pin| is_there(&pin.file)));
    let mut names: Vec<String> = pinned.map(|known| known.name.clone()).collect();
    names.extend(added::names(&folder)?);
    names.extend(Path::new(CASCADE).exists().then(|| HAAR.to_owned()));
    Ok(names)
}

fn verify(model: &str, folders: &Folders) -> anyhow::Result<String> {
    let file = folders.find(model)?;
    if detect::needs_runtime(&file.path) {
        trial::prepare(folders)?;
    }
    let input = if detect::needs_runtime(&file.path) { detect::look(&file.path)?.input } else { None };
    let trial = trial::run(&file.path, input)?;
    let ms = trial.took.as_secs_f64() * 1e3;
    Ok(format!(
        "{} at {} in {ms:.0} ms, sha256 {}, {}",
        trial.detector_id,
        written(trial.input),
        &file.sha256[..12],
        file.path.display()
    ))
}
