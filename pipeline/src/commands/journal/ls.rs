//! `facestream journal ls`: one line a partition.
//!
//! In: a store. Out: how long each log is, where it ends, and in which state its newest record leaves it.

use std::time::Duration;

use anyhow::Context as _;
use facestream_schemas::tables::Table;
use facestream_schemas::{Micros, Partition};
use futures::{StreamExt as _, TryStreamExt as _};
use indicatif::{BinaryBytes, HumanCount};
use object_store::Error;
use serde_json::{Value, json};

use super::look::{self, AT_A_TIME, Damage};
use super::{Ground, Which, print};
use crate::clock::now;
use crate::commands::{Given, grid};
use crate::journal::header::{Header, Seq};
use crate::journal::log::{Listed, Log};

/// List the partitions' logs: how long they are, where they end, who wrote last
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Print a JSON array instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

/// One partition's log.
struct Line {
    partition: Partition,
    records: usize,
    oldest: Seq,
    newest: Listed,
    bytes: u64,
    /// `None`: collected while it was looked at.
    head: Option<Result<Header, Damage>>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::open(&args.given)?;
    let lines = ground.runtime.block_on(lines(&ground, &args.which))?;
    if args.json {
        return print(&serde_json::to_string_pretty(&lines.iter().map(Line::json).collect::<Vec<_>>())?);
    }
    if lines.is_empty() {
        return print(&format!("there is no journal in {}", ground.url()));
    }
    let mut table = grid([
        "topic",
        "partition",
        "records",
        "seqs",
        "size",
        "end offset",
        "unsealed",
        "state",
        "newest",
        "barren",
        "topic id",
        "owner",
    ]);
    for line in &lines {
        table.add_row(line.cells(now()));
    }
    print(&table.trim_fmt())
}

async fn lines(ground: &Ground, which: &Which) -> anyhow::Result<Vec<Line>> {
    let logs = look::logs(ground, which).await?;
    let lines = futures::stream::iter(logs).map(|(partition, log, records)| line(partition, log, records));
    lines.buffered(AT_A_TIME).try_collect().await.with_context(|| format!("cannot read the journal in {}", ground.url()))
}

async fn line(partition: Partition, log: Log, records: Vec<Listed>) -> Result<Line, Error> {
    let (oldest, newest) = (records[0].seq, records[records.len() - 1]);
    let bytes = records.iter().map(|record| record.bytes).sum();
    let head = look::record(&log, newest.seq).await?.map(|record| record.map(|record| record.header));
    Ok(Line { partition, records: records.len(), oldest, newest, bytes, head })
}

impl Line {
    fn header(&self) -> Option<&Header> {
        self.head.as_ref()?.as_ref().ok()
    }

    fn state(&self) -> &'static str {
        match &self.head {
            // A seal whose files were visible would be followed by the record that says so.
            Some(Ok(head)) if head.is_seal() => "publishing",
            Some(Ok(_)) => "open",
            Some(Err(damage)) if damage.is_newer => "newer format",
            Some(Err(_)) => "damaged",
            None => "changing",
        }
    }

    fn unsealed(&self) -> Option<u64> {
        self.header().map(|head| head.unsealed.rows.get(&Table::Frames).into_iter().flat_map(|hours| hours.values()).sum())
    }

    fn cells(&self, now: Micros) -> [String; 12] {
        let of_head = |cell: &dyn Fn(&Header) -> String| self.header().map_or_else(|| "?".to_owned(), cell);
        [
            self.partition.topic.to_string(),
            self.partition.number.to_string(),
            HumanCount(self.records as u64).to_string(),
            format!("{}..{}", self.oldest.0, self.newest.seq.0),
            BinaryBytes(self.bytes).to_string(),
            of_head(&|head| head.end_offset.to_string()),
            self.unsealed().map_or_else(|| "?".to_owned(), |rows| HumanCount(rows).to_string()),
            self.state().to_owned(),
            format!("{} ago", age(now, self.newest.written)),
            of_head(&|head| head.barren_takeovers.to_string()),
            of_head(&|head| head.topic_id.clone().unwrap_or_else(|| "-".to_owned())),
            of_head(&|head| head.owner.clone()),
        ]
    }

    fn json(&self) -> Value {
        let head = self.header();
        json!({
            "topic": &*self.partition.topic,
            "partition": self.partition.number,
            "records": self.records,
            "oldest_seq": self.oldest,
            "newest_seq": self.newest.seq,
            "bytes": self.bytes,
            "written_us": self.newest.written,
            "state": self.state(),
            "end_offset": head.map(|head| head.end_offset),
            "unsealed_frames": self.unsealed(),
            "barren_takeovers": head.map(|head| head.barren_takeovers),
            "topic_id": head.and_then(|head| head.topic_id.clone()),
            "pipeline_id": head.map(|head| head.pipeline_id.clone()),
            "owner": head.map(|head| head.owner.clone()),
            "damage": self.head.as_ref().and_then(|head| head.as_ref().err()).map(|damage| damage.cause.clone()),
        })
    }
}

/// Whole seconds since `then`, for people.
pub(super) fn age(now: Micros, then: Micros) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs((now.0 - then.0).max(0) as u64 / 1_000_000))
}
