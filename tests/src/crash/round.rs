//! One round: some groups on one topic, each with a store of its own, struck until every process has taken its strikes.
//!
//! In: a plan and an empty folder. Out: what came of it. The end of a round is a last `run --until-end` of each group, which
//! publishes what is left, then `journal verify`, then DuckDB. Invariant: when it returns, nothing that it started runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};
use std::{fs, iter};

use serde::{Deserialize, Serialize};

use super::arena::Arena;
use super::availability::Gaps;
use super::check::Verdict;
use super::contender::Contender;
use super::keeper::Tally;
use super::pictures::shots;
use super::producer::{Target, Truth, produce};
use super::schedule::{Deck, Kind, restarts};
use crate::{Ending, Kafka, Versitygw};

pub(super) const TOPIC: &str = "frames";
/// How long the last run of a group may take, after all that was done to it.
const LAST_RUN: Duration = Duration::from_mins(8);

/// Where a group writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A folder.
    Local,
    /// versitygw.
    S3,
}

/// A group of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupPlan {
    /// Where it writes.
    pub store: StoreKind,
    /// How many processes it has at a time.
    pub processes: usize,
}

/// A round.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What fixes the strikes, together with the number.
    pub seed: u64,
    /// Which round of its series.
    pub number: u64,
    /// How many brokers; with three, everything is kept three times.
    pub brokers: usize,
    /// The groups that read the topic.
    pub groups: Vec<GroupPlan>,
    /// Partitions of the topic.
    pub partitions: u64,
    /// What happens to processes.
    pub deck: Deck,
    /// Strikes for each process.
    pub strikes_each: usize,
    /// How far brokers' restarts are apart.
    pub restart_every: Duration,
    /// Frames a second.
    pub frames_per_s: u64,
    /// Whether strikes are shown on standard error while they are dealt.
    pub echo: bool,
}

/// What came of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GroupOutcome {
    /// Its name in logs.
    pub name: String,
    /// Where it wrote.
    pub store: StoreKind,
    /// Processes at a time.
    pub processes: usize,
    /// Strikes by kind.
    pub strikes: BTreeMap<Kind, u64>,
    /// The longest time that a partition stood still with frames waiting, in milliseconds, all brokers being there.
    pub longest_gap_ms: u64,
    /// The same where a broker was away at some time in it.
    pub longest_gap_without_broker_ms: u64,
    /// What its tables hold.
    pub verdict: Verdict,
}

/// What came of a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// As planned.
    pub seed: u64,
    /// As planned.
    pub number: u64,
    /// As planned.
    pub brokers: usize,
    /// How long it took, from its first process to its last check.
    pub seconds: f64,
    /// How long strikes were dealt.
    pub struck_seconds: f64,
    /// Frames that Kafka acknowledged.
    pub produced: u64,
    /// Restarts of brokers by kind.
    pub restarts: BTreeMap<Kind, u64>,
    /// The groups.
    pub groups: Vec<GroupOutcome>,
    /// What went wrong besides what the verdicts say: a process that ended by itself, for one.
    pub errors: Vec<String>,
}

impl Outcome {
    /// Whether everything is as promised.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && !self.groups.is_empty() && self.groups.iter().all(|group| group.verdict.is_clean())
    }
}

impl Plan {
    /// Carries the round out in an empty folder, in which stores and logs stay.
    #[must_use]
    pub fn carry_out(&self, folder: &Path) -> Outcome {
        let start = Instant::now();
        let kafka = Kafka::cluster(self.brokers);
        kafka.create_topic(TOPIC, self.partitions as i32, &[]);
        let wants_s3 = self.groups.iter().any(|group| group.store == StoreKind::S3);
        let s3 = wants_s3.then(|| Versitygw::start(folder));
        let groups: Vec<_> = self
            .groups
            .iter()
            .enumerate()
            .map(|(index, plan)| Contender::new(index, *plan, &kafka, s3.as_ref(), folder))
            .collect();
        let truth = Truth::default();
        let arena = Arena::new(folder, self.groups.iter().map(|group| group.processes).sum(), self.echo);
        let field = Field { arena: &arena, kafka: &kafka, groups: &groups, truth: &truth };
        let fight = self.fight(&field);
        let mut outcome = Outcome {
            seed: self.seed,
            number: self.number,
            brokers: self.brokers,
            seconds: 0.0,
            struck_seconds: start.elapsed().as_secs_f64(),
            produced: truth.count(),
            restarts: fight.restarts,
            groups: Vec::new(),
            errors: arena.errors().clone(),
        };
        if outcome.errors.is_empty() {
            let judged = arena.carry_out("the end", || judge(&field, fight.groups, &folder.join("truth.csv")));
            outcome.groups = judged.unwrap_or_default();
            outcome.errors.clone_from(&arena.errors());
        }
        outcome.seconds = start.elapsed().as_secs_f64();
        outcome
    }

