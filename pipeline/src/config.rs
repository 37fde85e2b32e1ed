//! Configuration: one struct tree, filled from defaults < file < environment < flags ([`load`]).
//!
//! In: [`Sources`]. Out: a [`Config`] in which every value has been checked and every secret resolved, and [`Origins`], which
//! say where each value came from; or [`Mistakes`], all of them at once. Invariant: nothing else reads configuration, and the
//! names of fields are the names that users write.

mod allowed;
mod defaults;
mod given;
mod load;
mod owned;
mod rules;
mod schema;
mod secrets;
mod show;
mod source;
mod template;
mod topics;
mod units;

use std::net::SocketAddr;
use std::time::Duration;

use facestream_schemas::Size;
use facestream_schemas::envelope::{Format, TimeUnit};
use serde::{Deserialize, Serialize};

pub use allowed::Allowed;
pub(crate) use allowed::{At, Place, Target, shown};
pub use facestream_schemas::event::{EventFormat, What};
pub use load::{Mistake, Mistakes, load};
pub(crate) use rules::is_option;
pub use rules::topic_mistake;
pub use secrets::{Secret, Settings};
pub use show::show;
pub use source::{Needs, Origin, Origins, Sources};
pub use template::TEMPLATE;
pub use units::{ByteSize, Count};

/// Everything that can be configured. `Config::default()` holds the defaults; the required values in it are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "each section documents itself")]
pub struct Config {
    pub kafka: Kafka,
    pub detector: Detector,
    pub haar: Haar,
    pub workers: Workers,
    pub run: Run,
    pub store: Store,
    pub journal: Journal,
    pub parquet: Parquet,
    pub windows: Windows,
    pub envelope: Envelope,
    pub fetch: Fetch,
    pub events: Events,
    pub dead_letters: DeadLetters,
    pub load: Load,
    /// What is different for one topic, by flat keys: `NAME.load.policy`, `NAME.envelope.format`.
    pub topics: Settings,
    pub http: Http,
    pub live: Live,
    pub metrics: Metrics,
    pub log: Log,
}

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Comma-separated `host:port` list.
    pub brokers: String,
    /// Topics with frames, at least one.
    #[serde(deserialize_with = "units::one_or_many")]
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Where to start where there is neither journal nor committed offset.
    pub start: Start,
    /// How members of the group agree on who has which partition.
    pub group_protocol: GroupProtocol,
    /// What to do where Kafka no longer has what comes next.
    pub on_gap: OnGap,
    /// librdkafka properties, secrets resolved. None that the pipeline owns.
    pub properties: Settings,
}

/// Where a partition starts that nobody has consumed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At the oldest message that Kafka still has.
    Earliest,
    /// With the next message.
    Latest,
}

/// How the members of a consumer group agree on who has which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// Cooperative-sticky: the members decide, partitions that stay keep working.
    Classic,
    /// KIP-848: the broker decides.
    Consumer,
}

/// What to do where records were deleted before they were consumed, or the topic was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnGap {
    /// Stop that partition until a person has looked.
    Stop,
    /// Note the gap in the journal, count it, and go on behind it.
    Skip,
}

/// What looks for faces, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detector {
    /// `auto`, `yunet`, `centerface`, `haar` or the path of a model file.
    pub model: String,
    /// Detections below this score are dropped, 0 to 1.
    #[serde(serialize_with = "units::short_f32")]
    pub score_threshold: f32,
    /// Of two detections with a larger intersection over union than this the weaker is dropped, 0 to 1.
    #[serde(serialize_with = "units::short_f32")]
    pub nms_iou: f32,
    /// What images are scaled to before detection: multiples of 32 pixels.
    #[serde(with = "units::size")]
    pub input: Size,
    /// Faces whose shorter side is below this many pixels of the original image are dropped; 0 keeps all.
    #[serde(serialize_with = "units::short_f32")]
    pub min_face_px: f32,
}

/// The cascade of Haar features, where that is the detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Haar {
    /// The cascade that `detector.model = "haar"` stands for: the path of an XML file; empty for Debian's frontal face.
    pub cascade: String,
    /// Each size of window is this many times the one before.
    pub scale_factor: f64,
    /// A face is where more than this many windows nearly coincide.
    pub min_neighbors: u32,
}

/// The worker threads and the two memory budgets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// How many threads decode and detect.
    pub count: Count,
    /// Encoded frames in memory, librdkafka's queue included.
    pub in_flight: ByteSize,
    /// Rows that are not yet appended to the journal.
    pub pending_rows: ByteSize,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// How long a stop may take before what is unfinished is left to the next run.
    #[serde(with = "units::duration")]
    pub drain_timeout: Duration,
}

