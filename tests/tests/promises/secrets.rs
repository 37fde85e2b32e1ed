//! Secrets stay secret, however they are given; and a store's credentials may come from wherever clouds keep them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use facestream_tests::{Credentials, Duck, Facestream, Kafka, Record, S3, SecureKafka, Versitygw, scratch};
use toml::{Table, Value};

use crate::transport::{sasl_ssl, scripted};
use crate::{LONG, assert_exactly_once, pictures, set};

/// What is secret, by the key that it is given under. Kafka checks its password; the S3 server takes any user.
fn secrets() -> [(&'static str, &'static str, &'static str); 5] {
    [
        ("kafka.properties", "sasl.password", SecureKafka::password()),
        ("store.options", "access_key_id", "AKIASTORE7Q2XW9"),
        ("store.options", "secret_access_key", "st0re-s3cret-4Hn8"),
        ("fetch.options", "access_key_id", "AKIAFETCH3V5KP1"),
        ("fetch.options", "secret_access_key", "f3tch-s3cret-6Jr2"),
    ]
}

/// Gives every secret in one way; returns the environment that it needs.
fn give(config: &mut Table, way: &str, folder: &Path) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (n, (section, name, secret)) in secrets().into_iter().enumerate() {
        let text = match way {
            "env" => {
                environment.insert(format!("SECRET_{n}"), secret.to_owned());
                format!("env:SECRET_{n}")
            }
            "file" => {
                fs::write(folder.join(format!("secret-{n}")), format!("{secret}\n")).expect("writing a secret");
                format!("file:{}", folder.join(format!("secret-{n}")).display())
            }
            _ => secret.to_owned(),
        };
        let (table, key) = section.split_once('.').expect("a table in a section");
        let options = config[table].as_table_mut().expect("a section").entry(key).or_insert_with(|| Table::new().into());
        options.as_table_mut().expect("options").insert(name.to_owned(), Value::from(text));
    }
    environment
}

#[track_caller]
fn assert_none(text: &[u8], place: &str) {
    for (section, name, secret) in secrets() {
        let found = text.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{place} holds {section}.{name}");
    }
}

/// A pipeline that uses each of its secrets, logging all that it and its libraries have to say.
fn talkative(kafka: &SecureKafka, topic: &str, s3: &S3, folder: &Path, way: &str) -> Table {
    let mut config = sasl_ssl(kafka, topic, folder, "SCRAM-SHA-512", "");
    set(&mut config, "kafka", "group", format!("secret-{way}"));
    set(&mut config, "store", "url", s3.url(way));
    set(&mut config, "store", "options", s3.options());
    set(&mut config, "fetch", "allow", s3.url("pictures/"));
    set(&mut config, "fetch", "options", s3.options());
    set(&mut config, "log", "level", "trace,facestream=trace");
    config["kafka"]["properties"].as_table_mut().expect("properties").insert("debug".to_owned(), "conf,security,broker".into());
    config
}

#[test]
fn no_secret_is_in_logs_pages_files_or_what_commands_print() {
    let kafka = SecureKafka::shared();
    let s3 = S3::start();
    for way in ["direct", "env", "file"] {
        let topic = kafka.open().topic("secret", 1);
        kafka.open().produce(&topic, &pictures(4, 1));
        let elsewhere = format!(r#"{{"source_id": "a", "image_uri": "{}"}}"#, s3.url("pictures/none.jpg"));
        kafka.open().produce(&topic, &[Record { payload: Some(elsewhere.into_bytes()), ..Record::default() }]);
        let folder = scratch();
        let mut config = talkative(kafka, &topic, &s3, folder.path(), way);
        let environment = give(&mut config, way, folder.path());
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let file = folder.path().join("facestream.toml");
        fs::write(&file, config.to_string()).expect("writing the configuration");

        let log = folder.path().join("log");
        let mut running = Facestream::run_logged(&file, &[], &environment, &log);
        running.wait_metric("facestream_frames_total", &[], LONG, |frames| frames >= 5.0);
        for page in ["/status", "/metrics", "/", "/live/state", "/openapi.json"] {
            let text = running.get(page).unwrap_or_else(|error| panic!("{page}: {error}"));
            assert_none(text.as_bytes(), page);
        }
        let finished = running.terminate(LONG);
        assert_eq!(finished.code, Some(0), "{}", finished.output);
        assert!(finished.output.contains("\"TRACE\"") && finished.output.contains("sasl.password"), "it logs what it can");
        assert_none(finished.output.as_bytes(), &format!("the log ({way})"));

        for arguments in
            [&["config", "show"][..], &["check"], &["journal", "verify"], &["journal", "show", &format!("{topic}/0")]]
        {
            let arguments = [arguments, &["--config", "facestream.toml"]].concat();
            let finished = Facestream::start_with(folder.path(), &arguments, &environment).wait_exit(LONG);
            assert_none(finished.output.as_bytes(), &format!("{arguments:?} ({way})"));
        }
        let store = scratch();
        s3.download(way, store.path());
        assert_exactly_once(kafka.open(), &topic, store.path());
        each_file(store.path(), &|path, bytes| assert_none(bytes, &path.display().to_string()));
        let rows = Duck::in_folder(store.path()).rows("SELECT * FROM 'frames/**/*.parquet'");
        assert_none(serde_json::to_string(&rows).expect("JSON").as_bytes(), "the rows");
    }
}

fn each_file(folder: &Path, look: &dyn Fn(&Path, &[u8])) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { each_file(&path, look) } else { look(&path, &fs::read(&path).expect("a file")) }
    }
}

