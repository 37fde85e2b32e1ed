//! What the live page shows of scripted frames: never a face, nothing that nobody asked for, and no more than it may keep.

use facestream_schemas::{Bbox, Detection, MessageKey, Offset, ScoreKind, Size, TsOrigin};
use facestream_stages::annotate::Easel;
use facestream_stages::decode::Image;

use super::*;

const SIZE: Size = Size { w: 160, h: 90 };
/// Where the face is, which is red; the rest is grey.
const FACE: Bbox = Bbox { x: 60.0, y: 20.0, w: 40.0, h: 50.0 };

fn live(blur: bool) -> Live {
    Live::new(Settings { blur, silent_after: Duration::from_secs(30), workers: 1 }, Metrics::new())
}

fn meta(source: &str, offset: i64) -> FrameMeta {
    FrameMeta {
        key: MessageKey { topic: "frames".into(), partition: 0, offset: Offset(offset) },
        frame_id: String::new(),
        source_id: SourceId::new(source),
        frame_seq: None,
        capture_ts: facestream_schemas::Micros(1_700_000_000_000_000 + offset * 300_000),
        ts_origin: TsOrigin::Record,
        record_ts: facestream_schemas::Micros(0),
        content_type: None,
        size_bytes: 0,
    }
}

/// A chessboard of red and white where the face is: no blurred picture has one.
fn pixels() -> Vec<u8> {
    let at = |x: u32, y: u32| {
        let inside = (60..100).contains(&x) && (20..70).contains(&y);
        match (inside, (x / 5 + y / 5) % 2) {
            (true, 0) => [255, 0, 0],
            (true, _) => [255, 255, 255],
            (false, _) => [90; 3],
        }
    };
    (0..SIZE.h).flat_map(|y| (0..SIZE.w).flat_map(move |x| at(x, y))).collect()
}

fn face() -> Detection {
    Detection { bbox: FACE, score: Some(0.9), score_kind: ScoreKind::Prob, landmarks: None, track: None }
}

fn told(faces: Option<u32>) -> Told {
    let error = faces.is_none().then(|| "broken".to_owned());
    Told { status: if faces.is_some() { "ok" } else { "decode_error" }, error, skipped: false, faces, image: Some(SIZE) }
}

/// Works on a frame as a worker does.
fn work(turn: Turn, faces: &[Detection], weak: &[Bbox]) {
    let mut easel = Easel::default();
    let pixels = pixels();
    let glimpse = turn.glance(&Image { pixels: &pixels, size: SIZE, original: SIZE }, faces, weak, &mut easel);
    turn.finish(told(Some(faces.len() as u32)), glimpse, &mut easel);
}

/// Whether the face can be seen in a JPEG: neighbouring squares of the board differ.
fn is_unmasked(jpeg: &[u8]) -> bool {
    let image = turbojpeg::decompress(jpeg, turbojpeg::PixelFormat::RGB).unwrap();
    let green = |x: usize, y: usize| i32::from(image.pixels[y * image.pitch + x * 3 + 1]);
    assert_eq!((image.width, image.height), (160, 90));
    (0..6).any(|square| (green(67 + square * 5, 42) - green(72 + square * 5, 42)).abs() > 100)
}

fn id_of(live: &Live, source: &str) -> u64 {
    live.sources().iter().find(|report| report.source_id.as_str() == source).expect("a source").id
}

/// Lets a picture be taken at every frame: the limit is by the clock.
fn let_the_next_be_taken(live: &Live, id: u64) {
    let inner = live.0.as_ref().unwrap();
    inner.sources().by_id[&id].forget_taken();
}

fn images(live: &Live) -> u64 {
    live.0.as_ref().unwrap().metrics.live_images.get()
}

/// All pictures of a camera whose detector finds the face in the frames that `finds` names (strongly or weakly).
fn shown(live: &Live, frames: i64, strong: impl Fn(i64) -> bool, weak: impl Fn(i64) -> bool) -> Vec<Bytes> {
    let mut shown: Vec<(u64, Bytes)> = Vec::new();
    work(live.turn(&meta("door", 0)), &[face()], &[]);
    let id = id_of(live, "door");
    for offset in 1..=frames {
        let _ = live.watch(id);
        let_the_next_be_taken(live, id);
        let strong = if strong(offset) { vec![face()] } else { Vec::new() };
        let weak = if weak(offset) { vec![FACE] } else { Vec::new() };
        work(live.turn(&meta("door", offset)), &strong, &weak);
        if let Sight::Picture(number, jpeg) = live.watch(id)
            && shown.last().is_none_or(|(last, _)| *last != number)
        {
            shown.push((number, jpeg));
        }
    }
    shown.into_iter().map(|(_, jpeg)| jpeg).collect()
}

#[test]
fn no_picture_shows_a_face_that_the_detector_misses_for_a_frame_or_scores_low() {
    for missed in [1, 2, 10, 19, 20] {
        let live = live(true);
        let pictures = shown(&live, 20, |offset| offset != missed, |_| false);
        assert_eq!(pictures.len(), 19, "every frame but the last is shown");
        assert!(pictures.iter().all(|jpeg| !is_unmasked(jpeg)), "missed at {missed}");
    }
    let pictures = shown(&live(true), 20, |_| false, |_| true);
    assert!(pictures.iter().all(|jpeg| !is_unmasked(jpeg)), "below the rows' threshold");
    // The check itself can tell: without blurring the face is there.
    let live = live(false);
    let pictures = shown(&live, 5, |_| true, |_| false);
    assert!(pictures.len() == 5 && pictures.iter().all(|jpeg| is_unmasked(jpeg)), "blur = false shows faces, at once");
}

