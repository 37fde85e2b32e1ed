//! What values have to satisfy beyond their type.
//!
//! In: a configuration whose values each have the right type. Out: (key, what is wrong) for every rule that is broken.

mod vision;

use std::time::Duration;

use facestream_schemas::envelope::Field;
use facestream_schemas::tables::Table;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use super::owned::{why_owned, why_the_brokers};
use super::source::Needs;
use super::{Allowed, Annotate, Annotation, ByteSize, Config, Envelope, Fetch, Kafka, Load, Policy, Store};

/// librdkafka's queue of fetched messages (`queued.max.messages.kbytes`), part of the budget `workers.in_flight`.
const KAFKA_QUEUE: ByteSize = ByteSize(16 << 20);
/// librdkafka takes no response over 100 MB (`receive.message.max.bytes`).
const LARGEST_MESSAGE: ByteSize = ByteSize(64 << 20);
/// Shorter tokens can be guessed.
const LEAST_TOKEN: usize = 16;
const DAY: Duration = Duration::from_hours(24);

/// Every broken rule, as (key, what is wrong).
pub(super) fn broken(config: &Config, needs: Needs) -> Vec<(String, String)> {
    let mut broken = Vec::new();
    kafka(&config.kafka, needs, &mut broken);
    store(&config.store, needs, &mut broken);
    edges(config, &mut broken);
    for (key, (holds, text)) in vision::ranges(config).into_iter().chain(ranges(config)) {
        if !holds {
            broken.push((key.to_owned(), text));
        }
    }
    broken
}

/// A key, whether its value is in range, and what is wrong if not.
type Range = (&'static str, (bool, String));

fn ranges(c: &Config) -> Vec<Range> {
    let topics = c.kafka.topics.iter().map(|topic| c.envelope_of(topic).max_bytes.0);
    let fetched = (!c.fetch.allow.is_empty()).then_some(c.fetch.max_bytes.0);
    let largest = topics.chain([c.envelope.max_bytes.0]).chain(fetched).max().unwrap_or_default();
    let least_in_flight = ByteSize(KAFKA_QUEUE.0 + 2 * largest.min(LARGEST_MESSAGE.0));
    let above_zero = |duration: Duration| (!duration.is_zero(), "has to be longer than 0s".to_owned());
    let length = c.windows.length.as_micros();
    vec![
        (
            "workers.in_flight",
            (
                c.workers.in_flight >= least_in_flight,
                format!(
                    "has to be at least {least_in_flight}: librdkafka's queue of {KAFKA_QUEUE} and two frames of envelope.max_bytes or fetch.max_bytes"
                ),
            ),
        ),
        ("workers.pending_rows", (c.workers.pending_rows.0 >= 1 << 20, "has to be at least 1MiB".to_owned())),
        ("run.drain_timeout", above_zero(c.run.drain_timeout)),
        ("journal.append_every", above_zero(c.journal.append_every)),
        ("parquet.roll_bytes", (c.parquet.roll_bytes.0 > 0, "has to be more than 0".to_owned())),
        ("parquet.roll_every", above_zero(c.parquet.roll_every)),
        (
            "windows.length",
            (
                length > 0 && DAY.as_micros().is_multiple_of(length),
                "has to divide a day evenly (1s, 10s, 1m, 15m, 1h …), so that windows start at the same times every day"
                    .to_owned(),
            ),
        ),
        ("windows.idle_timeout", above_zero(c.windows.idle_timeout)),
        (
            "windows.grace",
            (
                !c.windows.grace.is_zero() && c.windows.grace.as_micros() <= 900 * length.max(1),
                "has to be longer than 0s and no more than 900 windows: each is kept for so long".to_owned(),
            ),
        ),
        ("fetch.timeout", above_zero(c.fetch.timeout)),
        ("fetch.attempts", ((1..=100).contains(&c.fetch.attempts), "has to be from 1 to 100".to_owned())),
        ("fetch.concurrency", ((1..=1_000).contains(&c.fetch.concurrency), "has to be from 1 to 1000".to_owned())),
        (
            "fetch.max_bytes",
            ((ByteSize(1)..=LARGEST_MESSAGE).contains(&c.fetch.max_bytes), format!("has to be from 1B to {LARGEST_MESSAGE}")),
        ),
        (
            "dead_letters.max_bytes",
            (
                c.dead_letters.max_bytes <= LARGEST_MESSAGE,
                format!("has to be {LARGEST_MESSAGE} at most: larger ones do not come in"),
            ),
        ),
        ("dead_letters.max_attempts", (c.dead_letters.max_attempts > 0, "has to be at least 1".to_owned())),
        ("http.token", token(c.http.token.reveal())),
        ("metrics.source_limit", ((1..=100_000).contains(&c.metrics.source_limit), "has to be from 1 to 100000".to_owned())),
        (
            "log.level",
            (
                is_filter(&c.log.level),
                format!(
                    "{:?} is neither a level (error, warn, info, debug, trace) nor a tracing filter such as facestream=debug",
                    c.log.level
                ),
            ),
        ),
    ]
}

/// Whether a token can be sent and not be guessed. The text never quotes it.
fn token(token: &str) -> (bool, String) {
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        return (
            false,
            "has characters that a header cannot carry: use letters, digits and punctuation, without spaces".to_owned(),
        );
    }
    let length = token.len();
    let text =
        format!("has {length} characters: shorter than {LEAST_TOKEN} can be guessed; `openssl rand -hex 24` makes a good one");
    (token.is_empty() || length >= LEAST_TOKEN, text)
}

