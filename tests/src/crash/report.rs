//! The report of a series of rounds, for people.
//!
//! In: outcomes. Out: Markdown. Invariant: it says what the outcomes say, and the command that repeats them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::results::Versions;
use super::round::{GroupOutcome, Outcome, StoreKind};
use super::schedule::{Blow, Kind};

/// Markdown.
///
/// # Panics
/// Never: writing to a string does not fail.
#[must_use]
pub fn render(command: &str, versions: &Versions, outcomes: &[Outcome]) -> String {
    let groups: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.groups).collect();
    let mut text = "# Crash report\n\n".to_owned();
    let Versions { facestream, kafka, versitygw, cores } = versions;
    writeln!(
        text,
        "Made by `{command}`, which repeats it: the seed fixes which process is struck how and when. facestream {facestream},\n\
         Apache Kafka {kafka}, versitygw {versitygw}, {cores} cores.\n"
    )
    .expect("writing to a string");
    text += &summary(outcomes, &groups);
    text += "\n## Strikes\n\n| what | how often |\n|---|---|\n";
    for (kind, count) in strikes(&groups) {
        writeln!(text, "| {} | {count} |", kind.0).expect("writing to a string");
    }
    for (kind, count) in restarts(outcomes) {
        writeln!(text, "| a broker, {}, and started again | {count} |", kind.0).expect("writing to a string");
    }
    text += "\n## Rounds\n\nA row for each consumer group. Gaps are the longest times that a partition's journal stood still while frames \
             waited for it.\n\n\
             | round | brokers | group | store | processes | strikes | frames | lost | doubled | wrong rows | stray files | verify | gap | \
             gap with a broker away |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
    for outcome in outcomes {
        for group in &outcome.groups {
            text += &row(outcome, group);
        }
        for error in &outcome.errors {
            let first = error.lines().next().unwrap_or_default();
            writeln!(text, "| {} | {} | failed: {first} |||||||||||", outcome.number, outcome.brokers)
                .expect("writing to a string");
        }
    }
    text
}

fn summary(outcomes: &[Outcome], groups: &[&GroupOutcome]) -> String {
    let of = |number: fn(&GroupOutcome) -> u64| groups.iter().map(|group| number(group)).sum::<u64>();
    let longest =
        |number: fn(&GroupOutcome) -> u64| groups.iter().map(|group| number(group)).max().unwrap_or_default() as f64 / 1e3;
    let all: u64 = strikes(groups).values().sum();
    let stops = strikes(groups).get(&Blow::Term.kind()).copied().unwrap_or_default();
    let struck = outcomes.iter().map(|outcome| outcome.struck_seconds).sum::<f64>() / 60.0;
    let minutes = outcomes.iter().map(|outcome| outcome.seconds).sum::<f64>() / 60.0;
    let rows = [
        ("rounds", format!("{}, {minutes:.0} minutes", outcomes.len())),
        (
            "kills (processes that died or froze)",
            format!("{all}, {stops} of them by SIGTERM; {:.0} a minute", all as f64 / struck.max(0.1)),
        ),
        ("brokers restarted", restarts(outcomes).values().sum::<u64>().to_string()),
        ("frames produced", outcomes.iter().map(|outcome| outcome.produced).sum::<u64>().to_string()),
        ("rows in `frames`, all groups", of(|group| group.verdict.frames).to_string()),
        ("rows in `detections`, all groups", of(|group| group.verdict.faces).to_string()),
        ("rows in `windows`, all groups", of(|group| group.verdict.windows).to_string()),
        ("frames lost", of(|group| group.verdict.lost).to_string()),
        ("frames doubled", of(|group| group.verdict.doubled).to_string()),
        ("faces doubled or of no frame", of(|group| group.verdict.doubled_faces).to_string()),
        ("frames with another number of faces than drawn", of(|group| group.verdict.miscounted).to_string()),
        (
            "rows with another status than ok, or not as produced",
            of(|group| group.verdict.wrong + group.verdict.invented).to_string(),
        ),
        (
            "windows doubled, missing, or not counting exactly their frames, faces and beginning tracks",
            of(|group| group.verdict.doubled_windows + group.verdict.wrong_windows).to_string(),
        ),
        ("faces with another track than in a run without interruptions", of(|group| group.verdict.wrong_tracks).to_string()),
        ("stray files", of(|group| group.verdict.stray.len() as u64).to_string()),
        ("findings of `journal verify`", of(|group| group.verdict.verify.len() as u64).to_string()),
        ("rounds that failed otherwise", outcomes.iter().filter(|outcome| !outcome.errors.is_empty()).count().to_string()),
        ("longest unavailability of a partition", format!("{:.1} s", longest(|group| group.longest_gap_ms))),
        ("the same while a broker was away", format!("{:.1} s", longest(|group| group.longest_gap_without_broker_ms))),
    ];
    let mut text = "| | |\n|---|---|\n".to_owned();
    for (what, value) in rows {
        writeln!(text, "| {what} | {value} |").expect("writing to a string");
    }
    text
}

fn strikes(groups: &[&GroupOutcome]) -> BTreeMap<Kind, u64> {
    sum(groups.iter().flat_map(|group| &group.strikes))
}

fn restarts(outcomes: &[Outcome]) -> BTreeMap<Kind, u64> {
    sum(outcomes.iter().flat_map(|outcome| &outcome.restarts))
}

fn sum<'a>(counts: impl Iterator<Item = (&'a Kind, &'a u64)>) -> BTreeMap<Kind, u64> {
    counts.fold(BTreeMap::new(), |mut sum, (kind, count)| {
        *sum.entry(kind.clone()).or_default() += count;
        sum
    })
}

fn row(outcome: &Outcome, group: &GroupOutcome) -> String {
    let Outcome { number, brokers, .. } = outcome;
    let GroupOutcome { name, processes, verdict, .. } = group;
    let store = match group.store {
        StoreKind::Local => "local disk",
        StoreKind::S3 => "versitygw (S3)",
    };
    let wrong = verdict.wrong + verdict.invented + verdict.miscounted + verdict.doubled_faces + verdict.doubled_windows;
    let seconds = |millis: u64| millis as f64 / 1e3;
    format!(
        "| {number} | {brokers} | {name} | {store} | {processes} | {} | {} | {} | {} | {} | {} | {} | {:.1} s | {:.1} s |\n",
        group.strikes.values().sum::<u64>(),
        verdict.frames,
        verdict.lost,
        verdict.doubled,
        wrong + verdict.wrong_windows + verdict.wrong_tracks,
        verdict.stray.len(),
        if verdict.verify.is_empty() { "agrees" } else { "objects" },
        seconds(group.longest_gap_ms),
        seconds(group.longest_gap_without_broker_ms),
    )
}
