//! Stores made by the journal itself, then damaged in one way: the damage is found, and nothing else.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use arrow::compute::concat_batches;
use facestream_schemas::tables::{Table, frames_batch};
use facestream_schemas::{Offset, Partition};
use facestream_stages::encode::Encoder;
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::finding::Kind;
use super::*;
use crate::config::Config;
use crate::journal::header::{Header, Jump, Seq, Why};
use crate::journal::log::Log;
use crate::journal::publish::Publisher;
use crate::journal::record::{FORMAT_VERSION, Record, Rows};
use crate::journal::{Batch, Journal, Note, Opened, Writer, samples};
use crate::metrics::{Metrics, SealReason};
use crate::store::Store;

fn ground(store: Store) -> Ground {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    Ground { config: Config::default(), store, metrics: Metrics::new(), runtime }
}

fn in_memory() -> Store {
    Store::of(Arc::new(InMemory::new()))
}

impl Ground {
    fn log(&self) -> Log {
        Log::new(self.store.clone(), &partition(), self.metrics.clone())
    }

    fn publisher(&self) -> Publisher {
        Publisher::new(self.runtime.handle().clone(), self.metrics.clone())
    }

    fn take_over(&self, topic_id: Option<&str>) -> Journal {
        let writer = Writer { pipeline_id: "cluster/group".to_owned(), owner: "test".to_owned(), model_sha256: None };
        self.runtime.block_on(async {
            let opened = Opened::open(self.log(), partition(), Arc::new(writer)).await.unwrap();
            opened.take_over(Offset(0), topic_id.map(str::to_owned), &self.publisher()).await.unwrap()
        })
    }

    fn append(&self, journal: &mut Journal, offsets: Range<i64>, seal: bool) {
        self.runtime.block_on(async {
            let rows = samples::rows(offsets.clone());
            let memory = samples::memory(&rows);
            journal
                .append(Batch { rows, end_offset: Offset(offsets.end), memory, low_watermark: None, seal, note: Note::Same })
                .await
                .unwrap();
            if seal {
                journal.publish(&self.publisher(), SealReason::Size).await.unwrap();
            }
        });
    }

    fn jump(&self, journal: &mut Journal, why: Why, to: i64, topic_id: Option<&str>) {
        let jump = Jump { why, from: journal.head().end_offset, to: Offset(to) };
        self.runtime.block_on(journal.jump(jump, topic_id.map(str::to_owned), &self.publisher())).unwrap();
    }

    fn remove_record(&self, seq: u64) {
        self.runtime.block_on(self.log().remove(Seq(seq))).unwrap();
    }

    fn get(&self, path: &Path) -> bytes::Bytes {
        self.runtime.block_on(async { self.store.files.get(path).await.unwrap().bytes().await.unwrap() })
    }

    fn put(&self, path: &Path, bytes: impl Into<bytes::Bytes>) {
        self.runtime.block_on(self.store.files.put(path, bytes.into().into())).unwrap();
    }

    fn put_record(&self, header: Header) {
        let path = self.log().path(header.seq);
        self.put(&path, Record::new(header, &Rows::default()).unwrap().bytes);
    }

    fn delete(&self, path: &Path) {
        self.runtime.block_on(self.store.files.delete(path)).unwrap();
    }

    /// The files of `frames` that the seal of `seq` has published.
    fn frames(&self, seq: u64) -> Vec<Path> {
        let listed = self.store.files.list(Some(&Path::from("frames")));
        let files: Vec<ObjectMeta> = self.runtime.block_on(listed.try_collect()).unwrap();
        let mut paths: Vec<_> = files.into_iter().map(|file| file.location).collect();
        paths.retain(|path| file::FileName::parse(path.as_ref()).is_some_and(|name| name.seq == seq));
        paths.sort();
        paths
    }

