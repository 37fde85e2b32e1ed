//! Events that answer messages.
//!
//! In: messages of the events topic, and which of ours are waited for. Out: what each event, or all events of a picture's faces together,
//! say of the picture. Invariant: an event is known by its id, which has the message's place in it; events of others are not looked into.

use std::collections::HashMap;
use std::sync::Arc;

use facestream_schemas::event::{EventFormat, Face};
use facestream_schemas::{DetectorIdentity, Size};
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::seen::{Failed, Found, Seen};
use super::post::Place;

/// Events so far.
pub(super) struct Answers {
    /// The topic that was sent to.
    topic: String,
    /// With an event for each face: those of pictures that more are to come of.
    faces: HashMap<Place, Vec<Face>>,
}

/// What is needed of an event; of one of a frame its faces are part, an event of a face is one itself.
#[derive(Deserialize)]
struct Event {
    image_w_px: Option<u32>,
    image_h_px: Option<u32>,
    status: String,
    error: Option<String>,
    face_count: Option<usize>,
    detector_id: String,
    model_sha256: Option<String>,
    score_threshold: Option<f32>,
    nms_iou: Option<f32>,
    detections: Option<Vec<Face>>,
}

impl Answers {
    /// Answers to what was sent to `topic`.
    pub(super) fn new(topic: &str) -> Self {
        Self { topic: topic.to_owned(), faces: HashMap::new() }
    }

    /// Takes in a message. What came of the picture, if that is whole now; its name is the caller's to know.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>, is_asked: impl Fn(&Place) -> bool) -> Option<(Place, Seen)> {
        let headers = crate::kafka::headers::headers(message);
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.and_then(|(_, value)| str::from_utf8((*value)?).ok()).unwrap_or_default()
        };
        self.take_in(header("event_id"), header("content-type"), message.payload().unwrap_or_default(), is_asked)
    }

    fn take_in(&mut self, id: &str, media_type: &str, body: &[u8], is_asked: impl Fn(&Place) -> bool) -> Option<(Place, Seen)> {
        let place = self.place(id).filter(is_asked)?;
        match self.read(place, media_type, body) {
            Ok(seen) => seen.map(|seen| (place, seen)),
            Err(error) => {
                let error = format!("the event is of another format than schema version 1: {error}");
                Some((place, Seen::failed("", Failed { status: "unreadable_event".into(), error })))
            }
        }
    }

    /// The place of the message that an event tells of, by its id: `<topic>/<partition>/<offset>`, and for a face `/<detection_idx>`.
    fn place(&self, id: &str) -> Option<Place> {
        let mut numbers = id.strip_prefix(&self.topic)?.strip_prefix('/')?.split('/');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    fn read(&mut self, place: Place, media_type: &str, body: &[u8]) -> Result<Option<Seen>, String> {
        let event: Event = read(media_type, body)?;
        let faces = if let Some(faces) = &event.detections {
            faces.clone()
        } else {
            let face: Face = read(media_type, body)?;
            let faces = self.faces.entry(place).or_default();
            // At least once: the same one may come again.
            if !faces.iter().any(|known| known.detection_idx == face.detection_idx) {
                faces.push(face);
            }
            if faces.len() < event.face_count.unwrap_or_default() {
                return Ok(None);
            }
            self.faces.remove(&place).unwrap_or_default()
        };
        Ok(Some(event.seen(faces)))
    }
}

fn read<T: DeserializeOwned>(media_type: &str, body: &[u8]) -> Result<T, String> {
    if media_type == EventFormat::MsgPack.media_type() {
        rmp_serde::from_slice(body).map_err(|error| error.to_string())
    } else {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }
}

impl Event {
    fn seen(self, mut faces: Vec<Face>) -> Seen {
        faces.sort_by_key(|face| face.detection_idx);
        let outcome = if self.status == "ok" {
            let detector = DetectorIdentity {
                detector_id: self.detector_id,
                model_sha256: self.model_sha256,
                score_threshold: self.score_threshold.unwrap_or(f32::NAN),
                nms_iou: self.nms_iou.unwrap_or(f32::NAN),
            };
            Ok(Found { faces: faces.iter().map(Face::detection).collect(), detector: Arc::new(detector) })
        } else {
            Err(Failed { status: self.status.into(), error: self.error.unwrap_or_default() })
        };
        let image = self.image_w_px.zip(self.image_h_px).map(|(w, h)| Size { w, h });
        Seen { name: String::new(), image, outcome, not_copied: None }
    }
}

