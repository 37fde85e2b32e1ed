//! Pictures that lie elsewhere: uploaded by `produce`, fetched by the pipeline, from S3, folders and web servers; what must not be
//! fetched is not, and a slow server holds up nobody else.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use facestream::scene::Scene;
use facestream_tests::{Duck, Facestream, Kafka, Record, S3, scratch};

use crate::{LONG, SMALL, assert_exactly_once, file_url, quick, set};

fn claim(partition: i32, uri: &str, more: &[(&str, &str)]) -> Record {
    let uri = [("image_uri", uri)];
    let headers = uri.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Record { partition, key: Some(b"door".to_vec()), payload: Some(Vec::new()), headers, ..Record::default() }
}

/// A web server of the test's own: each connection is answered by `answer`, which gets the path and the stream.
pub(crate) fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, Ok(mut stream)) = (Arc::clone(&answer), stream) else { return };
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                answer(request.split(' ').nth(1).unwrap_or_default(), &mut stream);
            });
        }
    });
    format!("http://{address}")
}

pub(crate) fn respond(stream: &mut TcpStream, status: &str, more: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n", body.len());
    // The client may be gone on purpose.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

#[test]
fn pictures_that_produce_uploads_to_s3_come_out_as_if_they_had_been_sent() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("uploaded", 2);
    let s3 = S3::start();
    let folder = scratch();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    let scene = Scene::new(0, facestream_schemas::Size { w: 640, h: 360 });
    let mut faces = 0;
    let mut different = BTreeSet::new();
    for n in 0..6 {
        let picture = scene.picture(n * 30);
        faces += picture.faces.len();
        different.insert(picture.jpeg.clone());
        fs::write(photos.join(format!("{n}.jpg")), picture.jpeg).expect("writing");
    }
    let mut config = Facestream::config(kafka, &topic, "uploaded", &s3.url("tables"));
    set(&mut config, "store", "options", s3.options());
    set(&mut config, "fetch", "allow", vec![format!("{}/", s3.url("pictures"))]);
    let file = folder.path().join("facestream.toml");
    fs::write(&file, config.to_string()).expect("writing");
    for envelope in ["raw", "json"] {
        let arguments = ["produce", "--upload", &s3.url("pictures"), "--envelope", envelope, "--topic", &topic, "photos"];
        let sent = Facestream::command(folder.path(), &arguments, LONG);
        assert_eq!(sent.code, Some(0), "{}", sent.output);
    }
    assert_eq!(s3.keys("pictures/").len(), different.len(), "a picture is uploaded once");
    for message in kafka.read(&topic) {
        assert!(rdkafka::Message::payload(&message).is_none_or(|value| value.len() < 1_000), "only the claim check is sent");
    }

    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let tables = folder.path().join("tables");
    s3.download("tables/", &tables);
    assert_exactly_once(kafka, &topic, &tables);
    let duck = Duck::in_folder(&tables);
    let row = &duck.rows("SELECT count(*) AS n, sum(face_count)::BIGINT AS faces, count(fetch_ms) AS fetched FROM 'frames/**/*.parquet' WHERE status = 'ok'")[0];
    assert_eq!((row["n"].as_u64(), row["faces"].as_u64(), row["fetched"].as_u64()), (Some(12), Some(2 * faces as u64), Some(12)));
    assert_eq!(duck.value("SELECT count(*) FROM 'detections/**/*.parquet'"), 2 * faces);
}