    /// Rewrites a file of `frames` with its first `rows` rows, and all of its metadata.
    fn shorten(&self, path: &Path, rows: usize) {
        let file = ParquetRecordBatchReaderBuilder::try_new(self.get(path)).unwrap();
        let pairs = file.metadata().file_metadata().key_value_metadata().unwrap().clone();
        let pairs =
            pairs.into_iter().filter(|pair| pair.key.starts_with("facestream.")).map(|pair| (pair.key, pair.value.unwrap()));
        let mut encoder = Encoder::new(Table::Frames, pairs).unwrap();
        let batches: Vec<_> = file.build().unwrap().map(Result::unwrap).collect();
        encoder.push(concat_batches(&Table::Frames.schema(), &batches).unwrap().slice(0, rows)).unwrap();
        self.put(path, encoder.finish().unwrap());
    }

    /// A file of `frames` as an older seal would have published it.
    fn put_frames(&self, seq: u64, offsets: Range<i64>, range: Range<i64>, topic_id: Option<&str>) -> Path {
        let rows: Vec<_> = offsets.map(samples::frame).collect();
        let (first, end) = (range.start, range.end);
        let name = file::FileName { table: Table::Frames, hour: rows[0].folder, partition: partition(), seq, first, end };
        let mut pairs = vec![
            ("facestream.topic".to_owned(), "cams".to_owned()),
            ("facestream.partition".to_owned(), "0".to_owned()),
            ("facestream.seq".to_owned(), seq.to_string()),
            ("facestream.first_offset".to_owned(), first.to_string()),
            ("facestream.end_offset".to_owned(), end.to_string()),
        ];
        pairs.extend(topic_id.map(|id| ("facestream.topic_id".to_owned(), id.to_owned())));
        let mut encoder = Encoder::new(Table::Frames, pairs).unwrap();
        encoder.push(frames_batch(&rows)).unwrap();
        let path = Path::from(name.path());
        self.put(&path, encoder.finish().unwrap());
        path
    }
}

fn partition() -> Partition {
    Partition { topic: "cams".into(), number: 0 }
}

/// Seals of seq 2 and 6, of which the records up to the first are collected, a reset from 40 to 50, and unsealed rows.
fn good(ground: &Ground) -> Journal {
    let mut first = ground.take_over(Some("id"));
    ground.append(&mut first, 0..7, false);
    ground.append(&mut first, 7..25, true);
    ground.append(&mut first, 25..30, false);
    let mut second = ground.take_over(Some("id"));
    ground.append(&mut second, 30..40, true);
    ground.jump(&mut second, Why::Reset, 50, None);
    ground.append(&mut second, 50..55, false);
    (0..3).for_each(|seq| ground.remove_record(seq));
    second
}

/// Everything that is said, and what was looked at.
fn audit(ground: &Ground, quick: bool) -> (Verdict, Seen) {
    let said = RefCell::new(Verdict::default());
    let mut tell = |verdict: Verdict, _: &Seen| {
        said.borrow_mut().add(verdict);
        Ok(())
    };
    let seen = Audit::new(ground, &Which::default(), quick, &mut tell).run().unwrap();
    (said.into_inner(), seen)
}

#[test]
fn a_store_that_the_journal_made_has_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(folder.path()).unwrap().to_string();
    let on_disk = Store::open(&crate::config::Store { url, ..Config::default().store }).unwrap();
    for store in [in_memory(), on_disk] {
        let ground = ground(store);
        good(&ground);
        for quick in [false, true] {
            let (verdict, seen) = audit(&ground, quick);
            assert_eq!(verdict, Verdict::default());
            // 0..40 is 40 frames; every even offset but each seventh has a face: 0, 2, 4, 6, 8, 12, 14, 16, 18, 20, 22, 26, 28, 30, 32,
            // 34, 36; and a window for each of four appends.
            assert_eq!((seen.partitions, seen.records, seen.rows), (1, 7, 40 + 17 + 4));
            // 0..25 lie in the hours 0, 1 and 2, 25..40 in 2 and 3; windows start at 0 and 7, 25 and 30.
            assert_eq!(seen.files, (3 + 2) + (3 + 2) + (1 + 2));
        }
    }
}

