//! One data file: what its path, its own metadata and its rows say, and whether that agrees.
//!
//! In: a path, and what reading the file gave. Out: findings. Pure. Invariant: nothing is taken from the journal here, so that
//! files whose records were collected long ago are held to the same.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use facestream_schemas::tables::Table;
use facestream_schemas::{Hour, Partition};

use super::finding::{Finding, Kind};

/// What a data file's path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileName {
    pub(super) table: Table,
    pub(super) hour: Hour,
    pub(super) partition: Partition,
    pub(super) seq: u64,
    /// First offset that the seal covers.
    pub(super) first: i64,
    /// One past the last.
    pub(super) end: i64,
}

impl FileName {
    /// Reads `<table>/event_date=YYYY-MM-DD/event_hour=H/<topic>-<partition>-<seq>-<first>-<end>.parquet`.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let [table, date, hour, name] = path.split('/').collect::<Vec<_>>()[..] else { return None };
        let table = Table::ALL.into_iter().find(|known| known.name() == table)?;
        let date = NaiveDate::parse_from_str(date.strip_prefix("event_date=")?, "%Y-%m-%d").ok()?;
        let hour: i64 = hour.strip_prefix("event_hour=")?.parse().ok()?;
        let hour = Hour(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp() / 3_600 + hour);
        let mut parts = name.strip_suffix(".parquet")?.rsplitn(5, '-');
        let mut number = || parts.next();
        let (end, first, seq, partition) = (number()?.parse().ok()?, number()?.parse().ok()?, number()?.parse().ok()?, number()?);
        let partition = Partition { topic: parts.next()?.into(), number: partition.parse().ok()? };
        let parsed = Self { table, hour, partition, seq, first, end };
        // What was read must be what would be written: no padding, no signs, no 25th hour.
        (parsed.path() == path && parsed.first <= parsed.end).then_some(parsed)
    }

    /// The path that a seal gives such a file.
    pub(super) fn path(&self) -> String {
        format!("{}/{}/{}", self.table.name(), self.hour, self.name())
    }

    fn name(&self) -> String {
        let Partition { topic, number } = &self.partition;
        format!("{topic}-{number}-{}-{}-{}.parquet", self.seq, self.first, self.end)
    }
}

/// What reading a file gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Rows by the footer.
    pub(super) rows: u64,
    /// The footer's key-value metadata.
    pub(super) metadata: BTreeMap<String, String>,
    /// Rows that could be decoded; `None` where only the footer was read.
    pub(super) decoded: Option<u64>,
    /// The first row that does not belong there, if there is one.
    pub(super) stray: Option<String>,
}

impl Facts {
    /// Which topic the offsets belong to, where the file says so.
    pub(super) fn topic_id(&self) -> Option<&str> {
        self.metadata.get("facestream.topic_id").map(String::as_str)
    }
}

/// Holds a file against its name, its metadata and, where a record names it, the rows `promised`.
pub(super) fn judge(
    path: &str,
    name: &FileName,
    facts: &Facts,
    promised: Option<u64>,
    pipeline_id: Option<&str>,
) -> Option<Finding> {
    if let Some(what) = contradiction(name, facts, pipeline_id) {
        return Some(Finding::new(Kind::Contradiction, path, what));
    }
    let stated: Option<u64> = facts.metadata.get("facestream.rows").and_then(|rows| rows.parse().ok());
    let rows = facts.decoded.unwrap_or(facts.rows);
    let wrong = if let Some(promised) = promised.filter(|promised| *promised != rows) {
        Some(format!("it has {rows} rows, the record of seq {} promises {promised}", name.seq))
    } else if let Some(stated) = stated.filter(|stated| *stated != rows) {
        Some(format!("it has {rows} rows, its metadata says {stated}"))
    } else if rows != facts.rows {
        Some(format!("{rows} rows can be decoded, its footer says {}", facts.rows))
    } else {
        facts.stray.clone()
    };
    wrong.map(|what| Finding::new(Kind::WrongRows, path, what))
}

