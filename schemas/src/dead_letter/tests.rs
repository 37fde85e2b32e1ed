//! What goes into a dead letter comes out of it, whatever it is; and what no letter is, is said so.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::DetectorIdentity;
use crate::frame::{FrameMeta, Offset, Rejection, SourceId, TsOrigin};
use crate::tables::Timings;
use crate::time::Hour;

/// 2026-11-22T12:00:00Z; `date -u -d @1795348800` says so.
const NOON: Micros = Micros(1_795_348_800_000_000);

fn row(reason: Reason) -> FrameRow {
    FrameRow {
        meta: FrameMeta {
            key: MessageKey { topic: "cams".into(), partition: 2, offset: Offset(7) },
            frame_id: "f".to_owned(),
            source_id: SourceId::new("door"),
            frame_seq: None,
            capture_ts: NOON,
            ts_origin: TsOrigin::Record,
            record_ts: NOON,
            content_type: None,
            size_bytes: 4,
        },
        folder: Hour(0),
        image: None,
        outcome: Err(Rejection::new(reason, "cut")),
        detector: Arc::new(DetectorIdentity {
            detector_id: "x".to_owned(),
            model_sha256: None,
            score_threshold: 0.5,
            nms_iou: 0.5,
        }),
        timings: Timings::default(),
        e2e_ms: 0.0,
        worker_id: None,
        run_id: "run-1".into(),
    }
}

fn original(value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> Original {
    Original {
        key: Some(Bytes::from_static(b"door")),
        value: value.map(Bytes::copy_from_slice),
        value_bytes: value.map(|value| value.len() as u64),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(Bytes::copy_from_slice))).collect(),
    }
}

fn headers_of(message: &Message) -> Headers {
    message.headers.iter().map(|(name, value)| (name.clone(), value.clone().map(Bytes::from))).collect()
}

fn parse(message: &Message) -> Result<DeadLetter, String> {
    DeadLetter::parse(Some(&message.key), message.value.clone().map(Bytes::from), headers_of(message))
}

