//! What readers see at the end of a run, against what they should see.
//!
//! In: the store's objects, the topic. Out: nothing, or what is wrong. Knows no journal: it reads the Parquet files.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use facestream_schemas::Offset;
use facestream_schemas::tables::Table;
use facestream_stages::aggregate::{WindowState, Windows};
use facestream_stages::track::{TrackState, Tracks};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::time::Instant;

use super::topic::{Topic, row};
use super::{Verdict, outbox, tracks, windows};

/// Every row of a table that is visible.
async fn visible(objects: &InMemory, table: Table) -> Vec<RecordBatch> {
    let files: Vec<ObjectMeta> = objects.list(Some(&Path::from(table.name()))).try_collect().await.expect("a list");
    let mut rows = Vec::new();
    for file in files {
        let bytes = objects.get(&file.location).await.expect("a file").bytes().await.expect("its bytes");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file").build().expect("its rows");
        rows.extend(reader.map(|batch| batch.expect("rows")));
    }
    rows
}

/// How often each message is there.
fn count(rows: &[RecordBatch]) -> BTreeMap<i64, usize> {
    let mut counts = BTreeMap::new();
    for offset in rows.iter().flat_map(|rows| rows["kafka_offset"].as_primitive::<Int64Type>().values().to_vec()) {
        *counts.entry(offset).or_default() += 1;
    }
    counts
}

/// A face by its offset and place, and its track.
type Tracked = (i64, i32, Option<String>);

fn tracked(rows: &[RecordBatch]) -> Vec<Tracked> {
    let mut all = Vec::new();
    for rows in rows {
        let offsets = rows["kafka_offset"].as_primitive::<Int64Type>();
        let places = rows["detection_idx"].as_primitive::<Int32Type>();
        let ids = arrow::compute::cast(&rows["track_id"], &DataType::Utf8).expect("text");
        let ids = ids.as_string::<i32>().iter().map(|id| id.map(str::to_owned));
        all.extend(offsets.values().iter().zip(places.values()).zip(ids).map(|((offset, place), id)| (*offset, *place, id)));
    }
    all.sort();
    all
}

/// A window by its source and start, and its counts: ok, failed, faces, late, tracks.
type Counted = (String, i64, [i64; 5]);

fn counted(rows: &[RecordBatch]) -> Vec<Counted> {
    let mut all = Vec::new();
    for rows in rows {
        let sources = arrow::compute::cast(&rows["source_id"], &DataType::Utf8).expect("text");
        let starts = rows["window_start"].as_primitive::<TimestampMicrosecondType>();
        let numbers = ["frames_ok", "frames_failed", "faces_total", "late_frames", "tracks_started"]
            .map(|name| rows[name].as_primitive::<Int64Type>());
        for n in 0..rows.num_rows() {
            all.push((sources.as_string::<i32>().value(n).to_owned(), starts.value(n), numbers.map(|column| column.value(n))));
        }
    }
    all.sort();
    all
}

/// What tracks and windows come to when all messages are seen once, in order, by one process.
fn reference(topic: &Topic) -> (Vec<Tracked>, Vec<Counted>) {
    let now = Instant::now().into_std();
    let mut all_tracks = Tracks::new("cams".into(), 0, tracks(), TrackState::default());
    let mut all_windows = Windows::new("cams".into(), 0, windows(), WindowState::default(), now).counting_tracks(true);
    let (mut faces, mut closed): (Vec<Tracked>, Vec<Counted>) = Default::default();
    for offset in topic.messages() {
        let mut row = row(*offset);
        all_tracks.follow(&mut row);
        let ids = row.outcome.iter().flatten().map(|face| face.track.as_ref().map(|track| track.id.to_string()));
        faces.extend(ids.zip(0..).map(|(id, place)| (offset.0, place, id)));
        closed.extend(all_windows.add(&row, now).closed.into_iter().map(|window| {
            let tracks = window.tracks_started.expect("faces are tracked");
            let counts = [window.frames_ok, window.frames_failed, window.faces_total, window.late_frames, tracks];
            (window.source_id.to_string(), window.window_start.0, counts)
        }));
    }
    closed.sort();
    (faces, closed)
}

/// Every message once in `frames`, its faces once in `detections` and each with its track, every window once, and a dead letter of
/// every message that failed.
pub(super) async fn check(world: &Arc<super::store::World>, topic: &Topic) -> Verdict {
    let objects = &world.objects;
    let frames = count(&visible(objects, Table::Frames).await);
    let faces = visible(objects, Table::Detections).await;
    let detections = count(&faces);
    let faces_of = |offset: &Offset| row(*offset).outcome.map_or(0, |faces| faces.len());
    for offset in topic.messages() {
        let seen = [frames.get(&offset.0).copied().unwrap_or(0), detections.get(&offset.0).copied().unwrap_or(0)];
        let expected = [1, faces_of(offset)];
        if seen[0] > expected[0] || seen[1] > expected[1] {
            return Verdict::Doubled(*offset);
        }
        if seen != expected {
            return Verdict::Lost(*offset);
        }
    }
    let letters = world.letters.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_untold = |offset: &&Offset| row(**offset).outcome.is_err() && !letters.contains(&outbox::key(**offset));
    if let Some(offset) = topic.messages().iter().find(is_untold) {
        return Verdict::Untold(*offset);
    }
    let (tracks, windows) = reference(topic);
    let seen = tracked(&faces);
    if let Some((seen, expected)) = seen.iter().zip(&tracks).find(|(seen, expected)| seen != expected) {
        return Verdict::Tracks(format!("{seen:?} instead of {expected:?}"));
    }
    let (seen, expected) = (counted(&visible(objects, Table::Windows).await), windows);
    if seen == expected { Verdict::Sound } else { Verdict::Windows(format!("{seen:?} instead of {expected:?}")) }
}

/// The names of all objects: the story of a run, to be compared.
pub(super) async fn names(world: &super::store::World) -> Vec<String> {
    let objects: Vec<ObjectMeta> = world.objects.list(None).try_collect().await.expect("a list");
    objects.into_iter().map(|object| object.location.to_string()).collect()
}
