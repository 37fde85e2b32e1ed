//! `facestream config`: what is in force and why, and a template to begin with.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Failure, Given};
use crate::config::{Needs, TEMPLATE, show};

const EXAMPLES: &str = "Examples:
  facestream config init                       writes facestream.toml
  facestream config show --set workers.count=2";

/// Show the configuration, or write a template
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Print every value in force with its origin, secrets left out
    Show {
        #[command(flatten)]
        given: Given,
    },
    /// Write a commented configuration file with every key; never over an existing one
    Init {
        /// The file to write
        #[arg(default_value = "facestream.toml")]
        path: PathBuf,
    },
}

/// Carries the command out.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        Command::Show { given } => {
            let (config, origins) = given.load(Needs::default())?;
            super::print(show(&config, &origins).trim_end())
        }
        Command::Init { path } => init(path),
    }
}

fn init(path: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::Usage(format!("{} exists: name another file, or remove it first", path.display())).into()
        }
        _ => anyhow::Error::from(error).context(format!("cannot create {}", path.display())),
    })?;
    file.write_all(TEMPLATE.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    let next = "give kafka.topics and store.url there, then: facestream check";
    super::print(&format!("wrote {}; {next}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_writes_the_template_and_never_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facestream.toml");
        init(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), TEMPLATE);
        std::fs::write(&path, "mine").unwrap();
        let error = init(&path).unwrap_err();
        assert_eq!(super::super::exit_code(&error), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
