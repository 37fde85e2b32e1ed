//! What lanes report: sources that fall silent, rows that wait, lag; and that nothing is left of a lane that is gone.

use facestream_schemas::{Micros, SourceId};

use super::*;
use crate::metrics::{Activity, Queue, Since, Until};

/// Active and silent sources, and rows that wait for their append.
fn reported(lanes: &Lanes) -> [i64; 3] {
    let (sources, queues) = (&lanes.metrics.sources, &lanes.metrics.queue_depth);
    [sources.of(Activity::Active).get(), sources.of(Activity::Silent).get(), queues.of(Queue::Append).get()]
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_told_from_an_active_one_and_a_lane_that_is_gone_counts_for_nothing() {
    let mut lanes = lanes(&Store::of(Arc::new(InMemory::new())));
    lanes.rolling.append_every = Duration::from_hours(1);
    let (lane, at) = start(&lanes).await;
    let tell = async |offset: i64, high: i64| {
        let position = Position { bound: offset as u64, offset: Offset(offset), high: Some(Offset(high)) };
        lane.orders.send(Order::Position(position)).await.expect("the lane runs");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let overview = || lanes.board.overview()[&partition()];
    assert_eq!(overview().standing, Standing::Opening);
    tell(0, 5).await;
    assert_eq!((overview().standing, overview().lag.records), (Standing::Running, Some(5)));
    assert_eq!(reported(&lanes), [0, 0, 0]);

    // Message 1 is missing: 2 waits in the lane as well.
    finish(&lane, at, &[0, 2]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    tell(0, 5).await;
    assert_eq!(reported(&lanes), [1, 0, 2]);
    let seen = |active| SourceSeen {
        source: SourceId::new("door"),
        partition: partition(),
        active,
        watermark: Micros(samples::NOON - 2_000_000),
    };
    assert_eq!(lanes.board.sources(), Sources { active: 1, silent: 0, list: vec![seen(true)] });
    assert_eq!(overview().lag.records, Some(4));

    tokio::time::sleep(Duration::from_secs(30)).await;
    tell(0, 5).await;
    assert_eq!(reported(&lanes), [0, 1, 2]);
    assert_eq!(lanes.board.sources(), Sources { active: 0, silent: 1, list: vec![seen(false)] });

    drop(lane);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reported(&lanes), [0, 0, 0]);
    lanes.board.dismiss(&partition());
    assert_eq!((lanes.board.sources(), lanes.board.overview().len()), (Sources::default(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_counted_once_a_frame_from_both_times() {
    let lanes = lanes(&Store::of(Arc::new(InMemory::new())));
    let (lane, at) = start(&lanes).await;
    finish(&lane, at, &[1, 2, 0]).await;
    assert_eq!(leave(&lane, 3).await, Some(Offset(3)));
    let count = |since| lanes.metrics.e2e_seconds.of((since, Until::Appended)).get_sample_count();
    assert_eq!([Since::Event, Since::Record].map(count), [3, 3]);
    assert_eq!(reported(&lanes)[2], 0, "nothing waits any more");
}
