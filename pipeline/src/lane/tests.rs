//! Lanes on a store in memory: whatever the order in which workers finish, and whenever a lane is dropped, every offset is in
//! the journal once.

mod pictured;
mod reported;

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use facestream_schemas::tables::Table;
use object_store::memory::InMemory;
use prometheus::IntGauge;
use proptest::prelude::*;

use super::*;
use crate::journal::header::{Seq, Suspect};
use crate::journal::samples;

pub(crate) fn lanes(store: &Store) -> Lanes {
    let metrics = Metrics::new();
    let gauge = |name| IntGauge::new(name, "help").expect("a gauge");
    Lanes {
        runtime: Handle::current(),
        store: store.clone(),
        writer: Arc::new(Writer { pipeline_id: "cluster/group".to_owned(), owner: "test".to_owned(), model_sha256: None }),
        publisher: Publisher::new(Handle::current(), metrics.clone()),
        tracks: None,
        windows: WindowSettings {
            length: Duration::from_mins(1),
            max_out_of_orderness: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(30),
            late: facestream_stages::aggregate::Late::Drop,
        },
        rolling: Rolling { append_every: Duration::ZERO, roll_bytes: u64::MAX, roll_every: Duration::from_hours(1) },
        retention: Duration::from_hours(24),
        takeovers: Takeovers::default(),
        pending_rows: Budget::new(1 << 20, gauge("used"), gauge("peak")),
        outbox: None,
        telling: Telling::default(),
        pictures: None,
        board: Board::default(),
        metrics,
    }
}

fn partition() -> Partition {
    Partition { topic: "cams".into(), number: 0 }
}

async fn start(lanes: &Lanes) -> (LaneHandle, Offset) {
    let opened = lanes.open(partition()).await.expect("a journal");
    let at = opened.end_offset().unwrap_or(Offset(0));
    (lanes.start(opened, Resume::at(at), None), at)
}

/// Offsets of `frames` rows in the journal's records, in order of the log.
async fn appended(lanes: &Lanes) -> Vec<i64> {
    let log = Log::new(lanes.store.clone(), &partition(), lanes.metrics.clone());
    let mut offsets = Vec::new();
    let mut seq = Seq(0);
    while let Some(record) = log.read(seq).await.expect("a record") {
        for (table, _, rows) in record.batches().expect("rows") {
            if table == Table::Frames {
                offsets.extend_from_slice(rows["kafka_offset"].as_primitive::<Int64Type>().values());
            }
        }
        seq = seq.next();
    }
    offsets
}

async fn finish(lane: &LaneHandle, start: Offset, numbers: &[u64]) {
    let gauge = IntGauge::new("gauge", "help").expect("a gauge");
    let in_flight = Budget::new(1 << 20, gauge.clone(), gauge);
    for number in numbers {
        let row = samples::frame(start.0 + *number as i64);
        // A lane that was fenced is gone; its messages go nowhere.
        let _ =
            lane.rows.send(Finished { number: *number, row, outgoing: Vec::new(), shot: None, permit: in_flight.take(1) }).await;
    }
}

/// Where the journal ends once the lane has left; `None` if it was fenced meanwhile.
async fn leave(lane: &LaneHandle, wait_for: u64) -> Option<Offset> {
    let (done, end) = oneshot::channel();
    let leave = Leave { wait_for, seal: false, close_windows: false };
    lane.orders.send(Order::Leave(leave, done)).await.ok()?;
    end.await.ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Some messages finish in any order, the lane is dropped; its successor goes on at the journal's end and gets the rest.
    #[test]
    fn a_dropped_lanes_messages_are_in_the_journal_once_in_the_end(
        order in (1..60_u64).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
        finished in 0..60_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let total = order.len() as i64;
            let lanes = lanes(&Store::of(Arc::new(InMemory::new())));
            let (lane, at) = start(&lanes).await;
            finish(&lane, at, &order[..finished.min(order.len())]).await;
            drop(lane);

            // The first lane's last append may land after the second has looked: then that is fenced and starts over.
            loop {
                let (lane, at) = start(&lanes).await;
                let rest: Vec<_> = (0..(total - at.0) as u64).rev().collect();
                finish(&lane, at, &rest).await;
                if let Some(end) = leave(&lane, rest.len() as u64).await {
                    assert_eq!(end, Offset(total));
                    break;
                }
            }
            assert_eq!(appended(&lanes).await, (0..total).collect::<Vec<_>>());
        });
    }
}

