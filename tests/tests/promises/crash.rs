//! Killed, frozen, told to stop, cut off at the worst places, with the broker away for a moment: no frame is lost or doubled.
//!
//! The small form of `make crash`: every kind of strike once.

use std::io::Write as _;
use std::time::Duration;
use std::{env, fs};

use facestream_tests::crash::{Deck, GroupPlan, Plan, StoreKind};
use facestream_tests::{Versitygw, scratch};

const SEED: u64 = 1;

#[test]
fn whatever_is_killed_or_frozen_when_nothing_is_lost_or_doubled() {
    let mut groups = vec![GroupPlan { store: StoreKind::Local, processes: 2 }];
    if Versitygw::is_installed() {
        groups.push(GroupPlan { store: StoreKind::S3, processes: 2 });
    } else {
        // Past the test runner, which shows nothing of what a good test prints.
        let line = b"SKIPPED: the crash round's S3 group needs versitygw: install Go 1.25 or newer and run make test again\n";
        std::io::stderr().write_all(line).expect("standard error");
    }
    let deck = Deck::small();
    let processes: usize = groups.iter().map(|group| group.processes).sum();
    let plan = Plan {
        seed: SEED,
        number: 0,
        brokers: 1,
        groups,
        partitions: 4,
        strikes_each: deck.len().div_ceil(processes) + 1,
        deck,
        restart_every: Duration::from_secs(20),
        frames_per_s: 8,
        echo: false,
    };
    let folder = scratch();
    let outcome = plan.carry_out(folder.path());
    if !outcome.is_clean() {
        let kept = env::temp_dir().join(format!("facestream-crash-{SEED}"));
        fs::remove_dir_all(&kept).ok();
        fs::rename(folder.path(), &kept).expect("keeping the folder");
        let strikes = fs::read_to_string(kept.join("strikes.log")).unwrap_or_default();
        panic!("seed {SEED}: {outcome:#?}\n{strikes}\nall of it is in {}", kept.display());
    }
    let struck: u64 = outcome.groups.iter().flat_map(|group| group.strikes.values()).sum();
    assert!(struck >= 8, "{outcome:?}");
    assert!(outcome.produced > 0 && outcome.groups.iter().all(|group| group.verdict.frames == outcome.produced));
}
