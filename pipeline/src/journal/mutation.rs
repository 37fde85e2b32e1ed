//! Mutations: rules of the protocol that a test build can break, one at a time.
//!
//! In: the simulation's choice, for its own thread. Out: [`is`], asked at the places that keep the rules. Invariant: outside of
//! test builds nothing is ever broken. That the simulation notices each of them is the proof that it can fail.

/// A rule that is broken.
#[cfg_attr(not(test), allow(dead_code, reason = "two of them are asked for in test code alone"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// A takeover does not publish the seal that it finds.
    NoFinish,
    /// Of three seals one is declared published without having been.
    AppendBeforePublished,
    /// Files appear before their seal is won.
    PublishFirst,
    /// An append without a clear answer counts as won.
    AmbiguousIsWon,
    /// The second try of an append has rows that the first had not.
    RetryWithMoreRows,
    /// A publisher does not look whether the log has gone on.
    NoList,
    /// What a worker finishes goes to the partition's present lane, whichever it was polled for.
    LateResultsAccepted,
    /// A frame's place in the order is its offset.
    OrderByOffset,
    /// Offsets without a message are not walked over.
    PositionIgnored,
    /// Old records are removed before the record that says that their rows are published.
    CollectBeforeEmptyRecord,
    /// A message that failed is in the journal before its dead letter is acknowledged.
    DeadLetterAfterAppend,
    /// Who takes over begins without the tracks of its predecessor.
    TracksForgotten,
}

#[cfg(test)]
thread_local! {
    static CURRENT: std::cell::Cell<Option<Mutation>> = const { std::cell::Cell::new(None) };
}

/// Breaks a rule (or none) for everything that runs on this thread from now on.
#[cfg(test)]
pub(crate) fn set(mutation: Option<Mutation>) {
    CURRENT.set(mutation);
}

/// Whether this rule is broken.
#[cfg(test)]
pub(crate) fn is(mutation: Mutation) -> bool {
    CURRENT.get() == Some(mutation)
}

/// Whether this rule is broken: never.
#[cfg(not(test))]
pub(crate) const fn is(_: Mutation) -> bool {
    false
}
