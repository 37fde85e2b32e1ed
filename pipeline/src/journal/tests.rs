//! The protocol on real stores: rows come out once, whoever writes and whatever is answered.

mod counted;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use facestream_schemas::tables::Table;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::Handle;

use super::*;
use crate::config;
use crate::metrics::Metrics;
use crate::store::Store;

const START: Offset = Offset(0);

fn partition() -> Partition {
    Partition { topic: "cams".into(), number: 0 }
}

fn writer(pipeline_id: &str) -> Arc<Writer> {
    Arc::new(Writer { pipeline_id: pipeline_id.to_owned(), owner: "test".to_owned(), model_sha256: None })
}

fn publisher() -> Publisher {
    Publisher::new(Handle::current(), Metrics::new())
}

async fn open(store: &Store) -> Result<Opened, JournalError> {
    let log = Log::new(store.clone(), &partition(), Metrics::new());
    Opened::open(log, partition(), writer("cluster/group")).await
}

async fn take_over(store: &Store) -> Journal {
    open(store).await.unwrap().take_over(START, None, &publisher()).await.unwrap()
}

fn batch(offsets: std::ops::Range<i64>, seal: bool) -> Batch {
    let rows = samples::rows(offsets.clone());
    let memory = samples::memory(&rows);
    Batch { rows, end_offset: Offset(offsets.end), memory, low_watermark: None, seal, note: Note::Same }
}

/// Offsets in the visible files of a table, each as often as it is there; checks that every file lies in its rows' folder.
async fn visible(store: &Store, table: Table) -> Vec<i64> {
    let mut offsets = Vec::new();
    let mut files: Vec<ObjectMeta> = store.files.list(Some(&Path::from(table.name()))).try_collect().await.unwrap();
    files.sort_by_key(|file| file.location.to_string());
    for file in files {
        let bytes = store.files.get(&file.location).await.unwrap().bytes().await.unwrap();
        for rows in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
            let rows = rows.unwrap();
            let found = rows["kafka_offset"].as_primitive::<Int64Type>().values().to_vec();
            for offset in &found {
                let folder = samples::frame(*offset).folder.to_string();
                assert!(file.location.as_ref().contains(&format!("/{folder}/")), "{offset} lies in {}", file.location);
            }
            offsets.extend(found);
        }
    }
    offsets.sort_unstable();
    offsets
}

/// Every offset once in `frames`, and the faces that the samples were given.
async fn assert_published(store: &Store, offsets: std::ops::Range<i64>) {
    assert_eq!(visible(store, Table::Frames).await, offsets.clone().collect::<Vec<_>>());
    let with_face: Vec<_> = offsets.filter(|n| n % 2 == 0 && n % 7 != 3).collect();
    assert_eq!(visible(store, Table::Detections).await, with_face);
}

fn in_memory() -> Store {
    Store::of(Arc::new(InMemory::new()))
}