/// Damages a good store and expects exactly this one finding, at a path that contains `at`.
fn finds(kind: Kind, at: &str, damage: impl FnOnce(&Ground)) -> Finding {
    let ground = ground(in_memory());
    good(&ground);
    damage(&ground);
    let (Verdict { findings, .. }, seen) = audit(&ground, false);
    let [finding] = &findings[..] else { panic!("one {kind:?} expected: {findings:#?}") };
    assert!(finding.kind == kind && finding.path.contains(at), "{kind:?} at {at} expected: {finding:#?}");
    assert_eq!(seen.findings, 1);
    finding.clone()
}

fn record_name(seq: u64) -> String {
    format!("_journal/cams/0/{:020}.arrow", u64::MAX - seq)
}

#[test]
fn a_damaged_record_is_named_with_what_to_do() {
    let head = || Path::from(record_name(9));
    for damage in [
        |bytes: bytes::Bytes| bytes.slice(..bytes.len() - 1),
        |bytes: bytes::Bytes| bytes.slice(..0),
        |bytes: bytes::Bytes| bytes.iter().enumerate().map(|(n, byte)| if n == 600 { byte ^ 1 } else { *byte }).collect(),
    ] {
        let found = finds(Kind::DamagedRecord, &record_name(9), |ground| ground.put(&head(), damage(ground.get(&head()))));
        assert!(found.mend.contains("stop every process") && found.mend.contains("seq 9 and later"), "{found:?}");
    }
    let found = finds(Kind::DamagedRecord, &record_name(9), |ground| {
        ground.put(&head(), ground.get(&Path::from(record_name(8))));
    });
    assert!(found.what.contains("header says seq 8, its name says 9"), "{found:?}");
    let found = finds(Kind::NewerRecord, &record_name(9), |ground| {
        ground.put_record(Header { format_version: FORMAT_VERSION + 1, ..samples::header(Seq(9)) });
    });
    assert!(found.what.contains("format version 4"), "{found:?}");
    // One whose rows are published: nobody needs it.
    let found = finds(Kind::DamagedRecord, &record_name(6), |ground| ground.put(&Path::from(record_name(6)), &b"cut"[..]));
    assert!(found.mend.contains("no longer") && found.mend.contains("up to seq 6"), "{found:?}");
}

#[test]
fn a_hole_in_a_log_is_named_and_whether_it_matters() {
    let found = finds(Kind::MissingRecords, &record_name(5), |ground| ground.remove_record(5));
    assert!(found.mend.contains("no longer"), "{found:?}");
    let found = finds(Kind::MissingRecords, &record_name(8), |ground| ground.remove_record(8));
    assert!(found.mend.contains("stop every process"), "{found:?}");
    // From the oldest on there is no hole to see, but the next seal needs them.
    let found = finds(Kind::MissingRecords, &record_name(8), |ground| (3..9).for_each(|seq| ground.remove_record(seq)));
    assert!(found.what.contains("needs their rows"), "{found:?}");
}

#[test]
fn a_record_that_does_not_follow_on_the_one_before_is_named() {
    let next = |ground: &Ground| {
        let head = ground.runtime.block_on(ground.log().read(Seq(9))).unwrap().unwrap().header;
        Header { seq: Seq(10), start_offset: head.end_offset, ..head }
    };
    for (change, what) in [
        ((|header| Header { start_offset: Offset(54), ..header }) as fn(Header) -> Header, "goes on from offset 54"),
        (|header| Header { end_offset: Offset(50), ..header }, "before its start 55"),
        (|header| Header { topic_id: Some("another".to_owned()), ..header }, "of the topic another"),
        (|header| Header { pipeline_id: "cluster/other".to_owned(), ..header }, "of the pipeline cluster/other"),
        (|header| Header { jump: Some(Jump { why: Why::Gap, from: Offset(55), to: Offset(60) }), ..header }, "yet covers 55..55"),
        (
            |mut header| {
                header.unsealed.first_seq = Seq(9);
                header
            },
            "counts unsealed rows from seq 9",
        ),
    ] {
        let found = finds(Kind::BrokenChain, &record_name(10), |ground| ground.put_record(change(next(ground))));
        assert!(found.what.contains(what), "{what}: {found:?}");
    }
}

