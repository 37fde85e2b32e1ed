//! One partition's log, record by record: does each follow on the one before, and what do the seals promise?
//!
//! In: the records in the order of their seqs, readable or not. Out: findings, and for each data file whether a record names it.
//! Pure. Invariant: memory is what the seals that are kept name, whatever the records hold.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use facestream_schemas::{Offset, Partition};

use super::coverage::{Coverage, Jumps};
use super::file::FileName;
use super::finding::{Finding, Kind, Note, Verdict};
use crate::commands::journal::look::Damage;
use crate::journal::header::{Header, Seq, Unsealed, Why};
use crate::journal::log::Log;

/// What is known of a log after its records so far.
pub(super) struct Chain {
    log: Log,
    partition: Partition,
    /// First and last seq that was listed.
    seqs: Option<(u64, u64)>,
    /// Whose log it is, by its oldest readable record.
    pipeline_id: Option<String>,
    /// The newest readable record.
    last: Option<Last>,
    /// What cannot be read, oldest first.
    broken: Vec<Broken>,
    /// What each kept seal names.
    seals: BTreeMap<u64, BTreeMap<String, Named>>,
    jumps: Jumps,
    pub(super) coverage: Coverage,
    pub(super) verdict: Verdict,
    pub(super) records: u64,
}

/// What the next record must follow on.
#[derive(Debug)]
struct Last {
    seq: u64,
    pipeline_id: String,
    topic_id: Option<String>,
    end: Offset,
    unsealed: Unsealed,
    is_seal: bool,
}

#[derive(Debug)]
struct Broken {
    seqs: RangeInclusive<u64>,
    /// `None`: gone.
    damage: Option<Damage>,
}

/// A data file that a seal names.
#[derive(Debug)]
struct Named {
    rows: u64,
    is_seen: bool,
}

/// What the journal says of a data file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A record names it, with this many rows.
    Named(u64),
    /// Its record was collected, or cannot be read: only the file itself can tell.
    Unknown,
    /// Its record is there and does not name it.
    Unnamed,
    /// It is newer than every record that was listed.
    Later,
    /// There is no log.
    NoLog,
}

