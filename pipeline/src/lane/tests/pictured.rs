//! Annotated pictures of a lane: the same whatever happens to its owners, in the order of their frames, before the append that covers them.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use facestream_schemas::{Bbox, Detection, Message, ScoreKind, Size};
use facestream_stages::annotate::What;
use futures::StreamExt as _;
use object_store::ObjectStoreExt as _;
use turbojpeg::{PixelFormat, Subsamp};

use super::*;
use crate::annotate::{self, Annotator, Keep, Shot};

const SIZE: Size = Size { w: 96, h: 64 };
const FRAMES: i64 = 12;
/// The only frames in which the detector finds the face that is in all of them.
const FOUND: [i64; 2] = [1, 8];
const HOLD: u32 = 3;

/// What has been sent, in order.
#[derive(Debug, Default)]
struct Gallery(Mutex<Vec<Message>>);

impl Gallery {
    /// Offsets and pictures.
    fn shown(&self) -> Vec<(i64, Vec<u8>)> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = |message: &Message| {
            let (_, id) = message.headers.iter().find(|(name, _)| name == "event_id").expect("an id");
            let id = String::from_utf8(id.clone().expect("a value")).expect("text");
            id.rsplit('/').next().and_then(|offset| offset.parse().ok()).expect("an offset")
        };
        shown.iter().map(|message| (offset(message), message.value.clone().expect("a picture"))).collect()
    }
}

impl Outbox for Gallery {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'static, ()> {
        assert_eq!(outgoing.to, Output::Pictures);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(outgoing.message);
        futures::future::ready(()).boxed()
    }
}

/// A chessboard, which a hidden place does not have.
fn chessboard() -> Bytes {
    let pixel = |at: u32| if (at % SIZE.w / 2 + at / SIZE.w / 2).is_multiple_of(2) { [255; 3] } else { [0; 3] };
    let pixels: Vec<u8> = (0..SIZE.w * SIZE.h).flat_map(pixel).collect();
    let (width, height) = (SIZE.w as usize, SIZE.h as usize);
    let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    Bytes::from(turbojpeg::compress(image, 95, Subsamp::None).expect("a JPEG").to_vec())
}

/// The last frame but one is no picture: it cannot be annotated.
fn shot(image: &Bytes, offset: i64) -> Shot {
    let bbox = Bbox { x: 40.0, y: 20.0, w: 20.0, h: 20.0 };
    let face = Detection { bbox, score: Some(0.9), score_kind: ScoreKind::Prob, landmarks: None, track: None };
    let faces = if FOUND.contains(&offset) { vec![face] } else { Vec::new() };
    let image = if offset == FRAMES - 2 { Bytes::from_static(b"no picture") } else { image.clone() };
    Shot::of(What::Blur, image, 1_000_000, SIZE, &faces, &[])
}

async fn hand_in(lane: &LaneHandle, start: Offset, numbers: std::ops::Range<u64>, image: &Bytes) {
    let gauge = IntGauge::new("gauge", "help").expect("a gauge");
    let in_flight = Budget::new(1 << 20, gauge.clone(), gauge);
    for number in numbers.rev() {
        let offset = start.0 + number as i64;
        let (row, shot) = (samples::frame(offset), Some(shot(image, offset)));
        let _ = lane.rows.send(Finished { number, row, outgoing: Vec::new(), shot, permit: in_flight.take(1) }).await;
    }
}

/// What was sent and kept by an owner that is gone after `crash` frames, and a successor that does the rest.
async fn shown(crash: u64, image: &Bytes) -> (Vec<(i64, Vec<u8>)>, BTreeMap<String, Bytes>) {
    let (store, kept) = (Store::of(Arc::new(InMemory::new())), Store::of(Arc::new(InMemory::new())));
    let gallery = Arc::new(Gallery::default());
    let metrics = Metrics::new();
    let annotator = Annotator::start(90, 3, &metrics).expect("threads");
    let keep = Some(Keep::new(kept.clone(), metrics));
    let outbox: Arc<dyn Outbox> = Arc::clone(&gallery) as Arc<dyn Outbox>;
    let lanes = Lanes {
        outbox: Some(outbox),
        pictures: Some(Pictures { annotator, hold: Some(HOLD), to_topic: true, keep }),
        ..lanes(&store)
    };
    let (lane, at) = start(&lanes).await;
    hand_in(&lane, at, 0..crash, image).await;
    while lanes.board.progress()[&partition()].collected_end < Offset(crash as i64) {
        tokio::task::yield_now().await;
    }
    drop(lane);
    loop {
        let (lane, at) = start(&lanes).await;
        let told: Vec<_> = gallery.shown().into_iter().map(|(offset, _)| offset).collect();
        let made = (0..at.0).filter(|offset| *offset != FRAMES - 2);
        assert!(made.into_iter().all(|offset| told.contains(&offset)), "{at:?} is appended, {told:?} are shown");
        let rest = (FRAMES - at.0) as u64;
        hand_in(&lane, at, 0..rest, image).await;
        if leave(&lane, rest).await.is_some() {
            break;
        }
    }
    let listed: Vec<_> = kept.files.list(None).collect().await;
    let mut files = BTreeMap::new();
    for object in listed {
        let path = object.expect("a file").location;
        files.insert(path.to_string(), kept.files.get(&path).await.expect("a file").bytes().await.expect("its bytes"));
    }
    (gallery.shown(), files)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_face_stays_hidden_the_same_whenever_an_owner_is_gone() {
    let image = chessboard();
    let mut expected: Option<BTreeMap<i64, Vec<u8>>> = None;
    for crash in 0..FRAMES as u64 {
        let (sent, files) = shown(crash, &image).await;
        let pictures: BTreeMap<_, _> = sent.iter().cloned().collect();
        assert!(sent.iter().all(|(offset, jpeg)| pictures[offset] == *jpeg), "{crash}: repeated with the same bytes");
        assert_eq!(pictures.keys().copied().collect::<Vec<_>>(), (0..FRAMES).filter(|n| *n != FRAMES - 2).collect::<Vec<_>>());
        let expected = expected.get_or_insert_with(|| pictures.clone());
        assert!(pictures == *expected, "{crash}: the same as without a crash");
        // Each owner sends in the order of the frames: offsets fall where a successor begins, nowhere else.
        assert!(
            sent.windows(2).filter(|pair| pair[1].0 <= pair[0].0).count() <= 2,
            "{crash}: {:?}",
            sent.iter().map(|(n, _)| n).collect::<Vec<_>>()
        );
        for (offset, jpeg) in &pictures {
            let file = annotate::path(&samples::frame(*offset)).to_string();
            assert_eq!(files[&file], jpeg[..], "{file}");
        }
        assert_eq!(files.len(), pictures.len());
    }
    // Hidden where it was found and for three frames more (1 to 4 and 8 to 11), and in no other.
    for (offset, jpeg) in expected.expect("pictures") {
        let picture = turbojpeg::decompress(&jpeg, PixelFormat::RGB).expect("a JPEG");
        let face = (22..38).flat_map(|row| &picture.pixels[row * picture.pitch + 42 * 3..row * picture.pitch + 58 * 3]);
        let (low, high) = face.fold((255, 0), |(low, high), value| (low.min(*value), high.max(*value)));
        assert_eq!(high - low < 60, (1..=4).contains(&offset) || (8..=11).contains(&offset), "{offset}: {low} to {high}");
    }
}
