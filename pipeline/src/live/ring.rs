//! A source's last minute, second by second.
//!
//! In: frames, each with the second in which it was done and its faces. Out: frames a second now, the most faces of each second.
//! Invariant: it never grows. Pure: time comes in as an argument.

/// Seconds that are kept.
pub(super) const SECONDS: usize = 60;
/// The rate is that of the last so many whole seconds.
const RATE_OVER: u64 = 4;

#[derive(Clone, Debug)]
pub(super) struct Ring {
    /// Second `s` is in slot `s % len`; one more than is told, for the second that has begun.
    slots: [Slot; SECONDS + 1],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    second: u64,
    frames: u16,
    faces: Option<u16>,
}

impl Default for Ring {
    fn default() -> Self {
        Self { slots: [Slot::default(); SECONDS + 1] }
    }
}

impl Ring {
    /// Counts a frame; `faces` where it was looked at.
    pub(super) fn add(&mut self, second: u64, faces: Option<u32>) {
        let slot = &mut self.slots[second as usize % (SECONDS + 1)];
        if slot.second != second {
            *slot = Slot { second, ..Slot::default() };
        }
        slot.frames = slot.frames.saturating_add(1);
        let faces = faces.map(|faces| u16::try_from(faces).unwrap_or(u16::MAX));
        slot.faces = slot.faces.max(faces);
    }

    fn slot(&self, second: u64) -> Slot {
        let slot = self.slots[second as usize % (SECONDS + 1)];
        if slot.second == second { slot } else { Slot::default() }
    }

    /// Frames a second over the last whole seconds before `now`.
    pub(super) fn frames_per_s(&self, now: u64) -> f64 {
        let first = now.saturating_sub(RATE_OVER);
        let frames: u64 = (first..now).map(|second| u64::from(self.slot(second).frames)).sum();
        frames as f64 / (now - first).max(1) as f64
    }

    /// The most faces in each of the last whole seconds before `now`, the oldest first.
    pub(super) fn faces(&self, now: u64) -> Vec<Option<u16>> {
        let before = |ago: u64| now.checked_sub(ago).and_then(|second| self.slot(second).faces);
        (1..=SECONDS as u64).rev().map(before).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_most_faces_and_old_ones_are_forgotten() {
        let mut ring = Ring::default();
        for (second, faces) in [(0, Some(9)), (100, Some(2)), (100, Some(5)), (100, Some(3)), (101, None), (103, Some(0))] {
            ring.add(second, faces);
        }
        let faces = ring.faces(104);
        assert_eq!(faces.len(), 60);
        assert_eq!(faces[56..], [Some(5), None, None, Some(0)]);
        assert!(faces[..56].iter().all(Option::is_none));
        assert_eq!(ring.faces(161)[0], None, "second 101 had no frame that was looked at");
        assert_eq!(ring.faces(160)[0], Some(5));
        assert!((ring.frames_per_s(104) - 5.0 / 4.0).abs() < 1e-9);
        assert!((ring.frames_per_s(500)).abs() < 1e-9);
    }

    #[test]
    fn the_first_seconds_of_a_process_have_no_past() {
        let mut ring = Ring::default();
        ring.add(0, Some(1));
        ring.add(0, Some(70_000));
        assert_eq!(ring.faces(1)[58..], [None, Some(u16::MAX)]);
        assert!((ring.frames_per_s(1) - 2.0).abs() < 1e-9);
        assert!(ring.frames_per_s(0).abs() < 1e-9);
    }
}