/// What comes in beside Kafka's own settings, and what goes out beside the store's.
fn edges(config: &Config, broken: &mut Vec<(String, String)>) {
    let mut mistake = |key: &str, text: String| broken.push((key.to_owned(), text));
    let outputs = [
        ("events.topic", &config.events.topic),
        ("windows.topic", &config.windows.topic),
        ("dead_letters.topic", &config.dead_letters.topic),
        ("annotate.topic", &config.annotate.topic),
    ];
    for (key, topic) in outputs.iter().filter(|(_, topic)| !topic.is_empty()) {
        if let Some(text) = topic_mistake(topic) {
            mistake(key, text);
        }
        if config.kafka.topics.contains(topic) {
            mistake(key, format!("{topic:?} is one of kafka.topics: the pipeline would read what it writes"));
        }
        if outputs.iter().any(|(other, same)| other != key && same == topic) {
            mistake(key, format!("{topic:?} is given to more than one output"));
        }
    }
    for (key, text) in annotate(&config.annotate, &config.store) {
        mistake(&format!("annotate.{key}"), text);
    }
    for (key, text) in envelope(&config.envelope) {
        mistake(&format!("envelope.{key}"), text);
    }
    for (key, text) in fetch(&config.fetch) {
        mistake(&format!("fetch.{key}"), text);
    }
    if let Some((key, text)) = load(&config.load) {
        mistake(&format!("load.{key}"), text);
    }
    for (key, text) in super::topics::mistakes(config) {
        mistake(&format!("topics.{key}"), text);
    }
    for topic in config.kafka.topics.iter().filter(|topic| config.topics.keys().any(|key| key.starts_with(topic.as_str()))) {
        for (key, text) in envelope(&config.envelope_of(topic)) {
            mistake(&format!("topics.{topic}.envelope.{key}"), text);
        }
        if let Some((key, text)) = load(&config.load_of(topic)) {
            mistake(&format!("topics.{topic}.load.{key}"), text);
        }
    }
}

fn envelope(envelope: &Envelope) -> Vec<(String, String)> {
    let fields = || Field::ALL.map(Field::as_str).join(", ");
    let is_field = |name: &str| Field::ALL.iter().any(|field| field.as_str() == name);
    let pointers = envelope.pointers.iter().filter_map(|(name, pointer)| {
        let text = match () {
            () if !is_field(name) => format!("is no field; the fields are {}", fields()),
            () if !pointer.starts_with('/') => {
                format!("{pointer:?} is no JSON pointer: it begins with a slash, as in \"/camera/name\"")
            }
            () => return None,
        };
        Some((format!("pointers.{name}"), text))
    });
    let headers = envelope.headers.iter().filter_map(|(name, header)| {
        let text = match () {
            () if !is_field(name) || name == Field::Image.as_str() => {
                format!("is no field that a header can hold; they are {}", fields().replace("image, ", ""))
            }
            () if header.is_empty() => "is empty: name a header".to_owned(),
            () => return None,
        };
        Some((format!("headers.{name}"), text))
    });
    let size = (!(ByteSize(1)..=LARGEST_MESSAGE).contains(&envelope.max_bytes)).then(|| {
        let text = format!("has to be from 1B to {LARGEST_MESSAGE}: larger ones do not come through Kafka's client");
        ("max_bytes".to_owned(), text)
    });
    let pixels = (envelope.max_pixels == 0).then(|| ("max_pixels".to_owned(), "has to be more than 0".to_owned()));
    pointers.chain(headers).chain(size).chain(pixels).collect()
}

