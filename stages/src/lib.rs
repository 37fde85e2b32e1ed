//! What facestream does to frames, in flow order: sample, decode, detect, restore order, follow faces, aggregate, encode;
//! and annotate, for people who watch; and how accurate all that is.
//!
//! Pure and synchronous: no Kafka, no threads, no clocks (time comes in as an argument), no metrics. Stages never see
//! an offset except as a value that they carry.
#![forbid(unsafe_code)]

pub mod accuracy;
pub mod aggregate;
pub mod annotate;
pub mod decode;
pub mod detect;
pub mod encode;
pub mod histogram;
pub mod order;
pub mod preprocess;
pub mod sample;
pub mod track;
