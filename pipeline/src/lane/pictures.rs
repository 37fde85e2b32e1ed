//! Annotated pictures of a lane's frames, on their way out.
//!
//! In: frames that were looked at, in their order, each with what it needs for its picture. Out: the picture, made elsewhere, in a
//! message and in a file. Invariant: what is sent for a frame depends on it and on what was found in its source's frames before; so it
//! is the same whenever they are consumed again, and under the same key and name.

use std::sync::Arc;

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{Message, MessageKey};
use facestream_stages::annotate::What;
use futures::FutureExt as _;
use futures::future::{BoxFuture, OptionFuture, join};
use object_store::path::Path;

use super::outbox::{Outgoing, Output, Ready};
use super::stages::Stages;
use super::{Outbox, Pictures};
use crate::annotate::{self, Shot};
use crate::budget::Permit;

/// A picture that is to be made, with its frame's share of the budget for frames in flight.
#[derive(Debug)]
pub(super) struct Picture {
    of: MessageKey,
    /// Still without its value.
    message: Message,
    path: Path,
    pub(super) shot: Shot,
    permit: Permit,
}

impl Picture {
    /// Of a frame; what was found in it is in the shot.
    pub(super) fn of(row: &FrameRow, shot: Shot, mut permit: Permit) -> Self {
        permit.resize(permit.bytes().max(shot.memory()));
        Self { of: row.meta.key.clone(), message: message(row, shot.what), path: annotate::path(row), shot, permit }
    }

    /// Has faces hidden in it that were in its source's frames before.
    pub(super) fn hold(mut self, row: &FrameRow, stages: &mut Stages) -> Self {
        if self.shot.what.hides() {
            self.shot.regions = stages.hide(row, &self.shot.regions);
        }
        self
    }

    /// Makes it, and then leaves it to be sent.
    pub(super) fn make(self, outbox: Option<Arc<dyn Outbox>>, pictures: &Pictures) -> BoxFuture<'static, Option<Ready>> {
        let pictures = pictures.clone();
        async move {
            let Self { of, message, path, shot, mut permit } = self;
            let jpeg = pictures.annotator.make(of, shot).await?;
            let copies = usize::from(pictures.to_topic) + usize::from(pictures.keep.is_some());
            permit.resize(jpeg.len() * copies + message.memory());
            let send: Ready = Box::new(move || {
                let kept = pictures.keep.map(|keep| keep.keep(path, jpeg.clone().into()));
                let outgoing = Outgoing { to: Output::Pictures, message: Message { value: Some(jpeg), ..message } };
                let sent = outbox.filter(|_| pictures.to_topic).map(|outbox| outbox.send(outgoing));
                join(OptionFuture::from(kept), OptionFuture::from(sent)).map(|_| drop(permit)).boxed()
            });
            Some(send)
        }
        .boxed()
    }
}

/// The message: keyed like the one that the frame came in, and understood by whatever reads such.
fn message(row: &FrameRow, what: What) -> Message {
    let meta = &row.meta;
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    Message {
        key: meta.source_id.as_str().as_bytes().to_vec(),
        value: None,
        headers: vec![
            header("content-type", "image/jpeg"),
            header("source_id", meta.source_id.as_str()),
            header("frame_id", &meta.frame_id),
            header("capture_ts_ns", &meta.capture_ts.0.saturating_mul(1_000).to_string()),
            header("event_id", &meta.key.to_string()),
            header("annotation", what.as_str()),
        ],
    }
}
