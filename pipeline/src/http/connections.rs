//! Connections: how many there are, and how long one may stay without a request.
//!
//! In: a listener and routes. Out: nothing. Invariant: no more than [`MOST`] at a time, and none outlives the future.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// More wait in the system's queue. Every browser has up to six.
const MOST: usize = 512;
/// The longest that a request's head may take, and that a connection may stay without a request.
const IDLE: Duration = Duration::from_secs(30);
/// What a connection may hold of what comes in, in bytes.
const BUFFER: usize = 16 << 10;

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, routes: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST => match accepted {
                Ok((stream, _)) => drop(connections.spawn(answer(stream, routes.clone()))),
                Err(error) => {
                    // Out of file descriptors, say: some will come back.
                    tracing::warn!("http: cannot accept a connection, trying again: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(stream: TcpStream, routes: Router) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(routes);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(BUFFER);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("http: a connection ended: {error}");
    }
}
