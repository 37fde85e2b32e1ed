//! Deterministic simulation: real lanes and journals of several processes over one bad store, on a seeded scheduler that
//! kills, freezes and wakes them and moves the partition between them at any moment.
//!
//! In: a seed (`FACESTREAM_SIM_SEED` replays one, `FACESTREAM_SIM_SEEDS` says how many). Out: a verdict on what readers of the
//! files see at the end. Invariant: one thread, one virtual clock, every choice from the seed: a seed always tells the same story.

mod chance;
mod check;
mod outbox;
mod process;
mod store;
mod topic;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use facestream_schemas::{Offset, Partition};
use facestream_stages::aggregate::{Late, WindowSettings};
use facestream_stages::track::TrackSettings;
use prometheus::IntGauge;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::budget::Budget;
use crate::journal::Writer;
use crate::journal::mutation::{self, Mutation};
use crate::journal::publish::Publisher;
use crate::lane::{Board, Lanes, Rolling, Takeovers, Telling};
use crate::metrics::Metrics;
use crate::store::Store;
use chance::Chance;
use outbox::Letters;
use process::{Consumer, Failures, Hold, Process};
use store::{Gate, Life, Seen, World};
use topic::Topic;

/// Runs without a mutation, all of which must be sound.
const SEEDS: u64 = 10_000;
/// A mutation that is not noticed in so many runs is not noticed.
const SEEDS_TO_NOTICE: u64 = 20_000;
/// Processes alive at a time.
const PROCESSES: usize = 4;

/// What a run has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Sound,
    /// This message (or its face) is there more than once.
    Doubled(Offset),
    /// This message (or its face) is not there.
    Lost(Offset),
    /// This message failed, and its dead letter is not there.
    Untold(Offset),
    /// The messages are right, this face's track is not.
    Tracks(String),
    /// All that is right, the windows are not.
    Windows(String),
    /// A process that nothing hindered did not get to the end of the partition.
    Stuck(String),
    /// An error that no process should see.
    Failed(String),
}

fn partition() -> Partition {
    Partition { topic: "cams".into(), number: 0 }
}

/// Windows close by watermark alone, so that what is in them does not depend on when they were closed.
fn windows() -> WindowSettings {
    WindowSettings {
        length: Duration::from_mins(1),
        max_out_of_orderness: Duration::from_secs(5),
        idle_timeout: Duration::from_hours(1_000),
        late: Late::Drop,
    }
}

/// Frames with faces of one camera are 40 s and more apart in event time: some tracks go on, some are over.
fn tracks() -> TrackSettings {
    TrackSettings { max_gap: Duration::from_secs(100), min_iou: 0.3 }
}

/// One run's scheduler.
struct Simulation {
    chance: Chance,
    world: Arc<World>,
    topic: Arc<Topic>,
    rolling: Rolling,
    metrics: Metrics,
    failures: Failures,
    processes: Vec<Process>,
    born: u64,
}

impl Simulation {
    fn new(seed: u64, metrics: Metrics) -> Self {
        let chance = Chance::new(seed);
        let trouble = *chance.one_of(&[0.0, 0.05, 0.15, 0.35]);
        let rolling =
            Rolling { append_every: chance.millis(20..800), roll_bytes: u64::MAX, roll_every: chance.millis(100..4_000) };
        let (world, topic) = (World::new(chance.clone(), trouble), Arc::new(Topic::new(&chance)));
        Self { chance, world, topic, rolling, metrics, failures: Failures::default(), processes: Vec::new(), born: 0 }
    }

    /// A process of its own memory, with nothing in it.
    fn consumer(&mut self, gate: &Gate) -> Consumer {
        self.born += 1;
        let seen = Arc::new(Seen { world: Arc::clone(&self.world), gate: gate.clone() });
        let gauge = IntGauge::new("gauge", "help").expect("a gauge");
        let budget = Budget::new(1 << 30, gauge.clone(), gauge);
        let lanes = Lanes {
            runtime: Handle::current(),
            store: Store::of(seen),
            writer: Arc::new(Writer {
                pipeline_id: "cluster/group".to_owned(),
                owner: self.born.to_string(),
                model_sha256: None,
            }),
            publisher: Publisher::as_tasks(Handle::current(), self.metrics.clone()),
            tracks: Some(tracks()),
            windows: windows(),
            rolling: self.rolling,
            retention: Duration::ZERO,
            takeovers: Takeovers::default(),
            pending_rows: budget.clone(),
            outbox: Some(Arc::new(Letters { world: Arc::clone(&self.world), gate: gate.clone(), chance: self.chance.clone() })),
            telling: Telling::default(),
            pictures: None,
            board: Board::default(),
            metrics: self.metrics.clone(),
        };
        Consumer {
            lanes,
            gate: gate.clone(),
            topic: Arc::clone(&self.topic),
            chance: self.chance.clone(),
            budget,
            failures: Arc::clone(&self.failures),
            present: Arc::new(Mutex::new(None)),
        }
    }

