//! When a frame was captured, and whose clock is believed.

use super::*;

fn capture(unit: TimeUnit, stamp: &str) -> Result<(Micros, TsOrigin), String> {
    let rules = Rules { capture_ts_unit: unit, ..rules() };
    let (meta, picture) = open(&record(None, JPEG, &[("capture_ts_ns", stamp.as_bytes())]), &rules);
    picture.map(|_| (meta.capture_ts, meta.ts_origin)).map_err(|rejection| rejection.error)
}

#[test]
fn stamps_are_read_in_their_unit() {
    // 2026-11-22T11:59:59.25Z
    let at = Micros(NOON.0 - 750_000);
    for (unit, stamp) in [
        (TimeUnit::Ns, "1795348799250000999"),
        (TimeUnit::Us, " 1795348799250000 "),
        (TimeUnit::Ms, "1795348799250"),
        (TimeUnit::S, "1795348799.25"),
        (TimeUnit::Rfc3339, "2026-11-22T11:59:59.25Z"),
        (TimeUnit::Rfc3339, "2026-11-22T13:29:59.250000+01:30"),
    ] {
        assert_eq!(capture(unit, stamp), Ok((at, TsOrigin::Header)), "{unit:?} {stamp}");
    }
    assert_eq!(capture(TimeUnit::S, "1795348799"), Ok((Micros(NOON.0 - 1_000_000), TsOrigin::Header)));
}

#[test]
fn a_stamp_from_the_future_is_clamped_and_one_from_the_past_is_kept() {
    let origin = |ns: &str| capture(TimeUnit::Ns, ns).unwrap();
    assert_eq!(origin("1795352400000000000"), (Micros(NOON.0 + 3_600_000_000), TsOrigin::Header));
    assert_eq!(origin("1795352400000001000"), (NOON, TsOrigin::Clamped));
    assert_eq!(origin("9223372036854775807"), (NOON, TsOrigin::Clamped));
    assert_eq!(origin("1000"), (Micros(1), TsOrigin::Header));
}

#[test]
fn negative_and_absurd_stamps_end_within_the_calendar() {
    for unit in [TimeUnit::Ns, TimeUnit::Us, TimeUnit::Ms, TimeUnit::S] {
        assert_eq!(capture(unit, "-5"), Ok((Micros(0), TsOrigin::Header)), "{unit:?}");
        assert_eq!(capture(unit, "-9223372036854775808"), Ok((Micros(0), TsOrigin::Header)), "{unit:?}");
        assert_eq!(capture(unit, "9223372036854775807"), Ok((NOON, TsOrigin::Clamped)), "{unit:?}");
    }
    assert_eq!(capture(TimeUnit::S, "-1.5"), Ok((Micros(0), TsOrigin::Header)));
    assert_eq!(capture(TimeUnit::S, "1e300"), Ok((NOON, TsOrigin::Clamped)));
    assert_eq!(capture(TimeUnit::Rfc3339, "0000-01-01T00:00:00Z"), Ok((Micros(0), TsOrigin::Header)));
    assert_eq!(capture(TimeUnit::Rfc3339, "9999-12-31T23:59:59Z"), Ok((NOON, TsOrigin::Clamped)));
}

#[test]
fn what_is_no_time_is_refused_with_what_was_expected() {
    for (unit, stamp, mentions) in [
        (TimeUnit::Ns, "1795348799.5", "64-bit integer"),
        (TimeUnit::Ns, "9223372036854775808", "64-bit integer"),
        (TimeUnit::Ms, "soon", "soon"),
        (TimeUnit::S, "NaN", "seconds"),
        (TimeUnit::S, "inf", "seconds"),
        (TimeUnit::S, "1e999", "seconds"),
        (TimeUnit::Rfc3339, "2026-11-22 11:59", "RFC 3339"),
        (TimeUnit::Rfc3339, "2026-02-30T00:00:00Z", "RFC 3339"),
        (TimeUnit::Rfc3339, "1795348799", "RFC 3339"),
    ] {
        let error = capture(unit, stamp).unwrap_err();
        assert!(error.contains("capture_ts_ns") && error.contains(mentions), "{unit:?} {stamp}: {error}");
    }
}

#[test]
fn a_producer_whose_clock_is_years_ahead_is_not_believed_whichever_stamp_it_sets() {
    let hour = 3_600_000_000;
    // (stamp, the record's time) in µs from the time of consumption → (event time from then, its origin)
    for (stamp, record_ts, expected) in [
        (None, 0, (0, TsOrigin::Record)),
        (None, hour, (hour, TsOrigin::Record)),
        (None, hour + 1, (0, TsOrigin::Clamped)),
        (None, -9 * hour, (-9 * hour, TsOrigin::Record)),
        (Some(100_000 * hour), 100_000 * hour, (0, TsOrigin::Clamped)),
        (Some(0), 100_000 * hour, (0, TsOrigin::Header)),
        (Some(2 * hour), -9 * hour, (-9 * hour, TsOrigin::Clamped)),
        // An old record: its time is the measure, not that of consumption.
        (Some(-7 * hour), -9 * hour, (-9 * hour, TsOrigin::Clamped)),
        (Some(-8 * hour), -9 * hour, (-8 * hour, TsOrigin::Header)),
    ] {
        let at = stamp.map(|stamp: i64| (NOON.0 + stamp).to_string());
        let headers: Vec<(&str, &[u8])> = at.iter().map(|at| ("capture_ts_ns", at.as_bytes())).collect();
        let mut record = record(None, JPEG, &headers);
        record.record_ts = Micros(NOON.0 + record_ts);
        let (meta, picture) = open(&record, &Rules { capture_ts_unit: TimeUnit::Us, ..rules() });
        assert!(picture.is_ok());
        assert_eq!((meta.capture_ts.0 - NOON.0, meta.ts_origin), expected, "{stamp:?} {record_ts}");
        assert_eq!(meta.record_ts, record.record_ts, "the record's time is kept as it is");
    }
}

#[test]
fn a_retried_message_without_a_stamp_keeps_the_event_time_of_its_original() {
    let origin = |headers: &[(&str, &[u8])]| {
        let (meta, picture) = open(&record(None, JPEG, headers), &rules());
        assert!(picture.is_ok());
        (meta.capture_ts, meta.ts_origin)
    };
    // An hour before.
    let captured: (&str, &[u8]) = ("dlq_capture_ts", b"2026-11-22T11:00:00.000000Z");
    let attempt: (&str, &[u8]) = ("dlq_attempt", b"1");
    let before = Micros(NOON.0 - 3_600_000_000);
    assert_eq!(origin(&[attempt, captured]), (before, TsOrigin::Record));
    assert_eq!(origin(&[captured]), (NOON, TsOrigin::Record), "no retry");
    assert_eq!(origin(&[attempt, ("dlq_capture_ts", b"noon")]), (NOON, TsOrigin::Record));
    assert_eq!(origin(&[attempt, ("dlq_capture_ts", b"2036-11-22T11:00:00Z")]), (NOON, TsOrigin::Clamped));
    let own = [attempt, captured, ("capture_ts_ns", b"1795348799000000000".as_slice())];
    assert_eq!(origin(&own), (Micros(NOON.0 - 1_000_000), TsOrigin::Header));
}