#[test]
fn a_frame_that_no_detector_has_looked_at_is_not_shown() {
    let live = live(true);
    work(live.turn(&meta("door", 0)), &[face()], &[]);
    let id = id_of(&live, "door");
    let _ = live.watch(id);
    for offset in 1..5 {
        live.turn(&meta("door", offset)).finish(told(None), None, &mut Easel::default());
    }
    assert_eq!(live.watch(id), Sight::Nothing);
    assert_eq!(live.failures().len(), 4);
    assert_eq!(live.failures()[0].offset, 4, "the newest first");
}

#[test]
fn nothing_is_made_of_a_source_that_nobody_asks_for() {
    let live = live(true);
    for offset in 0..10 {
        work(live.turn(&meta("unwatched", offset)), &[face()], &[]);
    }
    assert_eq!(images(&live), 0);
    let id = id_of(&live, "unwatched");
    assert_eq!(live.watch(id), Sight::Nothing);
    (10..13).for_each(|offset| work(live.turn(&meta("unwatched", offset)), &[face()], &[]));
    assert_eq!(images(&live), 1, "no more than four a second");
    assert!(matches!(live.watch(id), Sight::Picture(1, _)));
    assert_eq!(live.watch(id + 1), Sight::Unknown);
}

#[test]
fn a_turn_that_is_dropped_holds_up_no_picture() {
    let live = live(true);
    work(live.turn(&meta("door", 0)), &[face()], &[]);
    let id = id_of(&live, "door");
    let _ = live.watch(id);
    let (first, lost, next) = (live.turn(&meta("door", 1)), live.turn(&meta("door", 2)), live.turn(&meta("door", 3)));
    work(first, &[], &[]);
    work(next, &[face()], &[]);
    assert_eq!(live.watch(id), Sight::Nothing, "the frame that follows is not known");
    drop(lost);
    work(live.turn(&meta("door", 4)), &[], &[]);
    assert!(matches!(live.watch(id), Sight::Picture(..)));
}

#[test]
fn sources_are_bounded_and_the_least_recent_goes() {
    let live = live(true);
    for n in 0..MOST_SOURCES + 50 {
        drop(live.turn(&meta(&format!("camera-{n}"), 0)));
        let _ = live.turn(&meta("kept", n as i64));
        let inner = live.0.as_ref().unwrap();
        // Times of their own, however fast this runs.
        let source = |name: &str| Arc::clone(&inner.sources().by_key[&("frames".into(), 0, SourceId::new(name))]);
        source(&format!("camera-{n}")).seen(n as u64);
        source("kept").seen(n as u64 + 1);
    }
    let sources = live.sources();
    assert_eq!(sources.len(), MOST_SOURCES);
    assert!(sources.iter().any(|report| report.source_id.as_str() == "kept"));
    assert!(sources.iter().all(|report| report.source_id.as_str() != "camera-3"));
    assert!(sources.is_sorted_by_key(|report| report.source_id.clone()));
}

#[test]
fn at_most_64_sources_are_watched_at_a_time() {
    let live = live(false);
    (0..100).for_each(|n| work(live.turn(&meta(&format!("camera-{n}"), 0)), &[], &[]));
    let ids: Vec<_> = live.sources().iter().map(|report| report.id).collect();
    for id in &ids {
        let _ = live.watch(*id);
    }
    (0..100).for_each(|n| work(live.turn(&meta(&format!("camera-{n}"), 1)), &[], &[]));
    let pictures = ids.iter().filter(|id| matches!(live.watch(**id), Sight::Picture(..))).count();
    assert_eq!((pictures, images(&live)), (64, 64));
}

#[test]
fn sources_of_partitions_that_are_others_now_are_forgotten_after_a_while() {
    let live = live(true);
    drop(live.turn(&meta("door", 0)));
    let held = BTreeSet::from([Partition { topic: "frames".into(), number: 0 }]);
    live.tidy(&held);
    live.tidy(&BTreeSet::new());
    assert_eq!(live.sources().len(), 1, "its lane may be starting over");
    let inner = live.0.as_ref().unwrap();
    let source = Arc::clone(&inner.all()[0]);
    assert!(!source.stays(false, inner.now_ms() + 11_000, FORGOTTEN_AFTER));
    assert!(source.stays(true, inner.now_ms() + 11_000, FORGOTTEN_AFTER));
}

#[test]
fn without_a_live_page_everything_is_nothing() {
    let live = Live::off();
    work(live.turn(&meta("door", 0)), &[face()], &[]);
    live.tidy(&BTreeSet::new());
    assert!(!live.is_on() && live.sources().is_empty() && live.failures().is_empty());
    assert_eq!(live.watch(1), Sight::Unknown);
}

#[test]
fn a_worker_is_busy_for_as_long_as_it_has_a_frame_in_hand() {
    let live = live(true);
    let busy = live.busy(0);
    assert!(live.busy_so_far()[0] > Duration::ZERO);
    drop(busy);
    let done = live.busy_so_far();
    assert_eq!(live.busy_so_far(), done);
    drop(live.busy(7));
}
