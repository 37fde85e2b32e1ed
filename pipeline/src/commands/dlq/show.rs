//! `facestream dlq show`: one letter whole, and its value into a file.
//!
//! Invariant: no file is overwritten.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use facestream_schemas::dead_letter::{DeadLetter, Facts, Headers, Held};
use facestream_schemas::envelope::sniff;
use facestream_schemas::message::rfc3339;
use indicatif::BinaryBytes;
use serde_json::{Value, json};

use super::fold::Letter;
use super::retry::original_of;
use super::{Ground, Where, ls, plain, print};
use crate::commands::Failure;
use crate::commands::read::Record;

/// Header values are shown up to so many characters; --json has all.
const VALUE_CHARS: usize = 200;

/// Show one letter: why it failed, its headers, what its value looks like
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Which letter, as `ls` names it: TOPIC/PARTITION/OFFSET of the original
    #[arg(value_name = "KEY")]
    key: String,
    /// Write the original's value into this new file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::open(&args.place)?;
    let folded = ground.letters()?;
    let letter = ground.letter(&folded, &args.key).map_err(Failure::Usage)?;
    let record = ground.reader.one(&ground.topic, letter.newest.partition, letter.newest.offset)?;
    let record = record.with_context(|| format!("the letter {} was ended while it was looked at", args.key))?;
    let max_attempts = ground.config.dead_letters.max_attempts;
    if args.json {
        print(&serde_json::to_string_pretty(&as_json(letter, &record, max_attempts))?)?;
    } else {
        print(&text(letter, &record, &ground.topic, max_attempts))?;
    }
    args.save.as_deref().map_or(Ok(()), |file| save(&ground, letter, record, file))
}

/// The original's value; a damaged letter's own, for whoever wants to look at it.
fn save(ground: &Ground, letter: &Letter, record: Record, file: &Path) -> anyhow::Result<()> {
    let value = match &letter.facts {
        Ok(facts) if facts.held == Held::LeftOut => original_of(ground, facts)?.map_err(|why| anyhow!(why))?.value,
        Ok(facts) if facts.held == Held::None => None,
        _ => record.value,
    };
    let value = value.with_context(|| format!("the original of {} has no value: there is nothing to save", letter.name))?;
    let mut out = File::create_new(file).with_context(|| format!("cannot create {}", file.display()))?;
    out.write_all(&value).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("wrote {} bytes to {}", value.len(), file.display());
    Ok(())
}

fn text(letter: &Letter, record: &Record, topic: &str, max_attempts: u32) -> String {
    let place = format!("{topic}/{}/{}, written {}", letter.newest.partition, letter.newest.offset, rfc3339(letter.written));
    let mut lines = vec![("key", letter.name.clone()), ("letter", place), ("reason", letter.reason().to_owned())];
    match &letter.facts {
        Err(damage) => lines.push(("damage", damage.clone())),
        Ok(facts) => lines.extend(told(facts, max_attempts)),
    }
    let is_empty = letter.facts.as_ref().is_ok_and(|facts| facts.held != Held::Whole);
    let value = record.value.as_ref().filter(|_| !is_empty);
    lines.extend(value.map(|value| ("value", looks_like(value))));
    let parsed = DeadLetter::parse(letter.key.as_deref(), record.value.clone(), record.headers.clone());
    if let Ok(DeadLetter { key: Some(key), .. }) = &parsed {
        lines.push(("message key", shown(Some(key))));
    }
    let headers = parsed.map_or_else(|_| record.headers.clone(), |parsed| parsed.headers);
    lines.extend(headers.iter().map(|(name, value)| ("header", format!("{name} = {}", shown(value.as_ref())))));
    lines.iter().map(|(name, value)| format!("{name:<12} {}", plain(value))).collect::<Vec<_>>().join("\n")
}

