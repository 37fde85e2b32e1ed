//! The harness of the integration tests: real parts, started once and shared, gone when the test process is gone.
//!
//! In: what `deploy/setup.sh test` put into the cache folder. Out: a Kafka broker ([`Kafka`]), the real binary as a process
//! ([`Facestream`]), S3 servers ([`S3`], and [`Versitygw`] for races), an independent reader of Parquet ([`Duck`]), the Python that it
//! runs in ([`python()`]), models made in code ([`onnx`]), plain HTTP ([`http`]), [`Prometheus`], and the pipeline under constant attack ([`crash`]). A part that is
//! missing fails the test with a message that says `make test`; only what needs [`Versitygw`], which only Go brings, is skipped, and
//! says so. Invariant: tests wait for what they need with [`wait_for`], never for a time.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a harness panics: that is how a test fails")]

mod cache;
pub mod crash;
mod credentials;
mod duck;
mod facestream;
pub mod http;
mod kafka;
pub mod onnx;
mod process;
mod prometheus;
mod s3;
mod versitygw;
mod wait;

pub use cache::{debian, deploy_command, deploy_tool, node_modules, vision_python, workspace};
pub use credentials::Credentials;
pub use duck::{Duck, python};
pub use facestream::{Facestream, Finished, binary};
pub use kafka::{Ending, Kafka, Record, SecureKafka, USER};
pub use process::{free_port, replace, scratch};
pub use prometheus::{Prometheus, Series};
pub use s3::S3;
pub use versitygw::Versitygw;
pub use wait::wait_for;