    fn start_process(&mut self) -> Process {
        let (gate, hold) = (Gate::new(), watch::Sender::new(Hold::Lost));
        let consumer = self.consumer(&gate);
        tokio::spawn(consumer.work(hold.subscribe()));
        let process = Process { gate, hold };
        self.processes.push(process.clone());
        process
    }

    /// A running process other than `not`; a new one if there is none or luck will have it.
    fn another(&mut self, not: Option<&Process>) -> Process {
        self.processes.retain(|process| !process.is_dead());
        let is_other = |process: &&Process| not.is_none_or(|not| !process.hold.same_channel(&not.hold));
        let running: Vec<_> =
            self.processes.iter().filter(is_other).filter(|process| process.gate.life() == Life::Running).cloned().collect();
        if self.processes.len() < PROCESSES && (running.is_empty() || self.chance.happens(0.3)) {
            return self.start_process();
        }
        if running.is_empty() {
            not.cloned().unwrap_or_else(|| self.start_process())
        } else {
            self.chance.one_of(&running).clone()
        }
    }

    /// Fifteen seconds of kills, freezes and moves.
    async fn chaos(&mut self) {
        let end = Instant::now() + Duration::from_secs(15);
        let mut owner = self.another(None);
        owner.hold.send_replace(Hold::Held);
        while Instant::now() < end {
            sleep(self.chance.millis(50..3_000)).await;
            match self.chance.number(0..8) {
                0..=1 => owner.gate.set(Life::Dead),
                2..=4 => self.freeze(&owner),
                5..=6 => {
                    owner.hold.send_replace(Hold::Revoked);
                    sleep(self.chance.millis(1..2_000)).await;
                }
                _ => self.lose(&owner),
            }
            let next = self.another(Some(&owner));
            next.hold.send_replace(Hold::Held);
            owner = next;
        }
    }

    /// Stops a process in whatever it does; it wakes up later as a zombie, and learns later still that it lost the partition.
    fn freeze(&self, process: &Process) {
        process.gate.set(Life::Frozen);
        let (gate, wakes) = (process.gate.clone(), self.chance.millis(500..30_000));
        tokio::spawn(async move {
            sleep(wakes).await;
            gate.set(Life::Running);
        });
        self.lose(process);
    }

    /// Kafka gives the partition to another; the process hears of it some time later, even if it has got it back by then.
    fn lose(&self, process: &Process) {
        process.hold.send_replace(Hold::Held);
        let (hold, hears) = (process.hold.clone(), self.chance.millis(1..8_000));
        tokio::spawn(async move {
            sleep(hears).await;
            hold.send_replace(Hold::Lost);
        });
    }

    /// A last process that nothing hinders goes to the end and publishes everything.
    async fn finish(&mut self) -> Result<(), Verdict> {
        let consumer = self.consumer(&Gate::new());
        match timeout(Duration::from_mins(10), consumer.finish()).await {
            Ok(end) if end == self.topic.end => Ok(()),
            Ok(end) => Err(Verdict::Stuck(format!("the journal ends at {end}, the partition at {}", self.topic.end))),
            Err(_) => Err(Verdict::Stuck("ten minutes were not enough".to_owned())),
        }
    }

    async fn run(&mut self) -> Verdict {
        self.chaos().await;
        for process in &self.processes {
            process.hold.send_replace(Hold::Lost);
            process.gate.set(if self.chance.happens(0.6) { Life::Frozen } else { Life::Dead });
        }
        self.world.calm_down();
        // Once while zombies sleep, and once after they have woken up and everything that was on its way has landed.
        for _ in 0..2 {
            if let Err(verdict) = self.finish().await {
                return verdict;
            }
            for process in &self.processes {
                process.gate.set(Life::Running);
                if self.chance.happens(0.5) {
                    self.lose(process);
                }
            }
            sleep(Duration::from_secs(90)).await;
        }
        if let Some(failure) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).first() {
            return Verdict::Failed(failure.clone());
        }
        check::check(&self.world, &self.topic).await
    }
}