fn on_disk(folder: &tempfile::TempDir) -> Store {
    let url = url::Url::from_directory_path(folder.path()).unwrap().to_string();
    Store::open(&config::Store { url, ..config::Config::default().store }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_rows_become_visible_once_in_the_hour_folders_of_their_event_time() {
    let folder = tempfile::tempdir().unwrap();
    for store in [in_memory(), on_disk(&folder)] {
        let mut journal = take_over(&store).await;
        journal.append(batch(0..7, false)).await.unwrap();
        journal.append(batch(7..25, true)).await.unwrap();
        assert!(visible(&store, Table::Frames).await.is_empty(), "a seal alone shows nothing");
        journal.publish(&publisher(), SealReason::Size).await.unwrap();
        assert_published(&store, 0..25).await;

        // The next seal holds only what came after the first, and is due to nothing else.
        assert!(journal.head().unsealed.rows.is_empty());
        journal.append(batch(25..30, true)).await.unwrap();
        journal.publish(&publisher(), SealReason::Size).await.unwrap();
        assert_published(&store, 0..30).await;
        let names: Vec<_> = journal_folder(&store).await;
        assert!(!names.iter().any(|name| name.contains('#') || name.contains("staging")), "leftovers among {names:?}");
        assert_eq!(names.len(), 6, "takeover, two appends, published, append, published");
    }
}

/// Who takes over has to publish rows that were appended before, in records of its predecessors.
#[tokio::test(flavor = "multi_thread")]
async fn the_format_stays_that_of_the_rows_which_are_not_yet_published() {
    let store = in_memory();
    let mut first = take_over(&store).await;
    first.append(batch(0..5, false)).await.unwrap();
    let mut tracked = batch(5..10, false);
    tracked.rows.windows[0].tracks_started = Some(0);
    let formats = |journal: &Journal| (journal.head().format_version, journal.head().memory().tracks.is_empty());
    assert_eq!(formats(&first), (1, true));
    first.append(tracked).await.unwrap();
    assert_eq!(formats(&first), (3, true), "the window's row counts tracks");
    let mut second = take_over(&store).await;
    assert_eq!(formats(&second), (3, true), "a takeover");
    second.append(batch(10..12, true)).await.unwrap();
    assert_eq!(formats(&second), (3, true), "the seal");
    let third = take_over(&store).await;
    assert_eq!(formats(&third), (1, true), "it has published them");
    assert_published(&store, 0..12).await;
}

async fn journal_folder(store: &Store) -> Vec<String> {
    let objects: Vec<ObjectMeta> = store.files.list(Some(&Path::from("_journal"))).try_collect().await.unwrap();
    objects.into_iter().map(|object| object.location.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_publishes_what_was_sealed_and_the_predecessor_is_fenced() {
    let store = in_memory();
    let mut first = take_over(&store).await;
    first.append(batch(0..5, false)).await.unwrap();
    first.append(batch(5..12, true)).await.unwrap();

    let opened = open(&store).await.unwrap();
    assert_eq!((opened.end_offset(), opened.published_end()), (Some(Offset(12)), Some(Offset(0))));
    let mut second = opened.take_over(START, None, &publisher()).await.unwrap();
    assert_published(&store, 0..12).await;

    // The predecessor wakes up: it can neither publish nor append, and what is visible stays as it is.
    assert!(matches!(first.publish(&publisher(), SealReason::Size).await, Err(JournalError::Fenced)));
    assert!(matches!(first.append(batch(12..13, false)).await, Err(JournalError::Fenced)) || first.head().is_seal());
    second.append(batch(12..20, true)).await.unwrap();
    second.publish(&publisher(), SealReason::Size).await.unwrap();
    assert_published(&store, 0..20).await;
    second.append(batch(20..21, false)).await.unwrap();
    assert_eq!(open(&store).await.unwrap().published_end(), Some(Offset(20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn unsealed_rows_of_a_dead_writer_are_published_with_the_successors() {
    let store = in_memory();
    let mut first = take_over(&store).await;
    first.append(batch(0..9, false)).await.unwrap();
    let memory = first.head().memory();
    drop(first);

    let opened = open(&store).await.unwrap();
    assert_eq!((opened.end_offset(), opened.memory()), (Some(Offset(9)), memory));
    let mut second = opened.take_over(START, None, &publisher()).await.unwrap();
    assert_eq!(second.head().barren_takeovers, 1);
    second.append(batch(9..11, true)).await.unwrap();
    assert_eq!(second.head().barren_takeovers, 0);
    second.publish(&publisher(), SealReason::Size).await.unwrap();
    assert_published(&store, 0..11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_was_cut_off_is_completed_and_rewrites_nothing() {
    let store = in_memory();
    let mut first = take_over(&store).await;
    first.append(batch(0..30, true)).await.unwrap();
    first.publish(&publisher(), SealReason::Size).await.unwrap();
    // As if the process had died between two files: the empty record and some of the files were never written.
    let head = store.first(&Path::from("_journal"), |key| Some(key.clone())).await.unwrap().unwrap();
    store.files.delete(&head).await.unwrap();
    let frames: Vec<ObjectMeta> = store.files.list(Some(&Path::from("frames"))).try_collect().await.unwrap();
    store.files.delete(&frames[1].location).await.unwrap();
    let kept = store.files.head(&frames[0].location).await.unwrap();

    take_over(&store).await;
    assert_published(&store, 0..30).await;
    assert_eq!(store.files.head(&frames[0].location).await.unwrap().e_tag, kept.e_tag);
}

/// A frame is named, its owner dies, and so on: how each next owner has to go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_is_given_up_once_three_owners_have_died_working_on_it_alone_and_no_other_is() {
    let store = in_memory();
    let caution = || async { open(&store).await.unwrap().caution() };
    let alone = Caution { eager: true, alone: true, condemned: None };
    let name = |offset| Batch { note: Note::Suspect(Offset(offset)), ..batch(offset..offset, false) };
    take_over(&store).await;
    assert_eq!(caution().await, Caution::default());
    take_over(&store).await;
    assert_eq!(caution().await, Caution { eager: true, ..Caution::default() }, "the second owner in a row without progress");
    take_over(&store).await;
    assert_eq!(caution().await, alone, "the third");

    // One that makes progress, up to the frame that kills: suspicion goes from frame to frame.
    let mut owner = take_over(&store).await;
    owner.append(name(0)).await.unwrap();
    owner.append(batch(0..1, false)).await.unwrap();
    assert_eq!((owner.head().suspect, owner.head().barren_takeovers), (None, 0));
    owner.append(name(1)).await.unwrap();
    for deaths in 1..=3 {
        let condemned = (deaths == 3).then_some(Offset(1));
        assert_eq!(caution().await, Caution { condemned, ..alone }, "after {deaths} deaths");
        // An owner that dies before it works on the frame proves nothing.
        take_over(&store).await;
        assert_eq!(caution().await, Caution { condemned, ..alone }, "after {deaths} deaths");
        take_over(&store).await.append(name(1)).await.unwrap();
    }

    // Nothing but its row, or a living process that gives the partition up, ends the suspicion.
    let mut owner = take_over(&store).await;
    owner.append(Batch { note: Note::LeftInPeace, ..batch(1..1, false) }).await.unwrap();
    assert_eq!(caution().await, Caution::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pipelines_journal_and_a_damaged_record_are_refused() {
    let store = in_memory();
    take_over(&store).await;
    let log = Log::new(store.clone(), &partition(), Metrics::new());
    let other = Opened::open(log, partition(), writer("cluster/other")).await;
    assert!(matches!(other, Err(JournalError::Foreign { found, .. }) if found == "cluster/group"));

    let head = store.first(&Path::from("_journal"), |key| Some(key.clone())).await.unwrap().unwrap();
    let whole = store.files.get(&head).await.unwrap().bytes().await.unwrap();
    for damaged in [whole.slice(..40), whole.slice(..0)] {
        store.files.put(&head, damaged.into()).await.unwrap();
        let error = open(&store).await.err().unwrap();
        assert!(matches!(&error, JournalError::Damaged { path, .. } if *path == head.to_string()), "{error}");
    }
    // A record under another's name says so.
    let elsewhere = Path::from(format!("_journal/cams/0/{:020}.arrow", u64::MAX - 9));
    store.files.put(&elsewhere, whole.into()).await.unwrap();
    assert!(open(&store).await.err().unwrap().to_string().contains("seq 0, its name says 9"));
}

/// What a store answers to a create, in turn; after that it behaves.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// As it should be.
    Fine,
    /// Nothing is written and "already exists" is answered, as where two writes collide (409).
    Conflict,
    /// Nothing is written and an error is answered.
    Refused,
    /// It is written and an error is answered.
    Lost,
    /// It is written and "already exists" is answered, as after a hidden retry.
    HiddenRetry,
}

#[derive(Debug)]
struct Moody {
    inner: InMemory,
    answers: Vec<Answer>,
    asked: AtomicUsize,
}

impl fmt::Display for Moody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("moody")
    }
}

#[async_trait]
impl ObjectStore for Moody {
    async fn put_opts(&self, path: &Path, payload: PutPayload, opts: PutOptions) -> object_store::Result<PutResult> {
        let answer =
            if opts.mode == PutMode::Create { self.answers.get(self.asked.fetch_add(1, Ordering::Relaxed)) } else { None };
        let error = || object_store::Error::Generic { store: "moody", source: "503".into() };
        match answer {
            None | Some(Answer::Fine) => self.inner.put_opts(path, payload, opts).await,
            Some(Answer::Conflict) => Err(object_store::Error::AlreadyExists { path: path.to_string(), source: "409".into() }),
            Some(Answer::Refused) => Err(error()),
            Some(Answer::Lost) => self.inner.put_opts(path, payload, opts).await.and(Err(error())),
            Some(Answer::HiddenRetry) => {
                self.inner.put_opts(path, payload.clone(), opts.clone()).await?;
                self.inner.put_opts(path, payload, opts).await
            }
        }
    }

    async fn put_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, opts).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_or_wrong_takes_effect_exactly_once() {
    use Answer::{Conflict, Fine, HiddenRetry, Lost, Refused};
    for answers in [
        vec![Lost],
        vec![Refused],
        vec![Conflict],
        vec![HiddenRetry],
        vec![Refused, Conflict, Lost],
        vec![Refused, HiddenRetry],
        // Takeover and append go well, the first data file does not.
        vec![Fine, Fine, Lost],
        vec![Fine, Fine, Refused],
        vec![Fine, Fine, Conflict],
        vec![Fine, Fine, Fine, Conflict, Lost],
    ] {
        let moody = Moody { inner: InMemory::new(), answers: answers.clone(), asked: AtomicUsize::new(0) };
        let store = Store::of(Arc::new(moody));
        let mut journal = take_over(&store).await;
        journal.append(batch(0..4, true)).await.unwrap_or_else(|error| panic!("{answers:?}: {error}"));
        journal.publish(&publisher(), SealReason::Size).await.unwrap();
        assert_published(&store, 0..4).await;
        let seqs: BTreeSet<_> = journal_folder(&store).await.into_iter().collect();
        assert_eq!(seqs.len(), 3, "{answers:?}");
    }
}

proptest::proptest! {
    /// A data file's path says which table, hour, partition, seal and offsets it holds, and no two seals share one.
    #[test]
    fn a_data_files_path_says_what_it_holds(
        topic in "[a-zA-Z0-9._-]{1,40}", number in 0..10_000_i32, seq in 0..u64::MAX / 2, first in 0..1_i64 << 40, count in 1..1_000_i64,
        hours in proptest::collection::btree_set(0..70_000_000_i64, 1..5),
    ) {
        let partition = Partition { topic: topic.as_str().into(), number };
        let rows = Table::ALL.map(|table| (table, hours.iter().map(|hour| (Hour(*hour), 3)).collect()));
        let unsealed = Unsealed { rows: rows.into(), ..Unsealed::starting(Seq(seq), Offset(first)) };
        let header = Header { unsealed, end_offset: Offset(first + count), ..samples::header(Seq(seq)) };
        let files = data_files(&partition, &header);
        proptest::prop_assert_eq!(files.len(), 3 * hours.len());
        for file in &files {
            // <table>/event_date=YYYY-MM-DD/event_hour=H/<topic>-<partition>-<seq>-<first>-<end>.parquet
            let [table, date, hour, name] = file.path.split('/').collect::<Vec<_>>()[..] else { panic!("{}", file.path) };
            proptest::prop_assert_eq!(table, file.table.name());
            let day = chrono::NaiveDate::parse_from_str(date.strip_prefix("event_date=").unwrap(), "%Y-%m-%d").unwrap();
            let of_day: i64 = hour.strip_prefix("event_hour=").unwrap().parse().unwrap();
            let start = day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp() / 3_600;
            proptest::prop_assert_eq!(Hour(start + of_day), file.hour);
            let expected = format!("{topic}-{number}-{seq}-{first}-{}.parquet", first + count);
            proptest::prop_assert_eq!(name, expected);
        }
        let later = Header { seq: Seq(seq + 1), ..header };
        let paths = |files: &[DataFile]| files.iter().map(|file| file.path.clone()).collect::<BTreeSet<_>>();
        proptest::prop_assert!(paths(&files).is_disjoint(&paths(&data_files(&partition, &later))));
    }
}