    /// Everything at once: the producer, brokers' restarts, and for each process one that keeps and strikes it.
    fn fight(&self, field: &Field<'_>) -> Fight {
        let Field { arena, kafka, groups, truth } = *field;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.number);
        let mut strikes =
            self.deck.deal(seed, groups.iter().map(|group| group.plan.processes).sum(), self.strikes_each).into_iter();
        thread::scope(|scope| {
            scope.spawn(|| {
                let target = Target {
                    brokers: kafka.brokers(),
                    topic: TOPIC,
                    partitions: self.partitions,
                    frames_per_s: self.frames_per_s,
                };
                arena.carry_out("producer", || produce(&target, &shots(), truth, || arena.is_over()))
            });
            let restarts = scope.spawn(|| self.restart_brokers(arena, kafka, seed));
            let struck: Vec<_> = groups
                .iter()
                .map(|group| {
                    let strikes: Vec<_> = strikes.by_ref().take(group.plan.processes).collect();
                    scope.spawn(move || group.fight(arena, truth, strikes))
                })
                .collect();
            Fight { groups: struck.into_iter().map(joined).collect(), restarts: joined(restarts) }
        })
    }

    fn restart_brokers(&self, arena: &Arena, kafka: &Kafka, seed: u64) -> Tally {
        let mut tally = Tally::new();
        for restart in restarts(seed, self.brokers, self.restart_every) {
            arena.pause(restart.wait);
            if arena.is_over() {
                break;
            }
            let kind = match restart.ending {
                Ending::Kill => "SIGKILL",
                Ending::Term => "SIGTERM",
            };
            let name = format!("broker/{}", restart.broker + 1);
            arena.note(&name, kind);
            arena.set_broker_away(true);
            arena.carry_out(&name, || {
                kafka.restart_broker(restart.broker, restart.ending, TOPIC);
                Ok(())
            });
            arena.set_broker_away(false);
            arena.note(&name, "is back");
            *tally.entry(Kind(kind.to_owned())).or_default() += 1;
        }
        tally
    }
}

/// What a round consists of.
struct Field<'a> {
    arena: &'a Arena,
    kafka: &'a Kafka,
    groups: &'a [Contender],
    truth: &'a Truth,
}

/// Has each group finish, and counts what there is. `file` is where the truth is written.
fn judge(field: &Field<'_>, struck: Vec<(Tally, Gaps)>, file: &Path) -> Result<Vec<GroupOutcome>, String> {
    let Field { arena, kafka, groups, truth } = field;
    truth.assert_complete(&kafka.ends(TOPIC))?;
    fs::write(file, truth.csv()).map_err(|error| format!("writing {}: {error}", file.display()))?;
    // A last run that finds its partitions still with the dead, and their journals at the end, would leave the sealing to them.
    for group in *groups {
        kafka.wait_for_no_members(&group.group.name);
    }
    let last: Vec<_> = groups.iter().map(Contender::start_last_run).collect();
    for (group, run) in iter::zip(*groups, last) {
        let name = &group.group.name;
        let finished = run.wait_exit(LAST_RUN);
        arena.note(name, &format!("the last run ended with {:?}", finished.code));
        if finished.code != Some(0) {
            return Err(format!("{name}: the last run ended with {:?}\n{}", finished.code, finished.output));
        }
    }
    let judged = iter::zip(*groups, struck).map(|(group, (strikes, gaps))| GroupOutcome {
        name: group.group.name.clone(),
        store: group.plan.store,
        processes: group.plan.processes,
        strikes,
        longest_gap_ms: gaps.longest.as_millis() as u64,
        longest_gap_without_broker_ms: gaps.longest_without_broker.as_millis() as u64,
        verdict: Verdict { verify: group.verify(), ..Verdict::of(&group.store, TOPIC, file) },
    });
    Ok(judged.collect())
}

/// What came of the strikes.
struct Fight {
    groups: Vec<(Tally, Gaps)>,
    restarts: Tally,
}

pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
