//! Models are listed, added, checked and fetched; one that answers nonsense costs its own frames, and nothing else.

use std::fs;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use facestream::models::Folders;
use facestream_tests::onnx::Onnx;
use facestream_tests::{Duck, Facestream, Kafka, Record, scratch};
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use crate::{LONG, assert_exactly_once, file_url, set};

/// A model folder of one's own, and files beside it.
struct Ground {
    models: TempDir,
    files: TempDir,
}

impl Ground {
    fn new() -> Self {
        Self { models: scratch(), files: scratch() }
    }

    /// What `facestream models` says; panics unless it exits with `code`.
    #[track_caller]
    fn says(&self, code: i32, arguments: &[&str]) -> String {
        let folder = self.models.path().display().to_string();
        let arguments = [&["models"], arguments].concat();
        let running = Facestream::start_with(self.files.path(), &arguments, &[("FACESTREAM_MODELS", &folder)]);
        let finished = running.wait_exit(LONG);
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.output);
        finished.output
    }

    /// The line of `models ls --json` about this model.
    fn listed(&self, name: &str) -> Value {
        let all: Vec<Value> = serde_json::from_str(&self.says(0, &["ls", "--json"])).expect("a JSON array");
        all.into_iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("{name} is not listed"))
    }

    /// A file to be added.
    fn file(&self, name: &str, content: &[u8]) -> String {
        fs::write(self.files.path().join(name), content).expect("writing");
        name.to_owned()
    }

    fn in_models(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.models.path()).expect("the folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

#[test]
fn a_model_of_ones_own_is_added_listed_verified_and_replaced() {
    let ground = Ground::new();
    let (first, second) = (Onnx::yunet(64, 32, 0, 0.0).bytes(), Onnx::yunet(96, 64, 0, 0.0).bytes());
    let file = ground.file("mine.onnx", &first);
    let added = ground.says(0, &["add", "door", &file, "--licence", "MIT"]);
    assert!(added.contains("detector.model = \"door\" and detector.input = \"64x32\""), "{added}");
    let line = ground.listed("door");
    assert_eq!(
        json!([
            line["state"],
            line["family"],
            line["licence"],
            line["non_commercial"],
            line["input"],
            line["bytes"],
            line["added"]
        ]),
        json!(["present", "yunet", "MIT", false, "64x32", first.len(), true])
    );
    let path = PathBuf::from(line["path"].as_str().expect("a path"));
    assert_eq!(fs::read(&path).expect("the copy"), first);
    // The original may go.
    fs::remove_file(ground.files.path().join(&file)).expect("removing");
    let verified = ground.says(0, &["verify"]);
    assert!(verified.starts_with("ok     door ") && !verified.contains("centerface"), "{verified}");

    let other = ground.file("other.onnx", &second);
    assert!(ground.says(2, &["add", "door", &other, "--licence", "MIT"]).contains("--force"));
    assert_eq!(ground.listed("door")["input"], "64x32");
    ground.says(0, &["add", "door", &other, "--licence", "lab use", "--non-commercial", "--force"]);
    assert!(!path.exists(), "the old copy is gone");
    let line = ground.listed("door");
    assert_eq!(json!([line["input"], line["licence"], line["non_commercial"]]), json!(["96x64", "lab use", true]));
    let restricted = ground.says(0, &["ls"]);
    assert!(restricted.lines().last().is_some_and(|last| last.starts_with("Not for commercial use") && last.contains("door")));

    let path = PathBuf::from(line["path"].as_str().expect("a path"));
    fs::write(&path, b"bit rot").expect("writing");
    assert!(ground.says(1, &["verify", "door"]).starts_with("WRONG  door "));
    assert_eq!(ground.listed("door")["state"], "wrong");
    ground.says(0, &["add", "door", &other, "--licence", "MIT", "--force"]);
    ground.says(0, &["verify", "door"]);
}

#[test]
fn what_is_no_detector_is_not_added_and_what_is_wrong_is_named() {
    let ground = Ground::new();
    let good = ground.file("good.onnx", &Onnx::yunet(64, 32, 0, 0.0).bytes());
    let boxes = ground.file("boxes.onnx", &Onnx::new(64, 32).output("boxes", &[1, 4], vec![0.0; 4]).bytes());
    let page = ground.file("page.onnx", b"<html>404</html>");
    let empty = ground.file("empty.onnx", b"");
    let fails = Onnx::yunet(64, 32, 0, 0.0).with("cls_8", vec![f32::NAN; 32]).bytes();
    let fails = ground.file("fails.onnx", &fails);
    for (code, name, file, says) in [
        (2, "auto", &good, "something else"),
        (2, "Door", &good, "lower case"),
        (2, "../door", &good, "is no name"),
        (2, "yunet", &good, "is not \"yunet\": it has sha256"),
        (2, "scrfd-10g-kps", &good, "is of the family yunet"),
        (
            1,
            "door",
            &boxes,
            "no YuNet, CenterFace or SCRFD model: it has the inputs [input: f32 1x3x32x64] and the outputs [boxes: f32 1x4]",
        ),
        (1, "door", &page, "is no ONNX model"),
        (1, "door", &empty, "has 0 bytes"),
        (1, "door", &"nowhere.onnx".to_owned(), "cannot read the model nowhere.onnx"),
        (1, "door", &fails, "fails on a grey picture"),
        // Nobody is there to be asked for the licence.
        (2, "door", &good, "--licence"),
    ] {
        let mut arguments = vec!["add", name, file];
        if says != "--licence" && !["yunet", "scrfd-10g-kps"].contains(&name) {
            arguments.extend(["--licence", "MIT"]);
        }
        let said = ground.says(code, &arguments);
        assert!(said.contains(says), "{name} {file}: {said}");
        assert_eq!(ground.in_models(), Vec::<PathBuf>::new(), "{name} {file}");
    }
    assert!(ground.says(1, &["verify", "yunet"]).contains("facestream models pull yunet"));
    assert!(ground.says(1, &["verify", "yunett"]).contains("did you mean \"yunet\"?"));
    let haar = ground.listed("haar");
    assert_eq!(json!([haar["family"], haar["state"], haar["added"]]), json!(["haar", "present", false]));
    assert!(ground.says(0, &["verify", "haar"]).starts_with("ok     haar "));
    // A path is verified as it is.
    assert!(ground.says(0, &["verify", &good]).starts_with("ok     good.onnx"));
}

/// Serves one file, with ranges; the first answer breaks off in the middle.
struct Mirror {
    address: SocketAddr,
    /// The `Range` of each request.
    asked: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Mirror {
    fn of(content: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, asked) = (listener.local_addr().expect("an address"), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let first = range(&connection);
                let mut seen = seen.lock().expect("not poisoned");
                let end = if seen.is_empty() { content.len() / 2 } else { content.len() };
                seen.push(first);
                answer(&content, first, end, connection);
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}/model.onnx", self.address)
    }
}

fn range(connection: &TcpStream) -> Option<usize> {
    let lines = BufReader::new(connection).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers: Vec<_> = lines.map(|line| line.to_ascii_lowercase()).collect();
    headers.iter().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok())
}

