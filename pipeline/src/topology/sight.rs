//! What a process shows of itself: who may see it, which process it is, what was decided when it began.
//!
//! In: the configuration and what it came to. Out: what HTTP answers from, and one line for the log. Invariant: no secret is among it.

use std::sync::Arc;

use facestream_schemas::DetectorIdentity;
use serde_json::json;
use tokio::net::TcpListener;

use crate::clock::now;
use crate::config::Config;
use crate::http::{Access, Process, Sight};
use crate::lane::Board;
use crate::live::{self, Live};
use crate::metrics::Metrics;

/// What is shown, from when the detector is known.
pub(super) fn sight(
    config: &Config,
    listener: &TcpListener,
    (run_id, detector, workers): (&str, &DetectorIdentity, usize),
    (board, live, metrics): (&Board, &Live, &Metrics),
) -> std::io::Result<Sight> {
    let sight = Sight {
        metrics: metrics.clone(),
        board: board.clone(),
        decided: decided(config, detector, workers, listener),
        process: Arc::new(process(config, run_id, detector, workers)),
        live: live.clone(),
        access: access(config, listener)?,
    };
    announce(&sight, detector);
    Ok(sight)
}

/// Who may see the pages. Without a token they had better be seen from this machine alone.
fn access(config: &Config, listener: &TcpListener) -> std::io::Result<Access> {
    let address = listener.local_addr()?;
    let only_loopback = address.ip().is_loopback();
    if !only_loopback && config.http.token.is_empty() {
        tracing::warn!(
            "whoever reaches {address} sees the live page, the metrics and the status: set http.token, or http.listen to a loopback address"
        );
    }
    Ok(Access::new(&config.http.token, only_loopback))
}

/// The live page, if there is one.
pub(super) fn live(config: &Config, workers: usize, metrics: &Metrics) -> Live {
    if !config.live.enabled {
        return Live::off();
    }
    let settings = live::Settings { blur: config.live.blur, silent_after: config.windows.idle_timeout, workers };
    Live::new(settings, metrics.clone())
}

/// Which process this is, for people.
fn process(config: &Config, run_id: &str, detector: &DetectorIdentity, workers: usize) -> Process {
    Process {
        host: host(),
        pid: std::process::id(),
        run_id: run_id.to_owned(),
        started_us: now().0,
        group: config.kafka.group.clone(),
        topics: config.kafka.topics.clone(),
        brokers: config.kafka.brokers.clone(),
        store: config.store.url.clone(),
        detector: detector.detector_id.clone(),
        workers,
    }
}

/// This machine's name.
pub(super) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// What was decided, for the log and for `/status`.
fn decided(config: &Config, detector: &DetectorIdentity, workers: usize, listener: &TcpListener) -> serde_json::Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "brokers": config.kafka.brokers,
        "topics": config.kafka.topics,
        "group": config.kafka.group,
        "store": config.store.url,
        "detector": detector.detector_id,
        "model_sha256": detector.model_sha256,
        "workers": workers,
        "http": listener.local_addr().map(|address| format!("http://{address}")).unwrap_or_default(),
    })
}

fn announce(sight: &Sight, detector: &DetectorIdentity) {
    let decided = &sight.decided;
    let text = |key: &str| decided[key].as_str().unwrap_or_default().to_owned();
    tracing::info!(
        version = text("version"),
        brokers = text("brokers"),
        topics = %decided["topics"],
        group = text("group"),
        store = text("store"),
        detector = text("detector"),
        model_sha256 = text("model_sha256"),
        workers = %decided["workers"],
        http = text("http"),
        "starting"
    );
    let sha = detector.model_sha256.as_deref().unwrap_or_default();
    sight.metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), &detector.detector_id, sha]).set(1);
}