#[test]
fn a_file_that_is_gone_cut_or_has_other_rows_is_named() {
    for seq in [2, 6] {
        finds(Kind::UnreadableFile, &format!("cams-0-{seq}-"), |ground| {
            let path = &ground.frames(seq)[1];
            let bytes = ground.get(path);
            ground.put(path, bytes.slice(..bytes.len() - 10));
        });
        finds(Kind::UnreadableFile, &format!("cams-0-{seq}-"), |ground| ground.put(&ground.frames(seq)[0], &b""[..]));
        finds(Kind::WrongRows, &format!("cams-0-{seq}-"), |ground| ground.shorten(&ground.frames(seq)[0], 4));
    }
    finds(Kind::MissingFile, "frames/event_date=2026-11-22/event_hour=14/cams-0-6-25-40", |ground| {
        ground.delete(&ground.frames(6)[0]);
    });
    // What is older than the journal may have been deleted on purpose.
    let ground = ground(in_memory());
    good(&ground);
    ground.frames(2).iter().for_each(|path| ground.delete(path));
    assert_eq!(audit(&ground, false).0, Verdict::default());
}

#[test]
fn a_byte_that_is_wrong_anywhere_in_a_file_ends_nothing() {
    let ground = ground(in_memory());
    good(&ground);
    let path = ground.frames(6).remove(0);
    let whole = ground.get(&path);
    let mut found = 0;
    for at in (0..whole.len()).step_by(11) {
        let damaged: bytes::Bytes = whole.iter().enumerate().map(|(n, byte)| if n == at { !byte } else { *byte }).collect();
        ground.put(&path, damaged);
        let (verdict, _) = audit(&ground, false);
        assert!(verdict.findings.len() <= 1, "{verdict:?}");
        found += verdict.findings.len();
    }
    // Statistics, padding and the values of most columns have nothing to be held against.
    assert!(found > 20, "{found}");
}

#[test]
fn rows_that_do_not_belong_into_a_file_are_named() {
    let outside = finds(Kind::WrongRows, "cams-0-1-0-2", |ground| {
        ground.frames(2).iter().for_each(|path| ground.delete(path));
        ground.put_frames(1, 0..3, 0..2, None);
        ground.delete_all_of(2);
    });
    assert!(outside.what.contains("offset 2, outside 0..2"), "{outside:?}");
}

impl Ground {
    fn delete_all_of(&self, seq: u64) {
        for table in Table::ALL {
            let listed = self.store.files.list(Some(&Path::from(table.name())));
            let files: Vec<ObjectMeta> = self.runtime.block_on(listed.try_collect()).unwrap();
            let of_seal = |path: &Path| file::FileName::parse(path.as_ref()).is_some_and(|name| name.seq == seq);
            files.iter().filter(|file| of_seal(&file.location)).for_each(|file| self.delete(&file.location));
        }
    }
}

#[test]
fn a_copy_under_another_name_and_a_foreign_file_are_named() {
    let copy = |from: u64, to: u64| {
        move |ground: &Ground| {
            let path = &ground.frames(from)[0];
            let name = path.to_string().replace(&format!("cams-0-{from}-"), &format!("cams-0-{to}-"));
            ground.put(&Path::from(name), ground.get(path));
        }
    };
    finds(Kind::UnnamedFile, "cams-0-7-25-40", copy(6, 7));
    finds(Kind::UnnamedFile, "cams-0-99-25-40", copy(6, 99));
    let renamed = finds(Kind::Contradiction, "cams-0-1-0-25", copy(2, 1));
    assert!(renamed.what.contains("seq 2, its name says 1"), "{renamed:?}");
    for foreign in ["frames/_SUCCESS", "windows/event_date=2026-11-22/event_hour=7/part-0.parquet"] {
        finds(Kind::ForeignFile, foreign, |ground| ground.put(&Path::from(foreign), &b""[..]));
    }
}

