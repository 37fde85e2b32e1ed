//! Kafka over TLS, with a user or a client's certificate: every command works, and one that is not let in says why and what to mend.

use std::path::Path;

use facestream::scene::Scene;
use facestream_tests::{Duck, Facestream, Finished, Record, SecureKafka, USER, replace, scratch};
use serde_json::json;
use toml::{Table, Value};

use crate::{LONG, SMALL, assert_exactly_once, file_url, pictures, set};

/// A detector that needs no model, written into `folder`.
pub(crate) fn scripted(folder: &Path, latency: &str) -> String {
    let script = folder.join("scripted.toml");
    let text = format!("latency = \"{latency}\"\n[[faces]]\nbox = [100, 40, 60, 75]\nscore = 0.9\n");
    replace(&script, text).expect("writing the script");
    script.display().to_string()
}

/// Reads `topic` behind the door that wants TLS and a user.
pub(crate) fn sasl_ssl(kafka: &SecureKafka, topic: &str, folder: &Path, mechanism: &str, password: &str) -> Table {
    let mut config = Facestream::config(kafka.open(), topic, topic, &file_url(&folder.join("faces")));
    set(&mut config, "kafka", "brokers", kafka.sasl_ssl());
    set(&mut config, "detector", "model", scripted(folder, "0s"));
    let authority = kafka.authority().display().to_string();
    for (name, value) in [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", USER),
        ("sasl.password", password),
        ("ssl.ca.location", &authority),
    ] {
        property(&mut config, name, Some(value));
    }
    config
}

/// Sets or removes a property of Kafka's client.
fn property(config: &mut Table, name: &str, value: Option<&str>) {
    let properties = config["kafka"]["properties"].as_table_mut().expect("properties");
    match value {
        Some(value) => properties.insert(name.to_owned(), Value::from(value)),
        None => properties.remove(name),
    };
}

/// Starts a command with this configuration, in the folder where it is written to.
fn start(folder: &Path, name: &str, config: &Table, arguments: &[&str], environment: &[(&str, &str)]) -> Facestream {
    let file = format!("{name}.toml");
    replace(&folder.join(&file), config.to_string()).expect("writing the configuration");
    let shared = ["--config", &file, "--set", "http.listen=127.0.0.1:0"];
    Facestream::start_with(folder, &[arguments, &shared].concat(), environment)
}

fn fine(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(0), "{}", finished.output);
    &finished.output
}

#[test]
fn every_command_works_over_tls_with_a_user_whose_password_lies_elsewhere() {
    let kafka = SecureKafka::shared();
    let [topic, events, dead] = ["locked", "locked-events", "locked-dead"].map(|name| kafka.open().topic(name, 2));
    let folder = scratch();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).expect("a folder");
    for n in 0..6 {
        std::fs::write(photos.join(format!("{n}.jpg")), Scene::new(0, SMALL).picture(n * 10).jpeg).expect("writing");
    }
    let mut config = sasl_ssl(kafka, &topic, folder.path(), "SCRAM-SHA-512", "env:KAFKA_PASSWORD");
    set(&mut config, "events", "topic", events.as_str());
    set(&mut config, "dead_letters", "topic", dead.as_str());
    let run = |arguments: &[&str]| {
        let environment = [("KAFKA_PASSWORD", SecureKafka::password())];
        start(folder.path(), "locked", &config, arguments, &environment).wait_exit(LONG)
    };
    fine(&run(&["produce", "photos"]));
    kafka.open().produce(&topic, &[Record { payload: Some(b"no picture".to_vec()), ..Record::default() }]);
    let checked = run(&["check"]);
    assert!(fine(&checked).contains("output topic") && !checked.output.contains("WRONG"), "{}", checked.output);
    fine(&run(&["run", "--until-end"]));
    assert_exactly_once(kafka.open(), &topic, &folder.path().join("faces"));
    let seen = Duck::in_folder(folder.path())
        .rows("SELECT count(*) AS faces, any_value(detector_id) AS detector FROM 'faces/detections/**/*.parquet'");
    assert_eq!(json!(seen), json!([{"faces": 6, "detector": "scripted"}]));
    assert_eq!((kafka.open().read(&events).len(), kafka.open().read(&dead).len()), (7, 1));
    let letters = run(&["dlq", "ls"]);
    assert!(fine(&letters).contains("1 dead letters"), "{}", letters.output);
    fine(&run(&["dlq", "retry", "--all"]));
    assert_eq!(kafka.open().read(&dead).len(), 2, "the letter and its tombstone");
    fine(&run(&["journal", "verify"]));
    let reset = run(&["journal", "reset", "--topic", &topic, "--latest"]);
    assert_eq!(reset.code, Some(0), "{}", reset.output);
}

