//! `facestream models`: which detectors there are, whether their files are whole, one's own, and those that can be fetched.
//!
//! In: `deploy/models.toml`, the model folder, files, a web server. Out: text for people or JSON, and files in the model folder.
//! Invariants: no file is under its final name before its bytes are known to be right; what may not be used commercially is not fetched.

mod add;
mod ls;
mod pull;
mod trial;
mod verify;

use super::{Failure, print};
use crate::models::{Folders, ModelsError};

const EXAMPLES: &str = "Examples:
  facestream models ls                                what there is, what is missing and how to get it
  facestream models verify                            read and run each that is there
  facestream models pull yunet                        fetch it from where its authors have it
  facestream models add door mine.onnx --licence MIT  then: detector.model = \"door\"

Models lie in models/ of the cache folder, or in the folder that FACESTREAM_MODELS names. Three kinds of network are known: YuNet, \
CenterFace and SCRFD. A model of these kinds can also be used without adding it, by its path: detector.model = \"/path/mine.onnx\".";

/// List, check, add and fetch detection models
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    Ls(ls::Args),
    Verify(verify::Args),
    Add(add::Args),
    Pull(pull::Args),
}

/// Carries the command out: the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let folders = Folders::from_env().map_err(usage)?;
    match &args.command {
        Command::Ls(args) => ls::run(args, &folders).map(|()| 0),
        Command::Verify(args) => verify::run(args, &folders),
        Command::Add(args) => add::run(args, &folders).map(|()| 0),
        Command::Pull(args) => pull::run(args, &folders).map(|()| 0),
    }
}

/// An error that another argument or environment would not have met: exit code 2.
fn usage(error: ModelsError) -> anyhow::Error {
    Failure::Usage(format!("{:#}", anyhow::Error::from(error))).into()
}
