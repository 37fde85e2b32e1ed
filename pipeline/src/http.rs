//! The HTTP server: the live page, metrics, probes and status, on loopback unless configured otherwise.
//!
//! In: requests. Out: the page and what it reads (`/`, `/live/…`), `/metrics` (Prometheus text), `/status` and `/openapi.json`, `/livez`
//! (green as long as the process runs), `/readyz` (joined the group and the journal reachable). Invariant: a probe never waits for
//! Kafka, the store or a log-in; with a token configured, everything but probes and the log-in form asks for it (`access.rs`); every
//! answer carries the headers of `headers.rs`.

mod access;
mod assets;
mod connections;
mod headers;
mod live;
mod numbers;
mod pulse;
mod session;
mod state;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;

pub use access::Access;
pub use state::Process;

use crate::lane::Board;
use crate::live::Live;
use crate::metrics::Metrics;
use pulse::Pulse;

/// What the answers are made from.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Counters and gauges.
    pub metrics: Metrics,
    /// How far each partition is.
    pub board: Board,
    /// What was decided at start: brokers, topics, group, store, detector, workers.
    pub decided: Value,
    /// Which process this is, for the live page.
    pub process: Arc<Process>,
    /// Sources, pictures, failures.
    pub live: Live,
    /// Who may see it.
    pub access: Access,
}

/// Everything that handlers share.
#[derive(Clone, Debug)]
struct Shared {
    sight: Arc<Sight>,
    pulse: Pulse,
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

/// Serves for as long as it is polled; then every connection ends, too.
pub async fn serve(listener: TcpListener, sight: Sight) {
    let sight = Arc::new(sight);
    let pulse = Pulse::new(Arc::clone(&sight));
    tokio::join!(connections::serve(listener, routes(Shared { sight, pulse: pulse.clone() })), pulse.beat());
}

fn routes(shared: Shared) -> Router {
    let access = shared.sight.access.clone();
    let pages = assets::FILES.iter().fold(Router::new(), |routes, asset| {
        let path = format!("/{}", asset.name);
        routes.route(&path, get(move || async { asset.answer() }))
    });
    Router::new()
        .route("/", get(index))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status::status))
        .route("/openapi.json", get(assets::openapi))
        .route("/live/state", get(live::state))
        .route("/live/events", get(live::events))
        .route("/live/frames/{id}", get(live::frame))
        .with_state(shared)
        .merge(pages)
        .merge(
            Router::new()
                .route("/login", get(access::form).post(access::log_in))
                .route("/logout", post(access::log_out))
                .with_state(access.clone()),
        )
        .layer(middleware::from_fn_with_state(access, access::guard))
        .layer(middleware::map_response(headers::set))
}

async fn index(State(shared): State<Shared>) -> impl IntoResponse {
    if shared.sight.live.is_on() {
        return assets::page().into_response();
    }
    "facestream\n\nThe live page is switched off (live.enabled).\n\n/metrics       Prometheus metrics\n/status        what this process is \
     doing, as JSON\n/openapi.json  what /status answers\n/readyz        ready\n/livez         alive\n"
        .into_response()
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.sight.metrics.render())
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

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let obstacles = obstacles(&shared.sight.metrics);
    if obstacles.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, obstacles.join("\n") + "\n")
    }
}