#[test]
fn each_mechanism_and_a_clients_certificate_open_their_doors() {
    let kafka = SecureKafka::shared();
    let folder = scratch();
    std::fs::write(folder.path().join("password"), format!("{}\n", SecureKafka::password())).expect("writing");
    let in_file = format!("file:{}", folder.path().join("password").display());
    let mut cases: Vec<_> = ["PLAIN", "SCRAM-SHA-256"]
        .into_iter()
        .map(|mechanism| {
            let topic = kafka.open().topic("mechanism", 1);
            let config = sasl_ssl(kafka, &topic, folder.path(), mechanism, &in_file);
            (mechanism, topic, config)
        })
        .collect();
    let topic = kafka.open().topic("mutual", 1);
    let mut mutual = sasl_ssl(kafka, &topic, folder.path(), "PLAIN", &in_file);
    set(&mut mutual, "kafka", "brokers", kafka.mutual_tls());
    for name in ["sasl.mechanism", "sasl.username", "sasl.password"] {
        property(&mut mutual, name, None);
    }
    let (certificate, key) = kafka.client_certificate();
    property(&mut mutual, "security.protocol", Some("ssl"));
    property(&mut mutual, "ssl.certificate.location", Some(&certificate.display().to_string()));
    property(&mut mutual, "ssl.key.location", Some(&key.display().to_string()));
    cases.push(("mutual", topic, mutual));
    for (name, topic, config) in &mut cases {
        let own = folder.path().join(*name);
        std::fs::create_dir(&own).expect("a folder");
        set(config, "store", "url", file_url(&own));
        kafka.open().produce(topic, &pictures(5, 1));
    }
    let running: Vec<_> =
        cases.iter().map(|(name, _, config)| start(folder.path(), name, config, &["run", "--until-end"], &[])).collect();
    for (running, (name, topic, _)) in running.into_iter().zip(&cases) {
        fine(&running.wait_exit(LONG));
        assert_exactly_once(kafka.open(), topic, &folder.path().join(name));
    }
}

/// What is wrong, what of the configuration is changed to be so, and what has to be said of it.
type Refused<'a> = (&'a str, Vec<(&'a str, Option<&'a str>)>, Option<String>, &'a [&'a str]);

#[test]
fn a_client_that_is_not_let_in_says_why_and_which_key_to_look_at_and_ends() {
    let kafka = SecureKafka::shared();
    let topic = kafka.open().topic("refused", 1);
    let folder = scratch();
    let other = kafka.other_authority().display().to_string();
    let no_sasl = [("sasl.mechanism", None), ("sasl.username", None), ("sasl.password", None)];
    let and = |first, value| [&[(first, Some(value))], &no_sasl[..]].concat();
    let cases: [Refused<'_>; 6] = [
        (
            "password",
            vec![("sasl.password", Some("wr0ng-p4ssw0rd"))],
            None,
            &["SCRAM-SHA-512", "user facestream", "\"sasl.password\""],
        ),
        ("authority", vec![("ssl.ca.location", Some(&other))], None, &["certificate", "not trusted", "\"ssl.ca.location\""]),
        ("plaintext", and("security.protocol", "plaintext"), None, &["PLAINTEXT", "hangs up", "\"security.protocol\""]),
        ("user", and("security.protocol", "ssl"), None, &["(SSL)", "hangs up", "SASL_SSL", "\"security.protocol\""]),
        ("tls", vec![], Some(kafka.open().brokers().to_owned()), &["hangs up", "\"security.protocol\""]),
        (
            "client",
            and("security.protocol", "ssl"),
            Some(kafka.mutual_tls()),
            &["\"ssl.certificate.location\"", "\"ssl.key.location\""],
        ),
    ];
    std::fs::write(folder.path().join("photo.jpg"), Scene::new(0, SMALL).picture(0).jpeg).expect("writing");
    let mut running = Vec::new();
    for (name, changes, brokers, words) in &cases {
        let mut config = sasl_ssl(kafka, &topic, folder.path(), "SCRAM-SHA-512", SecureKafka::password());
        for (name, value) in changes {
            property(&mut config, name, *value);
        }
        if let Some(brokers) = brokers {
            set(&mut config, "kafka", "brokers", brokers.as_str());
        }
        set(&mut config, "dead_letters", "topic", "dead");
        for arguments in [&["check"][..], &["run"], &["produce", "photo.jpg"], &["dlq", "ls"]] {
            // One case is enough where commands share the way to say it.
            if *name == "password" || matches!(arguments, ["check" | "run"]) {
                running.push((*name, arguments, *words, start(folder.path(), name, &config, arguments, &[])));
            }
        }
    }
    for (name, arguments, words, running) in running {
        let Finished { code, output } = running.wait_exit(LONG);
        assert_eq!(code, Some(2), "{name}: {arguments:?}: {output}");
        for word in words {
            assert!(output.contains(word), "{name}: {arguments:?} does not say {word}: {output}");
        }
        assert!(!output.contains("p4ssw0rd") && !output.contains("panicked"), "{name}: {output}");
    }
}
