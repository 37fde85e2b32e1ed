//! Stand-in.
use facestream_schemas::{Micros, SourceId};
use std::time::Duration;
/// Chooses.
#[derive(Debug)]
pub struct Sampler;
impl Sampler {
    /// New.
    pub fn new(_fps: f64, _o: Duration, _seen: impl Iterator<Item = (SourceId, Micros)>) -> Self {
        Self
    }
    /// Chooses.
    pub fn chooses(&mut self, _source: &SourceId, _at: Micros) -> bool {
        true
    }
}
