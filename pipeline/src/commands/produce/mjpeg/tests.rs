//! Cameras as a real HTTP server: streams in odd chunks, that break in the middle, that come back, that never were any.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use futures::{StreamExt as _, stream};
use indicatif::ProgressBar;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::super::feeds;
use super::super::inputs::Input;
use super::super::outlet::Manner;
use super::super::report::Tally;
use super::super::retouch::Wanted;
use super::super::shot::Shot;
use super::super::stop::Stop;

const STAMP: &str = "1795348799.5";
const STAMP_NS: i64 = 1_795_348_799_500_000_000;

/// Picture `n`: begins like a JPEG, and no two are alike.
fn picture(n: usize) -> Vec<u8> {
    [&[0xFF, 0xD8, 0xFF, 0xE0][..], format!("picture {n}\r\n--fra").as_bytes(), &[n as u8; 300]].concat()
}

/// A part with picture `n`; odd ones say how long they are.
fn part(n: usize) -> Vec<u8> {
    let picture = picture(n);
    let length = if n % 2 == 1 { format!("Content-Length: {}\r\n", picture.len()) } else { String::new() };
    let headers = format!("--frame\r\nContent-Type: image/jpeg\r\nX-Timestamp: {STAMP}\r\n{length}\r\n");
    [headers.as_bytes(), &picture, b"\r\n"].concat()
}

/// Which picture this is.
fn number(image: &[u8]) -> Option<usize> {
    (0..10).find(|n| picture(*n) == image)
}

/// An answer with these bytes in chunks of 37; it then ends, or stays open without a word.
fn answer(bytes: &[u8], ends: bool) -> Response<Body> {
    let chunks: Vec<_> = bytes.chunks(37).map(|chunk| Ok::<_, Infallible>(chunk.to_vec())).collect();
    let silence = stream::pending().take(usize::from(!ends));
    let body = Body::from_stream(stream::iter(chunks).chain(silence));
    Response::builder().header("content-type", "multipart/x-mixed-replace;boundary=frame").body(body).unwrap()
}

/// A server that gives the n-th request the n-th answer, and its address.
fn serve(
    io: &Runtime,
    answers: impl Fn(usize) -> Response<Body> + Clone + Send + Sync + 'static,
) -> (url::Url, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let handle = move |State(requests): State<Arc<AtomicUsize>>| async move { answers(requests.fetch_add(1, Relaxed)) };
    let app = axum::Router::new().route("/live", get(handle)).with_state(Arc::clone(&requests));
    let listener = io.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/live", listener.local_addr().unwrap()).parse().unwrap();
    io.spawn(async move { axum::serve(listener, app).await });
    (url, requests)
}

struct Running {
    shots: mpsc::Receiver<Shot>,
    threads: feeds::Threads,
    tally: Arc<Tally>,
    stop: Stop,
}

fn start(io: &Runtime, urls: Vec<url::Url>, attempts: usize, is_as_recorded: bool) -> Running {
    let (feeds, names) = feeds::assign(urls.into_iter().map(Input::Mjpeg).collect(), None, None).unwrap();
    let wanted = Wanted { quality: None, max_side: None, max_pixels: 1_000_000 };
    let manner = Manner { fps: None, is_as_recorded, is_again: false, attempts, max_bytes: 1_000, wanted };
    let (tally, stop) = (Arc::new(Tally::new(names, ProgressBar::hidden())), Stop::new(io.handle()));
    let (shots, threads) = feeds::start(feeds, manner, &tally, &stop).unwrap();
    Running { shots, threads, tally, stop }
}

impl Running {
    fn take(&mut self, count: usize) -> Vec<Shot> {
        (0..count).map(|_| self.shots.blocking_recv().expect("the camera goes on")).collect()
    }

    /// Everything that still comes, once all threads have ended by themselves.
    fn rest(mut self) -> (Vec<Shot>, String) {
        let shots = std::iter::from_fn(|| self.shots.blocking_recv()).collect();
        feeds::look_after(self.threads, true, &self.tally);
        (shots, self.tally.report("topic").err().map(|error| error.to_string()).unwrap_or_default())
    }
}

