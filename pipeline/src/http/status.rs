//! `/status`, for programs: what was decided at start, and how far each partition is.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Shared, obstacles};

pub(super) async fn status(State(shared): State<Shared>) -> Json<Value> {
    let sight = &shared.sight;
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
