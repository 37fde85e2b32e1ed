//! The HTTP server: metrics, probes and status, on loopback unless configured otherwise.
//!
//! In: requests. Out: `/metrics` (Prometheus text), `/livez` (green as long as the process runs), `/readyz` (joined the group and
//! the journal reachable), `/status` (JSON). Invariant: a probe never waits for Kafka or the store.

use std::net::SocketAddr;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::lane::{Board, SourceSeen};
use crate::metrics::Metrics;

/// What the answers are made from.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Counters and gauges.
    pub metrics: Metrics,
    /// How far each partition is.
    pub board: Board,
    /// What was decided at start: brokers, topics, group, store, detector, workers.
    pub decided: Value,
}

/// Binds the address; an error names it.
pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!("cannot listen on {listen}: {error}; give another http.listen (port 0 takes a free one)"),
        )
    })
}

/// Serves for as long as it is polled.
pub async fn serve(listener: TcpListener, sight: Sight) {
    let routes = Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .with_state(sight);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!("the http server ended: {error}");
    }
}

async fn index() -> &'static str {
    "facestream\n\n/metrics  Prometheus metrics\n/status   what this process is doing, as JSON\n/readyz   ready\n/livez    alive\n"
}

async fn metrics(State(sight): State<Sight>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], sight.metrics.render())
}

/// What keeps the process from being ready, or nothing.
fn obstacles(metrics: &Metrics) -> Vec<&'static str> {
    let mut obstacles = Vec::new();
    if metrics.ready.get() == 0 {
        obstacles.push("the consumer group has not been joined");
    }
    if metrics.store_up.get() == 0 {
        obstacles.push("the store does not answer");
    }
    obstacles
}

async fn ready(State(sight): State<Sight>) -> (StatusCode, String) {
    let obstacles = obstacles(&sight.metrics);
    if obstacles.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n")
    }
}

async fn status(State(sight): State<Sight>) -> Json<Value> {
    let overview = sight.board.overview();
    let partitions: Vec<_> = overview
        .iter()
        .map(|(partition, overview)| {
            json!({
                "topic": &*partition.topic,
                "partition": partition.number,
                "state": overview.standing.as_str(),
                "lag_records": overview.lag.records,
                "lag_seconds": overview.lag.seconds,
                "watermark_delay_s": overview.lag.watermark_delay_s,
                "journal_end": overview.journal_end.map(|end| end.0),
                "collected_end": overview.collected_end.map(|end| end.0),
            })
        })
        .collect();
    let obstacles = obstacles(&sight.metrics);
    let sources = sources(&sight.board);
    Json(json!({
        "ready": obstacles.is_empty(), "obstacles": obstacles, "decided": sight.decided, "partitions": partitions, "sources": sources,
    }))
}

/// Which sources there are, as their lanes have last seen them.
fn sources(board: &Board) -> Value {
    let sources = board.sources();
    let seen = |seen: &SourceSeen| {
        json!({
            "source_id": seen.source.as_str(),
            "topic": &*seen.partition.topic,
            "partition": seen.partition.number,
            "active": seen.active,
            "watermark_us": seen.watermark.0,
        })
    };
    let list: Vec<_> = sources.list.iter().map(seen).collect();
    json!({
        "active": sources.active, "silent": sources.silent, "truncated": list.len() < sources.active + sources.silent, "list": list,
    })
}
