//! What the live page reads: the state once or as a stream, and pictures.
//!
//! In: requests. Out: JSON, an event stream, JPEGs. Invariant: to ask for a source's picture is what has it made.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};

use super::Shared;
use super::pulse::{Viewer, data};
use crate::live::Sight;

/// The number of a picture: it counts up with each new one of its source.
const NUMBER: HeaderName = HeaderName::from_static("x-image");

fn off() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the live page is switched off (live.enabled = false)\n").into_response()
}

pub(super) async fn state(State(shared): State<Shared>) -> Response {
    if !shared.sight.live.is_on() {
        return off();
    }
    ([(header::CONTENT_TYPE, "application/json")], data(&shared.pulse.state())).into_response()
}

/// The history, the state, and then the state once a second.
pub(super) async fn events(State(shared): State<Shared>) -> Response {
    if !shared.sight.live.is_on() {
        return off();
    }
    let Some(viewer) = shared.pulse.viewer() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many have the live page open: close one of them\n").into_response();
    };
    let first = stream::iter([shared.pulse.history(), shared.pulse.state()]);
    let then = stream::unfold(viewer, |mut viewer: Viewer| async move {
        viewer.states.changed().await.ok()?;
        let state = viewer.states.borrow_and_update().clone();
        Some((state, viewer))
    });
    let body = Body::from_stream(first.chain(then).map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream"), (HeaderName::from_static("x-accel-buffering"), "no")], body).into_response()
}

/// The latest picture of a source.
pub(super) async fn frame(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    if !shared.sight.live.is_on() {
        return off();
    }
    match id.parse().map_or(Sight::Unknown, |id| shared.sight.live.watch(id)) {
        Sight::Unknown => (StatusCode::NOT_FOUND, "there is no such source\n").into_response(),
        Sight::Nothing => StatusCode::NO_CONTENT.into_response(),
        Sight::Picture(number, jpeg) => {
            ([(header::CONTENT_TYPE, "image/jpeg".to_owned()), (NUMBER, number.to_string())], jpeg).into_response()
        }
    }
}
