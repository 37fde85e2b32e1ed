//! What a partition remembers of its frames: what the stages of its lane need to go on, and nothing else.
//!
//! In: the stages' states after the frames up to an offset. Out: the same, from the header of the record that ends there. Invariant:
//! it depends on those frames (and, for windows, on idle closings that are in the journal) and not on where owners began or ended.

use facestream_stages::aggregate::WindowState;
use facestream_stages::annotate::HoldState;
use facestream_stages::track::TrackState;

use super::header::{Header, Jump, Why};

/// What the stages of a lane remember; each part has a field of its own in the record's header.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Windows that are open, or may be revised.
    pub windows: WindowState,
    /// Tracks that may go on.
    pub tracks: TrackState,
    /// Faces that stay hidden in annotated pictures.
    pub hold: HoldState,
}

impl Memory {
    /// What is still true once consuming has gone on elsewhere. Across a gap, event time says what has ended meanwhile; but tracks
    /// are named by offsets, which count anew in a topic that was made anew.
    #[must_use]
    pub fn across(mut self, jump: Option<&Jump>) -> Self {
        if jump.is_some_and(|jump| jump.why == Why::NewTopic) {
            self.tracks = TrackState::default();
        }
        self
    }
}

impl Header {
    /// What its partition remembered at its end.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory { windows: self.window_state.clone(), tracks: self.track_state.clone(), hold: self.hold_state.clone() }
    }

    /// Takes a memory in.
    pub(super) fn remember(&mut self, memory: Memory) {
        (self.window_state, self.track_state, self.hold_state) = (memory.windows, memory.tracks, memory.hold);
    }
}

#[cfg(test)]
mod tests {
    use facestream_schemas::Offset;

    use super::*;

    #[test]
    fn tracks_end_with_the_topic_whose_offsets_name_them_and_with_nothing_else() {
        let state = r#"{"sources":{"door":{"last":7,"at":5,"tracks":[[7,0,5,[1.0,2.0,3.0,4.0,0.0,0.0,0.1,0.0,9.0]]]}}}"#;
        let memory = Memory { tracks: serde_json::from_str(state).unwrap(), ..Memory::default() };
        let jump = |why| Jump { why, from: Offset(8), to: Offset(20) };
        assert_eq!(memory.clone().across(None), memory);
        assert_eq!(memory.clone().across(Some(&jump(Why::Gap))), memory);
        assert_eq!(memory.clone().across(Some(&jump(Why::Reset))), memory);
        assert_eq!(memory.across(Some(&jump(Why::NewTopic))), Memory::default());
    }
}
