//! From the channel of frames to Kafka: upload where that is wanted, envelope, message.
//!
//! In: [`Shot`]s of all inputs. Out: messages, in the order of the shots. Invariant: a message that says where its picture lies
//! is sent only once the picture is there.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::envelope::{Content, Envelope, Facts};
use super::outlet::now_ns;
use super::pace::Pace;
use super::report::Tally;
use super::sender::{Outgoing, Sender, headers};
use super::shot::{Shot, media_type};
use super::stop::Stop;
use super::upload::{Claim, Uploads, sha256};

/// How many pictures are uploaded at a time.
const UPLOADS: usize = 8;

/// How messages are made.
pub(super) struct Pump<'a> {
    pub(super) sender: &'a Sender,
    pub(super) tally: &'a Tally,
    pub(super) stop: &'a Stop,
    pub(super) envelope: Envelope,
    pub(super) headers: &'a [(String, String)],
    pub(super) uploads: Option<Arc<Uploads>>,
    /// Of all cameras together.
    pub(super) pace: Pace,
    /// How many messages to send.
    pub(super) count: Option<u64>,
}

/// What came of an upload: nothing where none is wanted.
type Uploaded = Option<Result<Claim, String>>;

impl Pump<'_> {
    /// Sends until the inputs have ended, enough was sent or it was stopped. True if the inputs have ended.
    pub(super) async fn run(mut self, mut shots: mpsc::Receiver<Shot>) -> bool {
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut untaken = left;
        let uploads = self.uploads.take();
        let at_a_time = if uploads.is_some() { UPLOADS } else { 1 };
        let shots = stream::poll_fn(|context| shots.poll_recv(context));
        let wanted = shots.map(move |mut shot| {
            // No picture is uploaded that is not wanted any more.
            let messages = (shot.sources.len() as u64).min(untaken);
            shot.sources.end = shot.sources.start + messages as usize;
            untaken -= messages;
            shot
        });
        let uploaded = wanted.map(|shot| upload(shot, uploads.clone())).buffered(at_a_time);
        let mut uploaded = std::pin::pin!(uploaded);
        loop {
            let next = tokio::select! { biased; () = self.stop.raised() => return false, next = uploaded.next() => next };
            let Some((shot, uploaded)) = next else { return true };
            left -= shot.sources.len() as u64;
            if !self.send(&shot, &uploaded).await || left == 0 {
                return false;
            }
        }
    }

    /// Sends a picture from each of its cameras. False if it was stopped.
    async fn send(&mut self, shot: &Shot, uploaded: &Uploaded) -> bool {
        let content = match uploaded {
            None => Content::Image(&shot.image),
            Some(Ok(claim)) => Content::Claim { uri: &claim.uri, sha256: &claim.sha256 },
            Some(Err(error)) => {
                shot.sources.clone().for_each(|source| self.tally.failed(source, &shot.frame_id, error));
                return true;
            }
        };
        for source in shot.sources.clone() {
            let wait = self.pace.wait(Instant::now());
            if !wait.is_zero() {
                tokio::select! { () = self.stop.raised() => return false, () = tokio::time::sleep(wait) => () }
            }
            let facts = Facts {
                source_id: self.tally.camera(source),
                capture_ts_ns: shot.captured_ns.or_else(now_ns).unwrap_or(i64::MAX),
                frame_id: &shot.frame_id,
                frame_seq: shot.frame_seq,
                media_type: media_type(&shot.image),
                content,
            };
            let sealed = self.envelope.seal(&facts);
            let own = sealed.headers.iter().map(|(name, value)| (*name, &**value));
            let headers = headers(own, self.headers);
            let out = Outgoing { source, frame_id: &shot.frame_id, value: &sealed.value, headers };
            if !self.sender.send(out, self.stop).await {
                return false;
            }
        }
        true
    }
}

/// Has the picture uploaded by a task of its own, so that it goes on while messages wait for their turn.
fn upload(shot: Shot, uploads: Option<Arc<Uploads>>) -> impl Future<Output = (Shot, Uploaded)> {
    let uploads = uploads.filter(|_| !shot.sources.is_empty());
    let task = uploads.map(|uploads| {
        let (image, sha256) = (shot.image.clone(), sha256(&shot.image));
        tokio::spawn(async move { uploads.put(image, sha256).await.map_err(|error| format!("cannot upload it: {error}")) })
    });
    async move {
        let Some(task) = task else { return (shot, None) };
        (shot, Some(task.await.unwrap_or_else(|error| Err(format!("cannot upload it: {error}")))))
    }
}
