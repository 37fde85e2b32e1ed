//! One virtual camera: its pictures in a loop, and a broken one now and then.
//!
//! In: the running number of a message. Out: its payload, and how many faces it shows. Invariant: a picture is rendered once; the loop
//! then repeats it, so that the demo's processor time goes to the pipeline.

use bytes::Bytes;
use facestream_schemas::Size;

use crate::scene::Scene;

/// Size of the pictures.
const SIZE: Size = Size { w: 640, h: 360 };

/// Pictures until the camera starts over: about 8 MB.
const LOOP: u64 = 200;

/// The first camera's every so manieth message is broken.
const BROKEN_EVERY: u64 = 25;

/// A camera, and what it has sent.
pub(super) struct Camera {
    /// Its `source_id`.
    pub(super) id: String,
    /// Messages sent: the number of the next one.
    pub(super) sent: u64,
    /// Of these, messages that are no picture.
    pub(super) broken: u64,
    /// Faces in the pictures sent.
    pub(super) shown: u64,
    scene: Scene,
    takes: Vec<Message>,
    breaks: bool,
}

/// What a camera sends.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) payload: Bytes,
    faces: u64,
    broken: bool,
}

impl Camera {
    pub(super) fn new(number: u32) -> Self {
        Self {
            id: format!("camera-{number}"),
            sent: 0,
            broken: 0,
            shown: 0,
            scene: Scene::new(number, SIZE),
            takes: Vec::new(),
            breaks: number == 0,
        }
    }

    /// The next message; the same one until it has gone out.
    pub(super) fn next(&mut self) -> Message {
        let take = self.take();
        if !self.breaks || self.sent % BROKEN_EVERY != BROKEN_EVERY - 1 {
            return take;
        }
        let payload = if (self.sent / BROKEN_EVERY).is_multiple_of(2) {
            take.payload.slice(..take.payload.len() / 2)
        } else {
            Bytes::from_static(b"camera restarting, please stand by")
        };
        Message { payload, faces: 0, broken: true }
    }

    /// Notes that `message` has gone out.
    pub(super) fn went_out(&mut self, message: &Message) {
        self.sent += 1;
        self.shown += message.faces;
        self.broken += u64::from(message.broken);
    }

    fn take(&mut self) -> Message {
        let number = self.sent % LOOP;
        if self.takes.len() as u64 == number {
            let picture = self.scene.picture(number);
            let faces = picture.faces.len() as u64;
            self.takes.push(Message { payload: picture.jpeg.into(), faces, broken: false });
        }
        self.takes[number as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `messages` and counts those whose payload is a whole JPEG.
    fn whole(camera: &mut Camera, messages: u64) -> u64 {
        (0..messages)
            .filter(|_| {
                let message = camera.next();
                camera.went_out(&message);
                turbojpeg::decompress(&message.payload, turbojpeg::PixelFormat::GRAY).is_ok()
                    && message.payload.ends_with(&[0xff, 0xd9])
            })
            .count() as u64
    }

    #[test]
    fn the_first_camera_breaks_and_says_how_often() {
        let mut camera = Camera::new(0);
        assert_eq!(whole(&mut camera, 130), 130 - 5);
        assert_eq!((camera.sent, camera.broken), (130, 5));
    }

    #[test]
    fn other_cameras_do_not_break_and_repeat_after_a_loop() {
        let mut camera = Camera::new(1);
        let first = camera.next().payload;
        assert_eq!(whole(&mut camera, LOOP), LOOP);
        assert_eq!(camera.broken, 0);
        assert!(camera.shown > 0);
        assert_eq!(camera.next().payload, first);
    }
}
