//! `facestream models add`: a model file under a name, for `detector.model`.
//!
//! In: a name, a file, its licence. Out: a copy in the model folder. Invariant: nothing is added that is of no known family, does not run,
//! or is something else than its name says.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use facestream_stages::detect;

use super::trial::Trial;
use super::{Failure, print, trial, usage};
use crate::models::added::{self, Added};
use crate::models::registry::{Known, Licence, Pin, known, written};
use crate::models::{Folders, sum};

const EXAMPLES: &str = "Examples:
  facestream models add door mine.onnx --licence Apache-2.0
  facestream models add lab det.onnx --licence \"research only\" --non-commercial
  facestream models add scrfd-2.5g-kps det.onnx        a known name: its licence is known, too
  facestream models add yunet-s yunet_s_dynamic.onnx   only this very file has this name

The file is copied; the original may go. What is added is an ONNX model that takes one picture (f32, 1 x 3 x height x width) and has the \
outputs of YuNet (cls_8 … kps_32), CenterFace (four maps of 1, 2, 2 and 10 channels) or SCRFD (three scores, three boxes and maybe three \
landmarks).";

/// Copy a model file into the model folder, under a name for detector.model
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What detector.model will call it: letters, digits and - _ . in lower case
    name: String,
    /// The ONNX file
    file: PathBuf,
    /// The licence of its weights, such as MIT; "unknown" if you do not know
    #[arg(long, visible_alias = "license")]
    licence: Option<String>,
    /// Its licence forbids commercial use: `ls` and `check` will say so
    #[arg(long)]
    non_commercial: bool,
    /// Replace the model that has this name
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, folders: &Folders) -> anyhow::Result<()> {
    let known = known(&args.name);
    if let Some(pin) = known.and_then(|known| known.pin.as_ref()) {
        return exactly(args, pin, folders);
    }
    added::check_name(&args.name).map_err(|why| Failure::Usage(format!("{:?} {why}", args.name)))?;
    let there = folders.folder();
    // A damaged description is replaced like any other.
    let has_it = !matches!(added::find(&there, &args.name), Ok(None));
    if has_it && !args.force {
        return Err(Failure::Usage(format!("there is a model {:?} already: --force replaces it", args.name)).into());
    }
    trial::prepare(folders)?;
    let looked = detect::look(&args.file)?;
    let Trial { input, took, .. } = trial::run(&args.file, looked.input)?;
    let family = looked.family.name();
    ensure!(
        known.is_none_or(|known| known.family == family),
        Failure::Usage(format!(
            "{:?} is a {} model, {} is of the family {family}",
            args.name,
            family_of(known),
            args.file.display()
        ))
    );
    let licence = licence(args, known)?;
    let bytes = std::fs::metadata(&args.file).with_context(|| format!("reading {}", args.file.display()))?.len();
    let pin = Pin { file: format!("{}-{}.onnx", args.name, &looked.sha256[..12]), sha256: looked.sha256, bytes };
    let path = added::copy(&args.file, &there, &pin)?;
    let added = Added { name: args.name.clone(), family: family.to_owned(), input: looked.input.map(written), licence, pin };
    added::put(&there, &added)?;
    let ms = took.as_secs_f64() * 1e3;
    print(&format!("added {} as {}: {family}, {ms:.0} ms at {}", path.display(), added.name, written(input)))?;
    print(&format!("use it with detector.model = {:?}{}", added.name, fixed(&added)))?;
    if added.licence.non_commercial {
        eprintln!("its licence forbids commercial use: {}", added.licence.text);
    }
    Ok(())
}

fn family_of(known: Option<&Known>) -> &str {
    known.map_or("", |known| &known.family)
}

/// What else has to be set for it.
fn fixed(added: &Added) -> String {
    added.input.as_ref().map_or_else(String::new, |input| format!(" and detector.input = {input:?}, the only size it takes"))
}

/// A known model is one file and no other.
fn exactly(args: &Args, pin: &Pin, folders: &Folders) -> anyhow::Result<()> {
    if args.licence.is_some() || args.non_commercial {
        return Err(Failure::Usage(format!("the licence of {:?} is known: leave it out", args.name)).into());
    }
    let found = sum(&args.file).map_err(usage)?;
    if found != pin.sha256 {
        let text = format!(
            "{} is not {:?}: it has sha256 {found}, expected {}; choose another name for it",
            args.file.display(),
            args.name,
            pin.sha256
        );
        return Err(Failure::Usage(text).into());
    }
    let path = added::copy(&args.file, &folders.folder(), pin)?;
    print(&format!("added {} as {}", path.display(), args.name))
}

/// As given, as known, or as answered.
fn licence(args: &Args, known: Option<&Known>) -> anyhow::Result<Licence> {
    let given = |text: &str| Licence { text: text.trim().to_owned(), non_commercial: args.non_commercial };
    match (&args.licence, known) {
        (None, Some(known)) => Ok(known.licence.clone()),
        (Some(_), Some(_)) => Err(Failure::Usage(format!("the licence of {:?} is known: leave it out", args.name)).into()),
        (Some(text), None) if !text.trim().is_empty() => Ok(given(text)),
        (None, None) if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => Ok(given(&ask()?)),
        _ => {
            let text = "give the licence of its weights: --licence MIT, or --licence unknown; --non-commercial where it forbids other use";
            Err(Failure::Usage(text.to_owned()).into())
        }
    }
}

fn ask() -> anyhow::Result<String> {
    eprint!("Licence of its weights (such as MIT; empty: unknown): ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the answer")?;
    Ok(if line.trim().is_empty() { "unknown".to_owned() } else { line })
}
