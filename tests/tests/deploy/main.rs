//! What is deployed, held against the tools that it is for: Prometheus, a browser, builders and validators of images and manifests.
//!
//! Run by `make test-deploy`. What only Go builds is skipped where there is none, and says SKIPPED.
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, reason = "tests panic: that is how they fail")]

mod containers;
mod http;
mod image;
mod kubernetes;
mod live_page;
mod metrics;
mod observability;
mod setup;
mod tool;
