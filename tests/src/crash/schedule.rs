//! What is done to which process, and when: all of it fixed by a seed.
//!
//! In: a seed, a deck of blows, how many processes there are. Out: for each process the strikes that it and its successors
//! take, one after the other. Invariant: pure; a failpoint only strikes a process that is started for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::random::Random;
use crate::Ending;

/// How long a frozen process stays frozen, in milliseconds: longer than its session of [`SESSION_MS`].
const FROZEN_MS: std::ops::RangeInclusive<u64> = SESSION_MS + 600..=SESSION_MS + 4_000;
/// The processes' session time-out.
pub(super) const SESSION_MS: u64 = 3_000;

/// A named place in the program where it can be told to die or freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An append is won, and nobody was told.
    AfterAppend,
    /// One file of a seal is visible, the next is not.
    BetweenFiles,
    /// Offsets are about to be committed.
    BeforeCommit,
    /// In the rebalance callback, while partitions are given up.
    InRevoke,
    /// What a predecessor left is published, the takeover is not yet appended.
    MidRecovery,
}

impl Place {
    const ALL: [Place; 5] = [Place::AfterAppend, Place::BetweenFiles, Place::BeforeCommit, Place::InRevoke, Place::MidRecovery];

    fn name(self) -> &'static str {
        match self {
            Place::AfterAppend => "after-append",
            Place::BetweenFiles => "between-files",
            Place::BeforeCommit => "before-commit",
            Place::InRevoke => "in-revoke",
            Place::MidRecovery => "mid-recovery",
        }
    }

    /// At most so many times the place is passed before it strikes.
    fn times(self) -> u64 {
        match self {
            Place::AfterAppend => 10,
            Place::BetweenFiles | Place::BeforeCommit => 4,
            Place::InRevoke | Place::MidRecovery => 2,
        }
    }
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP for longer than its session, then SIGCONT: a zombie that wakes up.
    Freeze,
    /// SIGTERM, and it is waited for.
    Term,
    /// It kills itself (`dies`) or freezes itself at a place.
    Failpoint {
        /// Where.
        place: Place,
        /// SIGKILL, else SIGSTOP.
        dies: bool,
        /// At which time that it comes there, from 1.
        at: u64,
    },
}

/// How a blow is called in logs and results.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kind(pub String);

impl Blow {
    /// The value of `FACESTREAM_FAILPOINT` for the process that is to take it.
    #[must_use]
    pub fn failpoint(self) -> Option<String> {
        let Blow::Failpoint { place, dies, at } = self else { return None };
        Some(format!("{}={}@{at}", place.name(), if dies { "kill" } else { "stop" }))
    }

    /// Its name, without the number of times.
    #[must_use]
    pub fn kind(self) -> Kind {
        Kind(match self {
            Blow::Kill => "SIGKILL".to_owned(),
            Blow::Freeze => "SIGSTOP, SIGCONT".to_owned(),
            Blow::Term => "SIGTERM".to_owned(),
            Blow::Failpoint { place, dies, .. } => format!("{}: {}", place.name(), if dies { "dies" } else { "freezes" }),
        })
    }

    /// Whether the process that takes it goes on afterwards.
    fn is_survived(self) -> bool {
        matches!(self, Blow::Freeze | Blow::Failpoint { dies: false, .. })
    }
}

/// One blow at one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// How long the process is left alone before; a failpoint strikes when it is reached instead.
    pub wait: Duration,
    /// What happens then.
    pub blow: Blow,
    /// How long it is frozen, or how long there is no process until the next one is started.
    pub pause: Duration,
}

/// Blows that are dealt in turn, reshuffled each time that none is left.
#[derive(Debug, Clone)]
pub struct Deck(Vec<Blow>);

impl Deck {
    /// Half signals, half failpoints, each of them.
    #[must_use]
    pub fn full() -> Deck {
        let signals = [Blow::Kill; 4].into_iter().chain([Blow::Freeze; 4]).chain([Blow::Term; 2]);
        Deck(signals.chain([true, false].into_iter().flat_map(failpoints)).collect())
    }

    /// Every signal and every place once.
    #[must_use]
    pub fn small() -> Deck {
        let mut blows = vec![Blow::Kill, Blow::Freeze, Blow::Term];
        blows.extend(failpoints(true).zip(failpoints(false)).enumerate().map(|(n, (dies, freezes))| [dies, freezes][n % 2]));
        Deck(blows)
    }

