//! The example producers, each run as its page says against a real broker; what it sent is looked for in the table.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use facestream::scene::Scene;
use facestream_tests::{Duck, Facestream, Kafka, python, scratch};
use serde_json::json;
use tempfile::TempDir;
use toml::Value;

use super::{PICTURE, past_hour, read};
use crate::{LONG, file_url, set};

/// What Go the example and its client need: `examples/go/go.mod` says so.
const GO: (u32, u32) = (1, 25);

/// A picture in a file of its own time, and a topic for it.
struct Photo {
    folder: TempDir,
    file: PathBuf,
    /// When it was taken, in µs since 1970.
    at: i64,
    faces: usize,
    topic: String,
}

impl Photo {
    fn new(name: &str) -> Self {
        let folder = scratch();
        let picture = Scene::new(2, PICTURE).picture(40);
        fs::create_dir(folder.path().join("photos")).expect("a folder");
        // A name that has to be escaped in a URI.
        let file = folder.path().join("photos/front door.jpg");
        fs::write(&file, &picture.jpeg).expect("writing");
        let at = past_hour() * 1_000 + 90_123_456;
        let time = UNIX_EPOCH + Duration::from_micros(at as u64) + Duration::from_nanos(789);
        File::options().append(true).open(&file).and_then(|file| file.set_modified(time)).expect("setting the time");
        Self { folder, file, at, faces: picture.faces.len(), topic: Kafka::shared().topic(name, 1) }
    }

    fn arguments(&self, camera: &'static str) -> [&str; 4] {
        [Kafka::shared().brokers(), &self.topic, camera, self.file.to_str().expect("UTF-8")]
    }

    /// Runs the pipeline to the topic's end: the picture is there, of this camera and of its time.
    fn assert_arrives(&self, camera: &str, allow: Option<String>) {
        let store = self.folder.path().join("faces");
        let mut config = Facestream::config(Kafka::shared(), &self.topic, &self.topic, &file_url(&store));
        if let Some(allow) = allow {
            set(&mut config, "fetch", "allow", Value::Array(vec![allow.into()]));
        }
        let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        let sql = "SELECT source_id, epoch_us(capture_ts) AS at, ts_origin, status, face_count, error FROM 'frames/**/*.parquet'";
        let expected = json!([{
            "source_id": camera, "at": self.at, "ts_origin": "header", "status": "ok", "face_count": self.faces, "error": null,
        }]);
        assert_eq!(json!(Duck::in_folder(&store).rows(sql)), expected);
    }
}

#[test]
fn the_python_example_sends_a_picture() {
    let photo = Photo::new("example-python");
    let said = python(&read("examples/python/produce.py"), &photo.arguments("front door"), "", photo.folder.path());
    assert_eq!(said, "");
    photo.assert_arrives("front door", None);
}

#[test]
fn the_python_example_of_a_claim_check_sends_where_a_picture_lies() {
    let photo = Photo::new("example-uri");
    let said = python(&read("examples/python/produce_uri.py"), &photo.arguments("yard"), "", photo.folder.path());
    assert_eq!(said, "");
    photo.assert_arrives("yard", Some(format!("{}/photos/", file_url(photo.folder.path()))));
}

/// Whether there is a Go that is new enough, by what it says itself; none is fetched.
fn go_is_there() -> bool {
    let asked = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output();
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let mut numbers = said.trim_start_matches("go").split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(GO.0), Some(GO.1))
}

#[test]
fn the_go_example_sends_a_picture() {
    if !go_is_there() {
        let (major, minor) = GO;
        let line =
            format!("SKIPPED the_go_example_sends_a_picture: install Go {major}.{minor} or newer and run make test again\n");
        // Past the test runner, which shows nothing of what a good test prints.
        std::io::stderr().write_all(line.as_bytes()).expect("standard error");
        return;
    }
    let photo = Photo::new("example-go");
    let program = photo.folder.path().join("produce");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("examples/go");
    let mut build = Command::new("go");
    build.args(["build", "-buildvcs=false", "-o"]).arg(&program).arg(".").current_dir(source);
    run(build.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly"));
    run(Command::new(&program).args(photo.arguments("gate")));
    photo.assert_arrives("gate", None);
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}
