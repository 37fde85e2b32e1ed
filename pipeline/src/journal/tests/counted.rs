//! What is counted of appends, seals and files, against what the samples are known to hold.

use prometheus::Histogram;

use super::*;
use crate::metrics::{Append, Labels as _, Since, Until};

/// A journal, opened and taken over by a process with these metrics.
async fn taken_over(store: &Store, metrics: &Metrics) -> Journal {
    let log = Log::new(store.clone(), &partition(), metrics.clone());
    let opened = Opened::open(log, partition(), writer("cluster/group")).await.unwrap();
    opened.take_over(START, None, &publisher_of(metrics)).await.unwrap()
}

fn publisher_of(metrics: &Metrics) -> Publisher {
    Publisher::new(Handle::current(), metrics.clone())
}

/// Files and rows of a table that became visible for this reason.
fn shown(metrics: &Metrics, table: Table, why: Roll) -> (u64, u64) {
    (metrics.files.of((table, why)).get(), metrics.rows.of((table, why)).get())
}

fn count(histogram: &Histogram) -> u64 {
    histogram.get_sample_count()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_count_for_what_sealed_them_and_those_of_a_seal_that_was_found_as_recovery() {
    let store = in_memory();
    let before = Metrics::new();
    let mut first = taken_over(&store, &before).await;
    first.append(batch(0..7, false)).await.unwrap();
    first.append(batch(7..12, true)).await.unwrap();
    first.publish(&publisher_of(&before), SealReason::Hour).await.unwrap();
    // Ten offsets an hour make two folders; there is a face on each even offset but 10.
    let by_hour = Roll::By(SealReason::Hour);
    assert_eq!(shown(&before, Table::Frames, by_hour), (2, 12));
    assert_eq!(shown(&before, Table::Detections, by_hour), (1, 5));
    assert_eq!(shown(&before, Table::Frames, Roll::Recovery), (0, 0));
    assert_eq!((before.seals.of(SealReason::Hour).get(), count(&before.seal_bytes)), (1, 1));
    let appends = [Append::Takeover, Append::Rows, Append::Seal, Append::Empty];
    assert_eq!(appends.map(|kind| count(before.append_seconds.of(kind))), [1, 1, 1, 1]);
    let of_seal = before.append_bytes.of(Append::Rows).get_sample_sum() + before.append_bytes.of(Append::Seal).get_sample_sum();
    // The takeover's record counts into the seal, too.
    let all = of_seal + before.append_bytes.of(Append::Takeover).get_sample_sum();
    assert!((before.seal_bytes.get_sample_sum() - all).abs() < 0.5, "{} of {all}", before.seal_bytes.get_sample_sum());
    let visible =
        |metrics: &Metrics| [Since::Event, Since::Record].map(|since| count(metrics.e2e_seconds.of((since, Until::Visible))));
    assert_eq!(visible(&before), [12, 12]);
    assert_eq!(count(before.file_bytes.of(Table::Frames)), 2);

    // A process that dies with its seal won.
    first.append(batch(12..15, true)).await.unwrap();
    drop(first);
    let after = Metrics::new();
    taken_over(&store, &after).await;
    assert_eq!(shown(&after, Table::Frames, Roll::Recovery), (1, 3));
    assert_eq!(visible(&after), [3, 3]);
    assert_eq!(count(&after.publish_seconds), 1);
    let all: u64 = SealReason::all().into_iter().map(|reason| after.seals.of(reason).get()).sum();
    assert_eq!(all, 0, "it found a seal, and made none");

    // What is visible already is no news to the next one.
    let head = store.first(&Path::from("_journal"), |key| Some(key.clone())).await.unwrap().unwrap();
    store.files.delete(&head).await.unwrap();
    let late = Metrics::new();
    taken_over(&store, &late).await;
    assert_eq!((shown(&late, Table::Frames, Roll::Recovery), visible(&late)), ((0, 0), [0, 0]));
    assert_published(&store, 0..15).await;
}
