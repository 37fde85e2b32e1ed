//! facestream: encoded camera frames from Kafka, faces to Parquet.
//!
//! The parts in flow order; [`topology`] wires them up and is where to start reading.

pub mod commands;
pub mod topology;

pub mod http;
pub mod journal;
pub mod kafka;
pub mod lane;
pub mod store;
pub mod workers;

pub mod annotate;
pub mod budget;
pub mod clock;
pub mod config;
pub mod detector;
pub mod failpoint;
pub mod fetch;
pub mod live;
pub mod logging;
pub mod metrics;
pub mod models;
mod panicked;
pub mod scene;
