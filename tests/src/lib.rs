//! The harness of the integration tests: real parts, started once and shared, gone when the test process is gone.
//!
//! In: what `deploy/setup.sh test` put into the cache folder. Out: a Kafka broker ([`Kafka`]), the real binary as a process
//! ([`Facestream`]), an S3 server ([`S3`]) and an independent reader of Parquet ([`Duck`]). A part that is missing fails the
//! test with a message that says `make test`; nothing is skipped. Invariant: tests wait for what they need with
//! [`wait_for`], never for a time.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a harness panics: that is how a test fails")]

mod cache;
mod duck;
mod facestream;
mod kafka;
mod process;
mod s3;
mod wait;

pub use duck::Duck;
pub use facestream::{Facestream, Finished};
pub use kafka::{Ending, Kafka, Record};
pub use process::{free_port, scratch};
pub use s3::S3;
pub use wait::wait_for;
