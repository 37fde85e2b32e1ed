//! The formats on paper: views, events against their published schemas, and the example producers, all read by others' programs.

mod events;
mod examples;
mod views;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::Record;

const PICTURE: Size = Size { w: 640, h: 360 };
const MINUTE: i64 = 60_000;

/// A file of the repository.
fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The beginning of the hour before the last, in ms since 1970: the past, so that nothing is clamped, and no retention ends.
fn past_hour() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let hour = Duration::from_hours(1).as_millis();
    ((now.as_millis() / hour - 2) * hour) as i64
}

/// A message, and what is known of it.
struct Sent {
    camera: u32,
    partition: i32,
    /// Event time in ms since 1970.
    at: i64,
    /// The faces that were drawn, or the status that it is to have.
    outcome: Result<usize, &'static str>,
    payload: Vec<u8>,
}

impl Sent {
    fn picture(camera: u32, partition: i32, at: i64, number: u64) -> Self {
        let picture = Scene::new(camera, PICTURE).picture(number);
        Self { camera, partition, at, outcome: Ok(picture.faces.len()), payload: picture.jpeg }
    }

    fn broken(camera: u32, partition: i32, at: i64, payload: &[u8], status: &'static str) -> Self {
        Self { camera, partition, at, outcome: Err(status), payload: payload.to_vec() }
    }

    fn source(&self) -> String {
        format!("camera-{}", self.camera)
    }

    fn record(&self) -> Record {
        Record {
            partition: self.partition,
            key: Some(self.source().into_bytes()),
            payload: Some(self.payload.clone()),
            headers: vec![("capture_ts_ns".to_owned(), (self.at * 1_000_000).to_string().into_bytes())],
            timestamp_ms: Some(self.at),
        }
    }
}

/// Two minutes of two cameras: the first writes to partition 0, the second to both; each partition's frames are in order of
/// their times, so that none is late.
fn two_minutes() -> Vec<Sent> {
    let start = past_hour();
    let picture = |camera, partition, second: i64, number| Sent::picture(camera, partition, start + second * 1_000, number);
    let half = Scene::new(0, PICTURE).picture(3).jpeg;
    let half = &half[..half.len() / 2];
    vec![
        picture(0, 0, 0, 0),
        picture(1, 0, 10, 25),
        picture(0, 0, 20, 50),
        picture(1, 1, 30, 75),
        picture(0, 0, 40, 100),
        Sent::broken(0, 0, start + 50_000, half, "decode_error"),
        picture(1, 1, 65, 0),
        picture(0, 0, 70, 25),
        Sent::broken(1, 1, start + 80_000, b"no picture at all", "unsupported"),
        picture(1, 0, 90, 50),
    ]
}
