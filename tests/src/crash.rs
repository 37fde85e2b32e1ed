//! The crash harness: real processes on real Kafka and real stores, killed and frozen all the time while frames are produced, and
//! at the end an independent reader counts what is there.
//!
//! In: a plan (a seed, brokers, groups with their stores, strikes). Out: what each group's tables hold ([`Verdict`]), how often
//! who was struck, for how long a partition stood still. Invariant: the seed fixes who is struck how and when; what the strikes
//! meet is up to the machine.

mod arena;
mod availability;
mod check;
mod contender;
mod keeper;
mod pictures;
mod producer;
mod random;
mod report;
mod results;
mod round;
mod schedule;

pub use check::Verdict;
pub use report::render;
pub use results::{Results, Versions};
pub use round::{GroupOutcome, GroupPlan, Outcome, Plan, StoreKind};
pub use schedule::{Blow, Deck, Kind, Place, Restart, Strike};
