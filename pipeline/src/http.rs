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

use crate::lane::Board;
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
    let progress = sight.board.progress();
    let partitions: Vec<_> = progress
        .iter()
        .map(|(partition, progress)| {
            json!({
                "topic": &*partition.topic,
                "partition": partition.number,
                "journal_end": progress.journal_end.map(|end| end.0),
                "collected_end": progress.collected_end.0,
            })
        })
        .collect();
    let obstacles = obstacles(&sight.metrics);
    Json(json!({ "ready": obstacles.is_empty(), "obstacles": obstacles, "decided": sight.decided, "partitions": partitions }))
}
