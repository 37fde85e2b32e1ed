//! Pictures that lie on web servers and in object stores.

use std::io::Read as _;

use facestream_tests::{S3, python};
use serde_json::json;

use super::{folder, lines, picture, scripted};
use crate::claim_check::{respond, serve};

#[test]
fn pictures_on_servers_come_in_their_place_and_failures_say_what_happened() {
    let folder = folder();
    let path = folder.path();
    picture(&path.join("here.png"), 100, 60);
    let png = std::fs::read(path.join("here.png")).expect("reading");
    let server = serve(move |path, stream| match path {
        "/a.png?key=1" | "/moved/a.png" => respond(stream, "200 OK", "", &png),
        "/on.png" => respond(stream, "302 Found", "location: /moved/a.png\r\n", b""),
        "/large.png" => respond(stream, "200 OK", "", &vec![0; 2 << 20]),
        // Until the client gives up.
        "/hangs.png" => drop(stream.read(&mut [0; 1])),
        _ => respond(stream, "404 Not Found", "", b""),
    });
    let urls = ["hangs.png", "a.png?key=1", "on.png", "gone.png", "large.png"].map(|name| format!("{server}/{name}"));
    let file = format!("file://{}/here.png", path.display());
    let inputs: Vec<_> = urls.iter().map(String::as_str).chain(["here.png", &file]).collect();
    let flags = ["--format", "json", "--workers", "2", "--out", "out"];
    let limits = ["--set", "fetch.timeout=1s", "--set", "fetch.attempts=1", "--set", "fetch.max_bytes=1MiB"];
    let said = scripted(path, &[&flags[..], &limits, &inputs].concat());
    assert_eq!(said.code, Some(1), "{}", said.output);
    let here = path.join("here.png").display().to_string();
    let expected = [
        (urls[0].as_str(), "fetch_error", "no answer came"),
        (&urls[1], "ok", ""),
        (&urls[2], "ok", ""),
        (&urls[3], "expired", "404"),
        (&urls[4], "too_large", "fetch.max_bytes"),
        ("here.png", "ok", ""),
        (&here, "ok", ""),
    ];
    let found = lines(&said);
    assert_eq!(found.len(), expected.len());
    for (line, (file, status, says)) in found.iter().zip(expected) {
        assert_eq!((&line["file"], &line["status"]), (&json!(file), &json!(status)), "{line}");
        assert!(line["error"].as_str().unwrap_or_default().contains(says), "{line}");
        assert_eq!(line["detections"].as_array().map(Vec::len), Some(if status == "ok" { 2 } else { 0 }), "{line}");
    }
    for copy in ["a.png", "on.png"] {
        assert!(path.join("out").join(copy).exists(), "{copy}");
    }
}

#[test]
fn pictures_in_a_bucket_are_read_with_the_options_that_fetching_has() {
    let folder = folder();
    let path = folder.path();
    picture(&path.join("a.png"), 100, 60);
    let s3 = S3::start();
    let options = s3.options();
    let endpoint = options["endpoint"].as_str().expect("an endpoint");
    let put = "
import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='tests', aws_secret_access_key='tests')
s3.upload_file('a.png', 'facestream', 'photos/ü 1.png')
";
    let _ = python(put, &[endpoint], "", path);
    let mut config = toml::Table::new();
    crate::set(&mut config, "fetch", "options", options.clone());
    std::fs::write(path.join("facestream.toml"), config.to_string()).expect("writing");
    let (there, missing) = (s3.url("photos/ü 1.png"), s3.url("photos/2.png"));
    let said = scripted(path, &["--format", "json", &there, &missing]);
    assert_eq!(said.code, Some(1), "{}", said.output);
    let found: Vec<_> = lines(&said).iter().map(|line| (line["file"].clone(), line["status"].clone())).collect();
    assert_eq!(found, [(json!(there), json!("ok")), (json!(missing), json!("expired"))]);
}