fn answer(content: &[u8], range: Option<usize>, end: usize, mut to: TcpStream) {
    let (status, first) = (if range.is_some() { "206 Partial Content" } else { "200 OK" }, range.unwrap_or(0));
    let headers = format!(
        "content-range: bytes {first}-{}/{}\r\ncontent-length: {}\r\n",
        content.len() - 1,
        content.len(),
        content.len() - first
    );
    // Whoever has seen enough may go.
    let _ = write!(to, "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n");
    let _ = to.write_all(&content[first..end.max(first)]);
}

#[test]
fn a_model_is_fetched_through_a_break_and_only_with_its_own_bytes() {
    let ground = Ground::new();
    let real = Folders::from_env().and_then(|folders| folders.find("centerface")).expect("set-up has fetched CenterFace").path;
    let content = fs::read(real).expect("the model");
    let mirror = Mirror::of(content.clone());
    assert_eq!(ground.listed("centerface")["state"], "missing");
    ground.says(0, &["pull", "centerface", "--url", &mirror.url()]);
    let asked = mirror.asked.lock().expect("not poisoned").clone();
    assert!(asked.len() == 2 && asked[0].is_none() && asked[1].is_some_and(|first| first <= content.len() / 2), "{asked:?}");
    assert_eq!(fs::read(ground.models.path().join("centerface.onnx")).expect("the model"), content);
    assert_eq!(ground.in_models().len(), 1);
    assert!(ground.says(0, &["verify", "centerface"]).starts_with("ok     centerface "));
    // There already: nobody is asked.
    assert!(ground.says(0, &["pull", "centerface", "--url", &mirror.url()]).contains("already"));
    assert_eq!(mirror.asked.lock().expect("not poisoned").len(), 2);

    let mirror = Mirror::of(b"<html>not what you want</html>".to_vec());
    let said = ground.says(1, &["pull", "yunet", "--url", &mirror.url()]);
    assert!(said.contains("30 bytes, expected 322906 bytes"), "{said}");
    assert_eq!(ground.in_models().len(), 1);
    for (name, says) in [
        ("scrfd-10g-kps", "non-commercial"),
        ("centerface", "make setup"),
        ("haar", "opencv-data"),
        ("yunett", "did you mean \"yunet\"?"),
    ] {
        // CenterFace as published is another file than the one that set-up makes of it.
        let _ = fs::remove_file(ground.models.path().join("centerface.onnx"));
        assert!(ground.says(2, &["pull", name]).contains(says), "{name}");
    }
    assert!(ground.says(2, &["pull", "yunet", "--url", "ftp://mirror/x"]).contains("http://"));
}