/// Where name and metadata disagree.
fn contradiction(name: &FileName, facts: &Facts, pipeline_id: Option<&str>) -> Option<String> {
    let expected = [
        ("topic", name.partition.topic.to_string()),
        ("partition", name.partition.number.to_string()),
        ("seq", name.seq.to_string()),
        ("first_offset", name.first.to_string()),
        ("end_offset", name.end.to_string()),
    ];
    for (key, named) in expected {
        match facts.metadata.get(&format!("facestream.{key}")) {
            Some(found) if *found == named => {}
            Some(found) => return Some(format!("its metadata says {key} {found}, its name says {named}")),
            None => return Some(format!("its metadata has no facestream.{key}: another program has written it")),
        }
    }
    let found = facts.metadata.get("facestream.pipeline_id")?;
    let ours = pipeline_id.filter(|ours| ours != found)?;
    Some(format!("it was written by the pipeline {found}, the journal is that of {ours}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "frames/event_date=2026-11-22/event_hour=7/door-cams-3-41-100-250.parquet";

    fn name() -> FileName {
        FileName::parse(PATH).unwrap()
    }

    fn facts() -> Facts {
        let pairs = [("topic", "door-cams"), ("partition", "3"), ("seq", "41"), ("first_offset", "100"), ("end_offset", "250")];
        let metadata = pairs.iter().map(|(key, value)| (format!("facestream.{key}"), (*value).to_owned())).collect();
        Facts { rows: 9, metadata, decoded: Some(9), stray: None }
    }

    #[test]
    fn a_path_is_read_back_to_what_it_was_made_of() {
        let partition = Partition { topic: "door-cams".into(), number: 3 };
        // 2026-11-22T07:00:00Z is 1795330800 s after 1970: hour 498703.
        let expected = FileName { table: Table::Frames, hour: Hour(498_703), partition, seq: 41, first: 100, end: 250 };
        assert_eq!(name(), expected);
        assert_eq!(name().path(), PATH);
    }

    #[test]
    fn what_no_seal_would_have_named_is_no_data_file() {
        for path in [
            "frames/event_date=2026-11-22/event_hour=07/cams-0-1-0-5.parquet",
            "frames/event_date=2026-11-22/event_hour=24/cams-0-1-0-5.parquet",
            "frames/event_date=2026-11-31/event_hour=1/cams-0-1-0-5.parquet",
            "frames/event_date=2026-11-22/event_hour=1/cams-0-1-5-0.parquet",
            "frames/event_date=2026-11-22/event_hour=1/cams-0-1-0-+5.parquet",
            "frames/event_date=2026-11-22/event_hour=1/cams-0-1-0-5.parquet.tmp",
            "frames/event_date=2026-11-22/event_hour=1/0-1-0-5.parquet",
            "faces/event_date=2026-11-22/event_hour=1/cams-0-1-0-5.parquet",
            "frames/event_date=2026-11-22/cams-0-1-0-5.parquet",
            "frames/_SUCCESS",
        ] {
            assert_eq!(FileName::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_file_that_says_what_its_name_says_is_fine_and_every_difference_is_found() {
        assert_eq!(judge(PATH, &name(), &facts(), Some(9), Some("cluster/group")), None);
        let kind =
            |facts: Facts, promised| judge(PATH, &name(), &facts, promised, Some("cluster/group")).map(|finding| finding.kind);
        let with = |key: &str, value: &str| {
            let mut facts = facts();
            facts.metadata.insert(format!("facestream.{key}"), value.to_owned());
            facts
        };
        for (key, value) in [("seq", "40"), ("first_offset", "99"), ("end_offset", "0"), ("topic", "x"), ("pipeline_id", "x/y")] {
            assert_eq!(kind(with(key, value), None), Some(Kind::Contradiction), "{key}");
        }
        assert_eq!(kind(Facts { metadata: BTreeMap::new(), ..facts() }, None), Some(Kind::Contradiction));
        assert_eq!(kind(facts(), Some(8)), Some(Kind::WrongRows));
        assert_eq!(kind(with("rows", "10"), None), Some(Kind::WrongRows));
        assert_eq!(kind(Facts { decoded: Some(8), ..facts() }, None), Some(Kind::WrongRows));
        assert_eq!(kind(Facts { stray: Some("offset 7".to_owned()), ..facts() }, None), Some(Kind::WrongRows));
    }
}
