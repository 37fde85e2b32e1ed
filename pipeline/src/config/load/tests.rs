use std::path::PathBuf;
use std::time::Duration;

use super::super::{Count, Needs, Start, show};
use super::*;

/// Sources with a file of this text; the folder is kept until the test ends.
struct Setup {
    folder: tempfile::TempDir,
    sources: Sources,
}

fn setup(file: &str) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facestream.toml");
    std::fs::write(&path, file).unwrap();
    Setup { folder, sources: Sources { file: Some(path), ..Sources::default() } }
}

impl Setup {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.sources.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn set(mut self, pair: &str) -> Self {
        self.sources.set.push(pair.to_owned());
        self
    }

    fn needing(mut self, needs: Needs) -> Self {
        self.sources.needs = needs;
        self
    }

    fn file(&self) -> PathBuf {
        self.sources.file.clone().unwrap()
    }

    fn good(&self) -> (Config, Origins) {
        load(&self.sources).unwrap()
    }

    /// The mistakes as users see them, the file's folder left out.
    fn mistakes(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let mistakes = load(&self.sources).expect_err("the configuration should be refused").0;
        mistakes.iter().map(|mistake| mistake.to_string().replace(&folder, "")).collect()
    }

    fn only_mistake(&self) -> String {
        let mistakes = self.mistakes();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        mistakes[0].clone()
    }
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_the_defaults() {
    let file = "[kafka]\ngroup = \"file\"\ntopics = \"file\"\nbrokers = \"file:1\"\n";
    let setup = setup(file)
        .env("FACESTREAM__KAFKA__TOPICS", "env")
        .env("FACESTREAM__KAFKA__BROKERS", "env:1")
        .env("HOME", "/root")
        .set("kafka.brokers=flag:0")
        .set("kafka.brokers=flag:1");
    let (config, origins) = setup.good();
    assert_eq!(config.kafka.start, Start::Earliest);
    assert_eq!(origins.of("kafka.start"), &Origin::Default);
    assert_eq!(config.kafka.group, "file");
    assert_eq!(origins.of("kafka.group"), &Origin::File(setup.file(), 2));
    assert_eq!(config.kafka.topics, ["env"]);
    assert_eq!(origins.of("kafka.topics"), &Origin::Env("FACESTREAM__KAFKA__TOPICS".to_owned()));
    assert_eq!(config.kafka.brokers, "flag:1");
    assert_eq!(origins.of("kafka.brokers"), &Origin::Flag);
}

#[test]
fn text_from_outside_the_file_is_read_as_what_the_key_takes() {
    let setup = setup("")
        .env("FACESTREAM__DETECTOR__SCORE_THRESHOLD", "0.75")
        .env("FACESTREAM__PARQUET__SEAL_ON_SHUTDOWN", "false")
        .env("FACESTREAM__WORKERS__COUNT", "3")
        .set("envelope.max_pixels=5_000")
        .set("journal.append_every=500ms")
        .set("workers.in_flight=100000000")
        .set("kafka.group=7")
        .set(r#"kafka.topics=["a", "b"]"#);
    let (config, _) = setup.good();
    assert!((config.detector.score_threshold - 0.75).abs() < 1e-6);
    assert!(!config.parquet.seal_on_shutdown);
    assert_eq!(config.workers.count, Count::Fixed(3.try_into().unwrap()));
    assert_eq!(config.envelope.max_pixels, 5000);
    assert_eq!(config.journal.append_every, Duration::from_millis(500));
    assert_eq!(config.workers.in_flight.bytes(), 100_000_000);
    assert_eq!(config.kafka.group, "7");
    assert_eq!(config.kafka.topics, ["a", "b"]);
}

#[test]
fn a_topic_whose_name_is_a_number_is_a_topic() {
    assert_eq!(setup("").set("kafka.topics=2024").good().0.kafka.topics, ["2024"]);
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_key_origin_and_way_out() {
    let file = "[kafka]\ntopcis = \"frames\"\nstart = \"newest\"\n\n[windows]\nlength = 60\n\n[nonsense]\n";
    let setup = setup(file)
        .env("FACESTREAM__WORKERS__IN_FLIGHT", "a lot")
        .set("detector.nms_iou=1.5")
        .set("detector.input=640x400")
        .set("verbose")
        .needing(Needs::PIPELINE);
    let expected = [
        ("kafka.topcis (facestream.toml:2)", "did you mean kafka.topics?"),
        ("kafka.start (facestream.toml:3)", "`earliest`"),
        ("windows.length (facestream.toml:6)", "with a unit, such as \"10s\""),
        ("nonsense (facestream.toml:8)", "the sections are kafka, detector"),
        ("workers.in_flight (environment FACESTREAM__WORKERS__IN_FLIGHT)", "\"a lot\" is not a size"),
        ("detector.nms_iou (--set)", "1.5 is not between 0 and 1"),
        ("detector.input (--set)", "a multiple of 32"),
        ("verbose (--set)", "expected KEY=VALUE"),
        ("kafka.topics:", "is required"),
        ("store.url:", "is required"),
    ];
    let mistakes = setup.mistakes();
    for (who, what) in expected {
        assert!(mistakes.iter().any(|m| m.starts_with(who) && m.contains(what)), "no {who} … {what} in {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
}

#[test]
fn what_a_command_does_not_need_is_not_required() {
    let (config, _) = setup("").good();
    assert_eq!(config, Config::default());
}

#[test]
fn a_broken_or_missing_file_is_named_with_its_line_and_no_content() {
    let broken = setup("[kafka]\n\"sasl.password\" = hunter2\n").only_mistake();
    assert!(broken.starts_with("facestream.toml:2: not TOML"), "{broken}");
    assert!(!broken.contains("hunter2"), "{broken}");
    let sources = Sources { file: Some("/nowhere/f.toml".into()), ..Sources::default() };
    let missing = load(&sources).expect_err("there is no such file").to_string();
    assert!(missing.contains("/nowhere/f.toml") && missing.contains("No such file"), "{missing}");
}

#[test]
fn properties_come_quoted_dotted_and_from_the_environment() {
    let file = "[kafka.properties]\nsasl.mechanism = \"PLAIN\"\n\"session.timeout.ms\" = 10000\n[store]\nurl = \"s3://b/p\"\n";
    let setup = setup(file)
        .env("FACESTREAM__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL")
        .env("FACESTREAM__STORE__OPTIONS__AWS_REGION", "eu-central-1")
        .set("kafka.properties.sasl.username=me");
    let (config, origins) = setup.good();
    let expected = [
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "me"),
        ("security.protocol", "SASL_SSL"),
        ("session.timeout.ms", "10000"),
    ];
    let properties: Vec<(&str, &str)> = config.kafka.properties.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(properties, expected);
    assert_eq!(config.store.options.get("aws_region").map(String::as_str), Some("eu-central-1"));
    assert_eq!(origins.of("kafka.properties.sasl.mechanism"), &Origin::File(setup.file(), 2));
}

#[test]
fn secrets_are_resolved_and_never_shown() {
    let setup = setup("").env("KAFKA_PASSWORD", "hunter2").set("kafka.properties.sasl.password=env:KAFKA_PASSWORD");
    let secret = setup.folder.path().join("key");
    std::fs::write(&secret, "AKIA123\n").unwrap();
    let setup = setup
        .set("store.url=s3://bucket")
        .set(&format!("store.options.access_key_id=file:{}", secret.display()))
        .set("store.options.secret_access_key=plain-text-secret")
        .set("store.options.region=eu-central-1");
    let (config, _) = setup.good();
    assert_eq!(config.kafka.properties["sasl.password"], "hunter2");
    assert_eq!(config.store.options["access_key_id"], "AKIA123");

    let setup = setup.set("http.token=a-token-of-my-own");
    let (config, origins) = setup.good();
    assert_eq!(config.http.token.reveal(), "a-token-of-my-own");
    let shown = show(&config, &origins);
    let printed = format!("{shown}{config:?}{origins:?}");
    for secret in ["hunter2", "AKIA123", "plain-text-secret", "a-token-of-my-own"] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
    assert!(shown.contains("\"sasl.password\" = \"env:KAFKA_PASSWORD\""), "{shown}");
    assert!(shown.contains("\"secret_access_key\" = \"(redacted)\""), "{shown}");
    assert!(shown.contains("\"eu-central-1\""), "{shown}");
    assert!(shown.contains("token = \"(redacted)\""), "{shown}");
}

#[test]
fn a_token_comes_from_elsewhere_and_no_message_quotes_one_that_is_wrong() {
    let (config, origins) = setup("").env("TOKEN", "0123456789abcdef").set("http.token=env:TOKEN").good();
    assert_eq!(config.http.token.reveal(), "0123456789abcdef");
    assert!(show(&config, &origins).contains("token = \"env:TOKEN\""));
    for (given, reason) in
        [("http.token=hunter2", "has 7 characters"), ("http.token=a token with spaces in it", "without spaces")]
    {
        let mistake = setup("").set(given).only_mistake();
        assert!(mistake.contains(reason) && mistake.starts_with("http.token (--set)"), "{mistake}");
        assert!(!mistake.contains("hunter2") && !mistake.contains("a token with"), "{mistake}");
    }
    let number = setup("[http]\ntoken = 12345678901234567\n").only_mistake();
    assert!(number.contains("expected text") && !number.contains("12345678901234567"), "{number}");
}

#[test]
fn a_session_has_to_outlast_its_heartbeats() {
    let session = |ms: &str| setup("").set(&format!("kafka.properties.session.timeout.ms={ms}"));
    let mistake = session("3000").only_mistake();
    assert!(mistake.contains("session.timeout.ms") && mistake.contains("heartbeat.interval.ms, which is 3000"), "{mistake}");
    session("3000").set("kafka.properties.heartbeat.interval.ms=500").good();
    session("10000").good();
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let setup = setup("").set("kafka.properties.sasl.password=env:NO_SUCH").set("kafka.properties.ssl.key.pem=file:/no/such");
    let mistakes = setup.mistakes();
    assert!(
        mistakes[0].contains("kafka.properties.sasl.password (--set): the environment variable \"NO_SUCH\" is not set"),
        "{mistakes:?}"
    );
    assert!(mistakes[1].contains("kafka.properties.ssl.key.pem (--set): cannot read the file \"/no/such\""), "{mistakes:?}");
}

#[test]
fn what_is_shown_reads_back_as_the_same_configuration() {
    let (config, origins) = setup("[kafka]\ntopics = [\"a\", \"b\"]\n").set("windows.length=15m").good();
    let shown = show(&config, &origins);
    assert!(shown.contains("# --set") && shown.contains("# default") && shown.contains("facestream.toml:2"), "{shown}");
    assert_eq!(setup(&shown).good().0, config);
}

#[test]
fn values_that_cannot_work_are_refused_with_the_reason() {
    let cases = [
        ("workers.in_flight=47MiB", "has to be at least 48MiB"),
        ("envelope.max_bytes=40MiB", "has to be at least 96MiB"),
        ("envelope.max_bytes=1GiB", "has to be from 1B to 64MiB"),
        ("windows.length=7m", "divide a day"),
        ("windows.length=0s", "divide a day"),
        ("detector.score_threshold=-0.1", "between 0 and 1"),
        ("detector.score_threshold=nan", "expected f32"),
        ("detector.min_face_px=-1", "below 0"),
        ("journal.append_every=0s", "longer than 0s"),
        ("workers.count=0", "neither \"auto\" nor a number"),
        ("log.level=infoo", "neither a level"),
        ("kafka.topics=a,b", "give several as a list"),
        ("kafka.topics=a b", "not a topic name"),
        ("kafka.topics=[\"a\", \"a\"]", "named twice"),
        ("kafka.brokers=localhost:port", "not host:port"),
        ("kafka.group=", "is empty"),
        ("kafka.properties.enable.auto.commit=true", "after the journal's append"),
        ("kafka.properties.no.such=1", "librdkafka does not know"),
        ("store.url=/data", "not a URL"),
        ("store.url=file://data/x", "absolute path"),
        ("store.url=s3:///prefix", "names no bucket"),
        ("store.url=http://host/x", "http:// is not supported"),
        ("store.url=s3://key:secret@bucket/p", "belong into [store.options]"),
        ("http.listen=localhost", "invalid socket address"),
    ];
    for (pair, reason) in cases {
        let mistake = setup("").set(pair).mistakes().join("\n");
        let key = pair.split('=').next().unwrap();
        assert!(mistake.contains(reason), "{pair}: {mistake}");
        assert!(mistake.contains(key) || pair.starts_with("envelope.max_bytes=40"), "{pair}: {mistake}");
    }
    let options = setup("").set("store.url=s3://b").set("store.options.reigon=x").only_mistake();
    assert!(options.contains("store.options.reigon (--set): is no option of a store at s3://"), "{options}");
}

#[test]
fn annotated_pictures_need_a_place_to_go_and_a_say_in_what_is_done() {
    let mistake = |sets: &[&str]| sets.iter().fold(setup(""), |setup, set| setup.set(set)).only_mistake();
    for what in ["boxes", "blur", "pixelate"] {
        let text = mistake(&[&format!("annotate.what={what}")]);
        assert!(text.starts_with("annotate.what") && text.contains("annotate.topic or annotate.store"), "{text}");
    }
    for place in ["annotate.topic=pictures", "annotate.store=file:///tmp/pictures"] {
        let text = mistake(&[place]);
        assert!(text.starts_with("annotate.what") && text.contains("\"blur\""), "{text}");
    }
    let tables = ["store.url=file:///tmp/out", "annotate.what=blur", "annotate.store=file:///tmp/out/"];
    assert!(mistake(&tables).starts_with("annotate.store"), "the tables' own folder");
    for folder in ["frames", "windows/a/", "/detections", "_journal", "a/../_x"] {
        let text =
            mistake(&["store.url=file:///tmp/out/", "annotate.what=blur", &format!("annotate.store=file:///tmp/out/{folder}")]);
        assert!(text.starts_with("annotate.store") && text.contains("store.url"), "{folder}: {text}");
    }
    for folder in ["out/pictures", "out2/frames", "frames"] {
        let store = format!("annotate.store=file:///tmp/{folder}");
        let sets = ["kafka.topics=in", "store.url=file:///tmp/out", "annotate.what=blur", &store];
        sets.iter().fold(setup(""), |setup, set| setup.set(set)).good();
    }
    let text = mistake(&["annotate.what=blur", "annotate.store=/tmp/pictures"]);
    assert!(text.starts_with("annotate.store") && text.contains("file:///"), "{text}");
    assert!(mistake(&["annotate.what=blur", "annotate.topic=in", "kafka.topics=in"]).contains("would read what it writes"));
    assert!(mistake(&["annotate.what=mosaic"]).contains("`pixelate`"));
    for (key, value) in [("quality", "0"), ("quality", "101"), ("hold", "10001")] {
        assert!(mistake(&[&format!("annotate.{key}={value}")]).starts_with(&format!("annotate.{key}")));
    }
    let options = ["annotate.what=blur", "annotate.store=s3://pictures/a", "annotate.options.endpont=http://localhost:9000"];
    assert!(mistake(&options).contains("is no option of a store at s3://"));
}

#[test]
fn a_store_of_pictures_has_the_tables_options_where_it_has_none_and_is_of_the_same_kind() {
    let options = |own: &[&str], annotate: &str| {
        let sets = ["store.url=s3://tables", "store.options.region=here", "annotate.what=blur", annotate];
        let config = sets.iter().chain(own).fold(setup(""), |setup, set| setup.set(set)).good().0;
        config.annotate.kept_in(&config.store).map(|store| (store.url, store.options.get("region").cloned()))
    };
    let region = |url: &str, region: Option<&str>| Some((url.to_owned(), region.map(str::to_owned)));
    assert_eq!(options(&[], "annotate.store=s3://pictures"), region("s3://pictures", Some("here")));
    assert_eq!(
        options(&["annotate.options.region=there"], "annotate.store=s3://pictures"),
        region("s3://pictures", Some("there"))
    );
    assert_eq!(options(&[], "annotate.store=file:///tmp/pictures"), region("file:///tmp/pictures", None));
    assert_eq!(options(&[], "annotate.topic=pictures"), None);
}