fn fetch(fetch: &Fetch) -> Vec<(String, String)> {
    let allowed = Allowed::parse(fetch);
    let mut schemes: Vec<_> = allowed.iter().flat_map(Allowed::schemes).collect();
    let of_which = if schemes.is_empty() { "any store at s3://, gs:// or az://" } else { "any store in fetch.allow" };
    if schemes.is_empty() {
        // `facestream produce --upload` uses them too.
        schemes.extend(["s3", "gs", "az"]);
    }
    // Where an entry is wrong, nothing can be said of options for it.
    let is_unknown = |name: &str| allowed.is_ok() && !schemes.iter().any(|scheme| is_option(scheme, name));
    let unknown = fetch.options.keys().filter(|name| is_unknown(name));
    let unknown = unknown.map(|name| (format!("options.{name}"), format!("is no option of {of_which}")));
    let mistakes = allowed.as_ref().err().into_iter().flatten().map(|(key, text)| ((*key).to_owned(), text.clone()));
    mistakes.chain(unknown).collect()
}

fn annotate(annotate: &Annotate, store: &Store) -> Vec<(String, String)> {
    let Annotate { what, topic, store: url, options, hold, quality } = annotate;
    let mut mistakes = Vec::new();
    let mut mistake = |key: &str, text: String| mistakes.push((key.to_owned(), text));
    match (what, topic.is_empty() && url.is_empty()) {
        (Annotation::None, false) => mistake(
            "what",
            "is \"none\", yet annotate.topic or annotate.store is given: say \"boxes\", \"blur\" or \"pixelate\", or leave both empty".to_owned(),
        ),
        (Annotation::Boxes | Annotation::Blur | Annotation::Pixelate, true) => mistake(
            "what",
            format!("is \"{what}\", but the pictures have nowhere to go: name annotate.topic or annotate.store, or say \"none\""),
        ),
        _ => {}
    }
    if *hold > 10_000 {
        mistake("hold", "has to be 10000 frames at most".to_owned());
    }
    if !(1..=100).contains(quality) {
        mistake("quality", "has to be from 1 to 100".to_owned());
    }
    if url.is_empty() {
        return mistakes;
    }
    if url.trim_end_matches('/') == store.url.trim_end_matches('/') {
        mistake("store", "is store.url, where the tables lie: name a folder of its own below or beside it".to_owned());
    }
    if let Some(folder) = folder_of_tables(url, &store.url) {
        mistake(
            "store",
            format!("lies in {folder:?} of store.url, which is not for pictures: name another folder below or beside it"),
        );
    }
    match store_scheme(url) {
        Ok(scheme) => {
            for name in options.keys().filter(|name| !is_option(&scheme, name)) {
                mistake(&format!("options.{name}"), format!("is no option of a store at {scheme}://"));
            }
        }
        Err(text) => mistake("store", text),
    }
    mistakes
}

/// The folder of a table, or one for the pipeline's own use, below `store` that a URL lies in.
fn folder_of_tables(url: &str, store: &str) -> Option<String> {
    let plain = |url: &str| Url::parse(url).map_or_else(|_| url.to_owned(), String::from).trim_end_matches('/').to_owned();
    let below = plain(url).strip_prefix(&plain(store))?.strip_prefix('/')?.to_owned();
    let folder = below.trim_start_matches('/').split('/').next()?;
    let is_taken = folder.starts_with('_') || Table::ALL.iter().any(|table| table.name() == folder);
    is_taken.then(|| folder.to_owned())
}

fn load(load: &Load) -> Option<(&'static str, String)> {
    match load.policy {
        Policy::Sample if !(load.fps > 0.0 && load.fps <= 1e3) => {
            Some(("fps", format!("{} is not between 0 and 1000: load.policy = \"sample\" needs a number of frames", load.fps)))
        }
        Policy::SkipStale if load.max_age.is_zero() => Some(("max_age", "has to be longer than 0s".to_owned())),
        _ => None,
    }
}

/// A lone word that is no level would be taken for the name of a crate, and silence everything else.
fn is_filter(level: &str) -> bool {
    let is_word = level.chars().all(char::is_alphanumeric);
    if is_word { level.parse::<LevelFilter>().is_ok() } else { EnvFilter::builder().parse(level).is_ok() }
}

/// How often a member of a classic group says that it is there, and after how long a silence it counts as gone (librdkafka's defaults: 3 s
/// and 45 s).
const HEARTBEAT: &str = "heartbeat.interval.ms";
const SESSION: &str = "session.timeout.ms";

