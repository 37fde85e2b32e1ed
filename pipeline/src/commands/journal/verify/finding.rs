//! What `verify` says: findings, each with what is wrong and what to do, and notes.
//!
//! In: plain facts. Out: text or JSON. Invariant: a finding names one object of the store, and says how to mend it.

use serde::Serialize;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A record is cut, edited, or lies under another's name.
    DamagedRecord,
    /// A record is of a newer program.
    NewerRecord,
    /// Records are gone from the middle of a log.
    MissingRecords,
    /// A record does not follow on the one before.
    BrokenChain,
    /// There are data files of a partition that has no log.
    MissingLog,
    /// A file that a seal names is not there.
    MissingFile,
    /// A file cannot be read.
    UnreadableFile,
    /// A file has other rows than was promised, or rows that do not belong there.
    WrongRows,
    /// A file's name and its own metadata disagree.
    Contradiction,
    /// No record names this file.
    UnnamedFile,
    /// Not a file of this program.
    ForeignFile,
    /// Two seals cover the same offsets.
    Overlap,
}

impl Kind {
    fn mend(self) -> &'static str {
        match self {
            Self::DamagedRecord | Self::MissingRecords | Self::MissingFile | Self::UnreadableFile => {
                "restore it from the store's versions or a backup"
            }
            Self::NewerRecord => {
                "use a facestream at least as new as the one that wrote it; `run` stops this partition until then"
            }
            Self::BrokenChain => {
                "two stores were mixed, or the store does not honour create-only PUT (`facestream check` tries it): restore the log \
                 from a backup, or consume again with a new kafka.group and a new store.url"
            }
            Self::MissingLog => {
                "restore _journal/ from a backup; without it `run` begins at the group's offset and may write rows that are there already"
            }
            Self::WrongRows => {
                "put the file back as it was published, from the store's versions or a backup: no published file is ever rewritten"
            }
            Self::Contradiction => {
                "it was renamed, copied or rewritten: put it back under its own name, or move it out of the tables"
            }
            Self::UnnamedFile => {
                "it was copied or renamed to this place, and readers take its rows twice: move it out of the tables"
            }
            Self::ForeignFile => "move it out of the tables: readers take every file there for rows of facestream's",
            Self::Overlap => {
                "readers see these rows twice: compare the two seals' files and move those out that do not belong there"
            }
        }
    }
}

/// One thing that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// Which object.
    pub(super) path: String,
    /// What is wrong with it.
    pub(super) what: String,
    /// What to do.
    pub(super) mend: String,
}

impl Finding {
    pub(super) fn new(kind: Kind, path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind, path: path.into(), what: what.into(), mend: kind.mend().to_owned() }
    }

    pub(super) fn with_mend(self, mend: String) -> Self {
        Self { mend, ..self }
    }
}

/// Something to know that is not wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Note {
    /// Which object or partition.
    pub(super) path: String,
    /// What about it.
    pub(super) what: String,
}

impl Note {
    pub(super) fn new(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into() }
    }
}

/// What an audit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<Note>,
}

impl Verdict {
    pub(super) fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.notes.extend(other.notes);
    }
}

impl From<Finding> for Verdict {
    fn from(finding: Finding) -> Self {
        Self { findings: vec![finding], notes: Vec::new() }
    }
}

impl From<Note> for Verdict {
    fn from(note: Note) -> Self {
        Self { findings: Vec::new(), notes: vec![note] }
    }
}
