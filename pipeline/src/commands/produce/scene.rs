//! Virtual cameras: moving pictures with faces in them, made in code, for those who have no camera at hand.
//!
//! In: a camera's number. Out: its pictures, without end. Invariant: a picture is rendered once; the loop then repeats it, so that
//! processor time goes to whoever reads them.

use facestream_schemas::Size;

use super::outlet::Outlet;
use super::shot::frame_id;
use crate::scene::Scene;

/// As many as one process has threads and memory for: 8 MB each.
pub(super) const MOST: u32 = 64;

const SIZE: Size = Size { w: 640, h: 360 };

/// Pictures until the camera starts over.
const LOOP: u64 = 200;

/// The numbers of the cameras that `argument` asks for, as in `scene:8`; `None` where it asks for something else.
pub(super) fn cameras(argument: &str) -> Option<Result<std::ops::Range<u32>, String>> {
    let count = argument.strip_prefix("scene:")?;
    let range = count.parse().ok().filter(|count| (1..=MOST).contains(count)).map(|count| 0..count);
    Some(range.ok_or_else(|| format!("{argument}: expected scene:N with 1 to {MOST} virtual cameras, such as scene:8")))
}

/// Sends what virtual camera `number` sees, until nobody wants it.
pub(super) fn send(number: u32, outlet: &mut Outlet) {
    let scene = Scene::new(number, SIZE);
    let mut takes = Vec::with_capacity(LOOP as usize);
    for frame_seq in 0_u64.. {
        let at = (frame_seq % LOOP) as usize;
        if at == takes.len() {
            match outlet.retouched(scene.picture(frame_seq).jpeg) {
                Ok(image) => takes.push(image),
                Err(error) => return outlet.unreadable(format_args!("{}: {error}", outlet.name)),
            }
        }
        let id = frame_id(&format!("{}#{frame_seq}", outlet.name));
        if !outlet.wait_due() || !outlet.offer(frame_seq, id, None, takes[at].clone()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_cameras_is_asked_for() {
        assert_eq!(cameras("scene:8"), Some(Ok(0..8)));
        assert_eq!(cameras("photos/"), None);
        for wrong in ["scene:", "scene:0", "scene:65", "scene:-1", "scene:many"] {
            assert!(cameras(wrong).unwrap().unwrap_err().contains("scene:8"), "{wrong}");
        }
    }
}
