//! `facestream journal show`: the newest records of one log, or one record whole.
//!
//! In: a store and a partition. Out: what each record is (takeover, append, seal, published, a jump) and what it adds.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat};
use facestream_schemas::tables::Table;
use facestream_schemas::{Micros, Partition};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::look::{self, AT_A_TIME, Damage};
use super::{Failure, Ground, Which, print};
use crate::commands::{Given, grid};
use crate::journal::header::{Header, Jump, Seq, Why};
use crate::journal::log::Log;

const EXAMPLES: &str = "Examples:
  facestream journal show frames/0              the newest 20 records
  facestream journal show frames/0 --last 500
  facestream journal show frames/0 --seq 41     the whole header of one, and how many rows it has

What a record can be: takeover (an owner begins), append (rows, or progress without), seal (an append that names data \
files), published (those are visible), jump (consuming went on elsewhere: a gap, a new topic, a reset).";

/// Show the newest records of a partition's log, or one of them whole
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which log
    #[arg(value_name = "TOPIC/PARTITION", value_parser = partition)]
    partition: Partition,
    /// Show this record whole
    #[arg(long, value_name = "N")]
    seq: Option<u64>,
    /// How many of the newest records
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "seq")]
    last: usize,
    /// Print a JSON array instead, with whole headers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    given: Given,
}

