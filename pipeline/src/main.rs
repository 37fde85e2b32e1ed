//! The `facestream` binary: arguments in, a command's exit code out.
//!
//! Invariant: an error is printed once, here, as one chain of causes on stderr.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use facestream::commands::{
    bench, check, config, demo, detect, dlq, eval, exit_code, health, journal, metrics, models, produce, run,
};

const ABOUT: &str = "Camera frames from Kafka, faces to Parquet.

Reads encoded pictures from Kafka topics as a consumer group, detects faces, and writes three Parquet tables \
(frames, detections, windows) that DuckDB, Spark, Polars or Athena query directly: one frames row for each message, \
whatever happens.";

const EXAMPLES: &str = "First steps:
  facestream demo                              see it work, with nothing else installed
  facestream detect photo.jpg                  the faces in a picture, here and now
  facestream config init                       write facestream.toml, every key explained
  facestream check                             see whether all is in place
  facestream run                               consume, detect, write; Ctrl-C stops
  facestream produce --topic frames photos/    send pictures
  facestream journal verify                    prove that every message has its row once
  facestream dlq ls                            what failed, and why
  facestream models ls                         which detectors there are, and what is missing
  facestream bench --quick                     how many frames a second this machine takes
  facestream eval --truth faces.jsonl          how accurate the detector is on labelled pictures

Every value of the configuration can be given in the file, as FACESTREAM__SECTION__KEY in the environment, or with \
--set section.key=value; the later win.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused (store or journal), 130 told twice to end.";

#[derive(Parser)]
#[command(name = "facestream", version, about = "Camera frames from Kafka, faces to Parquet", long_about = ABOUT, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Detect(detect::Args),
    Run(run::Args),
    Check(check::Args),
    Produce(produce::Args),
    Config(config::Args),
    Journal(journal::Args),
    Dlq(dlq::Args),
    Models(models::Args),
    Metrics(metrics::Args),
    Health(health::Args),
    Bench(bench::Args),
    Eval(eval::Args),
}

fn main() -> ExitCode {
    let done = match &Cli::parse().command {
        Command::Demo(args) => demo::run(args).map(|()| 0),
        Command::Detect(args) => detect::run(args).map(|()| 0),
        Command::Run(args) => run::run(args).map(|()| 0),
        Command::Check(args) => check::run(args),
        Command::Produce(args) => produce::run(args).map(|()| 0),
        Command::Config(args) => config::run(args).map(|()| 0),
        Command::Journal(args) => journal::run(args),
        Command::Dlq(args) => dlq::run(args),
        Command::Models(args) => models::run(args),
        Command::Metrics(args) => metrics::run(args).map(|()| 0),
        Command::Health(args) => health::run(args).map(|()| 0),
        Command::Bench(args) => bench::run(args).map(|()| 0),
        Command::Eval(args) => eval::run(args),
    };
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("facestream: {error:#}");
            exit_code(&error).into()
        }
    }
}
