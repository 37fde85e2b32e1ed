//! Where ONNX Runtime's library and the models lie, and whether they are the right ones.
//!
//! In: the environment (`FACESTREAM_CACHE`, `FACESTREAM_MODELS`, `ORT_DYLIB_PATH`, the user's cache folder) and what the
//! configuration calls the model. Out: paths, with the sha256 that goes into every row. Invariant: a file that is known or was added
//! by name is handed out only if its bytes are the pinned ones: of the library in `deploy/artifacts.sha256`, of models in
//! `deploy/models.toml` ([`registry`]), which set-up reads too, or in its description ([`added`]).

pub mod added;
pub mod registry;

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use registry::{Known, Licence, known};

const SETUP: &str = "run `make setup` in facestream's source folder, or copy lib/ and models/ of a cache folder where that was done and name \
                     their folder in FACESTREAM_CACHE";
const ARTIFACTS: &str = include_str!("../../deploy/artifacts.sha256");
/// What `auto` is where it is installed, and where it is not.
const FIRST_CHOICE: &str = "yunet";
const SECOND_CHOICE: &str = "centerface";
/// The cascade's name.
pub const HAAR: &str = "haar";
/// Where Debian's opencv-data puts the cascade for faces from the front.
pub const CASCADE: &str = "/usr/share/opencv4/haarcascades/haarcascade_frontalface_default.xml";

/// Why there is no library or model to work with. Each says what mends it.
#[derive(Debug, Error)]
pub enum ModelsError {
    /// A file that set-up fetches is not there.
    #[error("{what} is missing: there is no {}: {mend}", path.display())]
    Missing {
        /// What the file is, for people.
        what: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        mend: String,
    },
    /// A file that set-up fetches has other bytes than the pinned ones.
    #[error("{} has sha256 {found}, expected {expected}: {mend}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The sum of its bytes, in hexadecimal.
        found: String,
        /// The pinned sum, in hexadecimal.
        expected: String,
        /// What to do.
        mend: String,
    },
    /// A file is there and cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: is it a folder that you may write into?", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The description of an added model makes no sense.
    #[error("the description {} is damaged: {cause}: remove it, or add the model again with --force", path.display())]
    Description {
        /// The description.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The configured model is neither a name nor a file.
    #[error("there is no file and no model {name:?}{}: `facestream models ls` lists the models, which are \"auto\", {names}", or_rather(.nearest.as_deref()))]
    Unknown {
        /// What was looked for.
        name: String,
        /// The name that is most like it, if one is.
        nearest: Option<String>,
        /// All names.
        names: String,
    },
    /// A known model of which no file is pinned was not added.
    #[error("the model {name} is not there, and is not fetched ({licence}): {get}", licence = licence.text)]
    NotAdded {
        /// Its name.
        name: String,
        /// Why it is not fetched.
        licence: Licence,
        /// How to get it.
        get: String,
    },
    /// Set-up has no library for this kind of machine.
    #[error("no ONNX Runtime library is known for {ARCH}: install one and name it in ORT_DYLIB_PATH")]
    Machine,
    /// There is no home folder to find the cache folder in.
    #[error("neither FACESTREAM_CACHE nor XDG_CACHE_HOME nor HOME is set: set FACESTREAM_CACHE to the folder that set-up filled")]
    NoCache,
}

/// A model file and the sha256 of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// The ONNX file.
    pub path: PathBuf,
    /// What `model_sha256` says in every row.
    pub sha256: String,
}