    /// How many blows there are before one comes again.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: it holds blows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The strikes for each of `processes`, `each` of them.
    #[must_use]
    pub fn deal(&self, seed: u64, processes: usize, each: usize) -> Vec<Vec<Strike>> {
        let mut random = Random::new(seed, 1);
        let mut pile: Vec<Blow> = Vec::new();
        let mut dealt = vec![Vec::<Strike>::new(); processes];
        for _ in 0..each {
            for strikes in &mut dealt {
                if pile.is_empty() {
                    pile.clone_from(&self.0);
                    random.shuffle(&mut pile);
                }
                let runs_on = strikes.last().is_some_and(|strike| strike.blow.is_survived());
                let fitting = pile.iter().position(|blow| !runs_on || blow.failpoint().is_none());
                let blow = fitting.map_or(Blow::Kill, |index| pile.remove(index));
                strikes.push(strike(blow, &mut random));
            }
        }
        dealt
    }
}

fn failpoints(dies: bool) -> impl Iterator<Item = Blow> {
    Place::ALL.into_iter().map(move |place| Blow::Failpoint { place, dies, at: 0 })
}

fn strike(mut blow: Blow, random: &mut Random) -> Strike {
    let wait = random.millis(2_500..=9_000);
    let pause = match blow {
        Blow::Term => random.millis(0..=3_000),
        _ if blow.is_survived() => random.millis(FROZEN_MS),
        // As often shorter as longer than the session.
        _ => random.millis(0..=2 * SESSION_MS),
    };
    if let Blow::Failpoint { place, at, .. } = &mut blow {
        *at = random.within(1..=place.times());
    }
    Strike { wait, blow, pause }
}

/// A broker that is ended and started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// After the one before is over.
    pub wait: Duration,
    /// Which one, from 0.
    pub broker: usize,
    /// How.
    pub ending: Ending,
}

/// Restarts without end, `mean` apart.
pub(super) fn restarts(seed: u64, brokers: usize, mean: Duration) -> impl Iterator<Item = Restart> {
    let mut random = Random::new(seed, 2);
    let mean = mean.as_millis() as u64;
    std::iter::repeat_with(move || Restart {
        wait: random.millis(mean / 2..=mean * 3 / 2),
        broker: random.within(0..=brokers as u64 - 1) as usize,
        ending: if random.within(0..=1) == 0 { Ending::Kill } else { Ending::Term },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_fixes_everything() {
        let deck = Deck::full();
        assert_eq!(deck.deal(7, 6, 20), deck.deal(7, 6, 20));
        assert_ne!(deck.deal(7, 6, 20), deck.deal(8, 6, 20));
        let mean = Duration::from_secs(10);
        let first = |seed| restarts(seed, 3, mean).take(5).collect::<Vec<_>>();
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn a_failpoint_strikes_only_a_process_that_is_started_for_it() {
        for seed in 0..200 {
            for strikes in Deck::full().deal(seed, 5, 12) {
                assert_eq!(strikes.len(), 12);
                for pair in strikes.windows(2) {
                    assert!(!pair[0].blow.is_survived() || pair[1].blow.failpoint().is_none(), "{pair:?}");
                }
            }
        }
    }

    #[test]
    fn every_blow_of_a_small_deck_is_dealt_and_of_a_full_one_as_often_as_it_is_in_it() {
        let kinds = |strikes: &[Vec<Strike>]| strikes.iter().flatten().map(|strike| strike.blow.kind()).collect::<Vec<_>>();
        for seed in 0..200 {
            let small = kinds(&Deck::small().deal(seed, 4, 3));
            let distinct: BTreeSet<_> = small.iter().collect();
            assert_eq!(distinct.len(), 8, "{small:?}");
            let full = kinds(&Deck::full().deal(seed, 6, 20));
            let freezes = full.iter().filter(|kind| kind.0.starts_with("SIGSTOP")).count();
            assert!((20..=24).contains(&freezes), "{freezes}");
        }
    }

    #[test]
    fn who_is_frozen_is_frozen_for_longer_than_its_session() {
        for strike in Deck::full().deal(3, 8, 40).into_iter().flatten().filter(|strike| strike.blow.is_survived()) {
            assert!(strike.pause > Duration::from_millis(SESSION_MS + 500), "{strike:?}");
        }
    }

    #[test]
    fn failpoints_are_named_as_the_program_names_them() {
        let blow = Blow::Failpoint { place: Place::BetweenFiles, dies: false, at: 3 };
        assert_eq!(blow.failpoint().as_deref(), Some("between-files=stop@3"));
        assert_eq!(Blow::Kill.failpoint(), None);
    }
}
