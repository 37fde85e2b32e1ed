//! The crash harness in full: rounds of kills, freezes and restarts, and a report.
//!
//! In: `SEED`, `ROUNDS` and `STRIKES` (for each process of a round) in the environment, `OUT` (a folder) and `REPORT` (a file). Out: a JSON line for each
//! round in `OUT/rounds.jsonl`, the report, exit code 1 if anything is not as promised. A round that is not clean keeps its folder.
//! With the seed of rounds that are there already it goes on after the last of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs, process};

use facestream_tests::Versitygw;
use facestream_tests::crash::{Deck, GroupPlan, Outcome, Plan, Results, StoreKind, Versions, render};

fn main() {
    if !env::args().any(|argument| argument == "--bench") {
        eprintln!("SKIPPED crash: it takes more than an hour; `make crash` runs it");
        return;
    }
    // Cargo starts a bench in its package's folder; paths in the environment are meant from the workspace's.
    env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("the workspace's folder");
    let out = path("OUT", "crash-output");
    fs::create_dir_all(&out).unwrap_or_else(|error| panic!("creating {}: {error}", out.display()));
    let out = out.canonicalize().expect("the folder's whole path");
    let results = Results::in_folder(&out);
    let (rounds, strikes_each) = (number("ROUNDS").unwrap_or(12), number("STRIKES").unwrap_or(10));
    let seed = number("SEED").or_else(|| unfinished(&results, rounds)).unwrap_or_else(new_seed);
    let command = format!("make crash SEED={seed} ROUNDS={rounds} STRIKES={strikes_each}");
    eprintln!("crash: {command}");
    if !Versitygw::is_installed() {
        eprintln!("SKIPPED: the groups on S3 need versitygw: install Go 1.25 or newer and run make crash again");
    }
    for number in 1..=rounds {
        if results.of(seed).iter().any(|outcome| outcome.number == number && outcome.is_clean()) {
            eprintln!("crash: round {number} of seed {seed} is done");
            continue;
        }
        round(&plan(seed, number, strikes_each as usize), &out.join(format!("round-{seed}-{number}")), &results);
    }
    let outcomes = results.of(seed);
    let report = path("REPORT", out.join("report.md").to_str().expect("a path in UTF-8"));
    fs::write(&report, render(&command, &Versions::here(), &outcomes)).expect("writing the report");
    eprintln!("crash: {} tells it all", report.display());
    if outcomes.len() < rounds as usize || !outcomes.iter().all(Outcome::is_clean) {
        process::exit(1);
    }
}

/// Carries a round out and notes its outcome.
fn round(plan: &Plan, folder: &Path, results: &Results) {
    fs::remove_dir_all(folder).ok();
    fs::create_dir(folder).unwrap_or_else(|error| panic!("creating {}: {error}", folder.display()));
    eprintln!("crash: round {} of seed {}: {} brokers, {:?}", plan.number, plan.seed, plan.brokers, plan.groups);
    let outcome = plan.carry_out(folder);
    results.add(&outcome);
    eprintln!("crash: round {}: {}", plan.number, serde_json::to_string_pretty(&outcome).expect("an outcome is JSON"));
    if outcome.is_clean() {
        fs::remove_dir_all(folder).ok();
    } else {
        eprintln!("crash: round {} of seed {} is NOT as promised: look at {}", plan.number, plan.seed, folder.display());
    }
}

/// Every fourth round has three brokers; local and S3 groups run side by side, the third by turns.
fn plan(seed: u64, number: u64, strikes_each: usize) -> Plan {
    let third = if number.is_multiple_of(2) { StoreKind::Local } else { StoreKind::S3 };
    let groups = [(StoreKind::Local, 2), (StoreKind::S3, 2), (third, 3)];
    let possible = groups.into_iter().filter(|(store, _)| *store == StoreKind::Local || Versitygw::is_installed());
    Plan {
        seed,
        number,
        brokers: if number.is_multiple_of(4) { 3 } else { 1 },
        groups: possible.map(|(store, processes)| GroupPlan { store, processes }).collect(),
        partitions: 4,
        deck: Deck::full(),
        strikes_each,
        restart_every: Duration::from_secs(25),
        frames_per_s: 8,
        echo: true,
    }
}

/// The seed of a series that has fewer rounds than it should.
fn unfinished(results: &Results, rounds: u64) -> Option<u64> {
    results.last_seed().filter(|seed| (results.of(*seed).len() as u64) < rounds)
}

fn new_seed() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").as_secs()
}

fn number(name: &str) -> Option<u64> {
    let value = env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

fn path(name: &str, default: &str) -> PathBuf {
    PathBuf::from(env::var_os(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.into()))
}