/// The folders that library and models are looked for in.
#[derive(Debug, Clone)]
pub struct Folders {
    cache: PathBuf,
    /// `FACESTREAM_MODELS`: another folder, for models alone.
    models: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`: the caller's own library, taken as it is.
    library: Option<PathBuf>,
}

impl Folders {
    /// The folders of this process's environment.
    pub fn from_env() -> Result<Self, ModelsError> {
        Self::of(|name| std::env::var_os(name))
    }

    /// The folders that the variables name; an empty variable counts as unset.
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ModelsError> {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = || path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache"))).map(|dir| dir.join("facestream"));
        let cache = path("FACESTREAM_CACHE").or_else(user).ok_or(ModelsError::NoCache)?;
        Ok(Self { cache, models: path("FACESTREAM_MODELS"), library: path("ORT_DYLIB_PATH") })
    }

    /// ONNX Runtime's shared library, checked (about 20 ms); one that `ORT_DYLIB_PATH` names need only be there.
    pub fn runtime_library(&self) -> Result<PathBuf, ModelsError> {
        if let Some(library) = &self.library {
            File::open(library).map_err(|source| ModelsError::Read { path: library.clone(), source })?;
            return Ok(library.clone());
        }
        let (sha256, name) = library().ok_or(ModelsError::Machine)?;
        Ok(pinned("ONNX Runtime's library", self.cache.join(name), sha256, SETUP)?.path)
    }

    /// The model of this name: "auto" (YuNet if its file is in the model folder, else CenterFace), "haar" (Debian's cascade), one that is
    /// known or was added, or a path.
    pub fn find(&self, model: &str) -> Result<ModelFile, ModelsError> {
        if model == "auto" {
            return self.find(self.auto());
        }
        if model == HAAR {
            return cascade("");
        }
        if let Some((known, pin)) = known(model).and_then(|known| Some((known, known.pin.as_ref()?))) {
            return pinned(&format!("the model {model}"), self.folder().join(&pin.file), &pin.sha256, &self.mend(known));
        }
        if let Some(added) = self.added(model)? {
            let mend = format!("add it again: facestream models add {model} FILE --force");
            return pinned(&format!("the model {model}"), self.folder().join(&added.pin.file), &added.pin.sha256, &mend);
        }
        if let Some(known) = known(model) {
            let (name, licence) = (known.name.clone(), known.licence.clone());
            return Err(ModelsError::NotAdded { name, licence, get: known.get.clone().unwrap_or_default() });
        }
        if Path::new(model).is_file() {
            let path = PathBuf::from(model);
            return Ok(ModelFile { sha256: sum(&path)?, path });
        }
        Err(self.unknown(model))
    }

    /// What "auto" stands for here.
    #[must_use]
    pub fn auto(&self) -> &'static str {
        let pin = known(FIRST_CHOICE).and_then(|known| known.pin.as_ref());
        if pin.is_some_and(|pin| self.folder().join(&pin.file).exists()) { FIRST_CHOICE } else { SECOND_CHOICE }
    }

    /// The folder that models lie in.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.models.clone().unwrap_or_else(|| self.cache.join("models"))
    }

    /// The model that the user added under this name.
    pub fn added(&self, name: &str) -> Result<Option<added::Added>, ModelsError> {
        if added::check_name(name).is_ok() { added::find(&self.folder(), name) } else { Ok(None) }
    }

    /// What one may do with the weights, where that is known.
    #[must_use]
    pub fn licence(&self, model: &str) -> Option<Licence> {
        let name = if model == "auto" { self.auto() } else { model };
        let added = || Some(self.added(name).ok()??.licence);
        known(name).map(|known| known.licence.clone()).or_else(added)
    }

    /// The error for a name that nothing has.
    #[must_use]
    pub fn unknown(&self, name: &str) -> ModelsError {
        let mut names: Vec<_> = registry::all().iter().map(|known| known.name.clone()).chain([HAAR.to_owned()]).collect();
        let added = added::names(&self.folder()).unwrap_or_default();
        names.extend(added.into_iter().filter(|name| known(name).is_none()));
        let likeness = |other: &String| strsim::jaro_winkler(name, other);
        let nearest = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|other| likeness(other) > 0.8);
        let nearest = nearest.cloned();
        let names = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        ModelsError::Unknown { name: name.to_owned(), nearest, names }
    }

    /// Set-up fills the cache folder only: a folder that the user named is the user's to fill.
    fn mend(&self, known: &Known) -> String {
        let name = &known.name;
        let get = known.get.clone().unwrap_or_else(|| format!("`facestream models pull {name}` fetches it"));
        let else_use = match name.as_str() {
            FIRST_CHOICE => "; or use detector.model \"auto\" or \"centerface\"",
            SECOND_CHOICE => "; or `facestream models pull yunet` fetches YuNet, which \"auto\" takes where it is there",
            _ => "",
        };
        match &self.models {
            Some(models) => format!("{get}; FACESTREAM_MODELS has it looked for in {}{else_use}", models.display()),
            None => get + else_use,
        }
    }
}

/// The cascade that `detector.model = "haar"` stands for: the file that `haar.cascade` names, or Debian's where it is empty.
pub fn cascade(named: &str) -> Result<ModelFile, ModelsError> {
    let path = PathBuf::from(if named.is_empty() { CASCADE } else { named });
    match sum(&path) {
        Ok(sha256) => Ok(ModelFile { path, sha256 }),
        Err(ModelsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let mend = "install Debian's package opencv-data, or name a cascade in haar.cascade".to_owned();
            Err(ModelsError::Missing { what: "the Haar cascade".to_owned(), mend, path })
        }
        Err(error) => Err(error),
    }
}

fn or_rather(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(", did you mean {name:?}?"))
}

/// The file at `path` if its bytes are the pinned ones.
fn pinned(what: &str, path: PathBuf, sha256: &str, mend: &str) -> Result<ModelFile, ModelsError> {
    let mend = mend.to_owned();
    match sum(&path) {
        Err(ModelsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(ModelsError::Missing { what: what.to_owned(), path, mend })
        }
        Err(error) => Err(error),
        Ok(found) if found == sha256 => Ok(ModelFile { path, sha256: found }),
        Ok(found) => Err(ModelsError::Wrong { path, found, expected: sha256.to_owned(), mend }),
    }
}

/// The sum and the place in the cache folder of this machine's library.
fn library() -> Option<(&'static str, &'static str)> {
    ARTIFACTS.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut words = line.split_whitespace();
        let library = (words.next()?, words.next()?);
        (words.next() == Some(ARCH)).then_some(library)
    })
}

/// The sha256 of a file's bytes, in hexadecimal.
pub fn sum(path: &Path) -> Result<String, ModelsError> {
    let read = |source| ModelsError::Read { path: path.to_owned(), source };
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path).map_err(read)?, &mut hash).map_err(read)?;
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests;
