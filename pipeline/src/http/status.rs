//! `/status`, for programs: what was decided at start, how far each partition is, and which sources there are.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Shared, obstacles};
use crate::lane::{Board, SourceSeen};

pub(super) async fn status(State(shared): State<Shared>) -> Json<Value> {
    let sight = &shared.sight;
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
