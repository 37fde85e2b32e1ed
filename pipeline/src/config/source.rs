//! Where configuration comes from: the sources of one run, and the origin of each value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The file that is read when none is named and it lies in the current folder.
const DEFAULT_FILE: &str = "facestream.toml";

/// What [`super::load`] reads, the later over the earlier: file, environment, flags.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file, if any.
    pub file: Option<PathBuf>,
    /// The environment: `FACESTREAM__SECTION__KEY`, and what `env:NAME` names.
    pub env: BTreeMap<String, String>,
    /// `section.key=value`, as given to `--set`.
    pub set: Vec<String>,
    /// What the command cannot do without.
    pub needs: Needs,
}

/// Which values have to be given for a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// `kafka.topics`
    pub topics: bool,
    /// `store.url`
    pub store: bool,
}

impl Needs {
    /// What consuming needs.
    pub const PIPELINE: Self = Self { topics: true, store: true };
}

impl Sources {
    /// This process's: `file`, else `facestream.toml` where the current folder has one; the environment; `set`.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, set: Vec<String>, needs: Needs) -> Self {
        let default = || Path::new(DEFAULT_FILE).is_file().then(|| PathBuf::from(DEFAULT_FILE));
        let env = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { file: file.or_else(default), env: env.collect(), set, needs }
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// A line of the file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable, by name.
    Env(String),
    /// `--set`.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// The origin of each value that was given, by dotted key.
#[derive(Clone, Default)]
pub struct Origins(BTreeMap<String, (Origin, Value)>);

impl Origins {
    /// Where the value of `key` (`kafka.topics`, `kafka.properties.sasl.username`) came from.
    #[must_use]
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).map_or(&Origin::Default, |(origin, _)| origin)
    }

    /// The value as it was written, before `env:` and `file:` were resolved.
    pub(super) fn written(&self, key: &str) -> Option<&Value> {
        self.0.get(key).map(|(_, written)| written)
    }

    pub(super) fn insert(&mut self, key: String, origin: Origin, written: Value) {
        self.0.insert(key, (origin, written));
    }
}

impl fmt::Debug for Origins {
    /// Without the written values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, (origin, _))| (key, origin))).finish()
    }
}