fn kafka(kafka: &Kafka, needs: Needs, broken: &mut Vec<(String, String)>) {
    let mut mistake = |key: &str, text: String| broken.push((format!("kafka.{key}"), text));
    let port_is_fine =
        |broker: &str| broker.rsplit_once(':').is_none_or(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if let Some(wrong) = kafka.brokers.split(',').map(str::trim).find(|broker| broker.is_empty() || !port_is_fine(broker)) {
        mistake("brokers", format!("{wrong:?} is not host:port; several are separated by commas"));
    }
    if kafka.topics.is_empty() && needs.topics {
        mistake("topics", "is required: name the topic with the frames, as in kafka.topics = \"frames\"".to_owned());
    }
    for topic in &kafka.topics {
        if let Some(text) = topic_mistake(topic) {
            mistake("topics", text);
        }
    }
    if let Some(twice) = kafka.topics.iter().enumerate().find_map(|(i, topic)| kafka.topics[..i].contains(topic).then_some(topic))
    {
        mistake("topics", format!("{twice:?} is named twice"));
    }
    if kafka.group.trim().is_empty() {
        mistake("group", "is empty".to_owned());
    }
    let millis = |name: &str, default: u64| kafka.properties.get(name).map_or(Some(default), |value| value.parse().ok());
    if let (Some(heartbeat), Some(session)) = (millis(HEARTBEAT, 3_000), millis(SESSION, 45_000))
        && heartbeat >= session
    {
        let text =
            format!("is {session}: it has to be several times {HEARTBEAT}, which is {heartbeat}, or every member is thrown out");
        mistake(&format!("properties.{SESSION}"), text);
    }
    for (name, value) in kafka.properties.iter() {
        if let Some(why) = why_owned(name) {
            mistake(&format!("properties.{name}"), format!("is the pipeline's own: {why}"));
        } else if let Some(why) = why_the_brokers(name, kafka.group_protocol) {
            mistake(&format!("properties.{name}"), format!("cannot be given with kafka.group_protocol = \"consumer\": {why}"));
        } else if rdkafka::ClientConfig::new().set(name, value).create_native_config().is_err() {
            // librdkafka's own words would quote the value, which may be a secret.
            mistake(
                &format!("properties.{name}"),
                "librdkafka does not know this property or does not take this value".to_owned(),
            );
        }
    }
}

/// What keeps `topic` from being a Kafka topic's name.
#[must_use]
pub fn topic_mistake(topic: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if topic.is_empty() || topic.len() > 249 || topic == "." || topic == ".." || !topic.chars().all(legal) {
        let several = if topic.contains(',') { "; give several as a list: [\"a\", \"b\"]" } else { "" };
        return Some(format!("{topic:?} is not a topic name: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'{several}"));
    }
    None
}

fn store(store: &Store, needs: Needs, broken: &mut Vec<(String, String)>) {
    if store.url.is_empty() {
        if needs.store {
            let text = "is required: say where tables and journal go, as in store.url = \"file:///var/lib/facestream\" or \"s3://bucket/prefix\"";
            broken.push(("store.url".to_owned(), text.to_owned()));
        }
        return;
    }
    let scheme = match store_scheme(&store.url) {
        Ok(scheme) => scheme,
        Err(text) => return broken.push(("store.url".to_owned(), text)),
    };
    for name in store.options.keys() {
        if !is_option(&scheme, name) {
            broken.push((format!("store.options.{name}"), format!("is no option of a store at {scheme}://")));
        }
    }
}

/// The scheme of a store's URL, or why it is none.
fn store_scheme(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("{text:?} is not a URL ({error}): give file:///absolute/path, s3://bucket/prefix, gs://… or az://…")
    })?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("takes neither credentials nor parameters: they belong into [store.options]".to_owned());
    }
    match url.scheme() {
        "file" if has_host || url.path() == "/" => {
            Err(format!("{text:?} is not file:// with an absolute path, as in file:///var/lib/facestream"))
        }
        "s3" | "gs" | "az" if !has_host => Err(format!("{text:?} names no bucket, as in {}://bucket/prefix", url.scheme())),
        "file" | "s3" | "gs" | "az" => Ok(url.scheme().to_owned()),
        other => Err(format!("the scheme {other}:// is not supported: use file, s3, gs or az")),
    }
}

/// Whether a store at `scheme://` has an option of this name.
pub(crate) fn is_option(scheme: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match scheme {
        "s3" => name.parse::<AmazonS3ConfigKey>().is_ok(),
        "gs" => name.parse::<GoogleConfigKey>().is_ok(),
        "az" => name.parse::<AzureConfigKey>().is_ok(),
        _ => false,
    }
}