#[cfg(test)]
mod tests {
    use facestream_schemas::event::{EventSettings, What, of_frame};
    use facestream_schemas::tables::{FrameRow, Timings};
    use facestream_schemas::{
        Bbox, Detection, FrameMeta, Hour, MessageKey, Micros, Offset, Reason, Rejection, ScoreKind, SourceId, TsOrigin,
    };

    use super::*;

    fn row(outcome: Result<Vec<Detection>, Rejection>) -> FrameRow {
        let meta = FrameMeta {
            key: MessageKey { topic: "frames".into(), partition: 2, offset: Offset(7) },
            frame_id: "f".to_owned(),
            source_id: SourceId::new("detect"),
            frame_seq: None,
            capture_ts: Micros(0),
            ts_origin: TsOrigin::Record,
            record_ts: Micros(0),
            content_type: None,
            size_bytes: 0,
        };
        let detector = DetectorIdentity { detector_id: "d".to_owned(), model_sha256: None, score_threshold: 0.6, nms_iou: 0.3 };
        let image = outcome.is_ok().then_some(Size { w: 100, h: 50 });
        let (detector, timings) = (Arc::new(detector), Timings::default());
        FrameRow { meta, folder: Hour(0), image, outcome, detector, timings, e2e_ms: 0.0, worker_id: None, run_id: "".into() }
    }

    fn face(x: f32) -> Detection {
        let bbox = Bbox { x, y: 0.1, w: 10.3, h: 1e-7 };
        Detection { bbox, score: Some(0.7), score_kind: ScoreKind::Prob, landmarks: Some([x; 10]), track: None }
    }

    /// What becomes of the events of a row, of which those at `order` come, while `asked` is waited for.
    fn answered(row: &FrameRow, settings: EventSettings, order: &[usize], asked: Place) -> Vec<Option<(Place, Seen)>> {
        let messages = of_frame(row, settings);
        let mut answers = Answers::new("frames");
        let text = |header: &(String, Option<Vec<u8>>)| String::from_utf8(header.1.clone().unwrap()).unwrap();
        let take = |at: &usize| {
            let message = &messages[*at];
            let (id, media_type) = (text(&message.headers[0]), text(&message.headers[2]));
            answers.take_in(&id, &media_type, message.value.as_ref().unwrap(), |place| *place == asked)
        };
        order.iter().map(take).collect()
    }

    #[test]
    fn events_read_back_to_the_last_bit_in_either_format_and_whatever_there_is_one_for() {
        let faces = vec![face(0.1), face(1.0 / 3.0), face(-1.0)];
        for format in [EventFormat::Json, EventFormat::MsgPack] {
            for (what, order) in [(What::Frames, &[0][..]), (What::FramesWithFaces, &[0]), (What::Faces, &[2, 0, 2, 1])] {
                let settings = EventSettings { format, what };
                let mut answers = answered(&row(Ok(faces.clone())), settings, order, (2, 7));
                let (place, seen) = answers.pop().unwrap().unwrap();
                assert!(answers.iter().all(Option::is_none), "{what:?}: only the last makes it whole");
                assert_eq!((place, seen.image), ((2, 7), Some(Size { w: 100, h: 50 })));
                let found = seen.outcome.unwrap();
                assert_eq!((found.faces, found.detector.detector_id.as_str()), (faces.clone(), "d"));
            }
        }
    }

    #[test]
    fn a_rejection_is_an_answer_and_another_messages_event_is_none() {
        let settings = EventSettings { format: EventFormat::Json, what: What::Frames };
        let refused = row(Err(Rejection::new(Reason::FetchRefused, "not below")));
        let failed = answered(&refused, settings, &[0], (2, 7)).remove(0).unwrap().1.outcome.unwrap_err();
        assert_eq!((&*failed.status, &*failed.error), ("fetch_refused", "not below"));
        assert!(answered(&refused, settings, &[0], (2, 8))[0].is_none());
        let mut answers = Answers::new("frames");
        for (id, body) in [("frames/2/7", "{}"), ("frames/2/7", "no JSON"), ("frames/2/7", "")] {
            let seen = answers.take_in(id, "application/json", body.as_bytes(), |_| true).unwrap().1;
            assert_eq!(seen.outcome.unwrap_err().status, "unreadable_event");
        }
        for id in ["", "frames", "frames/2", "frames/x/7", "frames-2/2/7", "other/2/7"] {
            assert!(answers.take_in(id, "application/json", b"{}", |_| true).is_none(), "{id}");
        }
    }
}
