//! What the ways in cost: the same pictures as raw bytes, in JSON, and as claim checks that are fetched from an S3 server on this
//! machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use facestream_tests::{Kafka, Record, Versitygw, scratch};
use serde_json::json;
use toml::{Table, Value};

use super::{Bare, Run, config, cores, median};

/// The same frames in each envelope, by turns.
pub(super) fn compare(bare: &Bare, kafka: &Kafka, frames: usize, rounds: usize) {
    let raw = bare.produce(kafka, frames);
    let bodies: Vec<_> =
        bare.pictures.iter().map(|picture| json!({"frame_seq": 1, "image": base64(picture)}).to_string()).collect();
    let in_json = bare.produce_as(kafka, frames, |n| Record { payload: Some(bodies[n].clone().into()), ..Record::default() });
    let mut columns: [Vec<f64>; 3] = Default::default();
    for round in 1..=rounds {
        let [plain, json] = [&raw, &in_json].map(|topic| measure(kafka, topic, frames, None).cpu_s * 1e3 / frames as f64);
        eprintln!("  round {round}: raw {plain:.2}, JSON {json:.2} ms of CPU a frame");
        columns.iter_mut().zip([plain, json, json / plain]).for_each(|(column, value)| column.push(value));
    }
    let [plain, json, ratio] = columns.map(median);
    eprintln!(
        "  JSON with base64: {json:.2} ms of CPU a frame next to {plain:.2} raw; medians of {rounds}, of their ratios {ratio:.3} \
         (target 1.10)"
    );
    if Versitygw::is_installed() {
        claim_checks(bare, kafka, &raw, frames, rounds);
    } else {
        eprintln!("  SKIPPED claim checks: the S3 server versitygw was not built, for want of Go");
    }
}

fn claim_checks(bare: &Bare, kafka: &Kafka, raw: &str, frames: usize, rounds: usize) {
    let folder = scratch();
    let s3 = Versitygw::start(folder.path());
    fs::create_dir_all(s3.folder("pictures")).expect("a folder");
    for (n, picture) in bare.pictures.iter().enumerate() {
        fs::write(s3.folder("pictures").join(format!("{n}.jpg")), picture).expect("writing");
    }
    let claims = bare.produce_as(kafka, frames, |n| {
        let uri = s3.url(&format!("pictures/{n}.jpg"));
        Record { payload: Some(Vec::new()), headers: vec![("image_uri".to_owned(), uri.into())], ..Record::default() }
    });
    let mut columns: [Vec<f64>; 3] = Default::default();
    for round in 1..=rounds {
        let [plain, fetched] = [(raw, None), (claims.as_str(), Some(&s3))].map(|(topic, s3)| measure(kafka, topic, frames, s3));
        // What the workers do with a core that Kafka, the S3 server and everything else leave them.
        let per_core = |run: &Run| run.frames_per_s / (cores() - run.broker_cores - run.other_cores);
        eprintln!(
            "  round {round}: {:.1} frames/s by claim check ({:.2} cores for the S3 server and others), {:.1} raw ({:.2})",
            fetched.frames_per_s, fetched.other_cores, plain.frames_per_s, plain.other_cores
        );
        let ratios =
            [fetched.frames_per_s / plain.frames_per_s, per_core(&fetched) / per_core(&plain), fetched.cpu_s / plain.cpu_s];
        columns.iter_mut().zip(ratios).for_each(|(column, value)| column.push(value));
    }
    let [rate, per_core, cpu] = columns.map(median);
    eprintln!(
        "  claim checks, next to raw, medians of {rounds}: {rate:.2} of the frames/s on the whole machine, {per_core:.2} for each core that \
         the S3 server and others leave (target 0.9), {cpu:.3} of the CPU time a frame"
    );
}

fn measure(kafka: &Kafka, topic: &str, frames: usize, s3: Option<&Versitygw>) -> Run {
    let folder = scratch();
    let mut config = config(kafka, topic, folder.path());
    if let Some(s3) = s3 {
        let fetch = [("allow", Value::from(vec![s3.url("")])), ("options", s3.options().into())];
        let fetch: Table = fetch.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        config.insert("fetch".to_owned(), fetch.into());
    }
    Run::of(kafka, &config, frames)
}

/// By an encoder that is not ours.
fn base64(bytes: &[u8]) -> String {
    let folder = scratch();
    let file = folder.path().join("picture");
    fs::write(&file, bytes).expect("writing");
    let output = Command::new("base64").args([Path::new("-w0"), &file]).output().expect("base64, of the coreutils");
    String::from_utf8(output.stdout).expect("ASCII")
}
