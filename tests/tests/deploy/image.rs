//! The image, built by buildah and run as a cluster would run it: as nobody in particular, with a root that cannot be written.
//!
//! In: the Dockerfile's runtime stage on a bare Debian, with the binary beside this test in place of the build stage. Out: the image's
//! root in a mount and process namespace of its own, where facestream is process 1. Needs root, as buildah does here; without it the
//! test is skipped, and says so. Invariant: what the image says of user, environment and folder is what is used, nothing else.

mod container;

use std::fs;
use std::time::Duration;

use facestream_tests::{Duck, Kafka, debian, free_port, scratch, wait_for};
use serde_json::json;

use container::{Image, Store};

/// Longer than anything takes on a busy machine.
const LONG: Duration = Duration::from_mins(2);

#[test]
fn the_image_runs_with_a_read_only_root_and_as_nobody() {
    let Some(debian) = debian() else {
        eprintln!("SKIPPED: there is no bare Debian to build an image on: only root can make one");
        return;
    };
    let folder = scratch();
    let image = Image::build(&debian, folder.path());
    says_what_it_is(&image);

    let kafka = Kafka::shared();
    let topic = kafka.topic("image", 2);
    let store = Store::new(folder.path());
    let listen = format!("127.0.0.1:{}", free_port());
    let config = json!({
        "kafka.brokers": kafka.brokers(), "kafka.topics": topic, "kafka.group": "image", "workers.count": 1,
        "store.url": "file:///mnt/faces", "journal.append_every": "1s", "parquet.roll_every": "1h",
    });
    store.configure(&config);
    // The image listens on a fixed port of every address, which is right in a container and not beside other tests.
    let own = [("FACESTREAM__HTTP__LISTEN", listen.as_str())];

    let version = image.run(&store, &own, &["--version"]);
    assert_eq!(version.said.trim(), concat!("facestream ", env!("CARGO_PKG_VERSION")), "{}", version.said);
    // The broker is new: the coordinator of its groups may be a moment away.
    wait_for("a check that finds nothing wrong", LONG, || {
        let checked = image.run(&store, &own, &["check"]);
        if checked.is_content && !checked.said.contains("WRONG") { Ok(()) } else { Err(checked.said) }
    });
    let absent = image.run(&store, &own, &["health"]);
    assert!(!absent.is_content && absent.said.contains("no answer from"), "{}", absent.said);

    let sent = image.run(&store, &own, &["produce", "--count", "40", "--cameras", "1", "scene:2"]);
    assert!(sent.is_content, "{}", sent.said);
    let mut running = image.start(&store, &own, &["run"]);
    wait_for("a healthy container", LONG, || {
        assert!(!running.has_ended(), "{}", running.said());
        let health = image.run(&store, &own, &["health"]);
        if health.is_content && health.said == "ready\n" { Ok(()) } else { Err(health.said + &running.said()) }
    });
    let committed = || kafka.committed("image", &topic).into_values().sum::<i64>();
    wait_for("40 frames in the journal", LONG, || if committed() == 40 { Ok(()) } else { Err(running.said()) });
    let ended = running.stop(LONG);
    assert!(ended.is_content && ended.said.contains("done"), "{}", ended.said);

    let rows = Duck::in_folder(&store.folder).value("SELECT count(*) FROM 'faces/frames/**/*.parquet' WHERE status = 'ok'");
    assert_eq!(rows, 40);
    let owners: Vec<_> = fs::read_dir(store.folder.join("faces"))
        .expect("tables")
        .map(|entry| container::owner(&entry.expect("an entry").path()))
        .collect();
    assert!(owners.len() >= 3 && owners.iter().all(|owner| *owner == image.user()), "{owners:?}");
}

/// What an engine, a scanner and an orchestrator read from it.
fn says_what_it_is(image: &Image) {
    let config = &image.config;
    assert_eq!(config["Entrypoint"], json!(["facestream"]));
    assert_eq!(config["Cmd"], json!(["run"]));
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert_eq!(config["Healthcheck"]["Test"], json!(["CMD", "facestream", "health"]));
    assert!(config["ExposedPorts"].get("9464/tcp").is_some(), "{config}");
    let label = |name: &str| config["Labels"][name].as_str().unwrap_or_else(|| panic!("no label {name}")).to_owned();
    assert_eq!(label("org.opencontainers.image.licenses"), "Apache-2.0");
    assert_eq!(label("org.opencontainers.image.version"), env!("CARGO_PKG_VERSION"));
    let bill = fs::read_to_string(image.path(&label("facestream.sbom"))).expect("the bill of materials that the label names");
    assert!(bill.contains("CycloneDX"));

    // Neither what builds nor what fetches: a small image gives a burglar little to work with.
    for tool in ["cc", "gcc", "make", "cmake", "cargo", "python3", "ffmpeg", "curl", "wget", "git"] {
        for folder in ["/usr/bin", "/usr/local/bin"] {
            assert!(!image.path(&format!("{folder}/{tool}")).exists(), "{tool} is in the image");
        }
    }
    assert!(!image.path("/opt/facestream").exists() && !image.path("/src").exists(), "nothing of the build stage is left");
}