impl Chain {
    pub(super) fn new(log: Log, partition: Partition) -> Self {
        Self {
            log,
            partition,
            seqs: None,
            pipeline_id: None,
            last: None,
            broken: Vec::new(),
            seals: BTreeMap::new(),
            jumps: Jumps::new(),
            coverage: Coverage::default(),
            verdict: Verdict::default(),
            records: 0,
        }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// The newest seq so far.
    pub(super) fn newest(&self) -> Option<u64> {
        self.seqs.map(|(_, newest)| newest)
    }

    /// Which pipeline the log is of.
    pub(super) fn pipeline_id(&self) -> Option<&str> {
        self.pipeline_id.as_deref()
    }

    /// Takes the next record; seqs ascend.
    pub(super) fn next(&mut self, seq: Seq, read: Result<&Header, Damage>) {
        let (oldest, newest) = self.seqs.unwrap_or((seq.0, seq.0));
        if seq.0 > newest + 1 {
            self.broken.push(Broken { seqs: newest + 1..=seq.0 - 1, damage: None });
        }
        self.seqs = Some((oldest, seq.0));
        self.records += 1;
        match read {
            Ok(header) => self.record(header),
            Err(damage) => self.broken.push(Broken { seqs: seq.0..=seq.0, damage: Some(damage) }),
        }
    }

    fn record(&mut self, header: &Header) {
        let seq = header.seq.0;
        let before = self.last.as_ref().filter(|last| last.seq + 1 == seq);
        let wrong = contradicts_itself(&self.partition, header).or_else(|| breaks(before?, header));
        if let Some(what) = wrong {
            self.verdict.findings.push(Finding::new(Kind::BrokenChain, self.path(seq), what));
        }
        if header.is_seal() {
            let named = header.files.iter().map(|file| (file.path.clone(), Named { rows: file.rows, is_seen: false }));
            self.seals.insert(seq, named.collect());
            self.coverage.add(seq, header.unsealed.first_offset.0, header.end_offset.0, header.topic_id.as_deref());
        }
        if let Some(jump) = &header.jump {
            self.jumps.insert(seq, jump.clone());
        }
        self.pipeline_id.get_or_insert_with(|| header.pipeline_id.clone());
        self.last = Some(Last {
            seq,
            pipeline_id: header.pipeline_id.clone(),
            topic_id: header.topic_id.clone(),
            end: header.end_offset,
            unsealed: header.unsealed.clone(),
            is_seal: header.is_seal(),
        });
    }

    /// What the journal says of a visible file, which counts as seen.
    pub(super) fn standing(&mut self, name: &FileName, path: &str) -> Standing {
        let Some((oldest, newest)) = self.seqs else { return Standing::NoLog };
        if name.seq > newest {
            return Standing::Later;
        }
        if name.seq < oldest || self.broken.iter().any(|broken| broken.seqs.contains(&name.seq)) {
            return Standing::Unknown;
        }
        match self.seals.get_mut(&name.seq).and_then(|files| files.get_mut(path)) {
            Some(named) => {
                named.is_seen = true;
                Standing::Named(named.rows)
            }
            None => Standing::Unnamed,
        }
    }

    /// Files that records name and that were not seen, with the seq of their seal.
    pub(super) fn unseen(&self) -> Vec<(u64, String)> {
        let files = self.seals.iter().flat_map(|(seq, files)| files.iter().map(move |(path, named)| (*seq, path, named)));
        files.filter(|(_, _, named)| !named.is_seen).map(|(seq, path, _)| (seq, path.clone())).collect()
    }

    /// A file that a seal names is not there: in order while the seal is the newest record.
    pub(super) fn missing(&mut self, seq: u64, path: &str) {
        if self.newest() == Some(seq) {
            let what =
                format!("the newest record, seq {seq}, seals this file, which is not visible yet: the next run publishes it");
            self.verdict.notes.push(Note::new(path, what));
        } else {
            let what = format!("the record of seq {seq} names it, and it is not there");
            self.verdict.findings.push(Finding::new(Kind::MissingFile, path, what));
        }
    }

    /// What is left to say once all records and files were seen.
    pub(super) fn finish(mut self) -> Verdict {
        for broken in std::mem::take(&mut self.broken) {
            let finding = self.unreadable(&broken);
            self.verdict.findings.push(finding);
        }
        if let (Some(last), Some((oldest, _))) = (&self.last, self.seqs) {
            let unsealed = &last.unsealed;
            if unsealed.first_seq.0 < oldest {
                let what = format!("the records {}..{oldest} are gone, and the next seal needs their rows", unsealed.first_seq.0);
                let mend = self.mend_needed(unsealed.first_seq.0);
                let path = self.path(unsealed.first_seq.0);
                self.verdict.findings.push(Finding::new(Kind::MissingRecords, path, what).with_mend(mend));
            }
            if !last.is_seal {
                self.coverage.add(last.seq, unsealed.first_offset.0, last.end.0, last.topic_id.as_deref());
            }
        }
        let covered = self.coverage.verdict(&self.partition, &self.jumps);
        self.verdict.add(covered);
        self.verdict
    }

    fn unreadable(&self, broken: &Broken) -> Finding {
        let (first, last) = (*broken.seqs.start(), *broken.seqs.end());
        let (kind, what) = match &broken.damage {
            Some(damage) if damage.is_newer => return Finding::new(Kind::NewerRecord, self.path(first), &damage.cause),
            Some(damage) => (Kind::DamagedRecord, damage.cause.clone()),
            None if first == last => (Kind::MissingRecords, format!("the record of seq {first} is gone, later ones are there")),
            None => (Kind::MissingRecords, format!("the records of seq {first}..={last} are gone, later ones are there")),
        };
        let needed = self.last.as_ref().is_none_or(|head| last >= head.unsealed.first_seq.0);
        let mend = if needed { self.mend_needed(first) } else { mend_not_needed(last) };
        Finding::new(kind, self.path(first), what).with_mend(mend)
    }

    /// What to do about a record that a successor or the next seal needs.
    fn mend_needed(&self, seq: u64) -> String {
        format!(
            "restore it from the store's versions or a backup; `run` stops this partition until then. Without a copy: stop every \
             process of the group, see that no data file of {} has a seq of {seq} or more in its name, and delete the records of \
             seq {seq} and later: consuming goes on at the end of the record before",
            self.partition
        )
    }

    fn path(&self, seq: u64) -> String {
        self.log.path(Seq(seq)).to_string()
    }
}

fn mend_not_needed(seq: u64) -> String {
    format!(
        "the pipeline needs it no longer, only its history cannot be checked: restore it from the store's versions or a backup, or \
         delete every record of this partition up to seq {seq}"
    )
}

/// What is wrong with a record after the one before it.
fn breaks(last: &Last, header: &Header) -> Option<String> {
    if header.pipeline_id != last.pipeline_id {
        return Some(format!("it is of the pipeline {}, the record before of {}", header.pipeline_id, last.pipeline_id));
    }
    let new_topic = header.jump.as_ref().is_some_and(|jump| jump.why == Why::NewTopic);
    if let (Some(before), Some(after)) = (&last.topic_id, &header.topic_id)
        && before != after
        && !new_topic
    {
        return Some(format!("its offsets are of the topic {after}, those of the record before of {before}"));
    }
    let follows = header.jump.as_ref().map_or(header.start_offset, |jump| jump.from);
    if follows != last.end {
        return Some(format!("it goes on from offset {follows}, the record before ends at {}", last.end));
    }
    if last.is_seal && (header.end_offset != header.start_offset || header.is_seal()) {
        return Some("it holds rows although the record before is a seal: its files were not said to be visible".to_owned());
    }
    let anew = last.is_seal || header.jump.is_some();
    let expected = if anew { (header.seq, header.start_offset) } else { (last.unsealed.first_seq, last.unsealed.first_offset) };
    let counted = (header.unsealed.first_seq, header.unsealed.first_offset);
    (counted != expected).then(|| {
        let text = |(seq, offset): (Seq, Offset)| format!("seq {} and offset {offset}", seq.0);
        format!("it counts unsealed rows from {}, which should be from {}", text(counted), text(expected))
    })
}

/// What is wrong with a record whatever came before it.
fn contradicts_itself(partition: &Partition, header: &Header) -> Option<String> {
    let (start, end) = (header.start_offset, header.end_offset);
    if end < start {
        return Some(format!("it ends at offset {end}, before its start {start}"));
    }
    if let Some(jump) = &header.jump
        && ((start, end) != (jump.to, jump.to) || header.is_seal())
    {
        return Some(format!("it jumps to offset {} and yet covers {start}..{end}", jump.to));
    }
    let expected: u64 = header.unsealed.rows.values().map(|hours| hours.len() as u64).sum();
    let fits = |file: &crate::journal::header::DataFile| {
        let rows = header.unsealed.rows.get(&file.table).and_then(|hours| hours.get(&file.hour));
        let name = FileName {
            table: file.table,
            hour: file.hour,
            partition: partition.clone(),
            seq: header.seq.0,
            first: header.unsealed.first_offset.0,
            end: end.0,
        };
        rows == Some(&file.rows) && name.path() == file.path
    };
    if header.is_seal() && (header.files.len() as u64 != expected || !header.files.iter().all(fits)) {
        return Some("the files that it names are not those of its unsealed rows".to_owned());
    }
    None
}
