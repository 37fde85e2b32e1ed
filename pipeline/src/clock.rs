//! Processing time: the one place that reads the machine's clock for stamps; and CPU time, for measurements.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use facestream_schemas::Micros;
use rustix::time::{ClockId, clock_gettime};

/// Now, by the machine's clock, which may jump: for stamps and latencies, never for decisions about rows.
#[must_use]
pub fn now() -> Micros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::saturating(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// CPU time that this thread has used.
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