fn partition(text: &str) -> Result<Partition, String> {
    let parsed = text.rsplit_once('/').and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
    match parsed.filter(|(topic, number): &(&str, i32)| *number >= 0 && crate::config::topic_mistake(topic).is_none()) {
        Some((topic, number)) => Ok(Partition { topic: topic.into(), number }),
        None => Err("expected a topic and a partition, as in frames/0".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::open(&args.given)?;
    let log = Log::new(ground.store.clone(), &args.partition, ground.metrics.clone());
    match args.seq {
        Some(seq) => print(&serde_json::to_string_pretty(&ground.runtime.block_on(whole(&ground, &log, Seq(seq)))?)?),
        None => newest(args, &ground),
    }
}

/// One record with everything that its header says.
async fn whole(ground: &Ground, log: &Log, seq: Seq) -> anyhow::Result<Value> {
    let path = log.path(seq);
    match look::record(log, seq).await.with_context(|| format!("cannot read {path} in {}", ground.url()))? {
        None => Err(Failure::Usage(format!("there is no record {path} in {}: see `facestream journal ls`", ground.url())).into()),
        Some(Err(damage)) => Err(Failure::Refused(format!("{path} cannot be used: {}", damage.cause)).into()),
        Some(Ok(record)) => {
            let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
            for (table, _, batch) in record.batches().with_context(|| format!("cannot read the rows of {path}"))? {
                *rows.entry(table.name()).or_default() += batch.num_rows();
            }
            Ok(json!({ "path": path.to_string(), "bytes": record.bytes.len(), "rows": rows, "header": record.header }))
        }
    }
}

fn newest(args: &Args, ground: &Ground) -> anyhow::Result<()> {
    let which = Which { topic: Some(args.partition.topic.to_string()), partition: Some(args.partition.number) };
    let records = ground.runtime.block_on(async {
        let mut logs = look::logs(ground, &which).await?;
        let (_, log, records) = logs.remove(0);
        // One more, which says what the oldest of them adds.
        let from = records.len().saturating_sub(args.last.saturating_add(1));
        let records = futures::stream::iter(records[from..].to_vec()).map(|record| {
            let log = log.clone();
            async move { Ok::<_, object_store::Error>((record.seq, look::record(&log, record.seq).await?)) }
        });
        let read =
            records.buffered(AT_A_TIME).try_filter_map(|(seq, record)| async move { Ok(record.map(|record| (seq, record))) });
        let read: Vec<_> = read.map_ok(|(seq, record)| (seq, record.map(|record| record.header))).try_collect().await?;
        anyhow::Ok(read)
    })?;
    let shown = (records.len().saturating_sub(args.last)..records.len()).rev();
    let shown = shown.map(|n| (&records[n], n.checked_sub(1).and_then(|before| records[before].1.as_ref().ok())));
    if args.json {
        let all: Vec<_> = shown.map(|((seq, header), previous)| as_json(*seq, header, previous)).collect();
        return print(&serde_json::to_string_pretty(&all)?);
    }
    let mut table = grid(["seq", "what", "offsets", "rows", "files", "written", "owner"]);
    for ((seq, header), previous) in shown {
        table.add_row(cells(*seq, header, previous));
    }
    print(&table.trim_fmt())
}

fn cells(seq: Seq, header: &Result<Header, Damage>, previous: Option<&Header>) -> [String; 7] {
    let seq = seq.0.to_string();
    match header {
        Err(damage) => {
            [seq, format!("damaged: {}", damage.cause), String::new(), String::new(), String::new(), String::new(), String::new()]
        }
        Ok(header) => {
            let rows = rows(header, previous).map_or_else(
                || "?".to_owned(),
                |rows| rows.iter().map(|(table, rows)| format!("{rows} {}", table.name())).collect::<Vec<_>>().join(", "),
            );
            let files = if header.files.is_empty() { String::new() } else { header.files.len().to_string() };
            let offsets = format!("{}..{}", header.start_offset, header.end_offset);
            [seq, what(header, previous), offsets, rows, files, time(header.created_us), header.owner.clone()]
        }
    }
}

fn as_json(seq: Seq, header: &Result<Header, Damage>, previous: Option<&Header>) -> Value {
    match header {
        Err(damage) => json!({ "seq": seq, "what": "damaged", "damage": damage.cause }),
        Ok(header) => json!({ "seq": seq, "what": what(header, previous), "header": header }),
    }
}

/// What a record is, in a word.
fn what(header: &Header, previous: Option<&Header>) -> String {
    if let Some(Jump { why, from, to }) = &header.jump {
        let why = match why {
            Why::Gap => "gap",
            Why::NewTopic => "new topic",
            Why::Reset => "reset",
        };
        return format!("jump from {from} to {to}: {why}");
    }
    let is_takeover = previous.is_none_or(|previous| header.barren_takeovers > previous.barren_takeovers);
    let follows_seal = previous.is_some_and(Header::is_seal);
    let what = match (header.is_seal(), header.start_offset == header.end_offset) {
        (true, _) => "seal",
        (false, true) if header.seq == Seq(0) || (is_takeover && header.barren_takeovers > 0) => "takeover",
        (false, true) if follows_seal => "published",
        _ => "append",
    };
    what.to_owned()
}

/// Rows that a record adds, by table; `None` where the record before is not known.
fn rows(header: &Header, previous: Option<&Header>) -> Option<Vec<(Table, u64)>> {
    let sum = |header: &Header, table: Table| header.unsealed.rows.get(&table).into_iter().flat_map(|hours| hours.values()).sum();
    let before = |table: Table| -> Option<u64> {
        if header.unsealed.first_seq == header.seq { Some(0) } else { previous.map(|previous| sum(previous, table)) }
    };
    let added =
        |table: Table| -> Option<(Table, u64)> { Some((table, sum(header, table) - before(table)?.min(sum(header, table)))) };
    let rows: Option<Vec<_>> = Table::ALL.into_iter().rev().map(added).collect();
    rows.map(|rows| rows.into_iter().filter(|(_, rows)| *rows > 0).collect())
}

fn time(at: Micros) -> String {
    DateTime::from_timestamp_micros(at.0).map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use facestream_schemas::{Hour, Offset};

    use super::*;
    use crate::journal::header::Unsealed;
    use crate::journal::samples;

    #[test]
    fn a_partition_is_a_topic_and_a_number() {
        let found = partition("door-cams/12").unwrap();
        assert_eq!((&*found.topic, found.number), ("door-cams", 12));
        for text in ["frames", "frames/", "frames/-1", "/0", "a b/0", "frames/0/1"] {
            assert!(partition(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_is_named_by_what_it_did_and_counts_what_it_adds() {
        let unsealed = |first_seq, frames| Unsealed {
            rows: BTreeMap::from([(Table::Frames, BTreeMap::from([(Hour(1), frames)]))]),
            ..Unsealed::starting(Seq(first_seq), Offset(0))
        };
        let header =
            |seq, start, end| Header { start_offset: Offset(start), end_offset: Offset(end), ..samples::header(Seq(seq)) };
        let first = header(0, 0, 0);
        let append = Header { unsealed: unsealed(0, 5), ..header(1, 0, 5) };
        let takeover = Header { barren_takeovers: 1, unsealed: unsealed(0, 5), ..header(2, 5, 5) };
        let more = Header { unsealed: unsealed(0, 8), ..header(3, 5, 8) };
        let published = Header { unsealed: Unsealed::starting(Seq(5), Offset(8)), ..header(5, 8, 8) };
        let jump = Jump { why: Why::Reset, from: Offset(8), to: Offset(20) };
        let jumped = Header { jump: Some(jump), ..header(6, 20, 20) };
        let seal = Header {
            files: vec![crate::journal::header::DataFile { table: Table::Frames, hour: Hour(1), path: "f".into(), rows: 8 }],
            ..header(4, 8, 8)
        };
        assert_eq!(what(&first, None), "takeover");
        assert_eq!(what(&append, Some(&first)), "append");
        assert_eq!(what(&takeover, Some(&append)), "takeover");
        assert_eq!(what(&seal, Some(&more)), "seal");
        assert_eq!(what(&published, Some(&seal)), "published");
        assert_eq!(what(&jumped, Some(&published)), "jump from 8 to 20: reset");
        assert_eq!(rows(&append, Some(&first)), Some(vec![(Table::Frames, 5)]));
        assert_eq!(rows(&more, Some(&takeover)), Some(vec![(Table::Frames, 3)]));
        assert_eq!(rows(&takeover, Some(&append)), Some(vec![]));
        assert_eq!(rows(&more, None), None);
    }
}