/// One run from its seed.
fn run(seed: u64, mutation: Option<Mutation>, metrics: &Metrics) -> (Verdict, Vec<String>) {
    mutation::set(mutation);
    // The back-off's jitter comes from here.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let told = runtime.block_on(async {
        let mut simulation = Simulation::new(seed, metrics.clone());
        let verdict = simulation.run().await;
        (verdict, check::names(&simulation.world).await)
    });
    drop(runtime);
    mutation::set(None);
    told
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number =
        |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")));
    match number("FACESTREAM_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FACESTREAM_SIM_SEEDS").unwrap_or(default),
    }
}

/// Runs seeds on all cores until `stop` says so of a verdict; how many of each kind there were, and the first that stopped it.
fn run_all(
    seeds: std::ops::Range<u64>,
    mutation: Option<Mutation>,
    stop: impl Fn(&Verdict) -> bool + Sync,
) -> (u64, Option<(u64, Verdict)>) {
    let (next, runs) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let stopped: Mutex<BTreeMap<u64, Verdict>> = Mutex::default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let metrics = Metrics::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || !stopped.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                        return;
                    }
                    let (verdict, _) = run(seed, mutation, &metrics);
                    runs.fetch_add(1, Ordering::Relaxed);
                    if stop(&verdict) {
                        stopped.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, verdict);
                    }
                }
            });
        }
    });
    let first = stopped.into_inner().unwrap_or_else(PoisonError::into_inner).pop_first();
    (runs.into_inner(), first)
}

#[test]
fn whatever_happens_to_processes_and_store_every_row_is_visible_once() {
    let (runs, unsound) = run_all(seeds(SEEDS), None, |verdict| *verdict != Verdict::Sound);
    if let Some((seed, verdict)) = unsound {
        panic!("{verdict:?}\nreplay: FACESTREAM_SIM_SEED={seed} cargo test --release --workspace --lib simulation::whatever");
    }
    assert!(runs > 0);
}

#[test]
fn a_seed_always_tells_the_same_story() {
    for seed in 0..20 {
        let told = [(); 2].map(|()| run(seed, None, &Metrics::new()));
        assert_eq!(told[0], told[1], "seed {seed}");
    }
}

fn assert_noticed(mutation: Mutation, is_it: impl Fn(&Verdict) -> bool + Sync) {
    let (runs, noticed) = run_all(0..SEEDS_TO_NOTICE, Some(mutation), is_it);
    let (seed, verdict) = noticed.unwrap_or_else(|| panic!("{mutation:?} was not noticed in {runs} runs"));
    eprintln!("{mutation:?} was noticed after {runs} runs: seed {seed}, {verdict:?}");
}

/// Rows are wrong.
fn rows(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Doubled(_) | Verdict::Lost(_))
}

/// A dead letter is missing.
fn untold(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Untold(_))
}

/// A face has another track than in a run without interruptions.
fn tracked(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Tracks(_))
}

/// A process without hindrance does not get to the end: it waits for what never comes, or a check on the way says no.
fn no_end(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Stuck(_) | Verdict::Failed(_))
}

/// Rows are wrong, or a check on the way (the seal's row counts) kept the partition from being published.
fn rows_or_no_end(verdict: &Verdict) -> bool {
    rows(verdict) || no_end(verdict)
}

macro_rules! mutations {
    ($($name:ident: $mutation:ident, $by:ident;)+) => {
        $(#[test]
        fn $name() {
            assert_noticed(Mutation::$mutation, $by);
        })+
    };
}

mutations! {
    a_takeover_that_does_not_finish_a_seal_is_noticed: NoFinish, rows;
    going_on_before_the_files_are_visible_is_noticed: AppendBeforePublished, rows;
    files_before_their_seal_are_noticed: PublishFirst, rows;
    taking_silence_for_success_is_noticed: AmbiguousIsWon, rows;
    a_retry_with_more_rows_is_noticed: RetryWithMoreRows, rows_or_no_end;
    publishing_without_a_look_at_the_log_is_noticed: NoList, rows;
    late_results_of_a_dropped_lane_are_noticed: LateResultsAccepted, rows;
    order_by_offset_is_noticed: OrderByOffset, no_end;
    gaps_that_are_not_walked_over_are_noticed: PositionIgnored, no_end;
    collecting_too_early_is_noticed: CollectBeforeEmptyRecord, no_end;
    a_dead_letter_after_the_append_is_noticed: DeadLetterAfterAppend, untold;
    tracks_that_are_forgotten_at_a_takeover_are_noticed: TracksForgotten, tracked;
}