fn text<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let (_, value) = message.headers.iter().rev().find(|(header, _)| header == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

#[test]
fn a_letter_is_the_original_and_after_its_headers_ours() {
    let original =
        original(Some(b"\xff\xd8\xffx"), &[("a", Some(b"1")), ("dlq_reason", Some(b"lie")), ("a", None), ("", Some(b""))]);
    let letter = of(&row(Reason::DecodeError), &original, Micros(NOON.0 + 5), 1_000);
    assert_eq!((letter.key.as_slice(), letter.value.as_deref()), (&b"cams/2/7"[..], Some(&b"\xff\xd8\xffx"[..])));
    let ours = [
        ("dlq_schema_version", "1"),
        ("dlq_reason", "decode_error"),
        ("dlq_stage", "decode"),
        ("dlq_error", "cut"),
        ("dlq_source_id", "door"),
        ("dlq_topic", "cams"),
        ("dlq_partition", "2"),
        ("dlq_offset", "7"),
        ("dlq_key", "door"),
        ("dlq_record_ts", "2026-11-22T12:00:00.000000Z"),
        ("dlq_capture_ts", "2026-11-22T12:00:00.000000Z"),
        ("dlq_first_seen", "2026-11-22T12:00:00.000005Z"),
        ("dlq_attempt", "1"),
        ("dlq_value", "whole"),
        ("dlq_value_bytes", "4"),
        ("dlq_run_id", "run-1"),
    ];
    let theirs = [("a", Some(&b"1"[..])), ("a", None), ("", Some(&b""[..]))];
    let expected = theirs.into_iter().chain(ours.map(|(name, value)| (name, Some(value.as_bytes()))));
    let found = letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn attempts_are_counted_up_and_a_lie_about_them_counts_as_none() {
    let count = |attempt: &[u8], first_seen: &[u8]| {
        let retried = original(Some(b"x"), &[("dlq_attempt", Some(attempt)), ("dlq_first_seen", Some(first_seen))]);
        let letter = of(&row(Reason::DecodeError), &retried, NOON, 1_000);
        (text(&letter, "dlq_attempt").unwrap().to_owned(), text(&letter, "dlq_first_seen").unwrap().to_owned())
    };
    let (noon, before) = ("2026-11-22T12:00:00.000000Z", "2026-11-21T12:00:00.500000Z");
    let outcome = |attempt: &str, first_seen: &str| (attempt.to_owned(), first_seen.to_owned());
    assert_eq!(count(b"1", b"2026-11-21T13:00:00.5+01:00"), outcome("2", before));
    assert_eq!(count(b"4", b"yesterday"), outcome("5", noon));
    assert_eq!(count(b"4", b"2999-01-01T00:00:00Z"), outcome("5", noon), "nothing is seen before it is there");
    for lie in [&b""[..], b"0", b"-3", b"1.5", b"\xff", b"99999999999999999999", b"two"] {
        assert_eq!(count(lie, b"2026-11-21T12:00:00.5Z"), outcome("1", noon), "{lie:?}");
    }
    assert_eq!(count(b"4294967295", before.as_bytes()).0, "1000000");
    let null = original(Some(b"x"), &[("dlq_attempt", None)]);
    assert_eq!(text(&of(&row(Reason::DecodeError), &null, NOON, 1_000), "dlq_attempt"), Some("1"));
}

#[test]
fn a_value_that_is_not_there_is_told_from_an_empty_one_and_from_one_too_large() {
    let held = |original: &Original, max_bytes| {
        let letter = of(&row(Reason::EnvelopeError), original, NOON, max_bytes);
        let parsed = parse(&letter).unwrap();
        (letter.value.unwrap().len(), parsed.facts.held, parsed.facts.value_bytes, parsed.retry().map(|sent| sent.value))
    };
    let left_out = || Err(Why::LeftOut(MessageKey { topic: "cams".into(), partition: 2, offset: Offset(7) }));
    assert_eq!(held(&original(None, &[]), 100), (0, Held::None, None, Ok(None)));
    assert_eq!(held(&original(Some(b""), &[]), 100), (0, Held::Whole, Some(0), Ok(Some(Bytes::new()))));
    // The key has four bytes.
    assert_eq!(held(&original(Some(&[1; 96]), &[]), 100), (96, Held::Whole, Some(96), Ok(Some(Bytes::from(vec![1; 96])))));
    assert_eq!(held(&original(Some(&[1; 97]), &[]), 100), (0, Held::LeftOut, Some(97), left_out()));
    let not_copied = Original { value: None, value_bytes: Some(10), ..original(None, &[]) };
    assert_eq!(held(&not_copied, 100), (0, Held::LeftOut, Some(10), left_out()));
}

#[test]
fn headers_that_are_too_large_are_left_out_with_the_value() {
    let huge = [7; 5_000];
    let many = vec![("", None); 5_000];
    for headers in [vec![("a", Some(&huge[..]))], many] {
        let letter = of(&row(Reason::DecodeError), &original(Some(b"x"), &headers), NOON, 4_000);
        assert!(letter.memory() as u64 <= 4_000 + OVERHEAD_BYTES, "{}", letter.memory());
        let parsed = parse(&letter).unwrap();
        assert_eq!((parsed.facts.held, parsed.key, parsed.headers), (Held::LeftOut, None, vec![]));
    }
}

#[test]
fn a_letter_that_is_too_large_for_its_topic_becomes_a_reference_once() {
    for (value, headers) in [(&b"abcd"[..], &[][..]), (b"", &[("camera", Some(&b"x"[..]))]), (b"abcd", &[("camera", None)])] {
        let mut letter = of(&row(Reason::DecodeError), &original(Some(value), headers), NOON, 1_000);
        assert!(leave_out(&mut letter));
        let parsed = parse(&letter).unwrap();
        assert_eq!((parsed.facts.held, parsed.facts.value_bytes), (Held::LeftOut, Some(value.len() as u64)));
        assert_eq!((parsed.key, parsed.headers.len(), letter.value.as_deref()), (None, 0, Some(&b""[..])));
        let again = letter.clone();
        assert!(!leave_out(&mut letter));
        assert_eq!(letter, again);
    }
}

#[test]
fn our_own_part_of_a_letter_is_bounded() {
    let mut row = row(Reason::EnvelopeError);
    row.meta.key.topic = "t".repeat(249).as_str().into();
    row.meta.key.offset = Offset(i64::MAX);
    row.meta.source_id = SourceId::new(&"\u{10000}".repeat(SourceId::MAX_CHARS));
    row.outcome = Err(Rejection::new(Reason::EnvelopeError, "\u{10000}".repeat(1_000)));
    let letter = of(&row, &Original::default(), NOON, 1_000);
    let headers = letter.headers.iter().map(|(name, value)| HEADER_FRAMING + name.len() + value.as_ref().map_or(0, Vec::len));
    assert!(letter.key.len() + headers.sum::<usize>() < OVERHEAD_BYTES as usize);
}

#[test]
fn the_stage_follows_from_the_reason_and_from_how_far_the_frame_came() {
    let stage = |reason, timings| {
        let row = FrameRow { timings, ..row(reason) };
        text(&of(&row, &Original::default(), NOON, 100), "dlq_stage").unwrap().to_owned()
    };
    let (none, fetched) = (Timings::default(), Timings { fetch_ms: Some(1.0), ..Timings::default() });
    let decoded = Timings { decode_ms: Some(1.0), ..fetched };
    for (reason, timings, expected) in [
        (Reason::EnvelopeError, none, "envelope"),
        (Reason::TooLarge, none, "envelope"),
        (Reason::TooLarge, fetched, "fetch"),
        (Reason::TooLarge, decoded, "decode"),
        (Reason::Expired, fetched, "fetch"),
        (Reason::DecodeError, decoded, "decode"),
        (Reason::DetectorError, decoded, "detect"),
        (Reason::InternalError, none, "internal"),
    ] {
        assert_eq!(stage(reason, timings), expected, "{reason:?}");
    }
}

#[test]
fn what_is_no_dead_letter_is_said_so() {
    let whole = of(&row(Reason::DecodeError), &original(Some(b"four"), &[]), NOON, 1_000);
    assert!(parse(&whole).is_ok());
    let without = |name: &str| {
        let mut letter = whole.clone();
        letter.headers.retain(|(header, _)| header != name);
        letter
    };
    let with = |name: &str, value: &[u8]| {
        let mut letter = whole.clone();
        letter.headers.push((name.to_owned(), Some(value.to_vec())));
        letter
    };
    for (letter, mentions) in [
        (without("dlq_reason"), "dlq_reason is missing"),
        (without("dlq_topic"), "dlq_topic is missing"),
        (without("dlq_value_bytes"), "dlq_value_bytes is missing"),
        (with("dlq_partition", b"-1"), "dlq_partition is \"-1\""),
        (with("dlq_offset", b"8"), "its key is \"cams/2/7\", its headers say cams/2/8"),
        (with("dlq_value", b"half"), "dlq_value is \"half\""),
        (with("dlq_first_seen", b"now"), "dlq_first_seen is \"now\""),
        (with("dlq_error", b"\xff"), "dlq_error is not UTF-8"),
        (with("dlq_value_bytes", b"5"), "its value has 4 bytes, its headers say 5"),
        (Message { value: None, ..whole.clone() }, "tombstone"),
        (Message { key: b"elsewhere".to_vec(), ..whole.clone() }, "its key is \"elsewhere\""),
    ] {
        let error = parse(&letter).unwrap_err();
        assert!(error.contains(mentions), "{error:?} does not say {mentions:?}");
    }
    let error = DeadLetter::parse(None, Some(Bytes::new()), headers_of(&whole)).unwrap_err();
    assert_eq!(error, "it has no key");
}

fn bytes() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

proptest! {
    #[test]
    fn an_original_comes_back_as_it_was_for_any_bytes(
        key in bytes(),
        value in bytes(),
        headers in proptest::collection::vec(("(dlq_)?(attempt|first_seen|value|topic|key|\\PC{0,6})", bytes()), 0..8),
    ) {
        let value_bytes = value.as_ref().map(|value| value.len() as u64);
        let original = Original { key: key.clone(), value: value.clone(), value_bytes, headers: headers.clone() };
        let letter = of(&row(Reason::DecodeError), &original, NOON, 1 << 20);
        let parsed = parse(&letter).unwrap();
        let sent = parsed.retry().unwrap();
        prop_assert_eq!((sent.key, sent.value), (key, value));
        let mut expected: Headers = headers.into_iter().filter(|(name, _)| !name.starts_with("dlq_")).collect();
        let own = expected.len();
        expected.push(("dlq_attempt".to_owned(), Some(Bytes::from(parsed.facts.attempt.to_string()))));
        expected.push(("dlq_first_seen".to_owned(), Some(Bytes::from(rfc3339(parsed.facts.first_seen)))));
        expected.push(("dlq_capture_ts".to_owned(), Some(Bytes::from(rfc3339(NOON)))));
        expected.push(("dlq_origin".to_owned(), Some(Bytes::from_static(b"cams/2/7"))));
        prop_assert_eq!(&sent.headers, &expected);
        // Failing once more counts one more, and adds no headers.
        let again = Original { key: parsed.key.clone(), value: None, value_bytes: None, headers: sent.headers };
        let second = parse(&of(&row(Reason::DecodeError), &again, NOON, 1 << 20)).unwrap();
        prop_assert_eq!(second.facts.attempt, (parsed.facts.attempt + 1).min(MAX_ATTEMPT));
        prop_assert_eq!(second.facts.first_seen, parsed.facts.first_seen);
        prop_assert_eq!(second.headers.len(), own);
    }

    #[test]
    fn no_message_of_the_topic_panics(
        key in bytes(),
        value in bytes(),
        headers in proptest::collection::vec(("dlq_(value|topic|partition|offset|attempt|first_seen)", bytes()), 0..8),
    ) {
        prop_assert!(DeadLetter::parse(key.as_deref(), value, headers).is_err());
    }
}
