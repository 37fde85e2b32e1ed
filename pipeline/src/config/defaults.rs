//! Every default, in one place. Invariant: the template says the same (tested there).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use facestream_schemas::envelope::{Format, TimeUnit};
use facestream_stages::detect::Settings as Looking;

use super::{
    Annotate, Annotation, ByteSize, Config, Count, DeadLetters, Detector, Envelope, EventFormat, Events, Fetch, GroupProtocol,
    Haar, Http, Journal, Kafka, Late, Live, Load, Log, LogFormat, Metrics, OnGap, Parquet, Policy, Run, Secret, Settings, Start,
    Store, Tiles, Track, What, Windows, Workers,
};

const MIB: u64 = 1024 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            kafka: Kafka {
                brokers: "localhost:9092".to_owned(),
                topics: Vec::new(),
                group: "facestream".to_owned(),
                start: Start::Earliest,
                group_protocol: GroupProtocol::Classic,
                on_gap: OnGap::Stop,
                properties: Settings::default(),
            },
            detector: Detector {
                model: "auto".to_owned(),
                score_threshold: Looking::DEFAULT.score_threshold,
                nms_iou: Looking::DEFAULT.nms_iou,
                input: Looking::DEFAULT.input,
                min_face_px: Looking::DEFAULT.min_face_px,
                max_faces: 1_000,
            },
            haar: Haar {
                cascade: String::new(),
                scale_factor: Looking::DEFAULT.haar.scale_factor,
                min_neighbors: Looking::DEFAULT.haar.min_neighbors,
            },
            tiles: Tiles { enabled: false, size: 960, overlap: 0.25 },
            workers: Workers { count: Count::Auto, in_flight: ByteSize(64 * MIB), pending_rows: ByteSize(32 * MIB) },
            run: Run { drain_timeout: Duration::from_secs(20) },
            store: Store { url: String::new(), options: Settings::default() },
            journal: Journal { append_every: Duration::from_secs(10), retention: Duration::from_hours(24) },
            parquet: Parquet { roll_bytes: ByteSize(128 * MIB), roll_every: Duration::from_hours(1), seal_on_shutdown: true },
            track: Track { enabled: false, max_gap: Duration::from_secs(1), min_iou: 0.3 },
            windows: Windows {
                length: Duration::from_mins(1),
                max_out_of_orderness: Duration::from_secs(2),
                max_skew: Duration::from_hours(1),
                idle_timeout: Duration::from_secs(30),
                late: Late::Drop,
                grace: Duration::from_mins(10),
                topic: String::new(),
            },
            envelope: Envelope {
                format: Format::Auto,
                capture_ts_unit: TimeUnit::Ns,
                max_bytes: ByteSize(16 * MIB),
                max_pixels: 100_000_000,
                pointers: Settings::default(),
                headers: Settings::default(),
            },
            fetch: Fetch {
                allow: Vec::new(),
                private: Vec::new(),
                max_bytes: ByteSize(16 * MIB),
                timeout: Duration::from_secs(10),
                attempts: 4,
                concurrency: 16,
                options: Settings::default(),
            },
            events: Events { topic: String::new(), format: EventFormat::Json, what: What::Frames },
            dead_letters: DeadLetters { topic: String::new(), max_attempts: 5, max_bytes: ByteSize(896 * 1024) },
            annotate: Annotate {
                what: Annotation::None,
                topic: String::new(),
                store: String::new(),
                hold: 8,
                quality: 85,
                options: Settings::default(),
            },
            load: Load { policy: Policy::KeepAll, fps: 0.0, max_age: Duration::from_secs(10) },
            topics: Settings::default(),
            http: Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)), token: Secret::default() },
            live: Live { enabled: true, blur: true },
            metrics: Metrics { source_label: false, source_limit: 1_000 },
            log: Log { level: "info".to_owned(), format: LogFormat::Auto },
        }
    }
}