/// Where tables and journal lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `file:///…`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Options for `object_store` (endpoint, region, …), secrets resolved.
    pub options: Settings,
}

/// The journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// How often a busy lane appends: what a crash can cost in repeated work.
    #[serde(with = "units::duration")]
    pub append_every: Duration,
    /// How long records are kept whose rows are published; for `verify` and people, the protocol needs none.
    #[serde(with = "units::duration")]
    pub retention: Duration,
}

/// When Parquet files are sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parquet {
    /// Seal a partition's rows at this many journal bytes.
    pub roll_bytes: ByteSize,
    /// Seal a partition's rows at this age.
    #[serde(with = "units::duration")]
    pub roll_every: Duration,
    /// Seal at a stop, so that everything is visible at once; else the next run does it.
    pub seal_on_shutdown: bool,
}

/// Windows over event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Length of a window; divides a day.
    #[serde(with = "units::duration")]
    pub length: Duration,
    /// How far a source's watermark trails its newest frame.
    #[serde(with = "units::duration")]
    pub max_out_of_orderness: Duration,
    /// How far a producer's stamp may lie ahead of the record's time before it is clamped.
    #[serde(with = "units::duration")]
    pub max_skew: Duration,
    /// After this silence a source's open window closes, once the partition is caught up.
    #[serde(with = "units::duration")]
    pub idle_timeout: Duration,
    /// What becomes of a frame whose window is closed.
    pub late: Late,
    /// With `revise`: how long a closed window still takes frames, in event time.
    #[serde(with = "units::duration")]
    pub grace: Duration,
    /// Topic that every emitted window goes to as well; empty for none.
    pub topic: String,
}

/// What becomes of a frame that comes after its window was closed; its row in `frames` it keeps in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Late {
    /// It is counted in `late_frames` and otherwise left out.
    Drop,
    /// Within `grace` the window is emitted again, with it.
    Revise,
}

/// What messages look like, and limits on what they may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What messages look like.
    pub format: Format,
    /// How producers write `capture_ts_ns`.
    pub capture_ts_unit: TimeUnit,
    /// Largest message in bytes.
    pub max_bytes: ByteSize,
    /// Largest decoded image in pixels.
    pub max_pixels: u64,
    /// Where JSON and MessagePack bodies hold a field, as JSON pointers, by the names of [`facestream_schemas::envelope::Field`].
    pub pointers: Settings,
    /// Which header holds a field, by the same names.
    pub headers: Settings,
}

/// Pictures that lie elsewhere, their messages being claim checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// What may be read: URIs that end in `/`, everything below them. Empty: nothing.
    #[serde(deserialize_with = "units::one_or_many")]
    pub allow: Vec<String>,
    /// Networks that are not public and may be connected to all the same, as `10.0.0.0/8`.
    #[serde(deserialize_with = "units::one_or_many")]
    pub private: Vec<String>,
    /// Largest picture in bytes.
    pub max_bytes: ByteSize,
    /// How long one attempt may take.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// How often a picture is tried where that may help.
    pub attempts: u32,
    /// How many pictures are fetched at a time.
    pub concurrency: usize,
    /// Options for `object_store`, secrets resolved; where empty, the store's if the scheme is the same.
    pub options: Settings,
}

/// The topic that tells others of what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// The topic; empty for none.
    pub topic: String,
    /// How events are written.
    pub format: EventFormat,
    /// What there is an event for.
    pub what: What,
}

/// The topic for messages that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    /// The topic; empty for none: then the row in `frames` is the record.
    pub topic: String,
    /// How often a message may fail before `facestream dlq retry` leaves it where it is.
    pub max_attempts: u32,
    /// The value of a larger message is left out of its dead letter, which then only says where the original is.
    pub max_bytes: ByteSize,
}

/// What to do with frames that there is no time for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The policy.
    pub policy: Policy,
    /// With `sample`: how many frames a second are looked at of each source, in event time.
    pub fps: f64,
    /// With `skip_stale`: the oldest that a frame may be when its turn comes.
    #[serde(with = "units::duration")]
    pub max_age: Duration,
}

/// What to do with frames that there is no time for. Each keeps its row, whatever the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Look at every one, however long that takes.
    KeepAll,
    /// Look at so many a second and source.
    Sample,
    /// Look at none that is too old.
    SkipStale,
}

/// The HTTP server for metrics and probes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What everything but the probes asks for; empty for nothing.
    pub token: Secret,
}

/// The live page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// Whether there is one.
    pub enabled: bool,
    /// Whether faces are hidden on its pictures.
    pub blur: bool,
}

/// What the metrics tell apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Whether there are metrics by source.
    pub source_label: bool,
    /// For so many sources at most; the rest is counted together.
    pub source_limit: usize,
}

/// Logging, on stderr.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or tracing filter directives.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}
