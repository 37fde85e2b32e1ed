//! Which letters: by reason, age and source.

use facestream_schemas::message::from_rfc3339;
use facestream_schemas::{Micros, Reason};

use super::fold::Letter;
use crate::clock::now;

/// Which letters; all conditions have to hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Select {
    /// Only those that failed for this reason (a status of the table frames, or "damaged"); may be repeated
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(super) reason: Vec<String>,
    /// Only those first seen since then: a time such as 2026-11-22T08:00:00Z, or how long ago, such as 90m
    #[arg(long, value_name = "WHEN", value_parser = |text: &str| since(text, now()))]
    since: Option<Micros>,
    /// Only those of this camera
    #[arg(long, value_name = "ID")]
    source: Option<String>,
}

impl Select {
    pub(super) fn includes(&self, letter: &Letter) -> bool {
        let source = letter.facts.as_ref().ok().map(|facts| facts.source_id.as_str());
        (self.reason.is_empty() || self.reason.iter().any(|reason| reason == letter.reason()))
            && self.since.is_none_or(|since| letter.since() >= since)
            && self.source.as_deref().is_none_or(|wanted| source == Some(wanted))
    }
}

fn reason(text: &str) -> Result<String, String> {
    let failures = Reason::ALL.into_iter().filter(|reason| !reason.is_skip()).map(Reason::as_str);
    let known: Vec<_> = failures.chain(["damaged"]).collect();
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(format!("the reasons are {}", known.join(", "))) }
}

fn since(text: &str, now: Micros) -> Result<Micros, String> {
    let ago = || humantime::parse_duration(text).ok().map(|ago| now - ago);
    from_rfc3339(text).or_else(ago).ok_or_else(|| "expected a time such as 2026-11-22T08:00:00Z or an age such as 90m".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::fold::{Place, tests::facts};
    use super::*;

    #[test]
    fn letters_are_selected_by_reason_age_and_source() {
        // Offset 7 is first seen at 993.
        let place = Place { partition: 0, offset: 1 };
        let letter = |facts| Letter {
            name: "a".to_owned(),
            key: None,
            facts,
            bytes: 4,
            written: Micros(2_000),
            newest: place,
            places: BTreeMap::new(),
        };
        let (good, damaged) = (letter(Ok(facts(7, "decode_error", 1))), letter(Err("bad".to_owned())));
        let select = |reason: &[&str], since: Option<i64>, source: Option<&str>| {
            let reason = reason.iter().map(|reason| (*reason).to_owned()).collect();
            let select = Select { reason, since: since.map(Micros), source: source.map(str::to_owned) };
            [select.includes(&good), select.includes(&damaged)]
        };
        assert_eq!(select(&[], None, None), [true, true]);
        assert_eq!(select(&["expired", "decode_error"], None, None), [true, false]);
        assert_eq!(select(&["damaged"], None, None), [false, true]);
        assert_eq!(select(&[], Some(993), None), [true, true]);
        assert_eq!(select(&[], Some(994), None), [false, true]);
        assert_eq!(select(&[], None, Some("door")), [true, false]);
        assert_eq!(select(&["decode_error"], None, Some("yard")), [false, false]);
    }

    #[test]
    fn a_time_is_given_as_such_or_as_an_age() {
        let now = Micros(1_795_348_800_000_000);
        assert_eq!(since("2026-11-22T11:00:00Z", now), Ok(Micros(now.0 - 3_600_000_000)));
        assert_eq!(since("90m", now), Ok(Micros(now.0 - 5_400_000_000)));
        assert!(since("yesterday", now).is_err() && since("", now).is_err());
    }

    #[test]
    fn a_reason_that_does_not_exist_is_refused_with_those_that_do() {
        assert_eq!(reason("expired").as_deref(), Ok("expired"));
        assert!(reason("decode-error").unwrap_err().contains("decode_error, "));
        assert!(reason("stale").is_err(), "a frame that was left out is no dead letter");
    }
}
