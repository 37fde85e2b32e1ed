//! Processing time: the one place that reads the machine's clock for stamps.

use std::time::{SystemTime, UNIX_EPOCH};

use facestream_schemas::Micros;

/// Now, by the machine's clock, which may jump: for stamps and latencies, never for decisions about rows.
#[must_use]
pub fn now() -> Micros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::saturating(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
