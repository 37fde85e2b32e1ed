//! `facestream dlq ls`: one line a letter.

use std::collections::BTreeMap;

use facestream_schemas::message::rfc3339;
use indicatif::{BinaryBytes, HumanCount};
use serde_json::{Value, json};

use super::fold::Letter;
use super::select::Select;
use super::{Ground, Where, plain, print};
use crate::commands::grid;

/// How much of an error fits a line, in characters; `show` has all of it.
const ERROR_CHARS: usize = 60;

/// List the letters: what failed, why, how often, since when
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
    /// Print only so many, those first seen first
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::open(&args.place)?;
    let folded = ground.letters()?;
    let letters: Vec<_> = folded.by_age().into_iter().filter(|letter| args.select.includes(letter)).collect();
    let shown = &letters[..letters.len().min(args.limit.unwrap_or(usize::MAX))];
    let max_attempts = ground.config.dead_letters.max_attempts;
    if args.json {
        shown.iter().try_for_each(|letter| print(&as_json(letter, max_attempts).to_string()))?;
    } else if !shown.is_empty() {
        let mut table = grid(["key", "reason", "attempt", "first seen", "source", "size", "error"]);
        for letter in shown {
            table.add_row(cells(letter));
        }
        print(&table.trim_fmt())?;
    }
    eprintln!("{}", summary(&letters, shown.len(), &ground.topic));
    Ok(())
}

fn cells(letter: &Letter) -> [String; 7] {
    let since = rfc3339(letter.since());
    let row = |attempt: String, source: &str, bytes: Option<u64>, error: &str| {
        let size = bytes.map_or_else(|| "-".to_owned(), |bytes| BinaryBytes(bytes).to_string());
        [plain(&letter.name), letter.reason().to_owned(), attempt, since.clone(), plain(source), size, cut(error)]
    };
    match &letter.facts {
        Ok(facts) => row(facts.attempt.to_string(), &facts.source_id, facts.value_bytes, &facts.error),
        Err(damage) => row("?".to_owned(), "?", Some(letter.bytes), damage),
    }
}

fn cut(error: &str) -> String {
    let error = plain(error);
    if error.chars().count() <= ERROR_CHARS {
        return error;
    }
    error.chars().take(ERROR_CHARS - 1).chain(['…']).collect()
}

/// Everything that is known of a letter without its value. What a damaged one does not say is left out.
pub(super) fn as_json(letter: &Letter, max_attempts: u32) -> Value {
    let mut json = json!({
        "key": letter.name,
        "reason": letter.reason(),
        "letter_partition": letter.newest.partition,
        "letter_offset": letter.newest.offset,
        "letter_ts": rfc3339(letter.written),
    });
    let more = match &letter.facts {
        Err(damage) => json!({ "damage": damage, "letter_bytes": letter.bytes }),
        Ok(facts) => json!({
            "stage": facts.stage,
            "error": facts.error,
            "attempt": facts.attempt,
            "exhausted": facts.attempt >= max_attempts,
            "first_seen": rfc3339(facts.first_seen),
            "source_id": facts.source_id,
            "kafka_topic": &*facts.original.topic,
            "kafka_partition": facts.original.partition,
            "kafka_offset": facts.original.offset,
            "record_ts": rfc3339(facts.record_ts),
            "capture_ts": rfc3339(facts.capture_ts),
            "value": facts.held.as_str(),
            "value_bytes": facts.value_bytes,
            "run_id": facts.run_id,
        }),
    };
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend(more);
    }
    json
}

fn summary(letters: &[&Letter], shown: usize, topic: &str) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for letter in letters {
        *counts.entry(letter.reason()).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(reason, count)| format!("{} {}", HumanCount(*count), plain(reason))).collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let of = if shown < letters.len() { format!(" ({shown} shown)") } else { String::new() };
    format!("{} dead letters in {topic}{of}{counts}", HumanCount(letters.len() as u64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use facestream_schemas::Micros;

    use super::super::fold::{Place, tests::facts};
    use super::*;

    fn letter(name: &str, facts: Result<facestream_schemas::dead_letter::Facts, String>) -> Letter {
        let newest = Place { partition: 1, offset: 2 };
        Letter { name: name.to_owned(), key: None, facts, bytes: 9, written: Micros(0), newest, places: BTreeMap::new() }
    }

    #[test]
    fn a_line_holds_what_fits_and_the_summary_counts_all() {
        let mut long = facts(1, "expired", 2);
        long.error = format!("\u{1b}{}", "x".repeat(100));
        let letters = [
            letter("cams/0/1", Ok(long)),
            letter("@1/2", Err("it has no key".to_owned())),
            letter("b", Ok(facts(3, "expired", 1))),
        ];
        let row = cells(&letters[0]);
        assert_eq!((row[0].as_str(), row[1].as_str(), row[2].as_str()), ("cams/0/1", "expired", "2"));
        assert_eq!(row[6], format!("\\u{{1b}}{}…", "x".repeat(53)));
        assert_eq!(cells(&letters[1])[6], "it has no key");
        let letters: Vec<_> = letters.iter().collect();
        assert_eq!(summary(&letters, 2, "dead"), "3 dead letters in dead (2 shown): 1 damaged, 2 expired");
        assert_eq!(summary(&[], 0, "dead"), "0 dead letters in dead");
    }

    #[test]
    fn a_letter_that_failed_as_often_as_it_may_is_marked() {
        let exhausted = |attempt| as_json(&letter("a", Ok(facts(1, "expired", attempt))), 3)["exhausted"].clone();
        assert_eq!([2, 3, 4].map(exhausted), [json!(false), json!(true), json!(true)]);
    }
}