#[test]
fn what_must_not_be_fetched_is_refused_and_what_cannot_be_is_named() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("claims", 1);
    let jpeg = Scene::new(0, SMALL).picture(0).jpeg;
    let folder = scratch();
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).expect("a folder");
    fs::write(pictures.join("a.jpg"), &jpeg).expect("writing");
    fs::write(folder.path().join("secret.jpg"), &jpeg).expect("writing");
    std::os::unix::fs::symlink(folder.path().join("secret.jpg"), pictures.join("way-out.jpg")).expect("a link");
    let tries = Arc::new(AtomicUsize::new(0));
    let (counted, body) = (Arc::clone(&tries), jpeg.clone());
    let server = serve(move |path, stream| match path {
        "/ok/gone.jpg" => respond(stream, "410 Gone", "", b""),
        "/ok/busy.jpg" if counted.fetch_add(1, Ordering::Relaxed) < 2 => respond(stream, "503 Busy", "", b""),
        "/ok/a.jpg" | "/ok/busy.jpg" | "/secret/a.jpg" => respond(stream, "200 OK", "", &body),
        "/ok/down.jpg" => respond(stream, "503 Busy", "", b""),
        "/ok/out.jpg" => respond(stream, "302 Found", "location: /secret/a.jpg\r\n", b""),
        "/ok/on.jpg" => respond(stream, "302 Found", "location: /ok/a.jpg\r\n", b""),
        "/ok/large.jpg" => respond(stream, "200 OK", "", &vec![0; 3 << 20]),
        _ => respond(stream, "404 Not Found", "", b""),
    });
    // Another address of the same machine, which nobody has listed.
    let unlisted = server.replace("127.0.0.1", "127.0.0.2");
    let port = server.rsplit(':').next().expect("a port");
    let digest = |jpeg: &[u8]| sha256(folder.path(), jpeg);
    let good = digest(&jpeg);
    let cases = [
        (format!("{server}/ok/a.jpg"), Some(good.clone()), "ok"),
        (format!("{server}/ok/on.jpg"), None, "ok"),
        (format!("{server}/ok/busy.jpg"), None, "ok"),
        (format!("file://{}/a.jpg", pictures.display()), Some(good.to_uppercase()), "ok"),
        (format!("{server}/ok/a.jpg"), Some(digest(b"another")), "fetch_error"),
        (format!("{server}/ok/missing.jpg"), None, "expired"),
        (format!("{server}/ok/gone.jpg"), None, "expired"),
        (format!("file://{}/missing.jpg", pictures.display()), None, "expired"),
        (format!("{server}/ok/down.jpg"), None, "fetch_error"),
        (format!("{server}/ok/large.jpg"), None, "too_large"),
        (format!("{server}/secret/a.jpg"), None, "fetch_refused"),
        (format!("{server}/ok/out.jpg"), None, "fetch_refused"),
        (format!("{server}/ok/../secret/a.jpg"), None, "fetch_refused"),
        (format!("{server}/ok/%2e%2e/secret/a.jpg"), None, "fetch_refused"),
        (format!("{unlisted}/ok/a.jpg"), None, "fetch_refused"),
        (format!("http://user:pass@127.0.0.1:{port}/ok/a.jpg"), None, "fetch_refused"),
        (format!("http://[::ffff:127.0.0.1]:{port}/ok/a.jpg"), None, "fetch_refused"),
        (format!("http://localhost:{port}/ok/a.jpg"), None, "fetch_refused"),
        (format!("http://loopback.test:{port}/ok/a.jpg"), None, "fetch_refused"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), None, "fetch_refused"),
        (format!("file://{}/../secret.jpg", pictures.display()), None, "fetch_refused"),
        (format!("file://{}/secret.jpg", folder.path().display()), None, "fetch_refused"),
        (format!("file://{}/way-out.jpg", pictures.display()), None, "fetch_refused"),
        ("ftp://127.0.0.1/a.jpg".to_owned(), None, "fetch_refused"),
        ("s3://another-bucket/a.jpg".to_owned(), None, "fetch_refused"),
    ];
    let records: Vec<_> = cases
        .iter()
        .map(|(uri, digest, _)| claim(0, uri, &digest.iter().map(|digest| ("image_sha256", digest.as_str())).collect::<Vec<_>>()))
        .collect();
    kafka.produce(&topic, &records);
    let store = folder.path().join("store");
    let mut config = quick(kafka, &topic, "claims", &file_url(&store));
    set(&mut config, "fetch", "allow", vec![format!("{server}/ok/"), format!("file://{}/", pictures.display())]);
    set(&mut config, "fetch", "max_bytes", "2MiB");
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    assert_exactly_once(kafka, &topic, &store);
    let rows = Duck::in_folder(&store).rows("SELECT status, error, size_bytes FROM 'frames/**/*.parquet' ORDER BY kafka_offset");
    for ((uri, _, status), row) in cases.iter().zip(&rows) {
        assert_eq!(row["status"], *status, "{uri}: {row:?}");
    }
    assert_eq!(tries.load(Ordering::Relaxed), 3, "what is busy is tried again until it is not");
}

/// By the system's own tool, not by our code.
fn sha256(folder: &std::path::Path, bytes: &[u8]) -> String {
    let file = folder.join("digest-me");
    fs::write(&file, bytes).expect("writing");
    let output = std::process::Command::new("sha256sum").arg(&file).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).chars().take(64).collect()
}

#[test]
fn a_server_that_hangs_holds_up_its_own_partition_alone() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("hanging", 2);
    let jpeg = Scene::new(0, SMALL).picture(0).jpeg;
    let open = Arc::new(AtomicUsize::new(0));
    let (counted, body) = (Arc::clone(&open), jpeg.clone());
    let server = serve(move |path, stream| {
        if path.starts_with("/slow/") {
            counted.fetch_add(1, Ordering::Relaxed);
            // Until the client gives up.
            let _ = stream.read(&mut [0; 1]);
        } else {
            respond(stream, "200 OK", "", &body);
        }
    });
    let slow: Vec<_> = (0..300).map(|n| claim(0, &format!("{server}/slow/{n}.jpg"), &[])).collect();
    kafka.produce(&topic, &slow);
    let folder = scratch();
    let mut config = quick(kafka, &topic, "hanging", &file_url(folder.path()));
    set(&mut config, "fetch", "allow", vec![format!("{server}/")]);
    set(&mut config, "fetch", "concurrency", 4);
    set(&mut config, "fetch", "timeout", "10m");
    let mut running = Facestream::run(&config, &[]);
    running.wait_until("the slow ones to be waited for", LONG, |_| match open.load(Ordering::Relaxed) {
        4 => Ok(()),
        open => Err(open.to_string()),
    });
    // Everything that the other partition has, fetched or not, comes through meanwhile.
    let quick_ones: Vec<_> =
        (0..200).map(|n| if n % 2 == 0 { claim(1, &format!("{server}/fast/{n}.jpg"), &[]) } else { sent(&jpeg) }).collect();
    kafka.produce(&topic, &quick_ones);
    running.wait_metric("facestream_frames_total", &[("status", "ok")], LONG, |frames| frames == 200.0);
    running.wait_metric("facestream_committed_offset", &[("partition", "1")], LONG, |offset| offset == 200.0);
    assert_eq!(running.metric("facestream_committed_offset", &[("partition", "0")]), 0.0);
    running.kill();
}

fn sent(jpeg: &[u8]) -> Record {
    Record { partition: 1, key: Some(b"gate".to_vec()), payload: Some(jpeg.to_vec()), ..Record::default() }
}
