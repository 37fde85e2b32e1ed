//! `facestream journal verify`: does the store keep what facestream promises?
//!
//! In: a store, without Kafka. Out: what is wrong, where, and how to mend it; exit code 0 or 3. The parts: [`audit`] walks over the
//! store, [`chain`] follows a log record by record, [`file`] holds a data file against its name and metadata, [`coverage`] looks for
//! offsets that are covered twice, [`read`] reads Parquet. Invariant: nothing is written.

mod audit;
mod chain;
mod coverage;
mod file;
mod finding;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use facestream_schemas::Partition;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use self::audit::Audit;
use self::file::Facts;
use self::finding::{Finding, Note, Verdict};
use super::{Failure, Ground, Which, print};
use crate::commands::Given;

const EXAMPLES: &str = "Examples:
  facestream journal verify --config facestream.toml
  facestream journal verify --topic frames --partition 0
  facestream journal verify --quick                    footers only: names, ranges and row counts
  facestream journal verify --json | jq 'select(.mend)'

What is checked, for each partition: the records that are kept follow on each other without a hole; every file that a \
seal names is visible, readable and has the rows that were promised; no visible file of that age is named by no record. \
Older files are held against their own metadata. Over all of them, each offset is covered once.

A pipeline may run meanwhile. With --json each line is an object: findings have `mend`, notes have not, the last line is \
the summary.

Exit codes: 0 all is well, 1 the store does not answer, 2 usage or configuration, 3 there are findings.";

/// Prove that every message has its row once: journal and data files against each other
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Read only the files' footers, not their rows
    #[arg(long)]
    quick: bool,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

/// What was looked at, and what came of it.
#[derive(Debug, Default)]
struct Seen {
    partitions: u64,
    records: u64,
    files: u64,
    rows: u64,
    findings: u64,
    notes: u64,
    /// Partitions with files and no log: said once.
    without_log: BTreeSet<Partition>,
}

/// Carries the command out: 0, or 3 where there are findings.
pub(super) fn run(args: &Args) -> anyhow::Result<u8> {
    let ground = Ground::open(&args.given)?;
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}  {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut tell = |verdict: Verdict, seen: &Seen| {
        bar.set_message(format!("{} records, {} files, {} rows", seen.records, seen.files, seen.rows));
        if verdict == Verdict::default() { Ok(()) } else { bar.suspend(|| tell(&verdict, args.json)) }
    };
    let seen = Audit::new(&ground, &args.which, args.quick, &mut tell).run()?;
    bar.finish_and_clear();
    if seen.partitions + seen.files == 0 {
        let text = format!("there is neither a journal nor a data file in {}: is store.url right?", ground.url());
        return Err(Failure::Usage(text).into());
    }
    print(&if args.json { seen.json().to_string() } else { seen.text() })?;
    Ok(if seen.findings == 0 { 0 } else { 3 })
}

fn tell(verdict: &Verdict, json: bool) -> anyhow::Result<()> {
    for finding in &verdict.findings {
        let Finding { path, what, mend, .. } = finding;
        print(&if json {
            serde_json::to_string(finding)?
        } else {
            format!("WRONG  {path}\n       {what}\n       mend: {mend}")
        })?;
    }
    for note in &verdict.notes {
        let Note { path, what } = note;
        print(&if json { serde_json::to_string(note)? } else { format!("note   {path}\n       {what}") })?;
    }
    Ok(())
}

impl Seen {
    fn text(&self) -> String {
        let checked = [(self.partitions, "partitions"), (self.records, "records"), (self.files, "files"), (self.rows, "rows")];
        let checked: Vec<_> = checked.iter().map(|(count, what)| format!("{} {what}", HumanCount(*count))).collect();
        let found = match self.findings {
            0 => "nothing is wrong".to_owned(),
            count => format!("{} findings", HumanCount(count)),
        };
        format!("checked {}: {found}, {} notes", checked.join(", "), HumanCount(self.notes))
    }

    fn json(&self) -> Value {
        json!({
            "partitions": self.partitions,
            "records": self.records,
            "files": self.files,
            "rows": self.rows,
            "findings": self.findings,
            "notes": self.notes,
        })
    }
}
