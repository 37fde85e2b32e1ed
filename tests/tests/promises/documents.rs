//! What the documents and the dashboard say is so: the README's commands and queries work, each metric that is named is exported.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use facestream::scene::Scene;
use facestream_schemas::{Micros, Partition, Size, SourceId};
use facestream_tests::{Duck, Facestream, Kafka, scratch};

use crate::{LONG, file_url};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn photos_that_are_produced_come_out_of_the_readmes_queries() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("photos", 2);
    let folder = scratch();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    let scene = Scene::new(0, Size { w: 640, h: 360 });
    let mut faces = 0;
    for n in 0..6 {
        let picture = scene.picture(n * 30);
        faces += picture.faces.len();
        fs::write(photos.join(format!("{n}.jpg")), picture.jpeg).expect("writing");
    }
    fs::write(photos.join("notes.txt"), "not an image").expect("writing");
    let sent = Facestream::command(folder.path(), &["produce", "--brokers", kafka.brokers(), "--topic", &topic, "photos"], LONG);
    assert_eq!(sent.code, Some(0), "{}", sent.output);

    // The README's queries name the store's folder `faces`.
    let config = Facestream::config(kafka, &topic, "photos", &file_url(&folder.path().join("faces")));
    let finished = Facestream::run(&config, &["--until-end"]).wait_exit(LONG);
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    let duck = Duck::in_folder(folder.path());
    let readme = read("README.md");
    let queries: Vec<_> = readme.split("```sql").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(queries.len() >= 2, "the README shows how to query");
    for query in queries.iter().flat_map(|block| block.split(';')).filter(|query| !query.trim().is_empty()) {
        assert!(!duck.rows(query).is_empty(), "{query}");
    }
    assert_eq!(duck.value("SELECT count(*) FROM 'faces/frames/**/*.parquet'"), 6);
    assert_eq!(duck.value("SELECT count(*) FROM 'faces/detections/**/*.parquet'"), faces);
}

/// Words that begin like a metric of ours.
fn metrics_named_in(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("facestream_"));
    words.map(str::to_owned).collect()
}

#[test]
fn every_metric_that_dashboard_and_documents_name_is_exported() {
    let metrics = facestream::metrics::Metrics::new();
    metrics.hold(&Partition { topic: "frames".into(), number: 0 });
    metrics.build_info.with_label_values(&["", "", ""]).set(1);
    metrics.sources_apart.tell_apart(1);
    metrics.sources_apart.count(&SourceId::new("a"), 0, Micros(0), Instant::now());
    let page = metrics.render();
    let exported: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let dashboards =
        ["overview", "pipeline", "delivery", "fleet"].map(|name| format!("deploy/grafana/dashboards/facestream-{name}.json"));
    let documents = ["README.md", "deploy/metrics.md"].map(str::to_owned);
    let mut named = Vec::new();
    for path in dashboards.into_iter().chain(documents) {
        let metrics = metrics_named_in(&read(&path));
        assert!(!metrics.is_empty(), "{path} names metrics");
        named.extend(metrics.into_iter().map(|metric| (path.clone(), metric)));
    }
    for (path, metric) in named {
        let known =
            ["", "_bucket", "_count", "_sum"].iter().any(|part| exported.contains(metric.strip_suffix(part).unwrap_or("")));
        assert!(known, "{path} names {metric}, which is not exported");
    }
}

#[test]
fn the_reference_of_metrics_is_what_the_command_prints() {
    let document = read("deploy/metrics.md");
    let (_, rest) = document.split_once("<!-- facestream metrics --format markdown -->\n").expect("the first marker");
    let (written, _) = rest.split_once("<!-- end -->").expect("the second marker");
    let printed = Facestream::command(scratch().path(), &["metrics", "--format", "markdown"], LONG);
    assert_eq!(printed.code, Some(0), "{}", printed.output);
    assert!(
        written == printed.output,
        "deploy/metrics.md is not up to date: put what `facestream metrics --format markdown` prints between its two markers"
    );
}

/// Source files in a folder, at any depth, tests aside.
fn sources_below(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    files
}

/// `kafka` and `journal` never import each other, and the imports of `pipeline` run one way.
#[test]
fn imports_run_one_way() {
    let forbidden = [
        ("kafka", vec!["commands", "topology", "journal", "http"]),
        ("journal", vec!["kafka", "lane", "commands", "topology", "workers", "http"]),
        ("lane", vec!["kafka", "commands", "topology", "workers", "http"]),
        ("workers", vec!["kafka", "commands", "topology", "http"]),
        ("http", vec!["kafka", "commands", "topology", "journal"]),
        ("live", vec!["kafka", "commands", "topology", "journal", "lane", "workers", "http", "store", "config"]),
        ("fetch", vec!["kafka", "commands", "topology", "journal", "lane", "workers", "http"]),
        ("store", vec!["kafka", "commands", "topology", "journal", "lane", "workers", "http"]),
        ("metrics", vec!["kafka", "commands", "topology", "journal", "lane", "workers", "http", "store"]),
        ("config", vec!["kafka", "commands", "topology", "journal", "lane", "workers", "http", "store", "metrics", "fetch"]),
        ("topology", vec!["commands"]),
    ];
    for (module, others) in forbidden {
        let root = workspace().join("pipeline/src");
        let mut files = vec![root.join(format!("{module}.rs"))];
        files.extend(sources_below(&root.join(module)));
        for file in files {
            let code = fs::read_to_string(&file).expect("a source file");
            let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for other in &others {
                assert!(!code.contains(&format!("crate::{other}")), "{} imports crate::{other}", file.display());
            }
        }
    }
}