/// An upgrade or another configuration: the successor has another model, other windows and another rhythm.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_is_configured_differently_goes_on_exactly() {
    let store = Store::of(Arc::new(InMemory::new()));
    let before = lanes(&store);
    let (lane, at) = start(&before).await;
    finish(&lane, at, &[0, 1, 2]).await;
    assert_eq!(leave(&lane, 3).await, Some(Offset(3)));

    let writer = Writer { model_sha256: Some("another".to_owned()), ..(*before.writer).clone() };
    let windows = WindowSettings { length: Duration::from_mins(5), ..before.windows };
    let rolling = Rolling { append_every: Duration::from_hours(1), ..before.rolling };
    let after = Lanes { writer: Arc::new(writer), windows, rolling, board: Board::default(), ..before };
    let (lane, at) = start(&after).await;
    assert_eq!(at, Offset(3));
    finish(&lane, at, &[0, 1]).await;
    assert_eq!(leave(&lane, 2).await, Some(Offset(5)));
    assert_eq!(appended(&after).await, [0, 1, 2, 3, 4]);

    // Frames are six minutes apart: each closes the window before, of the length that it was opened with, and none overlap.
    let log = Log::new(store, &partition(), after.metrics.clone());
    let (mut lengths, mut seq) = (Vec::new(), Seq(0));
    while let Some(record) = log.read(seq).await.expect("a record") {
        for (_, _, rows) in record.batches().expect("rows").into_iter().filter(|(table, ..)| *table == Table::Windows) {
            let times = |name: &str| rows[name].as_primitive::<TimestampMicrosecondType>().values().to_vec();
            let minutes = times("window_start").into_iter().zip(times("window_end"));
            lengths.extend(minutes.map(|(start, end)| (end - start) / 60_000_000));
        }
        seq = seq.next();
    }
    assert_eq!(lengths, [1, 1, 1, 5]);
}

/// A name in the takeover's own record is only hearsay: who died must be known to have worked on the frame.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_an_owner_before_has_named_is_named_again() {
    let lanes = lanes(&Store::of(Arc::new(InMemory::new())));
    let log = Log::new(lanes.store.clone(), &partition(), lanes.metrics.clone());
    for deaths in 0..3 {
        let (lane, _) = start(&lanes).await;
        // Asked before the takeover can have been won.
        lane.name(Offset(0)).await.expect("a lane that names it");
        let suspect = log.head().await.expect("a log").and_then(|record| record.header.suspect);
        assert_eq!(suspect, Some(Suspect { offset: Offset(0), deaths, working: true }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_appends_what_is_complete_and_no_more() {
    let lanes = lanes(&Store::of(Arc::new(InMemory::new())));
    let (lane, at) = start(&lanes).await;
    finish(&lane, at, &[0, 1, 2, 4, 5]).await;
    // What the lane has seen is not known from outside; the three in order come through before it can leave with them.
    while lanes.board.progress()[&partition()].collected_end < Offset(3) {
        tokio::task::yield_now().await;
    }
    assert_eq!(leave(&lane, 0).await, Some(Offset(3)));
    assert_eq!(appended(&lanes).await, [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_beyond_the_last_message_is_only_taken_once_nothing_is_in_flight() {
    let lanes = lanes(&Store::of(Arc::new(InMemory::new())));
    let (lane, at) = start(&lanes).await;
    let position = Position { bound: 2, offset: Offset(9), high: None };
    finish(&lane, at, &[0]).await;
    lane.orders.send(Order::Position(position)).await.expect("the lane runs");
    lane.orders.send(Order::Position(position)).await.expect("the lane runs");
    while lanes.board.progress()[&partition()].journal_end < Some(Offset(1)) {
        tokio::task::yield_now().await;
    }
    assert_eq!(lanes.board.progress()[&partition()].journal_end, Some(Offset(1)), "message 1 is still being worked on");
    finish(&lane, at, &[1]).await;
    while lanes.board.progress()[&partition()].collected_end < Offset(2) {
        tokio::task::yield_now().await;
    }
    lane.orders.send(Order::Position(position)).await.expect("the lane runs");
    assert_eq!(leave(&lane, 2).await, Some(Offset(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_fenced_reports_it_and_a_replaced_one_reports_in_vain() {
    let lanes = lanes(&Store::of(Arc::new(InMemory::new())));
    let (first, at) = start(&lanes).await;
    while lanes.board.progress()[&partition()].journal_end.is_none() {
        tokio::task::yield_now().await;
    }
    let elsewhere = Lanes { board: Board::default(), ..lanes.clone() };
    let (second, _) = start(&elsewhere).await;
    finish(&second, at, &[0, 1]).await;
    assert_eq!(leave(&second, 2).await, Some(Offset(2)));

    finish(&first, at, &[0]).await;
    let ended = loop {
        if let Some(ended) = lanes.board.take_ended().pop() {
            break ended;
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(ended.error, JournalError::Fenced), "{}", ended.error);
    assert_eq!((ended.lane, appended(&lanes).await), (first.id, vec![0, 1]));

    // A new lane takes the partition's place on the board: the old one's id no longer counts.
    let (third, _) = start(&lanes).await;
    lanes.board.appended(first.id, &partition(), Offset(77), true);
    let progress: BTreeMap<_, _> = lanes.board.progress();
    assert!(!progress[&partition()].has_appended && progress[&partition()].journal_end != Some(Offset(77)));
    assert_ne!(third.id, first.id);
}
