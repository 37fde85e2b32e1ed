//! The live page in a real browser: against the real binary, and against a server that speaks its contract for states that a real
//! one is hard to bring into.
//!
//! In: the scenarios of `tests/browser`, a file each. Out: what the scenario says went wrong. Invariant: one browser at a time, and
//! none outlives this process. `SCREENSHOTS` names a folder for what the scenarios photograph.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::{Facestream, Kafka, Record, node_modules, scratch, workspace};
use toml::Table;

const TOKEN: &str = "correct-horse-battery-staple";
/// Between two pictures of a camera.
const PACE: Duration = Duration::from_millis(200);
const PICTURE: Size = Size { w: 640, h: 360 };
/// Two plain names, one that is markup, one that is written from right to left and turns what follows it round.
const NAMES: [&str; 4] = ["entrance", "gate 2", "<img src=x onerror=alert(1)>", "\u{202e}מצלמה כניסה"];

/// Runs one scenario to its end.
fn run(scenario: &str, environment: &[(&str, &str)]) {
    static ONE_BROWSER: Mutex<()> = Mutex::new(());
    let _turn = ONE_BROWSER.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = scratch();
    let mut node = Command::new("node");
    node.arg(workspace().join("tests/browser/run.mjs")).arg(scenario);
    node.env("NODE_PATH", node_modules()).env("END_WITH_STDIN", "1").envs(environment.iter().copied());
    if std::env::var_os("SCREENSHOTS").is_none() {
        node.env("SCREENSHOTS", folder.path());
    }
    let piped = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("node is there: `make test-deploy` installs it");
    // Held open: its end is the sign that this process is gone.
    let stdin = child.stdin.take();
    let output = child.wait_with_output().expect("node's end");
    drop(stdin);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_hundred_cameras_cost_what_a_screenful_does() {
    run("cameras", &[]);
}

#[test]
fn a_server_that_goes_away_is_said_to_be_gone_and_comes_back_without_a_reload() {
    run("connection", &[]);
}

#[test]
fn everything_can_be_done_by_keyboard() {
    run("keyboard", &[]);
}

#[test]
fn the_page_fits_a_phone_and_can_be_read_in_light_and_dark() {
    run("looks", &[]);
}

#[test]
fn each_state_of_a_process_has_its_words() {
    run("states", &[]);
}

#[test]
fn hostile_names_are_text() {
    run("hostile", &[]);
}

#[test]
fn real_cameras_are_seen_by_who_has_the_token() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("live", 2);
    let folder = scratch();
    let url = format!("file://{}", folder.path().display());
    let mut config = Facestream::config(kafka, &topic, "live", &url);
    config.insert("http".to_owned(), Table::from_iter([("token".to_owned(), TOKEN.into())]).into());
    let mut running = Facestream::run(&config, &[]);
    running.wait_ready();
    let names = serde_json::to_string(&NAMES).expect("names");
    while_cameras_send(kafka, &topic, || {
        let pid = running.id().to_string();
        run("real", &[("URL", running.http()), ("TOKEN", TOKEN), ("NAMES", &names), ("PID", &pid)]);
    });
}

/// Virtual cameras that send for as long as `scenario` takes.
fn while_cameras_send(kafka: &Kafka, topic: &str, scenario: impl FnOnce()) {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let scenes: Vec<_> = (0u32..).zip(NAMES).map(|(camera, name)| (Scene::new(camera, PICTURE), name)).collect();
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let record = |(at, (scene, name)): (usize, &(Scene, &str))| Record {
                    partition: i32::from(at % 2 == 1),
                    key: Some(name.as_bytes().to_vec()),
                    payload: Some(scene.picture(n).jpeg),
                    ..Record::default()
                };
                kafka.produce(topic, &scenes.iter().enumerate().map(record).collect::<Vec<_>>());
                thread::sleep(PACE);
            }
        });
        let _over = Over(&over);
        scenario();
    });
}