/// A picture of one brightness.
fn plain(level: u8) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    image::GrayImage::from_pixel(64, 32, image::Luma([level])).write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    png.into_inner()
}

/// A topic with `count` pictures, every third of them dark.
fn pictures(kafka: &Kafka, name: &str, count: usize) -> String {
    let topic = kafka.topic(name, 1);
    let (dark, bright) = (plain(20), plain(200));
    let payload = |n: usize| if n.is_multiple_of(3) { dark.clone() } else { bright.clone() };
    let records: Vec<_> =
        (0..count).map(|n| Record { key: Some(b"door".to_vec()), payload: Some(payload(n)), ..Record::default() }).collect();
    kafka.produce(&topic, &records);
    topic
}

/// `run --until-end` with this model; the configuration's dead-letter topic comes back.
fn detect(kafka: &Kafka, topic: &str, model: &Path, folder: &Path, change: impl FnOnce(&mut Table)) -> String {
    let letters = kafka.topic("models-dead", 1);
    let mut config = Facestream::config(kafka, topic, &letters, &file_url(folder));
    set(&mut config, "detector", "model", model.display().to_string());
    set(&mut config, "detector", "input", "64x32");
    set(&mut config, "dead_letters", "topic", letters.as_str());
    change(&mut config);
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, topic, folder);
    letters
}

#[test]
fn a_network_that_answers_nonsense_costs_its_own_frames_and_nothing_else() {
    let kafka = Kafka::shared();
    let topic = pictures(kafka, "nonsense", 30);
    let folder = scratch();
    // A face in two of 32 cells, of bright pictures; NaN everywhere for dark ones. The second cell's lies far outside.
    let mut boxes = vec![0.0; 32 * 4];
    boxes[4..6].fill(5_000.0);
    let model = folder.path().join("nonsense.onnx");
    fs::write(&model, Onnx::yunet(64, 32, 2, 0.9).with("bbox_8", boxes).dark(100.0).bytes()).expect("writing");
    let store = folder.path().join("faces");
    fs::create_dir(&store).expect("a folder");
    let letters = detect(kafka, &topic, &model, &store, |_| {});
    let duck = Duck::in_folder(&store);
    let frames = duck.rows("SELECT status, count(*) AS n, sum(face_count) AS faces, min(error) AS error FROM 'frames/**/*.parquet' GROUP BY ALL ORDER BY ALL");
    assert_eq!((&frames[0]["status"], &frames[0]["n"]), (&json!("detector_error"), &json!(10)));
    assert!(frames[0]["error"].as_str().is_some_and(|error| error.contains("NaN")), "{frames:?}");
    assert_eq!(json!([frames[1]["status"], frames[1]["n"], frames[1]["faces"]]), json!(["ok", 20, 20]));
    // Around the corner of the picture, 8 pixels by 8.
    let boxes = duck
        .rows("SELECT DISTINCT bbox_x_px AS x, bbox_y_px AS y, bbox_w_px AS w, bbox_h_px AS h FROM 'detections/**/*.parquet'");
    assert_eq!(json!(boxes), json!([{"x": -4.0, "y": -4.0, "w": 8.0, "h": 8.0}]));
    assert_eq!(kafka.read(&letters).len(), 10);
}

#[test]
fn a_flood_of_faces_is_an_error_that_names_the_limit() {
    let kafka = Kafka::shared();
    let topic = pictures(kafka, "flood", 6);
    let folder = scratch();
    let model = folder.path().join("flood.onnx");
    fs::write(&model, Onnx::yunet(64, 32, 32, 1.0).bytes()).expect("writing");
    let store = folder.path().join("faces");
    fs::create_dir(&store).expect("a folder");
    let letters = detect(kafka, &topic, &model, &store, |config| set(config, "detector", "max_faces", 31));
    let duck = Duck::in_folder(&store);
    let frames = duck.rows("SELECT DISTINCT status, face_count, error FROM 'frames/**/*.parquet'");
    assert_eq!(frames.len(), 1, "{frames:?}");
    let error = frames[0]["error"].as_str().unwrap_or_default();
    assert!(frames[0]["status"] == "detector_error" && error.contains("32 faces, more than 31"), "{frames:?}");
    assert_eq!(kafka.read(&letters).len(), 6);
    // One more is believed.
    let store = folder.path().join("believed");
    fs::create_dir(&store).expect("a folder");
    let letters = detect(kafka, &topic, &model, &store, |config| set(config, "detector", "max_faces", 32));
    let faces = Duck::in_folder(&store).value("SELECT count(*) FROM 'detections/**/*.parquet'");
    assert_eq!((faces, kafka.read(&letters).len()), (json!(6 * 32), 0));
}