#[test]
fn offsets_that_two_seals_cover_are_named() {
    let found = finds(Kind::Overlap, "cams-0-2-0-25", |ground| drop(ground.put_frames(1, 0..3, 0..3, None)));
    assert!(found.what.contains("0..3"), "{found:?}");
    finds(Kind::Overlap, "cams-0-2-0-25", |ground| drop(ground.put_frames(1, 0..3, 0..3, Some("id"))));
    // The offsets of the topic as it was before it was made anew are others.
    let ground = ground(in_memory());
    good(&ground);
    ground.put_frames(1, 0..3, 0..3, Some("before"));
    assert_eq!(audit(&ground, false).0, Verdict::default());
    // Unsealed rows count, too.
    let found = finds(Kind::Overlap, "cams-0-9-50-55", |ground| {
        ground.delete_all_of(2);
        ground.put_frames(2, 0..3, 0..52, None);
        (3..8).for_each(|seq| ground.remove_record(seq));
        ground.delete_all_of(6);
    });
    assert!(found.what.contains("50..52"), "{found:?}");
}

#[test]
fn a_partition_with_files_and_no_journal_is_named_once() {
    finds(Kind::MissingLog, "cams-0-", |ground| (3..10).for_each(|seq| ground.remove_record(seq)));
}

#[test]
fn a_topic_that_was_made_anew_has_its_offsets_once_more() {
    let ground = ground(in_memory());
    let mut journal = good(&ground);
    ground.jump(&mut journal, Why::NewTopic, 0, Some("new"));
    ground.append(&mut journal, 0..12, true);
    assert_eq!(audit(&ground, false).0, Verdict::default());
    let newest = journal.head().seq.0;
    (3..newest).for_each(|seq| ground.remove_record(seq));
    let (verdict, _) = audit(&ground, false);
    assert!(verdict.findings.is_empty(), "{verdict:?}");
    // The record of the reset is gone, which nobody can tell from files that were deleted.
    assert!(verdict.notes.len() == 1 && verdict.notes[0].what.contains("40..50"), "{verdict:?}");
}

#[test]
fn a_seal_that_nobody_has_published_yet_is_noted() {
    let ground = ground(in_memory());
    let mut journal = good(&ground);
    let rows = samples::rows(55..57);
    let batch = Batch {
        rows,
        end_offset: Offset(57),
        memory: journal.head().memory(),
        low_watermark: None,
        seal: true,
        note: Note::Same,
    };
    ground.runtime.block_on(journal.append(batch)).unwrap();
    let (verdict, _) = audit(&ground, false);
    assert!(verdict.findings.is_empty(), "{verdict:?}");
    assert_eq!(verdict.notes.len(), journal.head().files.len());
    assert!(verdict.notes.iter().all(|note| note.what.contains("the next run publishes it")), "{verdict:?}");
    ground.take_over(None);
    assert_eq!(audit(&ground, false).0, Verdict::default());
}

#[test]
fn a_pipeline_that_goes_on_meanwhile_causes_no_finding() {
    let ground = ground(in_memory());
    let mut journal = good(&ground);
    let said = RefCell::new(Verdict::default());
    let mut tell = |verdict: Verdict, _: &Seen| {
        said.borrow_mut().add(verdict);
        Ok(())
    };
    let which = Which::default();
    let mut audit = Audit::new(&ground, &which, false, &mut tell);
    audit.logs().unwrap();
    ground.append(&mut journal, 55..60, true);
    ground.append(&mut journal, 60..65, false);
    (3..9).for_each(|seq| ground.remove_record(seq));
    audit.files().unwrap();
    let seen = audit.finish().unwrap();
    assert_eq!(said.into_inner(), Verdict::default());
    // Six records since, of which the newest seal's files made it look for.
    assert_eq!(seen.records, 7 + 3);
}