#[test]
fn errors_name_keys_and_never_secrets() {
    let folder = scratch();
    let secret = "hunter2-5Tz9";
    let s3 = "store.url=s3://bucket/prefix";
    for set in [
        &["kafka.properties.sasl.password hunter2-5Tz9"][..],
        &["kafka.properties.sasl.pasword=hunter2-5Tz9"],
        &["kafka.properties.ssl.key.pem=hunter2-5Tz9", "kafka.properties.security.protocol=ssl", "store.url=file:///tmp/x"],
        &[s3, "store.options.secret_access_key=hunter2-5Tz9"],
        &[s3, "store.options.secret_acces_key=hunter2-5Tz9"],
        &[
            s3,
            "store.options.secret_access_key=hunter2-5Tz9",
            "store.options.access_key_id=hunter2-5Tz9",
            "store.options.region=x",
            "store.options.endpoint=https://127.0.0.1:9",
        ],
    ] {
        let values = ["kafka.topics=frames", "kafka.brokers=127.0.0.1:9", "http.listen=127.0.0.1:0"];
        let arguments: Vec<_> = values.iter().chain(set).flat_map(|value| ["--set", value]).collect();
        let model = scripted(folder.path(), "0s");
        let model = format!("detector.model={model}");
        let arguments = [&["check"][..], &arguments, &["--set", &model]].concat();
        let finished = Facestream::command(folder.path(), &arguments, LONG);
        assert_ne!(finished.code, Some(0), "{}", finished.output);
        assert!(!finished.output.contains(secret), "{set:?}: {}", finished.output);
    }
}

#[test]
fn a_stores_credentials_come_from_the_environment_a_container_or_a_web_identity() {
    if !Versitygw::is_installed() {
        eprintln!(
            "SKIPPED a_stores_credentials_come_from_the_environment_a_container_or_a_web_identity: no versitygw (it needs Go)"
        );
        return;
    }
    let kafka = Kafka::shared();
    let ground = scratch();
    let store = Versitygw::start(ground.path());
    let (key, secret) = Versitygw::user();
    let server = Credentials::serve(key, secret);
    let plain = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)];
    let plain = plain.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let ways = [("environment", plain), ("container", server.of_a_container()), ("identity", server.of_a_web_identity())];
    let running: Vec<_> = ways
        .iter()
        .map(|(way, environment): &(&'static str, Vec<(String, String)>)| {
            let topic = kafka.topic("credentials", 1);
            kafka.produce(&topic, &pictures(3, 1));
            let folder = scratch();
            let mut config = Facestream::config(kafka, &topic, way, &store.url(way));
            set(&mut config, "detector", "model", scripted(folder.path(), "0s"));
            let mut options = store.options();
            for name in ["access_key_id", "secret_access_key"] {
                options.remove(name);
            }
            set(&mut config, "store", "options", options);
            let file = folder.path().join("facestream.toml");
            fs::write(&file, config.to_string()).expect("writing the configuration");
            let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let log = folder.path().join("log");
            (*way, topic, Facestream::run_logged(&file, &["--until-end"], &environment, &log), folder)
        })
        .collect();
    for (way, topic, running, _folder) in running {
        let finished = running.wait_exit(LONG);
        assert_eq!(finished.code, Some(0), "{way}: {}", finished.output);
        assert_exactly_once(kafka, &topic, &store.folder(way));
    }
}
