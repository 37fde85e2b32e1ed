//! Event time: the producer's stamp, read and believed or not.
//!
//! In: the stamp as it was written, the record's time and the time of consumption. Out: when the frame was captured, and by which
//! clock. Invariant: event time is never further ahead than `max_skew` of either.

use std::time::Duration;

use chrono::DateTime;

use super::TimeUnit;
use super::given::{Given, integer};
use crate::frame::TsOrigin;
use crate::time::Micros;

/// The point in time that a stamp means; beyond the calendar the nearest one in it.
pub(super) fn stamp(given: &Given<'_>, unit: TimeUnit) -> Result<Option<Micros>, String> {
    let micros = match unit {
        TimeUnit::Ns => integer(given)?.map(|ns| ns.div_euclid(1_000)),
        TimeUnit::Us => integer(given)?,
        TimeUnit::Ms => integer(given)?.map(|ms| ms.saturating_mul(1_000)),
        TimeUnit::S => return seconds(given).map(Some),
        TimeUnit::Rfc3339 => return rfc3339(given).map(Some),
    };
    Ok(micros.map(Micros::saturating))
}

fn seconds(given: &Given<'_>) -> Result<Micros, String> {
    if let Ok(Some(seconds)) = integer(given) {
        return Ok(Micros::saturating(seconds.saturating_mul(1_000_000)));
    }
    let seconds = match given {
        Given::Float(number) => Some(*number),
        Given::Text(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds| seconds.is_finite()).ok_or_else(|| given.instead_of("seconds since 1970"))?;
    Ok(Micros::saturating((seconds * 1e6).round() as i64))
}

/// A date and time with its offset from UTC (RFC 3339).
pub(super) fn rfc3339(given: &Given<'_>) -> Result<Micros, String> {
    let time = match given {
        Given::Text(text) => DateTime::parse_from_rfc3339(text.trim()).ok(),
        _ => None,
    };
    let time = time.ok_or_else(|| given.instead_of("a time with its offset, as in 2026-11-22T07:59:59.25Z (RFC 3339)"))?;
    Ok(Micros::saturating(time.timestamp_micros()))
}

/// When the frame was captured: the stamp where there is one and it is believed, else the record's time.
pub(super) fn event_time(
    stamp: Option<(Micros, TsOrigin)>,
    record_ts: Micros,
    consumed_ts: Micros,
    max_skew: Duration,
) -> (Micros, TsOrigin) {
    let (at, origin) = stamp.unwrap_or((record_ts, TsOrigin::Record));
    // A producer whose clock runs years ahead sets the record's time by it, too.
    let believed = record_ts.min(consumed_ts);
    if at > believed + max_skew { (believed, TsOrigin::Clamped) } else { (at, origin) }
}
