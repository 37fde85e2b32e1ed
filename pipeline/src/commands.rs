//! The commands, one file each, and what they have in common: the flags that give configuration, and the exit codes.
//!
//! In: parsed arguments and the configuration. Out: a result, which [`exit_code`] turns into the process's.

pub mod bench;
mod broker;
pub mod check;
pub mod config;
pub mod demo;
pub mod detect;
pub mod dlq;
pub mod eval;
mod group;
pub mod health;
pub mod journal;
pub mod metrics;
pub mod models;
mod pictures;
pub mod produce;
mod read;
pub mod run;

use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::config::{Config, Mistakes, Needs, Origins, Sources, topic_mistake};
use crate::detector::{DetectorError, Ready, make_ready};
use crate::kafka::silence::Silence;

/// Where a command takes its configuration from.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct Given {
    /// Configuration file [default: facestream.toml, where the current folder has one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One value over file and environment, such as --set kafka.topics=frames; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Given {
    /// The configuration of this process, checked for what `needs` says.
    pub fn load(&self, needs: Needs) -> Result<(Config, Origins), Mistakes> {
        crate::config::load(&Sources::of_process(self.config.clone(), self.set.clone(), needs))
    }
}

/// A loopback address whose port nobody listens on.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free loopback port")?;
    Ok(listener.local_addr()?)
}

/// A table for people: nothing but columns under a header.
fn grid<const N: usize>(header: [&str; N]) -> comfy_table::Table {
    let mut grid = comfy_table::Table::new();
    grid.load_style(comfy_table::presets::NOTHING).set_header(header);
    grid
}

/// Prints text or a JSON document, with a line's end. Whoever reads may have enough, as `head` does: that is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("printing the result"),
    }
}

/// Hostile text for a terminal: control characters are shown, not obeyed.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// The configured detector, made ready to be built.
fn ready(config: &Config) -> anyhow::Result<Ready> {
    make_ready(config).map_err(|error| match error {
        DetectorError::Models(error) => Failure::Usage(format!("{:#}", anyhow::Error::from(error))).into(),
        DetectorError::Library(error) => error.into(),
    })
}

/// The topic that frames are sent to: the one that is `named`, else the configuration's only one.
fn topic<'a>(named: Option<&'a str>, config: &'a Config) -> Result<&'a str, Failure> {
    let topic = match (named, config.kafka.topics.as_slice()) {
        (Some(topic), _) => topic,
        (None, [only]) => only,
        (None, topics) => {
            return Err(Failure::Usage(format!("name the topic with --topic: the configuration names {} of them", topics.len())));
        }
    };
    topic_mistake(topic).map_or(Ok(topic), |mistake| Err(Failure::Usage(mistake)))
}

/// An error whose kind the exit code tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The command cannot be carried out as it was given: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Store or journal are not such that the promises can be kept: exit code 3.
    #[error("{0}")]
    Refused(String),
}

/// What the process exits with: 2 usage or configuration, 3 refused, 1 everything else.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let is_configuration = error.downcast_ref::<Mistakes>().is_some() || error.downcast_ref().is_some_and(Silence::is_refusal);
    match error.downcast_ref::<Failure>() {
        Some(Failure::Refused(_)) => 3,
        Some(Failure::Usage(_)) => 2,
        None if is_configuration => 2,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn hostile_text_does_not_reach_the_terminal_as_it_is() {
        assert_eq!(plain("door\u{1b}[2J\n\u{9b}é"), "door\\u{1b}[2J\\n\\u{9b}é");
    }

    #[test]
    fn the_exit_code_tells_the_kind_whatever_was_said_around_it() {
        assert_eq!(exit_code(&anyhow!("no broker")), 1);
        assert_eq!(exit_code(&anyhow::Error::from(Mistakes(Vec::new()))), 2);
        assert_eq!(exit_code(&anyhow::Error::from(Failure::Usage("no topic".to_owned())).context("producing")), 2);
        assert_eq!(exit_code(&anyhow!("read-only").context(Failure::Refused("the store".to_owned())).context("starting")), 3);
    }
}