#[test]
fn a_stream_that_breaks_is_opened_again_and_no_half_frame_is_sent() {
    let io = Runtime::new().unwrap();
    let (url, requests) = serve(&io, |n| match n {
        0 => {
            let half = part(3)[..150].to_vec();
            answer(&[part(1), part(2), half].concat(), true)
        }
        1 => Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(Body::empty()).unwrap(),
        _ => answer(&[part(4), part(5), b"--frame\r\n".to_vec()].concat(), false),
    });
    let mut running = start(&io, vec![url], 3, true);
    let shots = running.take(4);
    let found: Vec<_> = shots.iter().map(|shot| (shot.frame_seq, number(&shot.image))).collect();
    assert_eq!(found, [(0, Some(1)), (1, Some(2)), (2, Some(4)), (3, Some(5))]);
    assert!(shots.iter().all(|shot| shot.captured_ns == Some(STAMP_NS)));
    assert_eq!(requests.load(Relaxed), 3);
    // It waits for more now, and yet ends when it is told to.
    running.stop.raise();
    assert_eq!(running.rest(), (Vec::new(), String::new()));
}

#[test]
fn a_camera_that_never_answers_well_is_given_up_and_the_others_go_on() {
    let io = Runtime::new().unwrap();
    let (gone, requests) = serve(&io, |_| Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap());
    let (no_stream, looks) =
        serve(&io, |_| Response::builder().header("content-type", "image/jpeg").body(Body::empty()).unwrap());
    let (good, _) = serve(&io, |n| match n {
        0 => answer(&[part(1), part(3)].concat(), true),
        _ => Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap(),
    });
    // Nothing listens on the discard port.
    let unreachable = "http://127.0.0.1:9/live".parse().unwrap();
    let (shots, error) = start(&io, vec![gone, no_stream, good, unreachable], 2, false).rest();
    assert!(error.contains("4 files, frames or cameras could not be read"), "{error}");
    assert_eq!((requests.load(Relaxed), looks.load(Relaxed)), (2, 1));
    let found: Vec<_> = shots.iter().map(|shot| (shot.sources.clone(), number(&shot.image))).collect();
    assert_eq!(found, [(2..3, Some(1)), (2..3, Some(3))]);
}

#[test]
fn many_cameras_are_read_at_once_each_in_its_order() {
    const CAMERAS: usize = 40;
    let io = Runtime::new().unwrap();
    let (url, _) = serve(&io, |_| answer(&(0..7).flat_map(part).chain(*b"--frame\r\n").collect::<Vec<_>>(), false));
    let mut running = start(&io, vec![url; CAMERAS], 1, false);
    let shots = running.take(CAMERAS * 7);
    for camera in 0..CAMERAS {
        let own: Vec<_> = shots.iter().filter(|shot| shot.sources.start == camera).collect();
        assert_eq!(own.len(), 7);
        for (n, shot) in own.iter().enumerate() {
            assert_eq!((shot.frame_seq, shot.captured_ns, number(&shot.image)), (n as u64, None, Some(n)));
        }
    }
    running.stop.raise();
    assert_eq!(running.rest(), (Vec::new(), String::new()));
}

#[test]
fn a_frame_too_large_is_counted_and_the_next_one_sent() {
    let io = Runtime::new().unwrap();
    let large = b"--frame\r\nContent-Length: 5000\r\n\r\n".iter().copied().chain([7; 5_000]).chain(*b"\r\n").collect();
    let bytes = [part(1), large, part(3)].concat();
    let (url, _) = serve(&io, move |_| answer(&bytes, false));
    let mut running = start(&io, vec![url], 1, false);
    let found: Vec<_> = running.take(2).into_iter().map(|shot| number(&shot.image)).collect();
    assert_eq!(found, [Some(1), Some(3)]);
    running.stop.raise();
    let (_, error) = running.rest();
    assert!(error.contains("1 files, frames or cameras could not be read"), "{error}");
}
