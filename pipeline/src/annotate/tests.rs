//! Pictures come out annotated or not at all, and no thread is held up by one that cannot be made.

use facestream_schemas::{Offset, ScoreKind};
use turbojpeg::{PixelFormat, Subsamp};

use super::*;

const SIZE: Size = Size { w: 200, h: 120 };
const FACE: Bbox = Bbox { x: 60.0, y: 30.0, w: 50.0, h: 50.0 };

fn key(offset: i64) -> MessageKey {
    MessageKey { topic: "cams".into(), partition: 0, offset: Offset(offset) }
}

/// A fine chessboard, which no blurred place has.
fn chessboard() -> Bytes {
    let pixel = |at: u32| if (at % SIZE.w + at / SIZE.w).is_multiple_of(2) { [255; 3] } else { [0; 3] };
    let pixels: Vec<u8> = (0..SIZE.w * SIZE.h).flat_map(pixel).collect();
    let (width, height) = (SIZE.w as usize, SIZE.h as usize);
    let image = turbojpeg::Image { pixels: &pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    Bytes::from(turbojpeg::compress(image, 95, Subsamp::None).unwrap().to_vec())
}

fn faces() -> Vec<Detection> {
    vec![Detection { bbox: FACE, score: Some(0.97), score_kind: ScoreKind::Prob, landmarks: None, track: None }]
}

fn shot(what: What, image: Bytes) -> Shot {
    let weak = Bbox { x: 150.0, y: 80.0, w: 20.0, h: 20.0 };
    Shot::of(what, image, 1_000_000, SIZE, &faces(), &[weak])
}

fn decoded(jpeg: &[u8]) -> turbojpeg::Image<Vec<u8>> {
    turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap()
}

/// Brightest less darkest within a square.
fn contrast(picture: &turbojpeg::Image<Vec<u8>>, x: usize, y: usize, side: usize) -> u8 {
    let rows = (y..y + side).map(|row| &picture.pixels[row * picture.pitch + x * 3..][..side * 3]);
    let (low, high) = rows.flatten().fold((255, 0), |(low, high), value| (low.min(*value), high.max(*value)));
    high - low
}

#[tokio::test]
async fn faces_are_hidden_weak_ones_too_and_everything_else_is_shown() {
    for what in [What::Blur, What::Pixelate] {
        let annotator = Annotator::start(90, 2, &Metrics::new()).unwrap();
        let jpeg = annotator.make(key(1), shot(what, chessboard())).await.unwrap();
        let picture = decoded(&jpeg);
        assert_eq!((picture.width, picture.height), (200, 120));
        assert!(contrast(&picture, 60, 30, 50) < 60, "{what}: the face");
        assert!(contrast(&picture, 150, 80, 20) < 60, "{what}: the weak face");
        assert!(contrast(&picture, 4, 4, 20) > 200, "{what}: what is no face");
    }
    let annotator = Annotator::start(90, 1, &Metrics::new()).unwrap();
    let picture = decoded(&annotator.make(key(1), shot(What::Boxes, chessboard())).await.unwrap());
    assert!(contrast(&picture, 70, 40, 20) > 200, "a box hides nothing");
    let on_the_line = &picture.pixels[30 * picture.pitch + 85 * 3..][..3];
    assert!(on_the_line[1] > 150 && on_the_line[0] < 110 && on_the_line[2] < 110, "green: {on_the_line:?}");
}

#[tokio::test]
async fn what_cannot_be_made_is_not_sent_and_holds_nothing_up() {
    let metrics = Metrics::new();
    let annotator = Annotator::start(90, 1, &metrics).unwrap();
    assert_eq!(annotator.make(key(1), shot(What::Blur, Bytes::from_static(b"no picture"))).await, None);
    let small = Shot { max_pixels: 10, ..shot(What::Blur, chessboard()) };
    assert_eq!(annotator.make(key(2), small).await, None, "larger than allowed");
    assert!(annotator.make(key(3), shot(What::Blur, chessboard())).await.is_some());
    assert_eq!((metrics.pictures.of(Pictured::Failed).get(), metrics.pictures.of(Pictured::Made).get()), (2, 1));
}

#[test]
fn a_panic_costs_one_picture() {
    let mut artist = Artist { quality: 90, tools: None };
    let good = shot(What::Blur, chessboard());
    let picture = artist.safely(|artist, tools| artist.draw(tools, &good)).unwrap();
    let error = artist.safely(|_, _| panic!("a bug")).unwrap_err();
    assert!(error.to_string().contains("a bug") && artist.tools.is_none(), "{error}");
    assert_eq!(artist.safely(|artist, tools| artist.draw(tools, &good)).unwrap(), picture, "the same bytes each time");
}

#[tokio::test]
async fn an_order_that_nobody_waits_for_is_left_alone() {
    let metrics = Metrics::new();
    let annotator = Annotator::start(90, 1, &metrics).unwrap();
    let (made, gone) = oneshot::channel();
    drop(gone);
    annotator.orders.send(Order { of: key(1), shot: shot(What::Blur, chessboard()), made }).await.unwrap();
    annotator.make(key(2), shot(What::Blur, chessboard())).await.unwrap();
    assert_eq!(metrics.stage_seconds.of(Stage::Annotate).get_sample_count(), 1);
}
