//! Labels whose values are all known: one enum a label.
//!
//! In: a value of an enum. Out: its place in a family of metrics ([`super::By`]). Invariant: `all` lists every value at its own
//! index, so that each has its series from the start and finding one costs an array access.

use facestream_schemas::tables::Table;
use facestream_schemas::{ClosedBy, Reason};

/// One label, or several, with all their values.
pub trait Labels: Copy + 'static {
    /// How many values there are.
    const COUNT: usize;
    /// Names of the labels.
    fn names() -> Vec<&'static str>;
    /// Every value, each at its [`index`](Self::index).
    fn all() -> Vec<Self>;
    /// The values as text, one for each of [`names`](Self::names).
    fn values(self) -> Vec<&'static str>;
    /// Where it is among [`all`](Self::all).
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident as $label:literal { $($value:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the help texts of the metrics say what the values mean")]
        pub enum $name { $($value),+ }

        impl $name {
            /// The label's value.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
        }

        impl Labels for $name {
            const COUNT: usize = [$($text),+].len();
            fn names() -> Vec<&'static str> {
                vec![$label]
            }
            fn all() -> Vec<Self> {
                vec![$(Self::$value),+]
            }
            fn values(self) -> Vec<&'static str> {
                vec![self.as_str()]
            }
            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// What a frame goes through, and the wait before it.
    Stage as "stage" { Queue = "queue", Fetch = "fetch", Decode = "decode", Detect = "detect", Live = "live", Annotate = "annotate" }
    /// What threads and tasks spend their time on.
    Busy as "stage" { Poll = "poll", Fetch = "fetch", Work = "work", Append = "append", Publish = "publish" }
    /// What has to wait for those who come after it.
    Blocked as "stage" { Poll = "poll", Work = "work", Append = "append" }
    /// What frames, or their rows, wait for.
    Queue as "stage" { Fetch = "fetch", Work = "work", Append = "append" }
    /// Budgets that bound memory.
    BudgetName as "budget" { InFlight = "in_flight", PendingRows = "pending_rows" }
    /// From when a latency is taken.
    Since as "since" { Event = "event", Record = "record" }
    /// How far a frame has come when its latency is taken.
    Until as "until" { Detected = "detected", Appended = "appended", Visible = "visible" }
    /// What became of a frame that came after its window was closed.
    Late as "outcome" { Dropped = "dropped", Revised = "revised" }
    /// Whether a source is heard of.
    Activity as "state" { Active = "active", Silent = "silent" }
    /// Why a partition is paused.
    Pause as "reason" { Memory = "memory", Fetch = "fetch", Journal = "journal" }
    /// What a rebalance can do to a partition.
    Rebalance as "what" { Assigned = "assigned", Revoked = "revoked", Lost = "lost" }
    /// What an appended record is.
    Append as "kind" { Takeover = "takeover", Rows = "rows", Seal = "seal", Empty = "empty" }
    /// What made a seal due.
    SealReason as "reason" {
        Size = "size", Age = "age", Hour = "hour", Folders = "folders", Shutdown = "shutdown", Gap = "gap",
    }
    /// What is asked of the store.
    Operation as "operation" { List = "list", Get = "get", Append = "append", Publish = "publish", Delete = "delete" }
    /// Topics that the pipeline produces to, by what they are for.
    OutputTopic as "topic" { Events = "events", Windows = "windows", DeadLetters = "dead_letters", Pictures = "pictures" }
    /// What became of a picture that was to be annotated.
    Pictured as "outcome" { Made = "made", Failed = "failed" }
}

/// The status of a frame's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was looked at.
    Ok,
    /// It was not, for this reason.
    Not(Reason),
}

impl Labels for Status {
    const COUNT: usize = 1 + Reason::ALL.len();
    fn names() -> Vec<&'static str> {
        vec!["status"]
    }
    fn all() -> Vec<Self> {
        std::iter::once(Self::Ok).chain(Reason::ALL.map(Self::Not)).collect()
    }
    fn values(self) -> Vec<&'static str> {
        vec![match self {
            Self::Ok => "ok",
            Self::Not(reason) => reason.as_str(),
        }]
    }
    fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Not(reason) => 1 + reason as usize,
        }
    }
}

/// Why data files were rolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roll {
    /// What made their seal due.
    By(SealReason),
    /// Their seal was found at a takeover.
    Recovery,
}

impl Labels for Roll {
    const COUNT: usize = SealReason::COUNT + 1;
    fn names() -> Vec<&'static str> {
        SealReason::names()
    }
    fn all() -> Vec<Self> {
        SealReason::all().into_iter().map(Self::By).chain([Self::Recovery]).collect()
    }
    fn values(self) -> Vec<&'static str> {
        match self {
            Self::By(reason) => reason.values(),
            Self::Recovery => vec!["recovery"],
        }
    }
    fn index(self) -> usize {
        match self {
            Self::By(reason) => reason.index(),
            Self::Recovery => SealReason::COUNT,
        }
    }
}

impl Labels for Table {
    const COUNT: usize = Self::ALL.len();
    fn names() -> Vec<&'static str> {
        vec!["table"]
    }
    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
    fn values(self) -> Vec<&'static str> {
        vec![self.name()]
    }
    fn index(self) -> usize {
        self as usize
    }
}

impl Labels for ClosedBy {
    const COUNT: usize = 2;
    fn names() -> Vec<&'static str> {
        vec!["closed_by"]
    }
    fn all() -> Vec<Self> {
        vec![Self::Watermark, Self::Idle]
    }
    fn values(self) -> Vec<&'static str> {
        vec![self.as_str()]
    }
    fn index(self) -> usize {
        self as usize
    }
}

impl<A: Labels, B: Labels> Labels for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;
    fn names() -> Vec<&'static str> {
        [A::names(), B::names()].concat()
    }
    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a, b))).collect()
    }
    fn values(self) -> Vec<&'static str> {
        [self.0.values(), self.1.values()].concat()
    }
    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_in_place<L: Labels + PartialEq + std::fmt::Debug>() {
        assert_eq!(L::all().len(), L::COUNT);
        for (place, value) in L::all().into_iter().enumerate() {
            assert_eq!(value.index(), place, "{value:?}");
            assert_eq!(value.values().len(), L::names().len());
        }
    }

    #[test]
    fn every_value_is_at_its_own_index() {
        assert_in_place::<Status>();
        assert_in_place::<Roll>();
        assert_in_place::<Table>();
        assert_in_place::<ClosedBy>();
        assert_in_place::<SealReason>();
        assert_in_place::<(Table, Roll)>();
        assert_in_place::<(Since, Until)>();
        assert_eq!(<(Table, Roll)>::all().len(), 3 * 7);
    }
}