fn told(facts: &Facts, max_attempts: u32) -> Vec<(&'static str, String)> {
    let exhausted = if facts.attempt >= max_attempts { ": retried only with --force" } else { "" };
    let mut lines = vec![
        ("stage", facts.stage.clone()),
        ("error", facts.error.clone()),
        ("attempt", format!("{} of {max_attempts}{exhausted}", facts.attempt)),
        ("first seen", rfc3339(facts.first_seen)),
        ("source", facts.source_id.clone()),
        ("captured", rfc3339(facts.capture_ts)),
        ("original", format!("{}, written {}", facts.original, rfc3339(facts.record_ts))),
        ("run", facts.run_id.clone()),
    ];
    match (facts.held, facts.value_bytes) {
        (Held::None, _) => lines.push(("value", "none".to_owned())),
        (Held::LeftOut, bytes) => {
            let size = bytes.map_or_else(|| "none, but large headers".to_owned(), |bytes| BinaryBytes(bytes).to_string());
            lines.push(("value", format!("too large for a letter ({size}): it lies in {}", facts.original)));
        }
        (Held::Whole, _) => (),
    }
    lines
}

fn looks_like(value: &Bytes) -> String {
    let what = match sniff(value) {
        Some(format) => format.media_type().to_owned(),
        None if value.is_empty() => "empty".to_owned(),
        None => format!("no picture of a known format, it begins with {}", begins_with(value)),
    };
    format!("{what}, {} ({} bytes)", BinaryBytes(value.len() as u64), value.len())
}

fn begins_with(value: &[u8]) -> String {
    let head = &value[..value.len().min(16)];
    match std::str::from_utf8(head) {
        Ok(text) => format!("{text:?}"),
        Err(_) => head.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}

/// A header's value: text in quotes, other bytes as hex digits, null as such.
fn shown(value: Option<&Bytes>) -> String {
    let Some(value) = value else { return "null".to_owned() };
    let text = match std::str::from_utf8(value) {
        Ok(text) => format!("{text:?}"),
        Err(_) => value.iter().fold("0x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
    };
    if text.chars().count() <= VALUE_CHARS { text } else { text.chars().take(VALUE_CHARS).chain(['…']).collect() }
}

fn as_json(letter: &Letter, record: &Record, max_attempts: u32) -> Value {
    let mut json = ls::as_json(letter, max_attempts);
    let parsed = DeadLetter::parse(letter.key.as_deref(), record.value.clone(), record.headers.clone());
    let (key, headers) = parsed.map_or_else(|_| (None, record.headers.clone()), |parsed| (parsed.key, parsed.headers));
    json["message_key_base64"] = key.map_or(Value::Null, |key| Value::from(STANDARD.encode(key)));
    json["headers"] = headers_json(&headers);
    json["looks_like"] =
        record.value.as_ref().and_then(|value| sniff(value)).map_or(Value::Null, |format| format.media_type().into());
    json
}

/// Text as `value`, other bytes as `value_base64`; null values as null.
fn headers_json(headers: &Headers) -> Value {
    let header = |(name, value): &(String, Option<Bytes>)| match value.as_deref().map(|value| (value, std::str::from_utf8(value)))
    {
        None => json!({ "name": name, "value": null }),
        Some((_, Ok(text))) => json!({ "name": name, "value": text }),
        Some((bytes, Err(_))) => json!({ "name": name, "value_base64": STANDARD.encode(bytes) }),
    };
    headers.iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_named_by_what_they_look_like() {
        assert!(looks_like(&Bytes::from_static(b"\xff\xd8\xff\xe0")).starts_with("image/jpeg, 4 B"));
        assert!(looks_like(&Bytes::new()).starts_with("empty"));
        assert!(looks_like(&Bytes::from_static(b"{\"a\":1}")).contains("begins with \"{\\\"a\\\":1}\""));
        assert!(looks_like(&Bytes::from_static(b"\x00\xff")).contains("begins with 00 ff"));
    }

    #[test]
    fn header_values_are_told_apart() {
        let of = |value: Option<&'static [u8]>| shown(value.map(Bytes::from_static).as_ref());
        assert_eq!([of(None), of(Some(b"")), of(Some(b"a\n")), of(Some(b"\xff\x00"))], ["null", "\"\"", "\"a\\n\"", "0xff00"]);
        let headers = vec![("a".to_owned(), None), ("b".to_owned(), Some(Bytes::from_static(b"\xff")))];
        assert_eq!(headers_json(&headers), json!([{ "name": "a", "value": null }, { "name": "b", "value_base64": "/w==" }]));
    }
}
